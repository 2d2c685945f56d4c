"""Usage statements as rows: what rules, admission and audits need of the books, read without building models.

Nearly every statement of a log is the books of a period, and checking its form with the models of
:mod:`brakeline.treaty.statements` costs more than checking its signature. :func:`read_usage` is a second reader of the
same form: parse, write again sorted, compare, then look at every leaf. It returns a :class:`ReadUsage` only where it is
certain that the models would take these bytes and say the same; in any doubt it returns None, and the models decide and
say what is wrong. ``tests/treaty/test_usage.py`` holds both against each other on valid, damaged and random input.

What it is not: the definition of the form (the models are), or a judge of what the books say.
"""

from __future__ import annotations

import re
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import orjson
from brakeline.treaty.counting import Precision, Purpose
from brakeline.treaty.names import NameKind, is_name
from brakeline.treaty.parts import Activity
from brakeline.treaty.strictjson import MAX_PAYLOAD, MAX_SAFE_INTEGER, JsonObject, JsonValue

if TYPE_CHECKING:
    from brakeline.treaty.statements import Usage

USAGE_TYPE: Final = "https://brakeline.example/usage/v1"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
MAX_LINES: Final = 256
"""Lines of one usage statement, whatever a treaty says; a treaty's own ``line_count`` is lower."""
_MARK = f'"predicateType":"{USAGE_TYPE}"'.encode()


class ReadLine(NamedTuple):
    """A line of the books. A figure that its author left out is None: unknown, which is not nothing.

    Attributes:
        workload, activity: as booked.
        chips: (class of chip, chip-milliseconds), as booked.
        hardware, model: FLOP by the two methods of counting.
        flop: the larger of both that are known, None when neither is.
        tokens, joules: as booked.
        parents, model_out, code, data: digests (hex); parents in the order of the line.
        purpose, precision: as booked.
    """

    workload: str
    activity: Activity
    chips: tuple[tuple[str, int], ...]
    hardware: int | None = None
    model: int | None = None
    flop: int | None = None
    tokens: int | None = None
    joules: int | None = None
    parents: tuple[str, ...] | None = None
    model_out: str | None = None
    code: str | None = None
    data: str | None = None
    purpose: Purpose | None = None
    precision: Precision | None = None


class ReadUsage(NamedTuple):
    """The books of one period of one site, as plain values.

    Attributes:
        author, sequence, previous, treaty: whose, and the place in its chain.
        start, end: of the period, Unix ms.
        inventory: digest of the inventory statement they cite.
        table_root, table_rows: the commitment to the chip x slot rows (hex), and how many.
        lines: in the statement's order.
    """

    author: str
    sequence: int
    previous: str
    treaty: str
    start: int
    end: int
    inventory: str
    table_root: str
    table_rows: int
    lines: tuple[ReadLine, ...]

    @classmethod
    def of(cls, said: Usage) -> ReadUsage:
        """Return the rows of a usage statement that was read by its model."""
        lines: list[ReadLine] = []
        for line in said.lines:
            hardware = None if line.flop_hardware is None else line.flop_hardware.value
            model = None if line.flop_model is None else line.flop_model.value
            lines.append(
                ReadLine(
                    line.workload,
                    line.activity,
                    tuple((item.chip_class, item.value.value) for item in line.chip_ms),
                    hardware,
                    model,
                    larger(hardware, model),
                    None if line.tokens is None else line.tokens.value,
                    None if line.joules is None else line.joules.value,
                    line.parents,
                    line.model_out,
                    line.code,
                    line.data,
                    line.purpose,
                    line.precision,
                )
            )
        return cls(
            said.author,
            said.sequence,
            said.previous,
            said.treaty,
            said.start.value,
            said.end.value,
            said.inventory,
            said.table.root,
            said.table.rows,
            tuple(lines),
        )


