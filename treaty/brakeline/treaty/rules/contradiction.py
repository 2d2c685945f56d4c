"""``contradiction``: what a site says and what a third party saw cannot both be true.

Sees, period by period and without summing anything up:

* ``chips``: a provider let the site use more chips of a class than the inventory in effect declares, or an inspector
  counted another number than it declares;
* ``phantom``: the books attest more energy than the meter read: chips that are on paper only;
* ``instrument``: an inspector's own instrument read more energy than PUE times what the books attest.

Cannot see: a third party that lies alike, or was shown other halls; a difference of energy within the tolerance
(``energy-gap`` sums those up).
Arithmetic: of the classes that the evidence names, counted > declared (``capacity``), counted != declared
(``inspection``); declared is 0 where no inventory is in effect. attested x 1000 > metered x (1000 + t) for phantom,
joules x 1000 > PUE x attested x (1000 + t) for instrument, t = ``tolerance_permille``; attested is the smallest sum of
the versions of the books for phantom, the largest for instrument, the metered figure the largest: the site gets the
benefit. Where a version of the books has sealed joules or an opaque line, neither is judged (``joules-sealed``,
``line-sealed``).
Figures: ``kind``; ``class``, ``counted``, ``declared``, ``by`` (who saw); or ``attested_joules``, ``metered_joules``,
``tolerance_permille``. About the site; cites the evidence and what it contradicts.
Keeps: per site and period what third parties saw, and the energy attested, in columns; the inventories.
Source: item counting and book inventory against physical inventory (IAEA Safeguards Glossary).
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias, cast

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.oversight import Capacity, Inspection
from brakeline.treaty.rules.board import Board, make, tally
from brakeline.treaty.rules.books import PERMILLE, Books, Said
from brakeline.treaty.rules.columns import Column
from brakeline.treaty.rules.holdings import Holdings
from brakeline.treaty.rules.slots import Slots
from brakeline.treaty.rules.versions import Slot
from brakeline.treaty.statements import Evidence, Inventory
from brakeline.treaty.terms import RuleTerms

_Seen: TypeAlias = tuple[str, str, str, tuple[tuple[str, int], ...]]
"""Digest of the evidence, its kind, who gave it, chips by class."""
_Reading: TypeAlias = tuple[str, str, int]
"""Digest of the evidence, its kind, joules."""
_SEALED = -1
"""How a column keeps that the energy of a version is sealed, in part or whole; the smallest of all figures."""
_Kind: TypeAlias = Literal["phantom", "instrument"]


class _Site(NamedTuple):
    """What is known of a site, by period."""

    seen: Column[tuple[_Seen, ...]]
    read: Column[tuple[_Reading, ...]]
    attested: Slots


class Contradiction:
    """Holds what third parties saw of every site."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:
        """Judge by *terms* (``tolerance_permille``) with the PUE of *document*."""
        self._grid = document.grid
        self._pue = document.counting.pue
        self._tolerance = terms.integer("tolerance_permille")
        self._terms = terms
        self._board = board
        self._holdings = Holdings()
        self._sites: dict[str, _Site] = {}

    def add(self, said: Said) -> None:
        """Take in evidence, or what it may contradict."""
        predicate, digest = said.predicate, said.statement.digest
        if said.books is not None:
            self._attest(said.books)
        elif isinstance(predicate, Inventory):
            self._holdings.add(predicate, digest)
            for period, _ in list(self._site(predicate.author).seen.since(predicate.effective_period)):
                self._judge_chips(predicate.author, period)
        elif isinstance(predicate, Evidence | Capacity | Inspection):
            self._take(predicate, digest)

    def _attest(self, books: Books) -> None:
        known = [line.joules for line in books.lines if line.joules is not None]
        sealed = sum(line.joules_sealed for line in books.lines) if books.sealed else 0
        self._board.unknown(self._terms.rule, books.site, "joules-sealed", sealed)
        self._board.unknown(self._terms.rule, books.site, "line-sealed", books.opaque)
        if sealed or books.opaque:
            self._site(books.site).attested.put(books.slot, (_SEALED,))
        elif len(known) == len(books.lines):
            self._site(books.site).attested.put(books.slot, (sum(known),))
        else:
            return
        self._judge_energy(books.site, books.period)

    def supersede(self, slot: Slot) -> None:
        """Let a version of the books attest nothing."""
        if self._site(slot.site).attested.drop(slot) is not None:
            self._judge_energy(slot.site, slot.period)

    def _take(self, seen: Evidence | Capacity | Inspection, digest: str) -> None:
        period = self._grid.index_of(seen.start, seen.end)
        if period is None:  # refused at admission
            return
        site = self._site(seen.site)
        if not isinstance(seen, Evidence):
            chips = tuple(sorted(tally((item.chip_class, item.count) for item in seen.chips).items()))
            row: _Seen = (digest, seen.kind, seen.author, chips)
            site.seen.put(period, (*(site.seen.get(period) or ()), row))
            self._judge_chips(seen.site, period)
        joules = seen.joules if isinstance(seen, Evidence | Inspection) else None
        if joules is not None:
            reading: _Reading = (digest, seen.kind, joules.value)
            site.read.put(period, (*(site.read.get(period) or ()), reading))
            self._judge_energy(seen.site, period)

    def _site(self, name: str) -> _Site:
        site = self._sites.get(name)
        if site is None:
            columns = self._board.columns
            site = self._sites[name] = _Site(columns.new(), columns.new(), Slots(columns))
        return site

    def _judge_chips(self, name: str, period: int) -> None:
        held = self._holdings.at(name, period)
        for digest, kind, by, chips in self._sites[name].seen.get(period) or ():
            for chip_class, counted in chips:
                declared = 0 if held is None else held.chips[chip_class]
                false = counted > declared if kind == "capacity" else counted != declared
                figures = {"kind": kind, "class": chip_class, "counted": counted, "declared": declared, "by": by}
                cited = [digest] if held is None else [digest, held.digest]
                finding = make(self._terms, name, period=period, statements=cited, figures=figures)
                self._board.put((self._terms.rule, digest, chip_class), finding if false else None)

    def _judge_energy(self, name: str, period: int) -> None:
        site = self._sites[name]
        versions, readings = site.attested.get(period), site.read.get(period) or ()
        if len(versions) == 1 and len(readings) == 1:  # nearly always: one look says that all is well
            ((figures,), ((_, kind, joules),)) = versions.values(), readings
            if kind == "energy" and cast("int", figures[0]) * PERMILLE <= joules * (PERMILLE + self._tolerance):
                return  # and nothing stood: no fewer readings, and no more versions, of which this is one, contradict
        attested = sorted(
            (cast("int", figures[0]), self._board.versions.digest(Slot(name, period, number)))
            for number, figures in versions.items()
        )
        if attested and attested[0][0] == _SEALED:
            attested = []
        metered = max(((joules, digest) for digest, kind, joules in readings if kind == "energy"), default=None)
        phantom = None
        if attested and metered and attested[0][0] * PERMILLE > metered[0] * (PERMILLE + self._tolerance):
            phantom = self._finding(name, period, "phantom", attested[0], metered)
        self._board.put((self._terms.rule, "phantom", name, period), phantom)
        read = max(((joules, digest) for digest, kind, joules in readings if kind != "energy"), default=None)
        instrument = None
        if attested and read:
            explained = attested[-1][0] * self._pue.numerator * (PERMILLE + self._tolerance)
            if read[0] * PERMILLE * self._pue.denominator > explained:
                instrument = self._finding(name, period, "instrument", attested[-1], read)
        self._board.put((self._terms.rule, "instrument", name, period), instrument)

    def _finding(
        self, name: str, period: int, kind: _Kind, attested: tuple[int, str], metered: tuple[int, str]
    ) -> Finding:
        figures = {
            "kind": kind,
            "attested_joules": attested[0],
            "metered_joules": metered[0],
            "tolerance_permille": self._tolerance,
        }
        return make(self._terms, name, period=period, statements=[attested[1], metered[1]], figures=figures)
