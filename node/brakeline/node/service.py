"""The running node: one asyncio loop in which meters report, periods are booked, statements leave, orders arrive.

Tasks, each small: the hook socket; the clock of the books; the brake's clock; per verifier one sender and one watcher.
They meet in the journal, so that any of them may die with the process at any moment. The clock is passed in; the period
grid is the treaty's. What a crash interrupts is done on the next start: reserved statements signed, missed periods
booked in order (meters first get time to deliver what they kept), the outbox delivered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import structlog
from brakeline.ledger.errors import BrakelineError
from brakeline.node import channel, opening, say
from brakeline.node.accelerators import Accelerators
from brakeline.node.brake import Brake, Seen
from brakeline.node.config import NodeConfig
from brakeline.node.deadlines import Alarm, due
from brakeline.node.journal import Delivery, JournalError
from brakeline.node.lines import RENEW_S, Lines
from brakeline.node.ops import carry
from brakeline.node.ops.metrics import REFRESH_S, Metrics, MetricsServer, Moment
from brakeline.node.raw import COUNTERS
from brakeline.node.silence import Silence
from brakeline.node.site import Site
from brakeline.node.tls import TlsFiles
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.quantities import InstantMs

SOCKET = "node.sock"
SPOOL = "spool"
RECEIPTS = "receipts"
GREETING_MS = 600
"""How long missed periods wait, after a start, for meters to connect: three of their attempts."""
INBOX_S = 0.5
"""How often the inbox is looked into."""
FLUSH_S = 5.0
"""How long SIGTERM waits for the outbox to empty."""
_log = structlog.get_logger(__name__)


class Node:
    """One site's node."""

    def __init__(
        self,
        folder: Path,
        config: NodeConfig,
        site: Site,
        tls: TlsFiles,
        now_ms: Callable[[], int],
        flush_s: float = FLUSH_S,
        renew_s: float = RENEW_S,
    ) -> None:
        """Prepare; nothing runs yet.

        *flush_s*: how long a stop waits for the outbox to empty. *renew_s*: how often *tls* is looked at.
        """
        self._flush_s = flush_s
        self._folder, self._config, self._site, self._now_ms = folder, config, site, now_ms
        self._brake = Brake(site, now_ms)
        self._silence = Silence(site.document, site.journal, now_ms())
        self.lines = Lines(site, config, tls, folder / RECEIPTS, self, self._silence, now_ms, renew_s)
        self._connected: dict[str, channel.Peer] = {}
        self._newest: dict[str, int] = {}
        self._away: dict[str, int] = {}
        self._moved = asyncio.Event()
        self._brake_moved = asyncio.Event()
        self._alarm = Alarm()
        self._boards: Accelerators | None = None
        if config.accelerators is not None:
            self._boards = Accelerators(config.accelerators, folder / COUNTERS, now_ms)
        self._signing = asyncio.Event()
        if site.held:
            _log.warning("site-held", why=site.held, last=site.journal.head()[0] - 1)
        else:
            self._signing.set()
        self._began = now_ms()
        self.metrics = Metrics()
        self.metrics_url: str | None = None

    async def run(self, ready: Callable[[], None], stop: asyncio.Event) -> None:
        """Run until *stop* is set, then flush; *ready* is called when programs can connect and figures are served.

        Raises:
            BrakelineError: the journal failed (``journal-io``): nothing was signed that is not durable.
        """
        now = self._now_ms()
        for session in self._site.journal.open_sessions():
            self._away[session.id] = now
            self._newest[session.id] = session.last_at
        self._read_spool()
        figures = self._figures()
        server = await channel.serve(self._folder / SOCKET, self._serve)
        try:
            async with asyncio.TaskGroup() as group:
                work = (self._book(), self._press(), self._say(), self.lines.run(), self._measure())
                tasks = [group.create_task(item) for item in work]
                if self._boards is not None:
                    tasks.append(group.create_task(self._boards.run()))
                ready()
                await stop.wait()
                server.close()
                tasks[0].cancel()
                await self._flush()
                for task in tasks:
                    task.cancel()
        finally:
            server.close()
            (self._folder / SOCKET).unlink(missing_ok=True)
            if figures is not None:
                await figures.close()

    # -- programs ----------------------------------------------------------------------------------------------------

    async def _serve(self, peer: channel.Peer) -> None:
        session = ""
        try:
            while messages := await peer.receive_many():
                session = self._take(peer, session, messages)
        except BrakelineError as error:
            _log.warning("hook-channel-closed", **error.as_dict())
        finally:
            self._brake.detach(peer)
            if self._connected.get(session) is peer:
                del self._connected[session]
                self._away[session] = self._now_ms()
            self._moved.set()

    def _take(self, peer: channel.Peer, session: str, messages: list[channel.Message]) -> str:
        """Work through what has arrived; samples in one commit, acknowledged when durable. Returns the session."""
        samples = [m for m in messages if isinstance(m, channel.Sample)]
        for hello in (m for m in messages if isinstance(m, channel.Hello)):
            session = hello.session
            last = self._site.journal.open_session(hello, self._now_ms())
            self._connected[session] = peer
            self._away.pop(session, None)
            peer.send(channel.Ack(last))
            self._brake.attach(peer, hello)
        if not session:
            raise channel.ChannelError(code="channel-malformed", message="no hello", expected="hello first")
        if samples:
            self._site.journal.add_samples(session, samples)
            self._newest[session] = max(self._newest.get(session, 0), samples[-1].at)
            peer.send(channel.Ack(samples[-1].n))
        for message in messages:
            if isinstance(message, channel.End):
                self._end(session, message.at)
            elif not isinstance(message, channel.Hello | channel.FromNode):
                self._brake.heard(peer, message)
        self._moved.set()
        self._brake_moved.set()
        return session

    def _end(self, session: str, at: int, *, lost: bool = False) -> None:
        self._site.journal.end_session(session, at, lost=lost)
        self._newest.pop(session, None)
        self._away.pop(session, None)
        self._connected.pop(session, None)

    def _read_spool(self) -> None:
        """Take what meters left while the node was away; a file is removed once its samples are durable."""
        for path in sorted((self._folder / SPOOL).glob("*.jsonl")):
            try:
                messages = [channel.decode(line) for line in path.read_bytes().splitlines()]
            except BrakelineError as error:
                _log.error("spool-file-malformed", path=str(path), **error.as_dict())
                path.rename(path.with_suffix(".bad"))
                continue
            for message in messages:
                if isinstance(message, channel.Hello):
                    self._site.journal.open_session(message, self._first_at(messages))
            self._site.journal.add_samples(path.stem, [m for m in messages if isinstance(m, channel.Sample)])
            for message in messages:
                if isinstance(message, channel.End):
                    self._end(path.stem, message.at)
            path.unlink()

    def _first_at(self, messages: list[channel.Message | None]) -> int:
        return min((m.at for m in messages if isinstance(m, channel.Sample)), default=self._now_ms())

    def released(self) -> None:
        """The site may sign: book what is due, acknowledge, send."""
        self._signing.set()
        self._brake_moved.set()
        self._wake_senders()

    # -- the books ---------------------------------------------------------------------------------------------------

    async def _book(self) -> None:
        grid = self._site.document.grid
        await self._signing.wait()
        while True:
            last, first = self._site.journal.last_period(), self._site.first_period()
            if first is None:
                raise BrakelineError(
                    code="site-inventory",
                    message="this site has declared no chips",
                    expected="an inventory statement",
                    fix="brakeline node init",
                )
            period = first if last is None else max(first, last + 1)
            await self._sleep_until(grid.end_of(period))
            await self._settle(grid.end_of(period).value)
            if self._boards is not None:
                await self._boards.beyond(grid.end_of(period).value)
            self._site.book_period(
                period,
                serials=self._config.serials(self._folder),
                utilisation=self._config.utilisation(),
                slots=self._config.books.slots,
            )
            _log.info("booked", period=period)
            self._wake_senders()

    async def _sleep_until(self, instant: InstantMs) -> None:
        while (left := instant.value - self._now_ms()) > 0:
            await asyncio.sleep(min(left, 1000) / 1000)

    async def _settle(self, end: int) -> None:
        """Wait until every running meter has reported beyond *end*, at most the configured time."""
        wait = self._config.books.settle_ms
        deadline = max(end, self._now_ms()) + wait
        while True:
            self._read_spool()
            now = self._now_ms()
            for session in [key for key, since in self._away.items() if now - since >= wait]:
                _log.warning("meter-lost", session=session)
                self._end(session, now, lost=True)
            behind = [
                s for s in self._site.journal.open_sessions() if s.opened_at < end and self._newest.get(s.id, 0) < end
            ]
            # after a start, meters that began while we were away get a moment to come forward
            greeting = end < self._began and now < self._began + min(wait, GREETING_MS)
            if (not behind and not greeting) or now >= deadline:
                return
            self._moved.clear()
            await _within(self._moved, min(0.2, (deadline - now) / 1000))

    async def _say(self) -> None:
        """Say what the operator left in the inbox."""
        await self._signing.wait()
        while True:
            for said in say.serve(self._folder, self._site):
                _log.info("said", request=said.request, statement=said.digest, sequence=said.sequence)
                self._wake_senders()
            self._take_up()
            await asyncio.sleep(INBOX_S)

    def _take_up(self) -> None:
        """Note the receipts that somebody carried here (`node outbox receipts`)."""
        incoming = self._folder / carry.INCOMING
        if not incoming.is_dir():
            return
        taken = carry.take_up(incoming, self._folder / RECEIPTS, self._site.journal, self._site.versions)
        if taken.receipts:
            _log.info("receipts-brought", receipts=taken.receipts)
        for path, why in taken.strange:
            _log.warning("receipt-not-taken", path=path, why=why)
            Path(path).rename(Path(path).with_suffix(".bad"))

    # -- figures -----------------------------------------------------------------------------------------------------

    def _figures(self) -> MetricsServer | None:
        """Serve the figures where node.toml says so (``metrics-address``)."""
        if self._config.metrics is None:
            return None
        server = MetricsServer(self._config.metrics.listen, self.metrics)
        self.metrics_url = server.url
        return server

    async def _measure(self) -> None:
        while self._config.metrics is not None:
            certificate, now = self.lines.certificate, self._now_ms()
            days = None if certificate is None else certificate.days_left(now)
            moment = Moment(
                len(self._connected), len(self._away), self._brake.stopped, days, self.lines.renewed, self._alarm
            )
            self._alarm.look(due(self._site.document, self._site.journal, self._site.first_period(), now))
            self.metrics.refresh(self._folder, self._site, moment, now)
            await asyncio.sleep(REFRESH_S)

    # -- the brake ---------------------------------------------------------------------------------------------------

    def see(self, envelope: Envelope, source: str) -> Seen:
        """Take an order that somebody passed on; without the parties' signatures it changes nothing."""
        seen = self._brake.see(envelope, source)
        if seen.new:
            self._brake_moved.set()
        return seen

    def challenged(self, body: bytes, verifier: str) -> None:
        """Open the rows that *verifier* drew; a challenge that is not the treaty's is logged and not answered.

        Raises:
            JournalError: ``journal-io``, ``site-held``: the verifier's stream is opened again later.
        """
        if self._site.held:
            raise JournalError(code="site-held", message="this node signs nothing for now", found=self._site.held)
        try:
            made = opening.answer(self._site, body, verifier)
        except JournalError:
            raise
        except BrakelineError as error:
            _log.warning("challenge-not-answered", verifier=verifier, **error.as_dict())
            return
        if made:
            _log.info("rows-opened", verifier=verifier, statements=len(made))
            self._wake_senders()

    def heard(self, verifier: str) -> None:
        """A verifier has answered; it matters at once where its silence stopped something."""
        self._silence.hear(verifier, self._now_ms())
        if self._brake.silent:
            self._brake_moved.set()

    async def _press(self) -> None:
        """Tick when something moved, when a period begins, and when a deadline has come."""
        while True:
            self._brake_moved.clear()
            self._brake.silence(self._silence.silent(self._now_ms()))
            if self._brake.tick():
                self._wake_senders()
            due = min([*self._brake.due(), *self._silence.due(self._now_ms())])
            await _within(self._brake_moved, max(0.001, (due - self._now_ms()) / 1000))

    # -- the verifiers -----------------------------------------------------------------------------------------------

    def _wake_senders(self) -> None:
        self.lines.wake()

    async def _flush(self) -> None:
        """Wait until the outbox is empty, for a bounded time; what is left goes out after the next start."""
        self._wake_senders()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._flush_s):
                while any(self._waiting(verifier.name) for verifier in self._site.document.verifiers):
                    await asyncio.sleep(0.05)

    def _waiting(self, verifier: str) -> int:
        progress = self._site.journal.progress(verifier)
        return progress[Delivery.OPEN] + progress[Delivery.PENDING]


async def _within(moved: asyncio.Event, seconds: float) -> None:
    """Wait for *moved*, at most so long. (``wait_for`` of Python 3.11 loses a cancellation that comes with it.)"""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await moved.wait()
