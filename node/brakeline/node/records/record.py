"""One row of another system's records, understood: strict about figures and instants, forgiving about nothing.

A row that cannot be understood is *rejected*, with what was expected and found. One whose chips and time are known but
not what they did is understood as ``unattributed``; a word that has no place in the books (a reference that is no
digest) is a *note*. In both cases the row itself stays whole, as it was read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping as Row
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from brakeline.node.records.mapping import Mapping
from brakeline.treaty.counting import Precision, Purpose
from brakeline.treaty.quantities import MAX_DIGITS
from brakeline.treaty.statements import Activity
from brakeline.treaty.strictjson import JsonObject, canonical

_WORKLOAD = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,60}(?:\.[0-9]{1,60})?(?:[eE]\+?[0-9]{1,2})?", re.ASCII)
_MAX_INSTANT = 2**53 - 1
_W = TypeVar("_W", Purpose, Precision)
MAX_PARENTS = 16
AMOUNTS = ("flop", "flop_hardware", "tokens", "joules")


class Odd(Exception):
    """A row cannot be understood."""

    def __init__(self, code: str, why: str) -> None:
        """Name the reason: a stable code, and a sentence with what was expected and found."""
        super().__init__(code, why)
        self.code, self.why = code, why


@dataclass(frozen=True, slots=True)
class Source:
    """Where a row stood."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Record:
    """A row, understood.

    Attributes:
        id: SHA-256 of the row as it was read: the same row is the same record.
        start, end: Unix ms; chips were held in [start, end).
        chip: serial number, "" where the row gives a number of chips only.
        chip_class: "" where neither row nor mapping says.
        count: chips.
        flop, flop_hardware, tokens, joules: of the whole row; None where it does not say.
        notes: what of the row has no place in the books.
    """

    id: str
    raw: bytes
    start: int
    end: int
    chip: str
    chip_class: str
    count: int
    workload: str
    activity: Activity
    flop: int | None = None
    flop_hardware: int | None = None
    tokens: int | None = None
    joules: int | None = None
    model_out: str | None = None
    code: str | None = None
    data: str | None = None
    parents: tuple[str, ...] = ()
    purpose: Purpose | None = None
    precision: Precision | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def chip_ms(self) -> int:
        """Chip-milliseconds of the row."""
        return self.count * (self.end - self.start)

    def amount(self, name: str) -> int | None:
        """Return one of ``AMOUNTS``."""
        value: int | None = getattr(self, name)
        return value


def understand(row: Row[str, str], mapping: Mapping, site: str) -> Record:
    """Return the record that *row* (their columns, as text) is under *mapping* for the site *site*.

    Raises:
        Odd: with the code and sentence that the report of rejected rows gives.
    """
    named = mapping.named()
    said = {named[column]: text.strip() for column, text in row.items() if column in named and text.strip()}
    _ours(said, mapping, site)
    start, end = (_instant(name, said.get(name, ""), mapping.time) for name in ("start", "end"))
    if start >= end:
        raise Odd("import-window", f"end: expected an instant after the start, found {said['end']!r}")
    amounts = {name: _amount(name, said[name]) for name in AMOUNTS if name in said}
    notes: list[str] = []
    activity, workload = _activity(said, mapping, notes), _workload(said, mapping, notes)
    if activity is Activity.UNATTRIBUTED or workload is None:
        activity, workload = Activity.UNATTRIBUTED, "unattributed"
    for name in ("batch_size", "sequence_length"):
        if name in said:
            _amount(name, said[name])
    found = {name: _digests(name, said[name], mapping, notes) for name in _REFERENCES if name in said}
    made, used = (found.get("model", ()), ()) if activity is Activity.TRAINING else ((), found.get("model", ()))
    parents = tuple(sorted({*used, *found.get("upstream", ())}))
    raw = canonical({**row})
    return Record(
        id=hashlib.sha256(raw).hexdigest(),
        raw=raw,
        start=start,
        end=end,
        chip=mapping.chips.get(said.get("chip", ""), said.get("chip", "")),
        chip_class=mapping.classes.get(said.get("class", ""), said.get("class", mapping.chip_class or "")),
        count=_chips(said),
        workload=workload,
        activity=activity,
        **amounts,
        model_out=_one("model", made, notes),
        code=_one("code", found.get("code", ()), notes),
        data=_one("data", found.get("data", ()), notes),
        parents=_few(parents, notes),
        purpose=_word("purpose", said, Purpose, notes),
        precision=_word("precision", said, Precision, notes),
        notes=tuple(notes),
    )


_REFERENCES = ("model", "data", "code", "upstream")


def _ours(said: dict[str, str], mapping: Mapping, site: str) -> None:
    operator = said.get("operator")
    if operator is None or not mapping.operators:
        return
    whose = mapping.operators.get(operator)
    if whose is None:
        raise Odd("import-operator", f"operator: expected one of [operators], found {operator!r}")
    if whose != site:
        raise Odd("import-operator", f"operator: this is the node of {site}, the row is of {whose}")


def _chips(said: dict[str, str]) -> int:
    count = _amount("count", said["count"]) if "count" in said else 1
    if "chip" not in said and "count" not in said:
        raise Odd("import-chip", "chip: expected the name of a chip, or a count of chips, found neither")
    if count < 1 or ("chip" in said and count != 1):
        raise Odd("import-chip", f"count: expected 1 for a named chip, at least 1 for others, found {count}")
    return count


