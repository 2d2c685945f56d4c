"""One verifier, wired: what starts in which order, what runs beside what, and how it ends.

Order of starting:

1. the witness, on its own store, and the HTTP side it answers on;
2. the log: open, replay through admission and log rules;
3. enough witnesses' memory of this log (:mod:`brakeline.verifier.boot`);
4. the publisher; enough witnesses' time (:mod:`brakeline.verifier.clock`); entry 0 of a fresh log is the treaty;
5. the writer, the mirrors of the peers; then gRPC, then the ready line.

It ends in the opposite order; the witness answers others until the last moment. If any of the tasks dies, the whole
verifier ends with its error rather than limping on.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from brakeline.ledger import collector
from brakeline.ledger.checkpoint import cosigned_at, open_checkpoint
from brakeline.ledger.entry import client_source
from brakeline.ledger.spill import Spill
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.judge import LogJudge, Past
from brakeline.treaty.logbody import Heartbeat, Mirrored
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.statements import parse_statement
from brakeline.treaty.succession import Succession
from brakeline.verifier import boot
from brakeline.verifier.clients import HttpWitness, OwnWitness, make_client
from brakeline.verifier.clock import ClockGuard, ClockWatch
from brakeline.verifier.config import Config, load_config, split_address
from brakeline.verifier.desk import VerifierDesk
from brakeline.verifier.guard import Guard
from brakeline.verifier.http import HttpServer, Pages, make_app, origin_hashes
from brakeline.verifier.intake import Submission
from brakeline.verifier.keys import Signers, Terms, keep_amendment, load_signers, load_terms
from brakeline.verifier.lines import Ends, Lines
from brakeline.verifier.loop import Committed, Feed, Writer
from brakeline.verifier.metrics import Metrics
from brakeline.verifier.peers import Peer, Peers
from brakeline.verifier.publish import Publication, Publisher, Signed
from brakeline.verifier.service import RpcServer
from brakeline.verifier.state import Judge, LogState, MakeJudge
from brakeline.verifier.storage import Storage
from brakeline.verifier.tls import IdentityCheck, certificate_days_left, roles_of, server_credentials
from brakeline.verifier.vault import FILE as VAULT
from brakeline.verifier.vault import Vault
from brakeline.verifier.witness import Witness
from brakeline.verifier.witness_store import WitnessStore

log = structlog.get_logger(__name__)

Clock = Callable[[], int]
_DAY_S = 86_400
_WARN_DAYS = (30, 7, 1)


def unix_ms() -> int:
    """Return the wall clock in Unix milliseconds: the only place where this party reads it."""
    return time.time_ns() // 1_000_000


class VerifierServer:
    """One verifier in this process. :meth:`start_witness`, :meth:`start_log`, then :meth:`finished`; :meth:`stop`."""

    def __init__(
        self,
        directory: Path,
        config: Config,
        terms: Terms,
        signers: Signers,
        *,
        now_ms: Clock = unix_ms,
        monotonic: Callable[[], float] = time.monotonic,
        judge: MakeJudge | None = None,
    ) -> None:
        """Prepare the verifier of *directory*; only the witness's store is opened yet.

        *judge*: another judge, for tests; by default the treaty's, whose past goes to a scratch file in *directory*.
        """
        self._judge = judge or self._judge_of
        self._directory = directory
        self._config = config
        self._terms = terms
        self._signers = signers
        self._now_ms = now_ms
        self._limits = config.limits
        self.metrics = Metrics()
        self.publication = Publication()
        self._embedded: str | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._http: HttpServer | None = None
        self._rpc: RpcServer | None = None
        self._writer: Writer | None = None
        self._feed = Feed()
        self._lines: Lines | None = None
        self._stopped = False
        self._storage: Storage | None = None
        self._client = make_client(config.limits.cosign_timeout_ms / 1000)
        self._known = list(self._versions())
        self._document = document = self._present()
        self._roles = roles_of(*self._versions())
        self._witness_store = WitnessStore(directory / "witness.sqlite")
        self._vault = None if signers.disclosure is None else Vault(directory / VAULT, signers.disclosure)
        self._witness = Witness(self._witness_store, {}, terms.own.witness_key, signers.witness, now_ms)
        self._guard = ClockGuard(peers=[], liars=0, skew_ms=0, now_ms=now_ms, monotonic=monotonic, metrics=self.metrics)
        self._follow(document)

    @property
    def name(self) -> str:
        """This verifier's name in the treaty."""
        return self._terms.own.name

    def _judge_of(self, document: TreatyDocument, past: Past) -> Judge:
        """Return a judge whose past goes to a scratch file beside the log."""
        return LogJudge(document, Spill(self._directory), past)

    def _versions(self) -> tuple[TreatyDocument, ...]:
        return (self._terms.document, *self._terms.versions)

    def _present(self) -> TreatyDocument:
        """Return the version that governs now, of those known: whom this verifier talks to, and how often."""
        first, *later = self._known
        return Succession(first, later).last(first.grid.period_of(InstantMs(self._now_ms())))

    def _follow(self, document: TreatyDocument) -> None:
        """Go by *document*, which governs from now on: whose logs are cosigned here, whose clocks ours is held to."""
        self._document = document
        self._own = document.verifier(self._terms.own.name) or self._terms.own
        self._witness.follow({verifier.origin: verifier.log_key for verifier in document.verifiers})
        self._guard.follow(
            peers=[v.witness_key for v in document.verifiers if v.name != self._terms.own.name],
            liars=document.quorum.liars,
            skew_ms=document.deadlines.skew_ms.value,
        )

    async def start_witness(self) -> str:
        """Start the HTTP side with the witness; return its base URL."""
        pages = Pages(
            publication=self.publication,
            tile=lambda path, size: self._storage.tile(path, size) if self._storage else None,
            witness=self._witness,
            origins=lambda: origin_hashes([verifier.origin for verifier in self._document.verifiers]),
            metrics=self.metrics,
            trouble=self._trouble,
        )
        address = self._config.listen.http or _default_http(self._terms.own.url)
        self._http = HttpServer(make_app(pages), address)
        port = await self._http.start()
        return f"http://{split_address(address)[0]}:{port}"

    async def start_log(self, peers: Mapping[str, str] | None = None) -> dict[str, str]:
        """Open and check the log, start everything else; return the addresses for the ready line.

        Args:
            peers: name -> base URL of other verifiers, where it differs from the treaty and ``verifier.toml``.
        """
        document, own = self._document, self._own
        known = self._config.peers | dict(peers or {})
        others = self._witnesses(document, known)
        storage = await asyncio.to_thread(Storage, self._directory, own.log_key, self._signers.log)
        self._storage = storage
        state = self._open_state(storage)
        announced = await asyncio.to_thread(state.boot)
        memory = boot.OwnLog(own.origin, own.log_key, state.size, storage.root_at)
        await boot.wait_for_memory(memory, self._witness, others, boot.memories_needed(document))
        feed = self._feed = Feed(announced)
        self.publication.current = await asyncio.to_thread(storage.published)
        lines, writer = self._writers(state, feed, storage, known)
        lines.offer(await writer.read(storage.signed))
        watch = ClockWatch(self._guard, lines.refresh, self._limits.poll_ms / 1000, self.metrics)
        self._spawn(lines.run(), watch.run())
        await self._guard.right()
        if not state.size:
            source = client_source(own.name)
            treaty = [Submission(item, source) for item in (self._terms.envelope, *self._terms.amendments)]
            first = await writer.read(lambda: state.commit([treaty], None))
            await feed.extend(first.announced)
            lines.offer(first.signed)
        lines.read()
        self._spawn(writer.run(), self._watch_certificate())
        return await self._start_rpc(state, storage, writer, feed)

    async def finished(self) -> None:
        """Return when a task ends, which only an error makes it do; raise that error."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self) -> None:
        """End streams, drain calls, finish the commit in progress, close the stores; the witness goes last. Once."""
        if self._stopped:
            return
        self._stopped = True
        await self._feed.end()  # a stream would never end by itself, and the calls would be drained to the last moment
        if self._rpc is not None:
            await self._rpc.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._lines is not None:
            await asyncio.to_thread(self._lines.close)
        if self._writer is not None:
            await asyncio.to_thread(self._writer.close)
        await self._client.aclose()
        if self._http is not None:
            await self._http.stop()
        self._witness_store.close()
        if self._vault is not None:
            self._vault.close()
        if self._storage is not None:
            await asyncio.to_thread(self._storage.close)

    def _open_state(self, storage: Storage) -> LogState:
        """Return the log in *storage* with its meaning, not replayed yet."""
        return LogState(
            self._terms.document,
            storage,
            self._judge,
            self._guard.stamp,
            self._vault,
            lambda: Spill(self._directory),
        )

    def _publisher(self, storage: Storage, others: list[HttpWitness]) -> Publisher:
        own = self._terms.own

        async def proofs(old: int, new: int) -> list[bytes]:
            return await asyncio.to_thread(storage.consistency, old, new)

        async def keep(signed: Signed) -> None:
            if self._writer is not None:
                await self._writer.read(lambda: storage.keep_published(signed))
            self.metrics.published.set(signed.size)
            self.metrics.published_at.set(self._now_ms())

        return Publisher(
            log_key=own.log_key,
            policy=self._document.witness_policy(own.origin),
            witnesses=[OwnWitness(self._witness), *others],
            proofs=proofs,
            publication=self.publication,
            store=keep,
            clock=self._guard,
            metrics=self.metrics,
            timeout=self._limits.cosign_timeout_ms / 1000,
            grace=self._limits.cosign_grace_ms / 1000,
        )

    def _witnesses(self, document: TreatyDocument, known: Mapping[str, str]) -> list[HttpWitness]:
        """Return the other verifiers' witnesses; *known*: name -> base URL where it differs from the treaty."""
        others = [item for item in document.verifiers if item.name != self._own.name]
        return [HttpWitness(item.witness_key, known.get(item.name, item.url), self._client) for item in others]

    def _writers(self, state: LogState, feed: Feed, storage: Storage, known: Mapping[str, str]) -> tuple[Lines, Writer]:
        lines: Lines

        def heartbeat() -> Heartbeat:
            return Heartbeat(checkpoint=self._to_embed(), mirrored=tuple(filter(self._agrees, lines.mirrored())))

        def committed(result: Committed) -> None:
            lines.offer(result.signed)
            self._amended(result)

        writer = Writer(
            state,
            heartbeat=heartbeat,
            heartbeat_s=lambda: self._document.deadlines.heartbeat_ms.value / 1000,
            gather_s=self._limits.gather_ms / 1000,
            most=self._limits.commit_items,
            on_commit=committed,
            trouble=self._guard.trouble,
            feed=feed,
            metrics=self.metrics,
        )

        def connect(document: TreatyDocument) -> Ends:
            peers = [
                Peer(
                    v.origin,
                    known.get(v.name, v.url),
                    self._directory / "mirror" / v.origin,
                    v.log_key,
                    document.witness_policy(v.origin),
                )
                for v in document.verifiers
                if v.name != self._terms.own.name
            ]
            poll_s = self._limits.poll_ms / 1000
            return Ends(
                self._publisher(storage, self._witnesses(document, known)),
                Peers(peers, submit=writer.submit, poll_s=poll_s, metrics=self.metrics),
            )

        lines = Lines(self._present, self._follow, connect, self._limits.poll_ms / 1000)
        self._writer, self._lines = writer, lines
        return lines, writer

    def _amended(self, result: Committed) -> None:
        """Keep a version of the treaty that the log took, and let those call whom it names; its time comes later."""
        for _, item in result.announced:
            document = None if isinstance(item, bytes) else parse_statement(item.payload).predicate
            if isinstance(item, bytes) or not isinstance(document, TreatyDocument) or document.version == 1:
                continue
            keep_amendment(self._directory, item)
            self._roles |= roles_of(document)
            self._known.append(document)
            log.warning(
                "treaty-amended",
                version=document.version,
                digest=document.digest,
                from_period=document.effective_period,
            )

    def _to_embed(self) -> str | None:
        """Return the published checkpoint for the next heartbeat; one whose times contradict ours waits for others."""
        current = self.publication.current
        if current is not None:
            witnesses = [verifier.witness_key for verifier in self._document.verifiers]
            times = open_checkpoint(current.note, self._terms.own.log_key, witnesses).cosignatures.values()
            if self._guard.agrees(times, current.newest_ms):
                self._embedded = current.note.decode("utf-8")
        return self._embedded

    def _agrees(self, item: Mirrored) -> bool:
        """Say whether a peer's checkpoint may stand in a heartbeat of now; one cosigned later, by our clock, waits."""
        witnesses = [verifier.witness_key for verifier in self._document.verifiers]
        times = cosigned_at(item.checkpoint.encode(), witnesses, believed=True)
        if self._guard.agrees(times.values(), 0):
            return True
        return self._guard.agrees(cosigned_at(item.checkpoint.encode(), witnesses).values(), 0)

    def _trouble(self) -> str:
        """Why no statements are taken now, for ``/healthz``."""
        trouble = self._guard.trouble()
        if trouble is not None:
            return str(trouble)
        return "" if self._rpc is not None else "not-serving: this verifier does not sign its log yet"

    async def _start_rpc(self, state: LogState, storage: Storage, writer: Writer, feed: Feed) -> dict[str, str]:
        config, own = self._config, self._terms.own
        tls = [self._directory / path for path in (config.tls.certificate, config.tls.key, config.tls.client_ca)]
        desk = VerifierDesk(
            origin=own.origin,
            treaty=self._terms.document.digest,
            writer=writer,
            positions=state,
            publication=self.publication,
            receipts=storage.receipts,
            feed=feed,
            wait_s=self._limits.receipt_wait_ms / 1000,
            vault=self._vault,
        )
        check = IdentityCheck(tls[2], self._roles, self._now_ms)
        rpc = RpcServer(
            desk,
            Guard(check, self._limits, self.metrics),
            server_credentials(tls[0], tls[1], tls[2]),
            self._limits,
            self.metrics,
        )
        address = config.listen.grpc or own.grpc
        port = await rpc.start(address)
        await rpc.set_serving(True)
        self._rpc = rpc
        http = self._http.port if self._http else 0
        return {
            "name": own.name,
            "grpc": f"{split_address(address)[0]}:{port}",
            "http": f"http://{split_address(config.listen.http or _default_http(own.url))[0]}:{http}",
        }

    async def _watch_certificate(self) -> None:
        path = self._directory / self._config.tls.certificate
        while True:
            days = certificate_days_left(path, self._now_ms())
            self.metrics.certificate_days.set(days)
            if any(days <= limit for limit in _WARN_DAYS):
                log.warning("certificate-expires", days=days, path=str(path))
            await asyncio.sleep(_DAY_S)

    def _spawn(self, *runs: Coroutine[None, None, None]) -> None:
        self._tasks += [asyncio.create_task(run) for run in runs]


