"""The metering third party, as a process: ``python -m brakeline.testnet.meter --dir DIR``.

It stands for somebody with an instrument on each site's supply, whom the lab cannot talk to. The instrument is invented
(docs/decisions/0011-the-demos-energy-is-invented.md): it watches the processor time of processes it is told to tap, one
JSON line ``{"site": ..., "pid": ...}`` each on standard input, and turns it into joules with the treaty's chip class:

    joules = idle_watts x chips x seconds + (board_watts - idle_watts) x core-seconds

rounded down, core-seconds at most chips x seconds. All sites are metered alike; who cheats it does not know, and what
a process is for it does not ask. For each site and period one ``evidence`` statement is signed and sent to every
verifier, with the node's own library. The readings behind it are kept in ``readings/`` and committed to by their
SHA-256.

What it cannot see: processes it was not told to tap. Periods that it did not watch from their beginning it leaves out.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from brakeline.ledger import keyfile
from brakeline.node.books import Curve
from brakeline.node.journal import Delivery, Journal
from brakeline.node.meter import ProcessTree
from brakeline.node.sender import Sender
from brakeline.node.setup import JOURNAL, TREATY, load_treaty
from brakeline.node.site import Position, Site
from brakeline.node.tls import TlsFiles, open_channel
from brakeline.testnet.build import METER_SETTINGS
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.quantities import InstantMs, Joules
from brakeline.treaty.statements import Evidence, parse_statement
from brakeline.treaty.strictjson import canonical
from pydantic import BaseModel, ConfigDict, StrictInt, StrictStr

INTERVAL_S = 0.2
SETTLE_MS = 500
"""After a period's end: until a reading beyond it has been taken."""
FLUSH_S = 5.0


class Settings(BaseModel):
    """``meter.json``: whose meter, under which treaty, and how many chips of which class each site has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: StrictStr
    pin: StrictStr
    chip_class: StrictStr
    sites: Mapping[StrictStr, StrictInt]


@dataclass(frozen=True)
class Supply:
    """What a site draws: chips and the watts of one, at rest and busy."""

    chips: int
    idle_watts: int
    board_watts: int

    def joules(self, span_ms: int, busy_ms: int) -> int:
        """Return the joules of *span_ms* in which *busy_ms* of core time were used, rounded down.

        >>> Supply(chips=2, idle_watts=10, board_watts=100).joules(4000, 1000)
        170
        """
        busy = min(busy_ms, self.chips * span_ms)
        return (self.idle_watts * self.chips * span_ms + (self.board_watts - self.idle_watts) * busy) // 1000


@dataclass
class Tap:
    """One process and what was read of its tree: (Unix ms, cumulative core milliseconds) in order of time.

    *began* is when the process was created, and all counters were zero.
    """

    pid: int
    began: int
    points: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def busy_ms(self, start: int, end: int) -> int:
        """Return the core time used in [start, end), linear between readings."""
        curve = Curve(self.began, self.points)
        return curve.at(end) - curve.at(start)

    def readings(self, start: int, end: int) -> list[bytes]:
        """Return the raw readings within [start, end) and the one on either side, one canonical line each."""
        before = [point for point in self.points if point[0] < start][-1:]
        within = [point for point in self.points if start <= point[0] < end]
        after = [point for point in self.points if point[0] >= end][:1]
        return [
            canonical({"at": at, "began": self.began, "busy_ms": busy, "pid": self.pid}) + b"\n"
            for at, busy in (*before, *within, *after)
        ]

    def forget(self, before: int) -> None:
        """Drop readings that no period from *before* on needs."""
        keep = max((i for i, (at, _) in enumerate(self.points) if at < before), default=0)
        del self.points[:keep]


def now_ms() -> int:
    """Return the wall clock in Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Meter:
    """Taps, readings and the third party's chain of evidence."""

    def __init__(self, folder: Path, voice: Site, supplies: Mapping[str, Supply], clock: Callable[[], int]) -> None:
        """Meter the sites of *supplies*; sign as *voice*."""
        self._folder, self._voice, self._supplies, self._clock = folder, voice, supplies, clock
        self._taps: dict[str, list[Tap]] = {site: [] for site in supplies}
        self._trees: dict[int, ProcessTree] = {}
        self._said = _said(voice)
        grid = voice.document.grid
        self._next = grid.first_from(InstantMs(clock()))

    def tap(self, line: bytes) -> None:
        """Take a line of standard input; one that names no site of ours, or no process, is told and left out."""
        try:
            value = json.loads(line)
            site, pid = str(value["site"]), int(value["pid"])
            began = min(round(psutil.Process(pid).create_time() * 1000), self._clock())
            taps = self._taps[site]
        except (ValueError, KeyError, TypeError, psutil.Error) as error:
            print(f"meter-tap: not tapped: {line[:200]!r}: {error}", file=sys.stderr, flush=True)
            return
        taps.append(Tap(pid, began))
        self._trees[pid] = ProcessTree(pid)

    def read(self) -> None:
        """Take a reading of every tap."""
        for taps in self._taps.values():
            for tap in taps:
                busy = self._trees[tap.pid].sample()
                tap.points.append((self._clock(), busy))

    def due(self) -> bool:
        """Say whether the next period is over and read beyond its end."""
        return self._clock() >= self._voice.document.grid.end_of(self._next).value + SETTLE_MS

    def attest(self) -> int:
        """Sign the evidence of the next period for every site; return the period."""
        period = self._next
        grid = self._voice.document.grid
        start, end = grid.start_of(period), grid.end_of(period)
        for site, supply in self._supplies.items():
            if (site, start.value) in self._said:
                continue
            taps = self._taps[site]
            joules = supply.joules(end.value - start.value, sum(t.busy_ms(start.value, end.value) for t in taps))
            raw = b"".join(line for t in taps for line in t.readings(start.value, end.value))
            self._keep(site, period, raw)
            self._sign(site, start, end, joules, hashlib.sha256(raw).hexdigest())
        for taps in self._taps.values():
            for tap in taps:
                tap.forget(end.value)
        self._next = period + 1
        return period

    def _keep(self, site: str, period: int, raw: bytes) -> None:
        path = self._folder / "readings" / site.replace("/", "_") / f"{period}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)

    def _sign(self, site: str, start: InstantMs, end: InstantMs, joules: int, readings: str) -> None:
        def build(at: Position) -> Evidence:
            return Evidence(
                author=at.author,
                sequence=at.sequence,
                previous=at.previous,
                treaty=at.treaty,
                kind="energy",
                site=site,
                start=start,
                end=end,
                joules=Joules(joules),
                readings=readings,
            )

        self._voice.sign_and_spool(build)


