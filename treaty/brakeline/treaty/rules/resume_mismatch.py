"""``resume-mismatch``: training went on from weights other than those it was frozen with.

Sees, in the acknowledgements of one site: a workload that goes on from a state (``resumed``) that is none of the states
it was frozen with (``freeze``) under the order that stopped it (act ``weights``); and more states frozen of a workload
than it had stopped programs when the site first spoke of it under that order (act ``commitment``): a commitment that
was put in later, in the place of another.
Cannot see: whether the frozen state was the trained one (that takes the checkpoint, opened, and evidence about the
compute in between); a workload that goes on under another name; acknowledgements of orders that the log does not hold.
What a site leaves out is unverifiable, and counted: a state gone on from without any commitment (``freeze-absent``),
and training booked after the release of a workload that was frozen and never says what it went on from
(``resumed-absent``).
Arithmetic: none; digests are equal or not. *Before* is by the sequence in the site's chain, so time of arrival changes
nothing. The order that stopped it is the order acknowledged and what it lifts. Resumes freeze nothing.
Figures: ``act``, ``order``, ``workload``; for weights ``resumed``, ``frozen`` (the smallest of the states it was frozen
with) and ``commitments`` (their number); for a commitment ``stopped`` (programs) and ``commitments``. About the site.
Keeps: of every acknowledgement the workloads and their digests; per workload of a site the last period it trained in.
Source: docs/spec/freeze.md; the form of both digests is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.rules.board import Board, make
from brakeline.treaty.rules.books import Books, Said
from brakeline.treaty.statements import Acknowledgement, Activity, Order
from brakeline.treaty.terms import RuleTerms

Place: TypeAlias = tuple[str, str, str]
"""A site, an order's digest, a workload."""


class _Told(NamedTuple):
    """What one acknowledgement says of one workload: a member each stopped program that has it."""

    sequence: int
    digest: str
    programs: int
    frozen: tuple[str, ...]
    resumed: tuple[str, ...]


class ResumeMismatch:
    """Holds what sites said of their stopped workloads, and the orders that they said it of."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:  # noqa: ARG002  (as every rule)
        """Judge by *terms*."""
        self._terms = terms
        self._board = board
        self._orders: dict[str, Order] = {}
        self._lifted_by: dict[str, set[str]] = {}
        self._told: dict[Place, list[_Told]] = {}
        self._of_order: dict[str, set[Place]] = {}
        self._trained: dict[tuple[str, str], int] = {}
        self._open: dict[tuple[str, Place], bool] = {}

    def add(self, said: Said) -> None:
        """Take in an order, what a site says of one, or books that show training."""
        predicate = said.predicate
        if isinstance(predicate, Order):
            self._take_order(said.statement.digest, predicate)
        elif isinstance(predicate, Acknowledgement):
            self._judge_all(self._take_word(said.statement.digest, predicate))
        elif said.books is not None:
            self._take_books(said.books)

    def _take_order(self, digest: str, order: Order) -> None:
        self._orders[digest] = order
        for lifted in order.lifts:
            self._lifted_by.setdefault(lifted, set()).add(digest)
        near = {digest, *order.lifts}
        self._judge_all(place for name in near for place in self._of_order.get(name, ()))

    def _take_word(self, digest: str, said: Acknowledgement) -> set[Place]:
        touched: set[Place] = set()
        for workload in {item.workload for item in said.workloads}:
            items = [item for item in said.workloads if item.workload == workload]
            frozen = tuple(item.freeze for item in items if item.freeze is not None)
            resumed = tuple(item.resumed for item in items if item.resumed is not None)
            place = (said.author, said.order, workload)
            told = self._told.setdefault(place, [])
            told.append(_Told(said.sequence, digest, len(items), frozen, resumed))
            told.sort()
            self._of_order.setdefault(said.order, set()).add(place)
            touched.add(place)
        return touched

    def _take_books(self, books: Books) -> None:
        for line in books.lines:
            key = (books.site, line.workload)
            if line.activity is not Activity.TRAINING or not line.chip_ms or books.period <= self._trained.get(key, -1):
                continue
            self._trained[key] = books.period
            for order in self._of_order:
                self._count_silence((books.site, order, line.workload))

    def _judge_all(self, places: Iterable[Place]) -> None:
        near: set[Place] = set()
        for site, order, workload in places:
            known = self._orders.get(order)
            related = {order, *self._lifted_by.get(order, ()), *(known.lifts if known else ())}
            near |= {(site, name, workload) for name in related}
        for place in near & self._told.keys():
            self._judge_weights(place)
            self._judge_commitments(place)
            self._count_silence(place)

    def _stops(self, digest: str) -> list[str]:
        """Return the orders that may have stopped what goes on under *digest*: itself, and what it lifts."""
        order = self._orders[digest]
        return [*(() if order.kind == "resume" else (digest,)), *order.lifts]

    def _freezes(self, site: str, orders: Iterable[str], workload: str) -> Iterator[tuple[_Told, str]]:
        """Yield every commitment that *site* made of *workload* under *orders*, with where it stands."""
        for order in orders:
            for told in self._told.get((site, order, workload), ()):
                for digest in told.frozen:
                    yield told, digest

    def _judge_weights(self, place: Place) -> None:
        site, order, workload = place
        if order not in self._orders:
            return
        commitments = list(self._freezes(site, self._stops(order), workload))
        found = None
        unfrozen = False
        for told in self._told[place]:
            before = {digest for made, digest in commitments if made.sequence <= told.sequence}
            strange = sorted(set(told.resumed) - before)
            unfrozen |= bool(strange) and not before
            if strange and before:
                cited = [order, told.digest, *(made.digest for made, digest in commitments if digest in before)]
                figures = {"act": "weights", "order": order, "workload": workload, "resumed": strange[0]}
                figures |= {"frozen": min(before), "commitments": str(len(before))}
                found = make(self._terms, site, statements=cited, figures=figures)
                break
        self._board.put((self._terms.rule, "weights", place), found)
        self._note("freeze-absent", place, unfrozen)

    def _judge_commitments(self, place: Place) -> None:
        site, order, workload = place
        known = self._orders.get(order)
        if known is None or known.kind == "resume":
            return
        told = self._told[place]
        made = Counter(digest for item in told for digest in set(item.frozen))
        found = None
        if len(made) > told[0].programs:
            cited = [order, told[0].digest, *(item.digest for item in told if item.frozen)]
            figures = {"act": "commitment", "order": order, "workload": workload}
            figures |= {"stopped": str(told[0].programs), "commitments": str(len(made))}
            found = make(self._terms, site, statements=cited, figures=figures)
        self._board.put((self._terms.rule, "commitment", place), found)

    def _count_silence(self, place: Place) -> None:
        """Count a workload that was frozen, trains in a period after its release, and does not say from what."""
        site, order, workload = place
        known = self._orders.get(order)
        if known is None or known.kind == "resume" or place not in self._told:
            return
        lifting = self._lifted_by.get(order, set())
        released = min([known.expiry_period, *(self._orders[name].effective_period for name in lifting)])
        says = any(item.resumed for name in (order, *lifting) for item in self._told.get((site, name, workload), ()))
        frozen = any(item.frozen for item in self._told[place])
        self._note("resumed-absent", place, frozen and not says and self._trained.get((site, workload), -1) > released)

    def _note(self, why: str, place: Place, unknown: bool) -> None:
        if self._open.get((why, place), False) is not unknown:
            self._open[why, place] = unknown
            self._board.unknown(self._terms.rule, place[0], why, 1 if unknown else -1)
