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

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.rules.board import MAX_CITED, Board, make
from brakeline.treaty.rules.books import PERMILLE, Said
from brakeline.treaty.rules.excursions import Excursions, Standing
from brakeline.treaty.statements import Evidence
from brakeline.treaty.terms import RuleTerms


class _Reading(NamedTuple):
    """Joules of one period, and the digest of the statement that says so."""

    joules: int
    digest: str


_Better: TypeAlias = Callable[[_Reading, _Reading], _Reading]


@dataclass(slots=True)
class _Site:
    """What is known of a site, by period; ``sums`` has the periods for which both figures are known."""

    sums: Excursions
    metered: dict[int, _Reading] = field(default_factory=dict[int, _Reading])
    attested: dict[int, _Reading] = field(default_factory=dict[int, _Reading])


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
            site = self._site(books.site)
            reading = _Reading(sum(line.joules or 0 for line in books.lines), books.digest)
            self._note(books.site, site, site.attested, books.period, reading, max)
        elif isinstance(evidence, Evidence):
            period = self._grid.index_of(evidence.start, evidence.end)
            if period is None:  # refused at admission
                return
            site = self._site(evidence.site)
            reading = _Reading(evidence.joules.value, said.statement.digest)
            self._note(evidence.site, site, site.metered, period, reading, min)

    def _site(self, name: str) -> _Site:
        return self._sites.setdefault(name, _Site(Excursions(self._limit)))

    def _note(
        self, name: str, site: _Site, table: dict[int, _Reading], period: int, reading: _Reading, better: _Better
    ) -> None:
        """Enter *reading* where it is *better* than what is known, and bring S up to date from *period* on."""
        before = table.get(period)
        table[period] = reading if before is None else better(before, reading)
        metered, attested = site.metered.get(period), site.attested.get(period)
        if table[period] == before or metered is None or attested is None:
            return
        explained = attested.joules * self._pue.numerator
        excess = (metered.joules - self._k) * self._scale - (PERMILLE + self._share) * explained
        for standing in site.sums.put(period, excess):
            key = ("energy-gap", name, standing.period)
            self._board.put(key, self._finding(name, site, standing) if standing.rose else None)

    def _finding(self, name: str, site: _Site, standing: Standing) -> Finding:
        at = standing.period
        periods = site.sums.since_zero(at, MAX_CITED // 2)
        figures = {
            "metered_joules": site.metered[at].joules,
            "attested_joules": site.attested[at].joules,
            "sum_joules": standing.total // self._scale,
            "k_joules": self._k,
            "k_permille": self._share,
            "h_joules": self._terms.integer("h_joules"),
        }
        cited = [table[period].digest for period in periods for table in (site.metered, site.attested)]
        return make(self._terms, name, period=at, statements=cited, figures=figures)