def _instant(name: str, text: str, unit: str) -> int:
    """Return Unix ms; what is finer than a millisecond is cut off."""
    if unit == "iso":
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise Odd("import-instant", f"{name}: expected ISO 8601 with a time zone, found {text!r}") from None
        if instant.tzinfo is None:
            raise Odd("import-instant", f"{name}: expected a time zone (Z, +00:00), found {text!r}")
        since = instant - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
        value = (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    else:
        if not _NUMBER.fullmatch(text):
            raise Odd("import-instant", f"{name}: expected a number of {unit} since 1970, found {text!r}")
        value = int(Decimal(text) * (1000 if unit == "s" else 1))
    if not 0 <= value <= _MAX_INSTANT:
        raise Odd("import-instant", f"{name}: expected an instant since 1970, found {text!r}")
    return value


def _amount(name: str, text: str) -> int:
    """Return a whole number; ``1.5e18`` is one, ``0.5`` is none."""
    try:
        value = Decimal(text) if _NUMBER.fullmatch(text) else None
    except InvalidOperation:
        value = None
    if value is None or value != int(value) or len(str(int(value))) > MAX_DIGITS:
        raise Odd("import-number", f"{name}: expected a whole number of at most {MAX_DIGITS} digits, found {text!r}")
    return int(value)


def _activity(said: dict[str, str], mapping: Mapping, notes: list[str]) -> Activity:
    word = said.get("activity", "")
    known = mapping.activities.get(word) or (Activity(word) if word in set(Activity) else None)
    known = known or (None if word else mapping.activity)
    if known is None:
        what = f"found {word!r}" if word else "found none"
        notes.append(f"activity: expected one of [activities] or of the treaty's words, {what}; booked unattributed")
    return known or Activity.UNATTRIBUTED


def _workload(said: dict[str, str], mapping: Mapping, notes: list[str]) -> str | None:
    job = said.get("job", "")
    name = mapping.jobs.get(job, job)
    if _WORKLOAD.fullmatch(name):
        return name
    what = f"{name!r} can be no name of a workload" if name else "the row names none"
    notes.append(f"job: {what}; booked unattributed (map it in [jobs])")
    return None


def _digests(name: str, text: str, mapping: Mapping, notes: list[str]) -> tuple[str, ...]:
    """Return the digests that words separated by spaces, commas or semicolons stand for."""
    found: list[str] = []
    for word in filter(None, re.split(r"[\s,;]+", text)):
        match = _DIGEST.fullmatch(word)
        digest = mapping.digests.get(word) or (match[1] if match else None)
        if digest is None:
            notes.append(f"{name}: {word!r} is no SHA-256 and not in [digests]; it stays with the row")
        else:
            found.append(digest)
    return tuple(found)


def _one(name: str, found: tuple[str, ...], notes: list[str]) -> str | None:
    if len(found) > 1:
        notes.append(f"{name}: a line names one digest, the row has {len(found)}; they stay with the row")
    return found[0] if len(found) == 1 else None


def _few(parents: tuple[str, ...], notes: list[str]) -> tuple[str, ...]:
    if len(parents) > MAX_PARENTS:
        notes.append(f"upstream: a line names {MAX_PARENTS} digests, the row has {len(parents)}; the rest stay with it")
    return parents[:MAX_PARENTS]


def _word(name: str, said: dict[str, str], words: type[_W], notes: list[str]) -> _W | None:
    word = said.get(name)
    if word is None:
        return None
    try:
        return words(word)
    except ValueError:
        notes.append(f"{name}: expected one of {', '.join(words)}, found {word!r}; it stays with the row")
        return None


def stored(record: Record) -> bytes:
    """Return the bytes that the journal keeps of *record*."""
    value: JsonObject = {"raw": record.raw.decode("utf-8"), "id": record.id}
    for name in ("start", "end", "count"):
        value[name] = int(getattr(record, name))
    for name in ("chip", "chip_class", "workload", "activity"):
        value[name] = str(getattr(record, name))
    for name in (*AMOUNTS, "model_out", "code", "data", "purpose", "precision"):
        if (item := getattr(record, name)) is not None:
            value[name] = str(item)
    return canonical({**value, "parents": list(record.parents)})


def restored(value: JsonObject) -> Record:
    """Return what :func:`stored` kept."""
    text = {name: str(item) for name, item in value.items()}
    parents = value["parents"]
    return Record(
        id=text["id"],
        raw=text["raw"].encode("utf-8"),
        start=int(text["start"]),
        end=int(text["end"]),
        chip=text["chip"],
        chip_class=text["chip_class"],
        count=int(text["count"]),
        workload=text["workload"],
        activity=Activity(text["activity"]),
        flop=_int(text, "flop"),
        flop_hardware=_int(text, "flop_hardware"),
        tokens=_int(text, "tokens"),
        joules=_int(text, "joules"),
        model_out=text.get("model_out"),
        code=text.get("code"),
        data=text.get("data"),
        parents=tuple(map(str, parents)) if isinstance(parents, list) else (),
        purpose=Purpose(text["purpose"]) if "purpose" in text else None,
        precision=Precision(text["precision"]) if "precision" in text else None,
    )


def _int(text: dict[str, str], name: str) -> int | None:
    return int(text[name]) if name in text else None
