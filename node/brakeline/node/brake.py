"""The brake: which orders bind this site now, and telling the programs.

An order is kept only after admission has verified its signatures against the pinned treaty; what it leaves this site
is :func:`brakeline.treaty.orders.limit`, and it needs no receipt. A program whose declared activity is stopped is
told to pause from the order's effective period on, and to resume when none stops it any more (lifted or expired). All
ranks of a distributed job are told to stop after one step (:mod:`brakeline.node.ranks`).

*Slow.* What a ceiling leaves of a period's chip time, of the metered class, is divided equally among the programs
that the order covers and that are connected when the period begins; who comes later gets what was not granted. So
however many there are, they stay below it together.

Nothing here believes a verifier, and nothing that is not an order with the parties' signatures, or the treaty's own
clause on silence, touches a process. What each envelope came to is said by a :class:`Seen`, with a code. What was
stopped and resumed is said to the world by :mod:`brakeline.node.acknowledge`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import structlog
from brakeline.node import channel
from brakeline.node.acknowledge import Acknowledger
from brakeline.node.channel import FromNode, FromProgram, Hello, Pause, Resume, Slow, Stopped
from brakeline.node.ranks import Crew, Listener
from brakeline.node.site import Site
from brakeline.treaty.admission import Admitted, admit
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.orders import Limit, in_force, limit, standing
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.statements import Activity, Order, parse_statement

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of an envelope that somebody passed on.

    Attributes:
        code: whether it binds this site now, or why it does nothing (docs/spec/orders.md): of an order, its standing
            (``order-binds``, ``order-lifted``, ``order-expired``, ...); ``treaty-amended`` for a version of the treaty
            that is new here; ``order-none`` for what is no order; or the
            code with which admission refuses it.
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
        self._granted: dict[tuple[int, str], dict[str, int]] = {}
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
            return Seen(self._standing(envelope.digest))
        now = self._now_ms()
        outcome = admit(self._site.register, envelope, now_ms=now)
        if not isinstance(outcome, Admitted):
            _log.warning("order-not-believed", source=source, digest=envelope.digest, code=str(outcome.code))
            return Seen(str(outcome.code))
        order = outcome.statement.predicate
        if isinstance(order, TreatyDocument):
            return self._follow(envelope, source)
        if not isinstance(order, Order):
            return Seen("order-none")
        new = self._site.journal.see_order(envelope.digest, envelope.to_body(), now, source)
        self._orders[envelope.digest] = order
        seen = Seen(self._standing(envelope.digest), new)
        _log.info("order-seen", source=source, digest=envelope.digest, kind=order.kind, code=seen.code)
        return seen

    def _follow(self, envelope: Envelope, source: str) -> Seen:
        """Take a version of the treaty up that admission lets in."""
        amended = self._site.follow(envelope)
        if amended is None:
            return Seen("order-none")
        _log.warning(
            "treaty-amended",
            source=source,
            version=amended.version,
            digest=amended.digest,
            from_period=amended.effective_period,
            note="restart this node in that period, if the verifiers differ",
        )
        return Seen("treaty-amended")

    def _standing(self, digest: str) -> str:
        return standing(self._orders, digest, self._site.name, self.period(), self._site.document).value

    def orders(self) -> dict[str, Order]:
        """Return every order that counts, by digest."""
        return dict(self._orders)

    @property
    def stopped(self) -> int:
        """How many connected programs stand still, or were told to."""
        return sum(isinstance(program.told, Pause) for program in self._programs.values())

    @property
    def silent(self) -> bool:
        """Whether training is stopped because too few verifiers are heard."""
        return self._silent

    def silence(self, silent: bool) -> None:
        """Take note whether too few verifiers are heard; it stops training where the treaty's clause says so."""
        silent = silent and self._site.document.silence == "stop"
        if silent != self._silent:
            _log.warning("verifiers-silent" if silent else "verifiers-heard")
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
            case Stopped(order=digest) if digest in self._orders or self._site.knows_version(digest):
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
        for job, crew in tuple(self._crews.items()):
            crew.tick(now)
            if not crew and crew.deadline is None:
                del self._crews[job]
        limits = {listener: self._limit(program, period) for listener, program in self._programs.items()}
        self._grant(limits, period)
        for listener, program in self._programs.items():
            message = self._demand(program, limits[listener], period)
            if message is None or message == program.told:
                continue
            program.told = message
            self._crews[program.job].tell(listener, message, now)
            _log.info("told", workload=program.workload, what=type(message).__name__, order=_order_of(message))
        bound = {p.session for p in self._programs.values() if isinstance(p.told, Pause)}
        return self._acknowledger.tick(in_force(self._orders, period), bound)

    def _limit(self, program: _Program, period: int) -> Limit | None:
        """Return what orders, or the clause on silence, leave *program*; None when nothing limits it."""
        site = self._site
        found = limit(self._orders, site.name, period, program.activity, site.document)
        if found is not None and found.stops:
            return found
        silenced = self._silent and program.activity is Activity.TRAINING
        return Limit(site.document.digest, Fraction(0)) if silenced else found

    def _grant(self, limits: Mapping[Listener, Limit | None], period: int) -> None:
        """Divide what each ceiling leaves of *period* among the programs under it, once."""
        self._granted = {key: value for key, value in self._granted.items() if key[0] == period}
        holding = self._site.holding(period)
        chips = holding.inventory.chips[0].count if holding is not None else 0
        for listener, found in limits.items():
            if found is None or found.stops:
                continue
            granted = self._granted.setdefault((period, found.order), {})
            under = [self._programs[other].session for other, item in limits.items() if item == found]
            fresh = [session for session in under if session not in granted]
            if self._programs[listener].session in fresh:
                left = found.chip_ms(chips, self._site.document.grid.period) - sum(granted.values())
                granted.update(dict.fromkeys(fresh, left // len(fresh)))

    def _demand(self, program: _Program, found: Limit | None, period: int) -> FromNode | None:
        """Return what *program* is to be told; None when it goes on as it was told to."""
        if found is None:
            return None if isinstance(program.told, Resume) else self._release(program)
        if found.stops:
            return Pause(found.order)
        grid = self._site.document.grid
        granted = self._granted[period, found.order][program.session]
        return Slow(found.order, granted, grid.start_of(period).value, grid.end_of(period).value)

    def _release(self, program: _Program) -> Resume:
        stops = self._site.journal.open_stops(program.session, program.workload)
        frozen = [stop for _, stop in stops if stop.freeze is not None]
        return Resume(frozen[-1].freeze, frozen[-1].step) if frozen else Resume()

    def due(self) -> Iterator[int]:
        """Yield the instants (Unix ms) at which :meth:`tick` has something to do though nothing moves."""
        yield self._site.document.grid.start_of(max(0, self.period() + 1)).value
        yield from (crew.deadline for crew in self._crews.values() if crew.deadline is not None)
        yield from self._acknowledger.due()


def _order_of(message: FromNode) -> str:
    return message.order if isinstance(message, (Pause, Slow)) else "none"
