"""Small worlds for tests: a treaty's verifiers and their logs, in memory, with a clock that only the test moves.

What it is: a deterministic record of several verifiers as an auditor would find it. Every statement, checkpoint and
cosignature is signed for real with the cast's keys; heartbeats embed the peers' checkpoints; verifiers take over the
statements they lack. Equal calls give equal bytes. What it is not: a verifier. Nothing is durable, no admission guards
the door (:meth:`World.publish` asserts it, :meth:`WorldLog.append` does not), so that a test can make a verifier
misbehave in any way and still sign for it.

    world = honest()                     # four logs, two sites, three periods of books
    world.publish(envelope)              # into every log; to=[0] into the first only
    world.beat()                         # one second: take-over, heartbeat, findings, checkpoint, cosignatures
    paths = world.export(tmp_path)       # one C2SP tlog-tiles directory a log

Misbehaviour: ``log.silent`` stops a log's heartbeats and checkpoints, ``log.deaf`` stops its take-over,
``log.findings = lambda due: [...]`` changes what it logs after a heartbeat (``log.challenges``, ``log.opinions`` too),
``log.witnesses`` says who cosigns. :meth:`World.disclose` gives verifiers what opens a statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from brakeline.ledger.checkpoint import Checkpoint, add_signatures, cosign, sign_checkpoint
from brakeline.ledger.entry import Entry, Kind, client_source, first_previous, peer_source
from brakeline.ledger.merkle import EMPTY_ROOT, leaf_hash, node_hash
from brakeline.ledger.tiles import TILE_WIDTH, encode_bundle, entries_path, tile_path
from brakeline.treaty.admission import Admitted, admit
from brakeline.treaty.disclosure import Disclosure
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.logbody import Heartbeat, Mirrored
from brakeline.treaty.opinion_log import OpinionLog
from brakeline.treaty.register import Register
from brakeline.treaty.replay import statements_again
from brakeline.treaty.spotcheck.challenge import Challenger

from tests.support import cast

BEAT = 1_000
"""Milliseconds of a beat: the tests' treaty wants a heartbeat a second."""

Bodies = list[bytes]
"""Bodies of finding entries, in log order."""


