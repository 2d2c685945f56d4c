"""What the books of a period would reveal, and to whom, before anything is signed. Reads only; the node may run.

Every leaf of the usage statement is listed: those whose value everybody reads, those that are sealed, with the
verifiers that the values go to, and those that are only a digest of something that stays in the building. Beside them
how many rows of the chip x slot table the logs' draws will open. A period that is not over yet is shown as far as
meters have reported it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from brakeline.ledger.errors import BrakelineError
from brakeline.node import config
from brakeline.node.books import Books
from brakeline.node.gap import Gap, gaps_of
from brakeline.node.journal import Journal
from brakeline.node.raw import RawCounters
from brakeline.node.setup import JOURNAL, TREATY, load_treaty
from brakeline.node.site import Holding, Site
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.sealing import SEALABLE, seal_payload
from brakeline.treaty.spotcheck.challenge import RULE, draws
from brakeline.treaty.statements import to_json
from brakeline.treaty.strictjson import JsonObject, JsonValue

_DIGESTS = ("root", "digest", "inventory", "code", "data", "model_out", "parents")
"""Members whose value is a digest: what it is of, they do not tell."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf: JSON pointer, value (open), whether it is only a digest, and whether it is sealed."""

    pointer: str
    value: str
    digest: bool
    sealed: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """What the books of *period* reveal to everybody; ``drawn`` rows of ``rows`` for each of ``logs`` later.

    ``told``: the verifiers to which sealed values go. ``rows_sealed``: figures of opened rows are sealed too.
    """

    period: int
    leaves: tuple[Leaf, ...]
    rows: int
    drawn: int
    logs: int
    told: tuple[str, ...] = ()
    rows_sealed: bool = False
    gaps: tuple[Gap, ...] = ()

    def to_json(self) -> JsonObject:
        """Return the JSON object that ``--format json`` prints."""
        leaves: list[JsonValue] = [
            {"pointer": leaf.pointer, "value": leaf.value, "reveals": _reveals(leaf)} for leaf in self.leaves
        ]
        table: JsonObject = {
            "rows": self.rows, "opened_for_each_log": self.drawn, "logs": self.logs, "sealed": self.rows_sealed,
        }  # fmt: skip
        told: list[JsonValue] = [*self.told]
        value: JsonObject = {"period": self.period, "to": "everybody", "leaves": leaves, "table": table}
        gaps: list[JsonValue] = [gap.to_json() for gap in self.gaps]
        return {**value, "sealed_to": told, "method_gaps": gaps, "signed": False}


def _reveals(leaf: Leaf) -> str:
    return "commitment" if leaf.sealed else "digest" if leaf.digest else "value"


class NoSigner:
    """Stands in for the site's key, which a preview does not need."""

    public_key = bytes(32)

    def sign(self, message: bytes) -> bytes:  # noqa: ARG002  (as every signer)
        """Refuse."""
        raise BrakelineError(
            code="preview-unsigned",
            message="a statement is reserved and not yet signed",
            expected="a chain whose last statement is signed",
            found="one that a crash interrupted",
            fix="start the node, which signs it; then ask again",
        )


def preview(folder: Path, period: int | None, now_ms: Callable[[], int]) -> Preview:
    """Return what the books of *period* (default: the next to be booked) would say now.

    Raises:
        SiteError: ``site-inventory``: no inventory holds then.
        BrakelineError: ``config-*``, ``journal-*``, ``preview-unsigned``.
    """
    settings = config.load(folder / config.FILE)
    document = load_treaty((folder / TREATY).read_bytes(), settings.pin)
    with Journal(folder / JOURNAL, read_only=True) as journal:
        raw = RawCounters(folder, settings.raw, settings.accelerators)
        site = Site(settings.site, document, journal, NoSigner(), now_ms, seal=settings.disclosure.seal, raw=raw)
        if period is None:
            last, first = journal.last_period(), site.first_period()
            period = (first or 0) if last is None else last + 1
        holding, books = site.period_books(
            period,
            serials=settings.serials(folder),
            utilisation=settings.utilisation(),
            slots=settings.books.slots,
        )
        governing = site.governing(period)
        gaps = tuple(gaps_of(governing, journal, [(period, books.lines)] if journal.usage(period) is None else []))
    return replace(_shown(governing, period, holding, books, site.seal), gaps=gaps)


def _shown(document: TreatyDocument, period: int, holding: Holding, books: Books, seal: frozenset[str]) -> Preview:
    lines: list[JsonValue] = [to_json(line) for line in books.lines]
    said: JsonObject = {"inventory": holding.digest, "lines": lines, "table": to_json(books.table)}
    slots = document.rule("false-opening")
    drawn = 0
    if slots is not None and document.rule(RULE) is not None and books.rows:
        drawn = draws(document, len(books.rows), max(1, slots.integer("slots")))
    _, opened = seal_payload({"predicate": said}, "usage", seal, document.limits.line_count, lambda: bytes(32))
    sealed = {item.pointer for item in opened}
    leaves = [*_leaves("/predicate", said, digest=False)]
    shown = tuple(
        replace(leaf, sealed=any(f"{leaf.pointer}/".startswith(f"{pointer}/") for pointer in sealed)) for leaf in leaves
    )
    told = tuple(item.name for item in document.verifiers if item.disclosure_key is not None) if sealed else ()
    rows_sealed = bool(seal & set(SEALABLE["opening"]))
    return Preview(period, shown, len(books.rows), drawn, len(document.verifiers), told, rows_sealed)


def _leaves(pointer: str, value: JsonValue, *, digest: bool) -> Iterator[Leaf]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(f"{pointer}/{name}", item, digest=name in _DIGESTS)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(f"{pointer}/{number}", item, digest=digest)
    else:
        yield Leaf(pointer, str(value), digest)


def text(shown: Preview) -> list[str]:
    """Return *shown* as lines for people."""
    values = [leaf for leaf in shown.leaves if not leaf.digest and not leaf.sealed]
    digests = [leaf for leaf in shown.leaves if leaf.digest and not leaf.sealed]
    sealed = [leaf for leaf in shown.leaves if leaf.sealed]
    opened = f"{shown.drawn} of its {shown.rows} rows for each of {shown.logs} logs" if shown.drawn else "none"
    return [
        f"the books of period {shown.period}, as they would be signed now; nothing was signed",
        "everybody will read:",
        *(f"  {leaf.pointer}  {leaf.value}" for leaf in values),
        "everybody will read a digest only; what it is of stays here:",
        *(f"  {leaf.pointer}  {leaf.value}" for leaf in digests),
        *_told(shown, sealed),
        f"rows of the chip x slot table that will be drawn, and opened to everybody: {opened}",
        *(f"warning: {gap.text()}" for gap in shown.gaps),
    ]


def _told(shown: Preview, sealed: list[Leaf]) -> list[str]:
    if not sealed:
        return ["nothing is sealed"]
    return [
        f"sealed: everybody will read a commitment; the value goes to {', '.join(shown.told)}:",
        *(f"  {leaf.pointer}  {leaf.value}" for leaf in sealed),
    ]
