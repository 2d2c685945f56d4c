"""The brake: which orders bind this site now, telling the programs, and the acknowledgement.

An order is kept only after admission has verified its signatures against the pinned treaty; it binds by
:func:`brakeline.treaty.orders.binding`, and needs no receipt. A program whose declared activity an order covers is told
to pause from the order's effective period on, and to resume when none covers it any more (lifted or expired). ``slow``
is obeyed as a pause until ceilings are built: no compute is below every ceiling.

An acknowledgement is made once for each order in force that names the site: for pause and slow when every running
session it covers has said where it stopped (or is over); for exercises and resumes as soon as they are in force, with
nothing stopped. ``stopped_at`` of an order that found nothing running is the later of when it was seen and when its
effect began.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog
from brakeline.node.channel import Message, Pause, Resume, Stopped
from brakeline.node.journal import Claim
from brakeline.node.site import Position, Site
from brakeline.treaty.admission import Admitted, admit
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.orders import binding, covers, in_force, names_site
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.statements import Acknowledgement, Activity, Order, StoppedWorkload, parse_statement

_log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Who is told: the other end of a connection."""

    def send(self, message: Message) -> None:
        """Queue *message*."""
        ...


class Brake:
    """What orders there are, who has been told what, and what was acknowledged."""

    def __init__(self, site: Site, now_ms: Callable[[], int]) -> None:
        """Take up the orders that the journal holds."""
        self._site, self._now_ms = site, now_ms
        self._orders: dict[str, Order] = {}
        self._seen_at: dict[str, int] = {}
        self._listeners: dict[Listener, tuple[str, str, Activity]] = {}
        self._told: dict[Listener, str | None] = {}
        for digest, body, seen_at in site.journal.orders():
            order = parse_statement(Envelope.from_body(body).payload).predicate
            if isinstance(order, Order):
                self._orders[digest], self._seen_at[digest] = order, seen_at

    def see(self, envelope: Envelope, source: str) -> bool:
        """Take an envelope that somebody passed on; say whether it is a new order that counts. Never raises for it."""
        if envelope.digest in self._orders:
            return False
        now = self._now_ms()
        outcome = admit(self._site.register, envelope, now_ms=now)
        if not isinstance(outcome, Admitted):
            _log.warning("order-not-believed", source=source, digest=envelope.digest, code=str(outcome.code))
            return False
        order = outcome.statement.predicate
        if not isinstance(order, Order) or not self._site.journal.see_order(
            envelope.digest, envelope.to_body(), now, source
        ):
            return False
        self._orders[envelope.digest], self._seen_at[envelope.digest] = order, now
        _log.info("order-seen", source=source, digest=envelope.digest, kind=order.kind)
        return True

    def orders(self) -> dict[str, Order]:
        """Return every order that counts, by digest."""
        return dict(self._orders)

    def attach(self, listener: Listener, session: str, workload: str, activity: Activity) -> None:
        """A program (or its meter) is connected, or says anew what it does; it is told at once where it stands."""
        self._listeners[listener] = (session, workload, activity)
        self._told.pop(listener, None)
        self.tick()

    def detach(self, listener: Listener) -> None:
        """The connection is gone."""
        self._listeners.pop(listener, None)
        self._told.pop(listener, None)

    def stopped(self, listener: Listener, message: Stopped) -> None:
        """A program says where it stopped."""
        held = self._listeners.get(listener)
        if held is not None and message.order in self._orders:
            self._site.journal.stop(held[0], held[1], message)
            _log.info("workload-stopped", workload=held[1], step=message.step, order=message.order)

    def period(self) -> int:
        """Return the period that now is in (negative before the grid starts)."""
        return self._site.document.grid.period_of(InstantMs(self._now_ms()))

    def tick(self) -> bool:
        """Tell whom to pause or resume, and acknowledge what is due; say whether an acknowledgement was made."""
        period = self.period()
        binds = binding(self._orders, self._site.name, period, self._site.document)
        for listener, (_, workload, activity) in self._listeners.items():
            order = next((digest for digest, o in binds.items() if covers(o, activity)), None)
            if listener in self._told and self._told[listener] == order:
                continue
            self._told[listener] = order
            listener.send(Resume() if order is None else Pause(order))
            _log.info("told", workload=workload, order=order or "none")
        return self._acknowledge(period)

    def _acknowledge(self, period: int) -> bool:
        done = self._site.journal.acknowledged()
        made = False
        for digest, order in in_force(self._orders, period).items():
            if digest in done or not names_site(order, self._site.name, self._site.document):
                continue
            stops: dict[str, tuple[str, Stopped]] = {}
            if order.kind != "resume" and not order.exercise:
                stops = self._site.journal.stops(digest)
                running = [s for s in self._site.journal.open_sessions() if covers(order, s.activity)]
                if any(session.id not in stops for session in running):
                    continue
            self._spool(digest, order, stops)
            made = True
        return made

    def _spool(self, digest: str, order: Order, stops: dict[str, tuple[str, Stopped]]) -> None:
        seen = self._seen_at[digest]
        begun = self._site.document.grid.start_of(order.effective_period).value
        stopped_at = max((stop.at for _, stop in stops.values()), default=max(seen, begun))
        workloads = tuple(
            StoppedWorkload(workload=workload, step=stop.step, freeze=stop.freeze) for workload, stop in stops.values()
        )

        def build(at: Position) -> Acknowledgement:
            return Acknowledgement(
                author=at.author,
                sequence=at.sequence,
                previous=at.previous,
                treaty=at.treaty,
                order=digest,
                seen_at=InstantMs(seen),
                stopped_at=InstantMs(min(stopped_at, self._now_ms())),
                workloads=workloads,
            )

        self._site.sign_and_spool(build, claim=Claim(order=digest))