def larger(one: int | None, other: int | None) -> int | None:
    """Return the larger of two figures of which either may be unknown."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def read_usage(payload: bytes) -> ReadUsage | None:
    """Return the rows of *payload* where it certainly is a well-formed usage statement, else None."""
    if len(payload) > MAX_PAYLOAD or _MARK not in payload or not payload.isascii():
        return None
    try:
        value = orjson.loads(payload)
        if orjson.dumps(value, option=orjson.OPT_SORT_KEYS) != payload:
            return None
        return _read(value)
    except (ValueError, TypeError, KeyError, AttributeError):  # of another form: the models say of which
        return None


_FRAME = itemgetter("_type", "predicate", "predicateType", "subject")
_PREDICATE = itemgetter("author", "sequence", "previous", "treaty", "start", "end", "inventory", "table", "lines")
_HEX = re.compile(r"[0-9a-f]*")
_DECIMALS = re.compile(r"(?:(?:0|[1-9][0-9]{0,39}),)*")
_IDENTIFIER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,127}", re.ASCII)
_PRINTABLE = re.compile(r"[ -~]{1,200}", re.ASCII)
_ACTIVITIES = {item.value: item for item in Activity}
_PURPOSES = {item.value: item for item in Purpose}
_PRECISIONS = {item.value: item for item in Precision}


def _read(value: JsonObject) -> ReadUsage | None:
    """Look at every leaf of a statement that is canonical JSON; whatever is raised means that the form is another."""
    kind, predicate, uri, subject = _FRAME(value)
    if len(value) != 4 or kind != STATEMENT_TYPE or uri != USAGE_TYPE or len(predicate) != 9:
        return None
    author, sequence, previous, treaty, start, end, inventory, table, lines = _PREDICATE(predicate)
    root, rows = table["root"], table["rows"]
    if len(table) != 2 or not _site(author) or not (type(sequence) is type(start) is type(end) is type(rows) is int):
        return None
    if min(sequence, start, end, rows) < 0 or max(sequence, start, end, rows) > MAX_SAFE_INTEGER:
        return None
    digests: list[str] = [previous, treaty, inventory, root]
    decimals: list[str] = []
    if type(lines) is not list or not 1 <= len(cast("list[JsonValue]", lines)) <= MAX_LINES:
        return None
    read = tuple([_line(line, digests, decimals) for line in cast("list[dict[str, JsonValue]]", lines)])
    if None in read or not _subjects(subject, inventory, digests):
        return None
    if not _DECIMALS.fullmatch(",".join([*decimals, ""])):
        return None
    if {*map(len, digests)} != {64} or not _HEX.fullmatch("".join(digests)):
        return None
    found = cast("tuple[ReadLine, ...]", read)
    return ReadUsage(author, sequence, previous, treaty, start, end, inventory, root, rows, found)


def _line(line: dict[str, JsonValue], digests: list[str], decimals: list[str]) -> ReadLine | None:
    """Return one line; its digests and decimal figures are appended, for the caller to look at all together."""
    workload, activity, times = cast("tuple[str, str, list[dict[str, str]]]", _LINE(line))
    kind = _ACTIVITIES[activity]
    if not _identifier(workload) or type(times) is not list:
        return None
    if len(times) == 1:
        (time,) = times
        chip_class, amount = _TIME(time)
        if len(time) != 2 or not _identifier(chip_class):
            return None
        decimals.append(amount)
        chips: tuple[tuple[str, int], ...] = ((chip_class, int(amount)),)
    else:
        if not 1 <= len(times) <= 64:
            return None
        for time in times:
            if len(time) != 2 or not _identifier(time["class"]):
                return None
            decimals.append(time["value"])
        chips = tuple((time["class"], int(time["value"])) for time in times)
    return ReadLine(workload, kind, chips) if len(line) == 3 else _full(line, workload, kind, chips, digests, decimals)


_LINE = itemgetter("workload", "activity", "chip_ms")
_TIME = itemgetter("class", "value")
_FIGURES = ("flop_hardware", "flop_model", "tokens", "joules")
_DIGESTS = ("model_out", "code", "data")


def _full(
    line: dict[str, JsonValue],
    workload: str,
    kind: Activity,
    chips: tuple[tuple[str, int], ...],
    digests: list[str],
    decimals: list[str],
) -> ReadLine | None:
    """Return a line that says more than its chip time; every member must be one that is looked at."""
    known = 3
    get = line.get
    figures = [cast("str | None", get(name)) for name in _FIGURES]
    stated = [text for text in figures if text is not None]
    decimals += stated
    hardware, model, tokens, joules = [None if text is None else int(text) for text in figures]
    model_out, code, data = named = [cast("str | None", get(name)) for name in _DIGESTS]
    given = [text for text in named if text is not None]
    digests += given
    known += len(stated) + len(given)
    parents = cast("list[str] | None", get("parents"))
    if parents is not None:
        if type(parents) is not list or len(parents) > 16:
            return None
        digests += parents
        known += 1
    meter = cast("dict[str, str] | None", get("meter"))
    if meter is not None:
        if len(meter) != 2 or not _identifier(meter["name"]):
            return None
        digests.append(meter["digest"])
        known += 1
    purpose = precision = None
    if known != len(line):
        word = cast("str | None", get("purpose"))
        if word is not None:
            purpose, known = _PURPOSES[word], known + 1
        word = cast("str | None", get("precision"))
        if word is not None:
            precision, known = _PRECISIONS[word], known + 1
        if known != len(line):
            return None
    took = None if parents is None else tuple(parents)
    return ReadLine(
        workload,
        kind,
        chips,
        hardware,
        model,
        larger(hardware, model),
        tokens,
        joules,
        took,
        model_out,
        code,
        data,
        purpose,
        precision,
    )


def _subjects(subject: JsonValue, inventory: str, digests: list[str]) -> bool:
    """Say whether *subject* has the form it must have; its digests are appended."""
    if type(subject) is not list or not 1 <= len(subject) <= 64:
        return False
    for number, item in enumerate(cast("list[dict[str, dict[str, str]]]", subject)):
        name, digest = cast("str", item["name"]), item["digest"]["sha256"]
        if len(item) != 2 or len(item["digest"]) != 1 or not _printable(name):
            return False
        if not number and (name, digest) != ("inventory", inventory):
            return False
        digests.append(digest)
    return True


@lru_cache(4096)
def _site(text: str) -> bool:
    return is_name(text, NameKind.SITE)


@lru_cache(16384)
def _identifier(text: str) -> bool:
    return _IDENTIFIER.fullmatch(text) is not None


@lru_cache(4096)
def _printable(text: str) -> bool:
    return _PRINTABLE.fullmatch(text) is not None