def _said(voice: Site) -> set[tuple[str, int]]:
    """Return (site, start) of the evidence that a former run of this process has signed."""
    found: set[tuple[str, int]] = set()
    for item in voice.journal.envelopes():
        predicate = parse_statement(Envelope.from_body(item.body).payload).predicate
        if isinstance(predicate, Evidence):
            found.add((predicate.site, predicate.start.value))
    return found


def supplies_of(settings: Settings, document: TreatyDocument) -> dict[str, Supply]:
    """Return what each site draws, by the treaty's chip class."""
    terms = document.chip_class(settings.chip_class)
    if terms is None:
        raise ValueError(f"the treaty has no chip class {settings.chip_class}")
    return {site: Supply(chips, terms.idle_watts, terms.board_watts) for site, chips in settings.sites.items()}


async def run(meter: Meter, senders: list[Sender], journal: Journal, name: str) -> None:
    """Read, attest and send until SIGTERM; then send what is left, for a bounded time."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks = [asyncio.create_task(sender.run()) for sender in senders]
    tasks.append(asyncio.create_task(_listen(reader, meter)))
    print(json.dumps({"ready": {"meter": name}}), flush=True)
    while not stop.is_set():
        meter.read()
        while meter.due():
            meter.attest()
            for sender in senders:
                sender.wake()
        await asyncio.sleep(INTERVAL_S)
    deadline = loop.time() + FLUSH_S
    while loop.time() < deadline and any(_waiting(journal, sender) for sender in senders):
        await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()


async def _listen(reader: asyncio.StreamReader, meter: Meter) -> None:
    while line := await reader.readline():
        meter.tap(line)


def _waiting(journal: Journal, sender: Sender) -> int:
    progress = journal.progress(sender.verifier.name)
    return progress[Delivery.OPEN] + progress[Delivery.PENDING]


async def serve(folder: Path, settings: Settings, document: TreatyDocument, voice: Site) -> None:
    """Open the channels to every verifier and meter."""
    credentials = TlsFiles.within(folder / "tls").credentials()
    channels = [(verifier, open_channel(verifier, credentials)) for verifier in document.verifiers]
    senders = [Sender(v, channel, voice.journal, document, folder / "receipts") for v, channel in channels]
    meter = Meter(folder, voice, supplies_of(settings, document), now_ms)
    try:
        await run(meter, senders, voice.journal, settings.name)
    finally:
        for _, channel in channels:
            await channel.close(grace=0)


def main() -> int:
    """Read the command line and meter."""
    parser = argparse.ArgumentParser(description="The demo's metering third party.")
    parser.add_argument("--dir", type=Path, required=True)
    folder: Path = parser.parse_args().dir
    settings = Settings.model_validate_json((folder / METER_SETTINGS).read_bytes())
    document = load_treaty((folder / TREATY).read_bytes(), settings.pin)
    signer = keyfile.read_signer(folder / f"{settings.name}.pem", None)
    with Journal(folder / JOURNAL) as journal:
        asyncio.run(serve(folder, settings, document, Site(settings.name, document, journal, signer, now_ms)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