class WorldLog:
    """One verifier's log.

    Attributes:
        name: the verifier's name, which is the origin.
        entries: all of them, freely editable before the next checkpoint.
        published: the newest checkpoint note with its cosignatures, or None.
        silent, deaf, findings, witnesses: see the module's docstring.
    """

    def __init__(self, name: str, document: TreatyDocument) -> None:
        self.name = name
        self.entries: list[Entry] = []
        self.published: bytes | None = None
        self.published_size = 0
        self.silent = False
        self.deaf = False
        self.findings: Callable[[Bodies], Bodies] = list
        self.witnesses: Sequence[str] = tuple(verifier.name for verifier in document.verifiers)
        self.register = Register(document)
        self.digests: set[str] = set()
        self.judge = LogJudge(document, past=lambda: statements_again(self.entries[: self.judged]))
        self.judged = 0
        self.challenger = Challenger(document, name)
        self.challenges: Callable[[Bodies], Bodies] = list
        self.disclosures: dict[str, Disclosure] = {}
        self.opinion_log = OpinionLog(document, name, self.disclosures.get)
        self.opinions: Callable[[Bodies], Bodies] = list

    def append(self, now_ms: int, kind: Kind, body: bytes, source: bytes = b"") -> Entry:
        """Append whatever *body* is; statements that are admissible enter the register."""
        previous = self.entries[-1].digest if self.entries else first_previous(self.name)
        entry = Entry(len(self.entries), previous, now_ms, kind, source, body)
        self.entries.append(entry)
        if kind in (Kind.TREATY, Kind.STATEMENT):
            envelope = Envelope.from_body(body)
            self.digests.add(envelope.digest)
            outcome = admit(self.register, envelope, now_ms=now_ms, from_peer=True)
            if isinstance(outcome, Admitted) and not outcome.known:
                self.register.record(outcome.statement, entry.index)
                self.judge.add(entry.index, kind, outcome.statement)
                self.judged = entry.index + 1
                self.challenger.take(entry.index, now_ms, outcome.statement)
                self.opinion_log.take(outcome.statement, now_ms, envelope.payload)
        return entry

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first *size* entries (all of them by default)."""
        return _root([entry.leaf_hash for entry in self.entries[:size]])

    def sign(self, now_ms: int, size: int | None = None, root: bytes | None = None) -> bytes:
        """Return a checkpoint note over the first *size* entries (or a *root* of the caller's), cosigned."""
        size = len(self.entries) if size is None else size
        checkpoint = Checkpoint(self.name, size, self.root(size) if root is None else root)
        note = sign_checkpoint(checkpoint, cast.vkey(self.name, "log"), cast.signer(self.name, "log"))
        seconds = now_ms // 1000
        return add_signatures(
            note,
            [cosign(note, cast.vkey(w, "witness"), cast.signer(w, "witness"), seconds) for w in self.witnesses],
        )

    def publish(self, now_ms: int) -> None:
        """Sign and publish the newest checkpoint."""
        self.published, self.published_size = self.sign(now_ms), len(self.entries)

    def export(self, directory: Path) -> Path:
        """Write the published prefix as a C2SP tlog-tiles directory and return it."""
        entries = [entry.encode() for entry in self.entries[: self.published_size]]
        return write_log(directory, self.published or self.sign(cast.START, 0), entries)


class World:
    """The verifiers of one treaty, their clock, and the sites of the cast."""

    def __init__(self, document: TreatyDocument | None = None) -> None:
        """Start every log with the treaty, at the start of period 0."""
        self.document = document or cast.document()
        self.pin = self.document.digest
        self.now_ms = cast.START
        self.logs = [WorldLog(verifier.name, self.document) for verifier in self.document.verifiers]
        self.treaty = cast.treaty_envelope(self.document)
        for log in self.logs:
            log.append(self.now_ms, Kind.TREATY, self.treaty.to_body())

    def publish(self, envelope: Envelope, *, to: Iterable[int] | None = None, by: str = "client.example") -> None:
        """Append *envelope*, which must be admissible, to the logs *to* (indices; default all)."""
        for index in range(len(self.logs)) if to is None else to:
            log = self.logs[index]
            outcome = admit(log.register, envelope, now_ms=self.now_ms)
            assert isinstance(outcome, Admitted), outcome
            if not outcome.known:
                version = isinstance(outcome.statement.predicate, TreatyDocument)
                kind = Kind.TREATY if version else Kind.STATEMENT
                log.append(self.now_ms, kind, envelope.to_body(), client_source(by))

    def disclose(self, disclosure: Disclosure, *, to: Iterable[int] | None = None) -> None:
        """Let the verifiers *to* (indices; default all) hold *disclosure*, and say so where they may."""
        for index in range(len(self.logs)) if to is None else to:
            log = self.logs[index]
            log.disclosures[disclosure.statement] = disclosure
            body = log.opinion_log.holding(disclosure.statement)
            if body is not None:
                log.append(self.now_ms, Kind.OPINION, body)
                log.opinion_log.hold(disclosure.statement, self.now_ms)

    def beat(self, times: int = 1) -> None:
        """Let a heartbeat interval pass, *times* over: take-over, heartbeat, findings, checkpoint, cosignatures."""
        for _ in range(times):
            self.now_ms += self.document.deadlines.heartbeat_ms.value
            awake = [log for log in self.logs if not log.silent]
            for log in awake:
                self._take_over(log)
                self._heartbeat(log)
            for log in awake:
                log.publish(self.now_ms)

    def until(self, instant_ms: int) -> None:
        """Beat until the clock has reached *instant_ms*."""
        while self.now_ms < instant_ms:
            self.beat()

    def export(self, directory: Path) -> list[Path]:
        """Export every log into ``directory/<name>`` and return those paths, in the treaty's order."""
        return [log.export(directory / log.name) for log in self.logs]

    def write_treaty(self, path: Path) -> Path:
        """Write the signed treaty as DSSE JSON to *path* and return it."""
        _write(path, self.treaty.to_dsse_json())
        return path

    def _take_over(self, log: WorldLog) -> None:
        for peer in self.logs:
            if log.deaf or peer is log:
                continue
            for entry in peer.entries[: peer.published_size]:
                if entry.kind not in (Kind.TREATY, Kind.STATEMENT):
                    continue
                envelope = Envelope.from_body(entry.body)
                fits = envelope.digest not in log.digests
                if fits and isinstance(admit(log.register, envelope, now_ms=self.now_ms, from_peer=True), Admitted):
                    log.append(self.now_ms, entry.kind, entry.body, peer_source(peer.name, entry.index))

    def _heartbeat(self, log: WorldLog) -> None:
        mirrored = tuple(
            Mirrored(origin=peer.name, checkpoint=peer.published.decode())
            for peer in sorted(self.logs, key=lambda item: item.name)
            if peer is not log and peer.published is not None
        )
        own = log.published.decode() if log.published is not None else None
        beat = Heartbeat(checkpoint=own, mirrored=mirrored)
        log.append(self.now_ms, Kind.HEARTBEAT, beat.body)
        findings = log.judge.heartbeat()
        opinions = log.opinion_log.heartbeat(self.now_ms, findings)
        for body in log.findings(findings):
            log.append(self.now_ms, Kind.FINDING, body)
        for body in log.challenges(log.challenger.heartbeat(self.now_ms, beat)):
            log.append(self.now_ms, Kind.CHALLENGE, body)
        for body in log.opinions(opinions):
            log.append(self.now_ms, Kind.OPINION, body)


class Site:
    """One enrolled site of a world that can report period after period."""

    def __init__(self, world: World, name: str) -> None:
        """Enrol the site *name* and declare its inventory, in every log."""
        self.world = world
        self.author = cast.Author(name, world.document)
        world.publish(cast.Author(name.partition("/")[0], world.document).enrol(name))
        inventory = self.author.hold()
        self.inventory = inventory.digest
        world.publish(inventory)

    def books(self, period: int, *, training: int = 6_000, missing: int = 0, advance: bool = True) -> Envelope:
        """Return the books of *period*: *training* chip-ms of training, the rest idle, *missing* left out."""
        idle = cast.CHIPS * cast.PERIOD - training - missing
        lines = (cast.line("training", training, flop_model="1000000"), cast.line("idle", idle))
        return self.author.use(period, self.inventory, lines, advance=advance)

    def report(self, period: int, *, to: Iterable[int] | None = None, missing: int = 0, training: int = 6_000) -> None:
        """Publish the books of *period*."""
        self.world.publish(self.books(period, training=training, missing=missing), to=to, by=self.author.name)


def write_log(directory: Path, note: bytes, entries: Sequence[bytes]) -> Path:
    """Write a log as a C2SP tlog-tiles directory and return it."""
    _write(directory / "checkpoint", note)
    for start in range(0, len(entries), TILE_WIDTH):
        part = entries[start : start + TILE_WIDTH]
        _write(directory / entries_path(start // TILE_WIDTH, len(part)), encode_bundle(part))
    level, hashes = 0, [leaf_hash(entry) for entry in entries]
    while hashes:
        for start in range(0, len(hashes), TILE_WIDTH):
            tile = hashes[start : start + TILE_WIDTH]
            _write(directory / tile_path(level, start // TILE_WIDTH, len(tile)), b"".join(tile))
        full = [hashes[i : i + TILE_WIDTH] for i in range(0, len(hashes) - TILE_WIDTH + 1, TILE_WIDTH)]
        level, hashes = level + 1, [_root(part) for part in full]
    return directory


def honest(periods: int = 3, document: TreatyDocument | None = None) -> World:
    """Two sites, *periods* periods of balanced books reported one second after each period, then one more beat."""
    world, sites = _begin(document)
    for period in range(periods):
        world.until(cast.START + (period + 1) * cast.PERIOD + BEAT)
        for site in sites:
            site.report(period)
    world.beat(2)
    return world


def cheating(periods: int = 3, document: TreatyDocument | None = None) -> World:
    """As :func:`honest`, but the second site leaves 500 chip-ms out of period 1, and signs period 2 twice (the two
    versions go to two halves of the verifiers)."""
    world, (good, bad) = _begin(document)
    for period in range(periods):
        world.until(cast.START + (period + 1) * cast.PERIOD + BEAT)
        good.report(period)
        if period == 2:
            other = bad.books(period, training=5_000, advance=False)
            world.publish(other, to=(2, 3), by=bad.author.name)
            bad.report(period, to=(0, 1))
        else:
            bad.report(period, missing=500 if period == 1 else 0)
    world.beat(4)
    return world


def _begin(document: TreatyDocument | None) -> tuple[World, list[Site]]:
    world = World(document)
    world.beat()
    return world, [Site(world, cast.SITE), Site(world, cast.OTHER_SITE)]


def _root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY_ROOT
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    return node_hash(_root(leaves[:half]), _root(leaves[half:]))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
