"""Which leaves of a payload are sealed, which may be, and how a payload is sealed before it is signed.

What it is: the one place that knows where a sealed leaf may stand (:data:`SEALABLE`), takes sealed leaves out of a
payload before its schema is read (:func:`unseal_form`), and puts them in (:func:`seal_payload`). What it is not: the
commitment (:mod:`brakeline.treaty.seal`), the object that opens it (:mod:`brakeline.treaty.disclosure`), randomness
(the caller brings the salts), or a rule.

Three kinds of leaf, by what is left when they are sealed:

* *figures* (FLOP by both methods, tokens, joules; of an opened row FLOP and joules): the line is read, the figure is
  *unknown*, which every rule handles;
* the *pattern* of a line (workload, activity, chip time): the line is *opaque*. Nobody reads it without its disclosure,
  and the statement is padded to the treaty's line count, so that the number of lines tells nothing;
* *links* (parents, model out, code, data, purpose, precision, meter): only within an opaque line, because lineages
  that are half known would accuse by guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from brakeline.treaty.errors import StatementError
from brakeline.treaty.seal import seal_digest, sealed
from brakeline.treaty.strictjson import JsonObject, JsonValue, canonical

_LINE = "/predicate/lines/*/"
_PART = "/predicate/rows/*/row/parts/*/"
FIGURES = ("flop_hardware", "flop_model", "joules", "tokens")
PATTERN = ("workload", "activity", "chip_ms/*/value")
LINKS = ("parents", "model_out", "code", "data", "purpose", "precision", "meter")

SEALABLE: Mapping[str, tuple[str, ...]] = {
    "usage": tuple(_LINE + name for name in (*FIGURES, *PATTERN, *LINKS)),
    "opening": (_PART + "flop", _PART + "joules"),
}
"""Predicate -> the pointer patterns (``*`` is any one index) whose leaves this version can read sealed."""

PATTERNS = tuple(pattern for patterns in SEALABLE.values() for pattern in patterns)
MARK = b'{"sealed":"'
"""How every sealed leaf begins in canonical JSON; no other member of any predicate has this name."""

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_STAND_INS: Mapping[str, JsonValue] = {"workload": "sealed", "activity": "unattributed", "value": "0"}
"""What a required leaf is read as while the form of its line is checked; the line itself is then left out."""
PADDING = "padding"
"""Workload of a line that is there for the number of lines alone: no chip time, nothing computed."""

SaltOf: TypeAlias = Callable[[], bytes]
"""Returns 32 fresh bytes from a secure source."""


@dataclass(frozen=True, slots=True)
class SealedLeaf:
    """A leaf that is a commitment: its JSON pointer, and the digest that stands there."""

    pointer: str
    digest: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """What of a statement is sealed.

    Attributes:
        leaves: in order of pointer as text.
        figures: line -> its sealed figures (names of members).
        opaque: lines that nobody reads without a disclosure, by their number in the payload.
        rows: rows of an opening with a sealed leaf, by their place in the statement.
    """

    leaves: tuple[SealedLeaf, ...] = ()
    figures: Mapping[int, frozenset[str]] = field(default_factory=dict[int, frozenset[str]])
    opaque: frozenset[int] = frozenset()
    rows: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.leaves)


NOTHING = Sealed()


@dataclass(frozen=True, slots=True)
class Opened:
    """One leaf with what opens it: pointer, salt (32 bytes), value as it would stand open."""

    pointer: str
    salt: bytes
    value: JsonValue


def pattern_of(pointer: str) -> str:
    """Return *pointer* with every index replaced by ``*``.

    >>> pattern_of("/predicate/lines/3/chip_ms/0/value")
    '/predicate/lines/*/chip_ms/*/value'
    """
    return "/".join("*" if part.isdecimal() else part for part in pointer.split("/"))


def unseal_form(name: str, predicate: JsonValue) -> tuple[JsonValue, Sealed]:
    """Return a predicate's JSON whose sealed leaves are left out, and what they were.

    Only leaves that :data:`SEALABLE` names are taken; a commitment anywhere else stays, and fails the schema. Opaque
    lines are still in the result, with stand-ins for what is required, so that their form is checked with the rest.

    Raises:
        StatementError: ``statement-sealed``: a link is sealed in a line that can be read.
    """
    leaves: list[SealedLeaf] = []
    form = _take_out("/predicate", predicate, frozenset(SEALABLE.get(name, ())), leaves)
    if not leaves:
        return predicate, NOTHING
    figures: dict[int, set[str]] = {}
    opaque: set[int] = set()
    rows: set[int] = set()
    linked: dict[int, str] = {}
    for leaf in leaves:
        _, _, part, place, member, *_ = leaf.pointer.split("/")
        if part == "rows":
            rows.add(int(place))
        elif member in FIGURES:
            figures.setdefault(int(place), set()).add(member)
        elif member in LINKS:
            linked[int(place)] = leaf.pointer
        else:
            opaque.add(int(place))
    for number, pointer in linked.items():
        if number not in opaque:
            raise StatementError(
                code="statement-sealed",
                message="a link of a line may be sealed only where the line's pattern is sealed too",
                expected="a sealed workload, activity or chip time in the same line",
                found=pointer,
            )
    ordered = tuple(sorted(leaves, key=lambda leaf: leaf.pointer))
    known = {number: frozenset(members) for number, members in figures.items()}
    return form, Sealed(ordered, known, frozenset(opaque), frozenset(rows))


def _take_out(pointer: str, value: JsonValue, patterns: frozenset[str], leaves: list[SealedLeaf]) -> JsonValue:
    if isinstance(value, list):
        return [_take_out(f"{pointer}/{n}", item, patterns, leaves) for n, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    kept: JsonObject = {}
    for name, item in value.items():
        at = f"{pointer}/{name}"
        digest = _commitment(item)
        if digest is None or pattern_of(at) not in patterns:
            kept[name] = _take_out(at, item, patterns, leaves)
            continue
        leaves.append(SealedLeaf(at, digest))
        if name in _STAND_INS:
            kept[name] = _STAND_INS[name]
    return kept


def _commitment(value: JsonValue) -> str | None:
    """Return the digest of a sealed leaf, None for anything else."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    digest = value.get("sealed")
    return digest if isinstance(digest, str) and _DIGEST.fullmatch(digest) else None


