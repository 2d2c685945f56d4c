"""``energy-gap``: over the periods, metered energy exceeds what the attested energy explains.

Sees: compute that the books call idle or do not mention, by the current it draws, once it adds up to more than h. A
line that states no energy explains none: leaving a figure out hides nothing.
Cannot see: a site without a meter, or whose meter lies with it; work that fits inside what is forgiven, period by
period.
Arithmetic: Page's one-sided CUSUM, in integers. Per period x = metered - PUE x attested (joules), forgiven are
k + (k_permille / 1000) x PUE x attested (noise that grows with a site, and noise that does not), then
S <- max(0, S + x - forgiven), and the rule fires in the first period of each excursion where S > h. PUE is a ratio, so
everything is scaled by its denominator, and by 1000. Where several statements speak of one period (two meters, two
versions), the smallest metered and the largest attested figure count: the site gets the benefit. Where a version has
sealed joules or an opaque line, x is unknown (``joules-sealed``, ``line-sealed``): S begins again from 0.
Figures: ``metered_joules`` and ``attested_joules`` of the period, ``sum_joules`` (S, rounded down), ``k_joules``,
``k_permille``, ``h_joules``. Cites the books and the evidence since S was last 0, of the newest 32 periods.
Keeps: per site and period the two figures and S, in columns.
Source: E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954).
"""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple, cast

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.rules.board import MAX_CITED, Board, make
from brakeline.treaty.rules.books import PERMILLE, Said
from brakeline.treaty.rules.columns import Column
from brakeline.treaty.rules.excursions import Excursions, Standing
from brakeline.treaty.rules.page_sums import UNKNOWN
from brakeline.treaty.rules.slots import Slots
from brakeline.treaty.rules.versions import Slot
from brakeline.treaty.statements import Evidence
from brakeline.treaty.terms import RuleTerms


class _Site(NamedTuple):
    """What is known of a site, by period; ``sums`` has the periods for which both figures are known.

    ``metered`` is (joules, digest of the evidence), the smallest; ``attested`` the joules of each version of the books,
    and whether (1) there are more that are sealed.
    """

    sums: Excursions
    metered: Column[tuple[int, str]]
    attested: Slots


class EnergyGap:
    """Holds the figures of every site and period."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:
        """Judge by *terms* (``k_joules``, ``k_permille``, ``h_joules``) with the PUE of *document*."""
        self._grid = document.grid
        self._pue = document.counting.pue
        self._k = terms.integer("k_joules")
        self._share = terms.integer("k_permille")
        self._scale = PERMILLE * self._pue.denominator
        self._limit = self._scale * terms.integer("h_joules")
        self._terms = terms
        self._board = board
        self._sites: dict[str, _Site] = {}

    def add(self, said: Said) -> None:
        """Take a figure in, and carry the sum on from its period."""
        evidence, books = said.predicate, said.books
        if books is not None:
            sealed = sum(line.joules_sealed for line in books.lines) if books.sealed else 0
            self._board.unknown(self._terms.rule, books.site, "joules-sealed", sealed)
            self._board.unknown(self._terms.rule, books.site, "line-sealed", books.opaque)
            joules = sum(line.joules or 0 for line in books.lines)
            self._site(books.site).attested.put(books.slot, (joules, int(bool(sealed or books.opaque))))
            self._judge(books.site, books.period)
        elif isinstance(evidence, Evidence):
            period = self._grid.index_of(evidence.start, evidence.end)
            if period is None:  # refused at admission
                return
            site, reading = self._site(evidence.site), (evidence.joules.value, said.statement.digest)
            known = site.metered.get(period)
            if known is None or reading < known:
                site.metered.put(period, reading)
                self._judge(evidence.site, period)

    def supersede(self, slot: Slot) -> None:
        """Let a version of the books attest nothing."""
        if self._site(slot.site).attested.drop(slot) is not None:
            self._judge(slot.site, slot.period)

    def _site(self, name: str) -> _Site:
        site = self._sites.get(name)
        if site is None:
            columns = self._board.columns
            site = self._sites[name] = _Site(Excursions(columns, self._limit), columns.new(), Slots(columns))
        return site

    def _judge(self, name: str, period: int) -> None:
        """Bring S up to date from *period* on."""
        if period < self._board.since(self._terms.rule):
            return
        site = self._sites[name]
        metered, attested = site.metered.get(period), site.attested.get(period)
        if metered is not None and any(figures[1] for figures in attested.values()):
            changed = site.sums.put(period, UNKNOWN.excess)
        elif metered is not None and attested:
            explained = max(cast("int", figures[0]) for figures in attested.values()) * self._pue.numerator
            excess = (metered[0] - self._k) * self._scale - (PERMILLE + self._share) * explained
            changed = site.sums.put(period, excess)
        elif site.sums.get(period) is not None:
            changed = site.sums.drop(period)
        else:
            return
        for standing in changed:
            finding = self._finding(name, standing) if standing.rose else None
            self._board.put((self._terms.rule, name, standing.period), finding)

    def _attested(self, name: str, period: int) -> tuple[int, str] | None:
        """Return the largest figure that a version of the books attests, and the digest of that version."""
        versions = self._sites[name].attested.get(period)
        named = (
            (cast("int", figures[0]), self._board.versions.digest(Slot(name, period, number)))
            for number, figures in versions.items()
        )
        return max(named, default=None)

    def _finding(self, name: str, standing: Standing) -> Finding:
        site = self._sites[name]
        cited: list[str] = []
        for period, _, _ in islice(site.sums.excursion(standing.period), MAX_CITED // 2):
            readings = site.metered.get(period), self._attested(name, period)
            cited += [reading[1] for reading in readings if reading is not None]
        metered, attested = site.metered.get(standing.period), self._attested(name, standing.period)
        figures = {
            "metered_joules": metered[0] if metered else 0,
            "attested_joules": attested[0] if attested else 0,
            "sum_joules": standing.total // self._scale,
            "k_joules": self._k,
            "k_permille": self._share,
            "h_joules": self._terms.integer("h_joules"),
        }
        return make(self._terms, name, period=standing.period, statements=cited, figures=figures)
