"""``energy-gap``: over the periods, metered energy exceeds what the attested energy explains.

Sees: compute that the books call idle or do not mention, by the current it draws, once it adds up to more than h.
Cannot see: a site without a meter, or whose meter lies with it; work that fits inside k in every period; a period whose
books leave the energy of some line out, which is *unknown* and skipped, never guessed.
Arithmetic: Page's one-sided CUSUM, in integers. Per period x = metered - PUE x attested (joules), then
S <- max(0, S + x - k), and the rule fires in the first period of each excursion where S > h. PUE is a ratio, so
everything is scaled by its denominator. Where several statements speak of one period (two meters, two versions), the
smallest metered and the largest attested figure count: the site gets the benefit.
Figures: ``metered_joules`` and ``attested_joules`` of the period, ``sum_joules`` (S, rounded down), ``k_joules``,
``h_joules``. Cites the books and the evidence since S was last 0, the newest 64.
Source: E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import NamedTuple

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.rules.board import MAX_CITED, Board, make
from brakeline.treaty.statements import Evidence, Statement, Usage
from brakeline.treaty.terms import RuleTerms


class _Reading(NamedTuple):
    """Joules of one period, and the digest of the statement that says so."""

    joules: int
    digest: str


@dataclass(slots=True)
class _Site:
    """What is known of a site: by period; ``periods`` are those with both figures, sorted; ``sums`` is S after each."""

    metered: dict[int, _Reading] = field(default_factory=dict[int, _Reading])
    attested: dict[int, _Reading] = field(default_factory=dict[int, _Reading])
    periods: list[int] = field(default_factory=list[int])
    sums: list[int] = field(default_factory=list[int])


class EnergyGap:
    """Holds two figures a site and period."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:
        """Judge by *terms* (``k_joules``, ``h_joules``) with the PUE of *document*."""
        self._grid = document.grid
        self._pue = document.counting.pue
        self._k = terms.integer("k_joules")
        self._h = terms.integer("h_joules")
        self._terms = terms
        self._board = board
        self._sites: dict[str, _Site] = {}

    def add(self, statement: Statement) -> None:
        """Take a figure in, and carry the sum on from its period."""
        predicate = statement.predicate
        if isinstance(predicate, Evidence):
            site, joules = predicate.site, predicate.joules.value
        elif isinstance(predicate, Usage):
            known = [line.joules.value for line in predicate.lines if line.joules is not None]
            if len(known) < len(predicate.lines):
                return
            site, joules = predicate.author, sum(known)
        else:
            return
        period = self._grid.index_of(predicate.start, predicate.end)
        if period is None:  # refused at admission
            return
        kept = self._sites.setdefault(site, _Site())
        reading = _Reading(joules, statement.digest)
        if isinstance(predicate, Evidence):
            known_already = kept.metered.get(period)
            kept.metered[period] = min(known_already or reading, reading)
            changed = kept.metered[period] != known_already
        else:
            known_already = kept.attested.get(period)
            kept.attested[period] = max(known_already or reading, reading)
            changed = kept.attested[period] != known_already
        if changed and period in kept.metered and period in kept.attested:
            self._carry_on(site, kept, period)

    def _carry_on(self, name: str, site: _Site, period: int) -> None:
        """Recompute S from *period* on; the sums before it stand."""
        first = bisect_left(site.periods, period)
        if first == len(site.periods) or site.periods[first] != period:
            site.periods.insert(first, period)
        del site.sums[first:]
        scale = self._pue.denominator
        for place in range(first, len(site.periods)):
            at = site.periods[place]
            before = site.sums[-1] if site.sums else 0
            gap = site.metered[at].joules * scale - site.attested[at].joules * self._pue.numerator
            site.sums.append(max(0, before + gap - self._k * scale))
            rises = before <= self._h * scale < site.sums[-1]
            self._board.put(("energy-gap", name, at), self._finding(name, site, place) if rises else None)

    def _finding(self, name: str, site: _Site, place: int) -> Finding:
        began = place
        while began > 0 and site.sums[began - 1] > 0:
            began -= 1
        began = max(began, place + 1 - MAX_CITED // 2)
        cited = [table[at].digest for at in site.periods[began : place + 1] for table in (site.metered, site.attested)]
        at = site.periods[place]
        figures = {
            "metered_joules": site.metered[at].joules,
            "attested_joules": site.attested[at].joules,
            "sum_joules": site.sums[place] // self._pue.denominator,
            "k_joules": self._k,
            "h_joules": self._h,
        }
        return make(self._terms, name, period=at, statements=cited, figures=figures)
