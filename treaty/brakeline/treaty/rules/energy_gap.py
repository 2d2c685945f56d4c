"""``energy-gap``: over the periods, metered energy exceeds what the attested energy explains.

Sees: compute that the books call idle or do not mention, by the current it draws, once it adds up to more than h. A
line that states no energy explains none: leaving a figure out hides nothing.
Cannot see: a site without a meter, or whose meter lies with it; work that fits inside what is forgiven, period by
period.
Arithmetic: Page's one-sided CUSUM, in integers. Per period x = metered - PUE x attested (joules), forgiven are
k + (k_permille / 1000) x PUE x attested (noise that grows with a site, and noise that does not), then
S <- max(0, S + x - forgiven), and the rule fires in the first period of each excursion where S > h. PUE is a ratio, so
everything is scaled by its denominator, and by 1000. Where several statements speak of one period (two meters, two
versions), the smallest metered and the largest attested figure count: the site gets the benefit.
Figures: ``metered_joules`` and ``attested_joules`` of the period, ``sum_joules`` (S, rounded down), ``k_joules``,
``k_permille``, ``h_joules``. Cites the books and the evidence since S was last 0, of the newest 32 periods.
Keeps: per site and period two figures and the digests of the statements that give them.
Source: E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954).
"""

from __future__ import annotations

from itertools import islice
from typing import Literal, NamedTuple, TypeAlias

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.rules.board import MAX_CITED, Board, make
from brakeline.treaty.rules.books import PERMILLE, Said
from brakeline.treaty.rules.columns import Column
from brakeline.treaty.rules.excursions import Excursions, Standing
from brakeline.treaty.statements import Evidence
from brakeline.treaty.terms import RuleTerms

_Reading: TypeAlias = tuple[int, str]
"""Joules of one period, and the digest of the statement that says so."""


class _Site(NamedTuple):
    """What is known of a site, by period; ``sums`` has the periods for which both figures are known."""

    sums: Excursions
    metered: Column[_Reading]
    attested: Column[_Reading]


class EnergyGap:
    """Holds two figures a site and period."""

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
        evidence, books = said.statement.predicate, said.books
        if books is not None:
            attested = sum(line.joules or 0 for line in books.lines), books.digest
            self._note(books.site, "attested", books.period, attested)
        elif isinstance(evidence, Evidence):
            period = self._grid.index_of(evidence.start, evidence.end)
            if period is not None:  # else refused at admission
                self._note(evidence.site, "metered", period, (evidence.joules.value, said.statement.digest))

    def _site(self, name: str) -> _Site:
        site = self._sites.get(name)
        if site is None:
            columns = self._board.columns
            site = self._sites[name] = _Site(Excursions(columns, self._limit), columns.new(), columns.new())
        return site

    def _note(self, name: str, side: Literal["metered", "attested"], period: int, reading: _Reading) -> None:
        """Enter *reading* where it is better for the site than what is known, and bring S up to date."""
        site = self._site(name)
        table, other = (site.metered, site.attested) if side == "metered" else (site.attested, site.metered)
        before, opposite = table.get(period), other.get(period)
        if before is not None and (reading >= before if side == "metered" else reading <= before):
            return
        table.put(period, reading)
        if opposite is None:
            return
        metered, attested = (reading, opposite) if side == "metered" else (opposite, reading)
        explained = attested[0] * self._pue.numerator
        excess = (metered[0] - self._k) * self._scale - (PERMILLE + self._share) * explained
        for standing in site.sums.put(period, excess):
            key = ("energy-gap", name, standing.period)
            self._board.put(key, self._finding(name, site, standing) if standing.rose else None)

    def _finding(self, name: str, site: _Site, standing: Standing) -> Finding:
        cited: list[str] = []
        for period, _, _ in islice(site.sums.excursion(standing.period), MAX_CITED // 2):
            cited += [reading[1] for table in (site.metered, site.attested) if (reading := table.get(period))]
        metered, attested = site.metered.get(standing.period), site.attested.get(standing.period)
        figures = {
            "metered_joules": metered[0] if metered else 0,
            "attested_joules": attested[0] if attested else 0,
            "sum_joules": standing.total // self._scale,
            "k_joules": self._k,
            "k_permille": self._share,
            "h_joules": self._terms.integer("h_joules"),
        }
        return make(self._terms, name, period=standing.period, statements=cited, figures=figures)
