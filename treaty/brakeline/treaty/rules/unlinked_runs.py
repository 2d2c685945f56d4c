"""``unlinked-runs``: training that says it belongs to nothing that was authorised, and adds up.

Sees: a run cut into declared parts that name no parents and share neither name, code nor data, so that each stays below
every line: together they use more of a site's chips than the treaty leaves to work without a permission.
Cannot see: parts that stay inside that share; parts spread over so many sites that each stays inside it. It says that
the work needs an explanation, never that it is one run: an inspection of the weights, or a permission, clears it.
Arithmetic: FLOP of a line as in ``threshold`` (:mod:`brakeline.treaty.rules.counted`), of what counts under a threshold
on training. A workload of a lab is *linked* when an authorisation names it, whatever its threshold and periods, or when
it takes a model (``parents``) that a linked workload, of any lab, makes (``model_out``); superseded books count for
that. Page's sum per site (:mod:`brakeline.treaty.rules.pool`) over what is not linked.
Sealed: FLOP count as in ``threshold`` (``flop-sealed``); a period with an opaque line has an unknown x, since the
capacity, and what its lines link, are unknown (``line-sealed``).
Figures: ``unlinked_flop``, ``capacity_flop`` of the period, ``sum_flop``, ``k_permille``, ``h_flop``. About the site.
Keeps: per lab its workloads and what they take and make; per site and workload its FLOP by period, in columns.
Source: the presumption of MIRI, arXiv:2511.10783, Article IV, that training above a line is one activity until shown
otherwise; the share is Page's k (docs/decisions/0022).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TypeAlias

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.names import lab_of
from brakeline.treaty.oversight import Authorisation
from brakeline.treaty.rules.board import Board
from brakeline.treaty.rules.books import BookLine, Books, Said
from brakeline.treaty.rules.counted import Counted
from brakeline.treaty.rules.pool import Pool
from brakeline.treaty.rules.slots import Slots
from brakeline.treaty.rules.versions import Slot
from brakeline.treaty.statements import Activity
from brakeline.treaty.terms import RuleTerms

_TRAINING = (Activity.TRAINING,)
_Key: TypeAlias = tuple[str, str]
"""A lab and the name of one of its workloads."""


class UnlinkedRuns:
    """Holds what every lab trains, and what of it belongs to something authorised."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:
        """Judge by *terms* (``k_permille``, ``h_flop``)."""
        self._counted = Counted(document)
        self._columns = board.columns
        self._rule, self._board = terms.rule, board
        self._pool = Pool(terms, board, "unlinked_flop", {})
        self._runs: defaultdict[str, dict[str, Slots]] = defaultdict(dict)
        self._sites: defaultdict[_Key, set[str]] = defaultdict(set)
        self._linked: set[_Key] = set()
        self._makes: defaultdict[_Key, set[str]] = defaultdict(set)
        self._takers: defaultdict[str, set[_Key]] = defaultdict(set)
        self._linked_models: set[str] = set()

    def add(self, said: Said) -> None:
        """Take in a permission, or books."""
        permitted = said.predicate
        if isinstance(permitted, Authorisation):
            self._link((permitted.lab, permitted.workload))
        elif said.books is not None:
            lab = lab_of(said.books.site)
            for line in said.books.lines:
                self._relate((lab, line.workload), line)
            self._book(lab, said.books)

    def supersede(self, slot: Slot) -> None:
        """Take a version of a site's books back."""
        self._pool.drop(slot)
        for kept in self._runs.get(slot.site, {}).values():
            kept.drop(slot)

    def _book(self, lab: str, books: Books) -> None:
        booked: defaultdict[str, int] = defaultdict(int)
        self._board.unknown(self._rule, books.site, "line-sealed", books.opaque)
        for line in books.lines:
            if self._counted.counts(line, _TRAINING):
                if line.flop_sealed:
                    self._board.unknown(self._rule, books.site, "flop-sealed")
                booked[line.workload] += self._counted.flop(line) or 0
        self._pool.open(books)
        runs = self._runs[books.site]
        unlinked = 0
        for workload, flop in booked.items():
            if flop:
                kept = runs.get(workload)
                if kept is None:
                    kept = runs[workload] = Slots(self._columns)
                    self._sites[lab, workload].add(books.site)
                kept.put(books.slot, (flop,))
                unlinked += 0 if (lab, workload) in self._linked else flop
        self._pool.add(books.slot, unlinked)

    def _relate(self, key: _Key, line: BookLine) -> None:
        """Note what a workload takes and makes."""
        if line.model_out is not None and line.model_out not in self._makes[key]:
            self._makes[key].add(line.model_out)
            if key in self._linked:
                self._link_model(line.model_out)
        for parent in line.parents or ():
            self._takers[parent].add(key)
            if parent in self._linked_models:
                self._link(key)

    def _link(self, key: _Key) -> None:
        """Let a workload, and all that takes what it makes, be linked from now on."""
        waiting = [key]
        while waiting:
            found = waiting.pop()
            if found in self._linked:
                continue
            self._linked.add(found)
            for site in self._sites.get(found, ()):
                self._pool.move(site, self._runs[site][found[1]], -1)
            for model in self._makes.get(found, ()):
                self._linked_models.add(model)
                waiting += self._takers.get(model, ())

    def _link_model(self, model: str) -> None:
        self._linked_models.add(model)
        for key in list(self._takers.get(model, ())):
            self._link(key)