def put_in(value: JsonObject, opened: Iterable[Opened]) -> JsonObject:
    """Return a payload's JSON with the *opened* values in their places; *value* is not changed."""
    return cast("JsonObject", _put("", value, {item.pointer: item.value for item in opened}))


def _put(pointer: str, value: JsonValue, values: Mapping[str, JsonValue]) -> JsonValue:
    if pointer in values:
        return values[pointer]
    if isinstance(value, list):
        return [_put(f"{pointer}/{n}", item, values) for n, item in enumerate(value)]
    if isinstance(value, dict):
        return {name: _put(f"{pointer}/{name}", item, values) for name, item in value.items()}
    return value


def seal_payload(
    value: JsonObject, name: str, patterns: Collection[str], line_count: int, salt_of: SaltOf
) -> tuple[bytes, tuple[Opened, ...]]:
    """Return the payload of *value* with every leaf that *patterns* name sealed, and what opens them.

    Usage whose pattern is sealed is padded to *line_count* lines first, with lines of the workload ``padding``: idle,
    without chip time, stating 0 wherever some line states a figure.

    Args:
        value: the payload's JSON, open (in-toto frame and all).
        name: the predicate's name.
        patterns: those of the treaty that the author seals; what :data:`SEALABLE` does not name is left open.
        line_count: the treaty's.
        salt_of: the source of salts, called once a leaf.
    """
    predicate = cast("JsonObject", value["predicate"])
    chosen = frozenset(patterns) & frozenset(SEALABLE.get(name, ()))
    if name == "usage" and any(_LINE + part in chosen for part in PATTERN):
        lines = cast("list[JsonObject]", predicate["lines"])
        padded: JsonObject = {**predicate, "lines": cast("list[JsonValue]", _padded(lines, line_count))}
        predicate = padded
    elif name == "usage":
        chosen -= {_LINE + part for part in LINKS}
    author, sequence = cast("str", predicate.get("author", "")), cast("int", predicate.get("sequence", 0))
    opened: list[Opened] = []

    def seal(pointer: str, item: JsonValue) -> JsonValue:
        if pattern_of(pointer) in chosen:
            leaf = Opened(pointer, salt_of(), item)
            opened.append(leaf)
            return sealed(seal_digest(leaf.salt, author, sequence, pointer, item))
        if isinstance(item, list):
            return [seal(f"{pointer}/{n}", below) for n, below in enumerate(item)]
        if isinstance(item, dict):
            return {member: seal(f"{pointer}/{member}", below) for member, below in item.items()}
        return item

    said = seal("/predicate", predicate)
    return canonical({**value, "predicate": said}), tuple(sorted(opened, key=lambda leaf: leaf.pointer))


def _padded(lines: list[JsonObject], line_count: int) -> list[JsonObject]:
    """Return *lines* and as many of padding as there is room for."""
    booked = (cast("list[JsonObject]", line["chip_ms"]) for line in lines)
    first = min(cast("str", item["class"]) for items in booked for item in items)
    times: list[JsonValue] = [{"class": first, "value": "0"}]
    pad: JsonObject = {"workload": PADDING, "activity": "idle", "chip_ms": times}
    pad |= {name: "0" for name in FIGURES if any(name in line for line in lines)}
    return [*lines, *(pad for _ in range(line_count - len(lines)))]
