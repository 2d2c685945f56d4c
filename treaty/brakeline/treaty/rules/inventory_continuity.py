"""``inventory-continuity``: chips do not come from nowhere, go nowhere, or stand at two sites.

Sees:

* an inventory that does not follow from the one before it: opening + in - out is not closing (``unbalanced``), there is
  none before it (``unlinked``: a second first one; ``unknown``; ``another-site``);
* a shipment that a vendor attests and the site did not book (``not-booked``);
* a transfer that one site books and the other does not (``not-received``, ``not-sent``);
* a chip's serial, opened on challenge by two sites between which nothing was sent (``two-sites``).

Cannot see: chips that nobody attests or opens; what was booked and is false at both ends.
Arithmetic: per class, counts. in = acquired + received, out = sent + retired. Movements are told apart by the root of
their serials: the same batch named in two inventories counts once. A shipment or transfer is weighed when the site's
books have reached ``grace_periods`` after it (a shipment's period; the effective period of the inventory that books a
transfer, at both sites), against all that was booked by then or later.
Figures: ``reason``; ``class``, ``opening``, ``in``, ``out``, ``closing``; or ``inventory``; or ``class``, ``from``,
``to``, ``booked``, ``attested``; or ``chip``, ``other_site``. About the site whose books it is.
Keeps: inventories, movements, shipments, each site's newest period, and the site of every chip that was opened.
Source: book inventory, inventory change and item identity (IAEA Safeguards Glossary).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.oversight import Opening, Shipment
from brakeline.treaty.rules.board import Board, make, tally
from brakeline.treaty.rules.books import Said
from brakeline.treaty.statements import Inventory
from brakeline.treaty.terms import RuleTerms

_IN = ("acquired", "received")


class _Held(NamedTuple):
    """One inventory: whose, its place in the chain, what it follows, chips by class, net change by class in and out."""

    site: str
    sequence: int
    digest: str
    follows: str | None
    chips: Counter[str]
    came: Counter[str]
    went: Counter[str]


class _Flow(NamedTuple):
    """What goes from one name to another: a vendor to a site, or a site to a site, of one class."""

    source: str
    target: str
    chip_class: str


_Batches: TypeAlias = dict[str, tuple[int, int, str]]
"""Root of the serials -> (period, count, digest of the statement that says so): the earliest and largest."""


class InventoryContinuity:
    """Holds what came and went."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:
        """Judge by *terms* (``grace_periods``) on the grid of *document*."""
        self._grid = document.grid
        self._grace = terms.integer("grace_periods")
        self._terms = terms
        self._board = board
        self._held: dict[str, _Held] = {}
        self._first: dict[str, tuple[int, str]] = {}
        self._followers: defaultdict[str, list[str]] = defaultdict(list)
        self._booked: defaultdict[tuple[str, _Flow], _Batches] = defaultdict(dict)
        self._shipped: defaultdict[_Flow, _Batches] = defaultdict(dict)
        self._newest: dict[str, int] = {}
        self._waiting: defaultdict[str, dict[_Flow, int]] = defaultdict(dict)
        self._opened: dict[str, dict[str, str]] = {}
        self._sent: set[tuple[str, str]] = set()

    def add(self, said: Said) -> None:
        """Take in an inventory, a shipment, opened rows, or the passing of time in a site's books."""
        predicate, digest, books = said.predicate, said.statement.digest, said.books
        if books is not None:
            if books.period > self._newest.get(books.site, -1):
                self._newest[books.site] = books.period
                self._pass_time(books.site)
        elif isinstance(predicate, Inventory):
            self._take_inventory(predicate, digest)
        elif isinstance(predicate, Shipment):
            period = self._grid.index_of(predicate.start, predicate.end)
            for chip_class, count in tally((item.chip_class, item.count) for item in predicate.chips).items():
                flow = _Flow(predicate.author, predicate.site, chip_class)
                _keep(self._shipped[flow], predicate.serials.root, (period or 0, count, digest))
                self._weigh(flow)
        elif isinstance(predicate, Opening):
            for opened in predicate.rows:
                sites = self._opened.setdefault(opened.row.chip, {})
                sites[predicate.author] = min(sites.get(predicate.author, digest), digest)
                self._judge_chip(opened.row.chip)

    # Inventories -----------------------------------------------------------------------------------------------------

    def _take_inventory(self, said: Inventory, digest: str) -> None:
        came: Counter[str] = Counter()
        went: Counter[str] = Counter()
        flows: set[_Flow] = set()
        sent = len(self._sent)
        for movement in said.movements or ():
            (came if movement.kind in _IN else went)[movement.chip_class] += movement.count
            if movement.counterparty is None or movement.kind == "retired":
                continue
            here, there = said.author, movement.counterparty
            source, target = (there, here) if movement.kind in _IN else (here, there)
            flow = _Flow(source, target, movement.chip_class)
            batch = (said.effective_period, movement.count, digest)
            _keep(self._booked[said.author, flow], movement.serials.root, batch)
            flows.add(flow)
            if movement.kind == "sent":
                self._sent.add((flow.source, flow.target))
        chips = tally((item.chip_class, item.count) for item in said.chips)
        held = _Held(said.author, said.sequence, digest, said.follows, chips, came, went)
        self._held[digest] = held
        before, place = self._first.get(said.author), (said.sequence, digest)
        self._first[said.author] = min(before or place, place)
        if said.follows is not None:
            self._followers[said.follows].append(digest)
        for other in {digest, *self._followers[digest], *(() if before is None else (before[1],))}:
            self._judge(self._held[other])
        for flow in flows:
            self._weigh(flow)
        for chip in list(self._opened) if len(self._sent) > sent else ():
            self._judge_chip(chip)

    def _judge(self, held: _Held) -> None:
        opening = self._held.get(held.follows or "")
        reason = ""
        if held.follows is None and self._first[held.site] != (held.sequence, held.digest):
            reason = "unlinked"
        elif held.follows is not None and opening is None:
            reason = "unknown"
        elif opening is not None and opening.site != held.site:
            reason = "another-site"
        self._put(held, "", {"reason": reason, "inventory": held.digest} if reason else None)
        if opening is None or reason:
            return
        for chip_class in sorted({*opening.chips, *held.chips, *held.came, *held.went}):
            figures = {
                "reason": "unbalanced",
                "class": chip_class,
                "opening": opening.chips[chip_class],
                "in": held.came[chip_class],
                "out": held.went[chip_class],
                "closing": held.chips[chip_class],
            }
            due = opening.chips[chip_class] + held.came[chip_class] - held.went[chip_class]
            self._put(held, chip_class, figures if due != held.chips[chip_class] else None, opening.digest)

    def _put(self, held: _Held, name: str, figures: Mapping[str, object] | None, *more: str) -> None:
        finding = None
        if figures is not None:
            finding = make(self._terms, held.site, statements=[held.digest, *more], figures=figures)
        self._board.put((self._terms.rule, held.digest, name), finding)

    # Shipments and transfers -----------------------------------------------------------------------------------------

    def _pass_time(self, site: str) -> None:
        now = self._newest[site]
        for flow in [flow for flow, due in self._waiting[site].items() if due <= now]:
            self._weigh(flow)

    def _weigh(self, flow: _Flow) -> None:
        """Weigh what one end attests against what the other booked."""
        for side in (flow.source, flow.target):
            self._waiting[side].pop(flow, None)
        booked_in, booked_out = self._booked[flow.target, flow], self._booked[flow.source, flow]
        if "/" in flow.source:  # a site
            self._compare(flow, flow.target, booked_out, booked_in, "not-received")
            self._compare(flow, flow.source, booked_in, booked_out, "not-sent")
        else:
            self._compare(flow, flow.target, self._shipped[flow], booked_in, "not-booked")

    def _compare(self, flow: _Flow, site: str, attested: _Batches, booked: _Batches, reason: str) -> None:
        """Name *site* where more is *attested* (as far as it is due) than it *booked*."""
        ends = (flow.target,) if reason == "not-booked" else (flow.source, flow.target)
        now = min(self._newest.get(end, -1) for end in ends)
        due = {root: batch for root, batch in attested.items() if batch[0] + self._grace <= now}
        later = [batch[0] + self._grace for batch in attested.values() if batch[0] + self._grace > now]
        for end in ends if later else ():
            self._waiting[end][flow] = min(self._waiting[end].get(flow, min(later)), min(later))
        total, known = (sum(count for _, count, _ in batches.values()) for batches in (due, booked))
        finding = None
        if total > known:
            figures = {
                "reason": reason,
                "class": flow.chip_class,
                "from": flow.source,
                "to": flow.target,
                "attested": total,
                "booked": known,
            }
            cited = [digest for *_, digest in (*due.values(), *booked.values())]
            finding = make(self._terms, site, statements=cited, figures=figures)
        self._board.put((self._terms.rule, flow, reason), finding)

    # Serials ---------------------------------------------------------------------------------------------------------

    def _judge_chip(self, chip: str) -> None:
        sites = self._opened[chip]
        one, *others = sorted(sites)
        unexplained = [other for other in others if (one, other) not in self._sent and (other, one) not in self._sent]
        finding = None
        if unexplained:
            cited = [sites[one], *(sites[other] for other in unexplained)]
            figures = {"reason": "two-sites", "chip": chip, "other_site": unexplained[0]}
            finding = make(self._terms, one, statements=cited, figures=figures)
        self._board.put((self._terms.rule, "chip", chip), finding)


def _keep(batches: _Batches, root: str, batch: tuple[int, int, str]) -> None:
    """Keep *batch* under *root*: of several statements of one batch the earliest period, the largest count."""
    known = batches.get(root)
    if known is None:
        batches[root] = batch
        return
    batches[root] = (min(known[0], batch[0]), max(known[1], batch[1]), min(known[2], batch[2]))
