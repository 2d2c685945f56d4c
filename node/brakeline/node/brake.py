"""The brake: which orders bind this site now, and telling the programs.

An order is kept only after admission has verified its signatures against the pinned treaty; it binds by
:func:`brakeline.treaty.orders.binding`, and needs no receipt. A program whose declared activity an order covers is told
to pause from the order's effective period on, and to resume when none covers it any more (lifted or expired). All ranks
of a distributed job are told to stop after one step (:mod:`brakeline.node.ranks`). ``slow`` is obeyed as a pause where
no ceiling is known: no compute is below every ceiling.

Nothing here believes a verifier, and nothing that is not an order with the parties' signatures, or the treaty's own
clause on silence, touches a process. What each envelope came to is said by a :class:`Seen`, with a code. What was
stopped and resumed is said to the world by :mod:`brakeline.node.acknowledge`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog
from brakeline.node import channel
from brakeline.node.acknowledge import Acknowledger
from brakeline.node.channel import FromNode, FromProgram, Hello, Pause, Resume, Stopped
from brakeline.node.ranks import Crew, Listener
from brakeline.node.site import Site
from brakeline.treaty.admission import Admitted, admit
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.orders import binding, covers, in_force, names_site
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.statements import Activity, Order, parse_statement

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of an envelope that somebody passed on.

    Attributes:
        code: ``order-kept``; or why it changes nothing: ``order-known`` (seen before), ``order-lifted`` and
            ``order-expired`` (kept, inert), ``order-elsewhere`` (kept; it names neither this site nor its lab, party
            or everyone), ``order-none`` (not an order), or the code with which admission refuses it.
        new: whether it is an order that counts and was not known.
    """

    code: str
    new: bool = False


@dataclass(slots=True)
class _Program:
    """A connected program or meter."""

    session: str
    workload: str
    activity: Activity
    job: str
    told: FromNode | None = None