def _default_http(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def run(
    directory: Path,
    *,
    passphrase: bytes | None,
    on_ready: Callable[[dict[str, str]], None],
    log_level: str = "info",
    make: Callable[[Path, Config, Terms, Signers], VerifierServer] = VerifierServer,
) -> None:
    """Serve the verifier of *directory* until SIGTERM or SIGINT; *make* makes the server of it.

    Raises:
        BrakelineError: a mistake in the directory, an address that is taken, a log that must not be signed.
    """
    _log_to_stderr(log_level)
    config = load_config(directory)
    terms = load_terms(directory, config)
    signers = load_signers(directory, config, terms.own, passphrase)
    collector.settle()
    asyncio.run(_serve(make(directory, config, terms, signers), on_ready))


async def _serve(server: VerifierServer, on_ready: Callable[[dict[str, str]], None]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    stop = asyncio.create_task(stopping.wait())
    work = asyncio.create_task(_work(server, on_ready))
    try:
        await asyncio.wait([stop, work], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
    finally:
        for task in (stop, work):
            task.cancel()
        await asyncio.gather(stop, work, return_exceptions=True)
        await server.stop()


async def _work(server: VerifierServer, on_ready: Callable[[dict[str, str]], None]) -> None:
    await server.start_witness()
    on_ready(await server.start_log())
    await server.finished()


def _log_to_stderr(level: str) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
