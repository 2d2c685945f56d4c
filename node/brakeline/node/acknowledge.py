"""Acknowledgements: what the site says of an order, and when it says it.

*When.* Of a pause or slow order: as soon as every running session that it covers has stopped (or slowed) and
committed to its weights, or is over; where saving takes longer than the treaty's ``save_ms``, or half of
``acknowledge_ms`` has gone by, without the commitments that are missing, which follow in a further acknowledgement. A
session that has not stopped keeps the site from acknowledging: it would not be true. Of a resume: as soon as every
session that it lets go on has said what it goes on from, or half of ``acknowledge_ms`` has gone by. Of an exercise,
and of orders that are not about anything that runs here: at once.

*What.* The four instants of each workload (seen, agreed, ceased, durable), the freeze commitment, and after a resume
the digest of what it goes on from (docs/spec/statements.md). ``stopped_at`` of an order that found nothing running is
the later of when it was seen and when its effect began. A workload that goes on because its order expired says so in
a further acknowledgement of that order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping

import structlog
from brakeline.node.channel import Resumed, Stopped
from brakeline.node.journal import Claim
from brakeline.node.site import Position, Site
from brakeline.treaty.orders import covers, names_site
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.statements import Acknowledgement, Order, StoppedWorkload

MOST = 100
"""Workloads in one acknowledgement; with more of them, the order is acknowledged in several."""
_log = structlog.get_logger(__name__)


_NEVER = 2**62


class Acknowledger:
    """What is to be acknowledged, and was."""

    def __init__(self, site: Site, orders: Mapping[str, Order], now_ms: Callable[[], int]) -> None:
        """Acknowledge *orders*, which the caller keeps up to date."""
        self._site, self._orders, self._now_ms = site, orders, now_ms
        self._waiting: list[int] = []

    def resumed(self, session: str, workload: str, message: Resumed) -> None:
        """A program says what it goes on from: kept for the order that lets it, or that had stopped it."""
        for stop in self._site.journal.open_stops(session, workload):
            lifting = [digest for digest, order in self._orders.items() if stop[1].order in order.lifts]
            order = max(lifting, key=lambda d: self._orders[d].effective_period, default=stop[1].order)
            self._site.journal.resume(order, session, workload, stop, message)
            same = message.freeze == stop[1].freeze
            _log.info("workload-resumed", workload=workload, step=message.step, order=order, same_weights=same)

    def tick(self, in_force: Mapping[str, Order], bound: set[str]) -> bool:
        """Acknowledge what is due; *bound*: sessions that are told to stop. Says whether anything was acknowledged."""
        said = self._site.journal.acknowledged()
        seen_at = {digest: at for digest, _, at in self._site.journal.orders()}
        self._waiting.clear()
        made = False
        if self._site.held:  # programs are told all the same; what is due is said when the node may sign again
            return made
        for digest, order in self._orders.items():
            named = names_site(order, self._site.name, self._site.document)
            if not named or (digest not in said and digest not in in_force):
                continue
            asked = max(seen_at[digest], self._site.document.grid.start_of(order.effective_period).value)
            not_before = self._not_before(digest, order, asked, bound)
            if not_before > self._now_ms():
                self._waiting.append(not_before)
                continue
            workloads = self._workloads(digest, order)
            content = _content(workloads)
            if digest not in said or said[digest] not in ("", content):
                self._spool(digest, order, seen_at[digest], asked, workloads, content)
                made = True
        return made

    def due(self) -> Iterator[int]:
        """Yield the instants (Unix ms) at which something incomplete is acknowledged all the same."""
        yield from (at for at in self._waiting if at < _NEVER)

    # -- when --------------------------------------------------------------------------------------------------------

    def _not_before(self, digest: str, order: Order, asked: int, bound: set[str]) -> int:
        """Return the instant from which *order* may be acknowledged as things stand; 0 when all is known."""
        if order.exercise:
            return 0
        half_time = asked + self._site.document.deadlines.acknowledge_ms.value // 2
        if self._resuming(order, bound):
            return half_time
        if order.kind == "resume":
            return 0
        stops = self._site.journal.stops(digest)
        running = [s for s in self._site.journal.open_sessions() if covers(order, s.activity)]
        if any(session.id not in stops for session in running):
            return _NEVER
        saving = [stops[s.id][1].at for s in running if not (stops[s.id][1].freeze or stops[s.id][1].final)]
        if not saving:
            return 0
        return min(max(saving) + self._site.document.deadlines.save_ms.value, half_time)

    def _resuming(self, order: Order, bound: set[str]) -> bool:
        """Say whether a running session that *order* lets go on has yet to say what it goes on from."""
        running = {session.id for session in self._site.journal.open_sessions()} - bound
        return any(
            session in running and session not in self._site.journal.resumed_from(lifted)
            for lifted in order.lifts
            for session in self._site.journal.stops(lifted)
        )

    # -- what --------------------------------------------------------------------------------------------------------

    def _workloads(self, digest: str, order: Order) -> list[StoppedWorkload]:
        if order.exercise:
            return []
        resumed = self._site.journal.resumptions(digest)
        found: dict[str, StoppedWorkload] = {}
        for source in (*order.lifts, digest):
            for session, (workload, stop) in self._site.journal.stops(source).items():
                gone_on = resumed.get((source, session))
                if source == digest or order.kind == "resume" or gone_on is not None:
                    found.setdefault(session, _workload(order, workload, stop, gone_on))
        return list(found.values())

    def _spool(
        self, digest: str, order: Order, seen: int, asked: int, workloads: list[StoppedWorkload], content: str
    ) -> None:
        ceased = [w.ceased_at.value for w in workloads if w.ceased_at is not None]
        stopped_at = min(max(ceased, default=asked), self._now_ms())
        pieces = [tuple(workloads[i : i + MOST]) for i in range(0, len(workloads), MOST)] or [()]
        for number, piece in enumerate(pieces, start=1):

            def build(at: Position, piece: tuple[StoppedWorkload, ...] = piece) -> Acknowledgement:
                return Acknowledgement(
                    author=at.author,
                    sequence=at.sequence,
                    previous=at.previous,
                    treaty=at.treaty,
                    order=digest,
                    seen_at=InstantMs(seen),
                    stopped_at=InstantMs(stopped_at),
                    workloads=piece,
                )

            claimed = content if number == len(pieces) else f"{content}, {number} of {len(pieces)}"
            self._site.sign_and_spool(build, claim=Claim(order=digest, said=claimed))
        _log_latencies(digest, order, seen, workloads)


def _workload(order: Order, workload: str, stop: Stopped, resumed: Resumed | None) -> StoppedWorkload:
    """Return what is said of one workload: of a stop its instants, of a resume what it goes on from."""
    stopping = order.kind == "pause"
    return StoppedWorkload(
        workload=workload,
        step=stop.step if resumed is None or order.kind != "resume" else resumed.step,
        freeze=stop.freeze,
        agreed_at=_instant(stop.agreed_at if stopping else None),
        ceased_at=_instant(stop.at if stopping else None),
        durable_at=_instant(stop.durable_at if stopping and stop.freeze else None),
        resumed=resumed.freeze if resumed else None,
        resumed_at=_instant(resumed.at if resumed else None),
    )


def _instant(value: int | None) -> InstantMs | None:
    return None if value is None else InstantMs(value)


def _content(workloads: list[StoppedWorkload]) -> str:
    """Return a digest of what a further acknowledgement would be for: commitments, and what was gone on from."""
    told = sorted((w.workload, w.freeze or "", w.resumed or "") for w in workloads if w.freeze or w.resumed)
    return hashlib.sha256(json.dumps(told).encode("ascii")).hexdigest()


def _log_latencies(digest: str, order: Order, seen: int, workloads: list[StoppedWorkload]) -> None:
    """Write the four instants, as ms after the order was seen, into the node's own record."""
    for item in workloads:
        instants = {"agreed": item.agreed_at, "ceased": item.ceased_at, "durable": item.durable_at}
        after = {f"{name}_ms": at.value - seen for name, at in instants.items() if at is not None}
        _log.info("acknowledged", order=digest, kind=order.kind, workload=item.workload, step=item.step, **after)