class Brake:
    """What orders there are, who is connected, and who has been told what."""

    def __init__(self, site: Site, now_ms: Callable[[], int]) -> None:
        """Take up the orders that the journal holds."""
        self._site, self._now_ms = site, now_ms
        self._orders: dict[str, Order] = {}
        self._programs: dict[Listener, _Program] = {}
        self._crews: dict[str, Crew] = {}
        self._silent = False
        for digest, body, _ in site.journal.orders():
            order = parse_statement(Envelope.from_body(body).payload).predicate
            if isinstance(order, Order):
                self._orders[digest] = order
        self._acknowledger = Acknowledger(site, self._orders, now_ms)

    # -- orders ------------------------------------------------------------------------------------------------------

    def see(self, envelope: Envelope, source: str) -> Seen:
        """Take an envelope that somebody passed on; say what became of it. Never raises for it."""
        if envelope.digest in self._orders:
            return Seen("order-known")
        now = self._now_ms()
        outcome = admit(self._site.register, envelope, now_ms=now)
        if not isinstance(outcome, Admitted):
            _log.warning("order-not-believed", source=source, digest=envelope.digest, code=str(outcome.code))
            return Seen(str(outcome.code))
        order = outcome.statement.predicate
        if not isinstance(order, Order):
            return Seen("order-none")
        if not self._site.journal.see_order(envelope.digest, envelope.to_body(), now, source):
            return Seen("order-known")
        self._orders[envelope.digest] = order
        seen = Seen(self._standing(envelope.digest, order), new=True)
        _log.info("order-seen", source=source, digest=envelope.digest, kind=order.kind, code=seen.code)
        return seen

    def _standing(self, digest: str, order: Order) -> str:
        """Return the code that says whether a kept order can do anything."""
        period = self.period()
        if period >= order.expiry_period:
            return "order-expired"
        if any(digest in other.lifts and other.effective_period <= period for other in self._orders.values()):
            return "order-lifted"
        if not names_site(order, self._site.name, self._site.document):
            return "order-elsewhere"
        return "order-kept"

    def orders(self) -> dict[str, Order]:
        """Return every order that counts, by digest."""
        return dict(self._orders)

    def silence(self, silent: bool) -> None:
        """Take note whether too few verifiers are heard; it stops programs where the treaty says so."""
        if silent != self._silent:
            _log.warning("verifiers-silent" if silent else "verifiers-heard", clause=self._site.document.silence)
        self._silent = silent

    # -- programs ----------------------------------------------------------------------------------------------------

    def attach(self, listener: Listener, hello: Hello) -> None:
        """A program (or its meter) is connected, or says anew what it does; it is told at once where it stands."""
        known = self._programs.get(listener)
        job = known.job if known else hello.job or hello.session
        self._programs[listener] = _Program(hello.session, hello.workload, hello.activity, job)
        if known is None:
            crew = self._crews.setdefault(job, Crew(hello.ranks, self._site.document.deadlines.stop_ms.value // 2))
            crew.join(listener, hello.session)
        self.tick()

    def detach(self, listener: Listener) -> None:
        """The connection is gone."""
        program = self._programs.pop(listener, None)
        if program is not None:
            self._crews[program.job].leave(listener)

    def heard(self, listener: Listener, message: FromProgram) -> None:
        """Take what a program says about orders."""
        program = self._programs.get(listener)
        if program is None:
            return
        crew = self._crews[program.job]
        match message:
            case channel.Sample(steps=int(steps)):
                crew.note(listener, steps)
            case channel.Accept() | channel.Passed():
                crew.answer(listener, message)
            case Stopped(order=digest) if digest in self._orders or digest == self._site.document.digest:
                self._site.journal.stop(program.session, program.workload, message)
                _log.info("workload-stopped", workload=program.workload, step=message.step, order=digest)
            case channel.Slowed(order=digest) if digest in self._orders:
                self._site.journal.stop(
                    program.session, program.workload, Stopped(digest, message.step, None, message.at, final=True)
                )
            case channel.Resumed():
                self._acknowledger.resumed(program.session, program.workload, message)
            case _:
                pass

    # -- the clock ---------------------------------------------------------------------------------------------------

    def period(self) -> int:
        """Return the period that now is in (negative before the grid starts)."""
        return self._site.document.grid.period_of(InstantMs(self._now_ms()))

    def tick(self) -> bool:
        """Tell whom to pause or resume, and acknowledge what is due; say whether an acknowledgement was made."""
        period, now = self.period(), self._now_ms()
        binds = binding(self._orders, self._site.name, period, self._site.document)
        for job, crew in tuple(self._crews.items()):
            crew.tick(now)
            if not crew and crew.deadline is None:
                del self._crews[job]
        for listener, program in self._programs.items():
            pause = self._pause(program, binds)
            if isinstance(program.told, Resume) if pause is None else program.told == pause:
                continue
            program.told = pause or self._release(program)
            self._crews[program.job].tell(listener, program.told, now)
            _log.info("told", workload=program.workload, order=pause.order if pause else "none")
        bound = {p.session for p in self._programs.values() if isinstance(p.told, Pause)}
        return self._acknowledger.tick(in_force(self._orders, period), bound)

    def _pause(self, program: _Program, binds: dict[str, Order]) -> Pause | None:
        """Return the pause that the orders in force, or the clause on silence, demand of *program*."""
        digest = next((digest for digest, order in binds.items() if covers(order, program.activity)), None)
        if digest is not None:
            return Pause(digest)
        silenced = self._silent and self._site.document.silence == "stop" and program.activity is Activity.TRAINING
        return Pause(self._site.document.digest) if silenced else None

    def _release(self, program: _Program) -> Resume:
        stops = self._site.journal.open_stops(program.session, program.workload)
        frozen = [stop for _, stop in stops if stop.freeze is not None]
        return Resume(frozen[-1].freeze, frozen[-1].step) if frozen else Resume()

    def due(self) -> Iterator[int]:
        """Yield the instants (Unix ms) at which :meth:`tick` has something to do though nothing moves."""
        yield self._site.document.grid.start_of(max(0, self.period() + 1)).value
        yield from (crew.deadline for crew in self._crews.values() if crew.deadline is not None)
        yield from self._acknowledger.due()
