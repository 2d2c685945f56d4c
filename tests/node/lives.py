"""Lives of one node, each ended by SIGKILL at a random moment: one folder, real verifiers, a metered program.

    python -m tests.node.lives FOLDER --lives 1000 --seed 1

Verifiers run in a process of their own, a program with a hook runs under `brakeline node meter` all the while. Each
life is a fork of this process (so that nothing is imported again): it opens the folder as `brakeline node run` does.
Every signature that any life makes is written down before it is returned. Prints one JSON object with what was found.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import FrameType

import structlog
import trustme
from brakeline.ledger import ed25519
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.source import HttpSource, Source
from brakeline.node import config, raw
from brakeline.node.journal import Journal
from brakeline.node.keys.chain import Chains, learn
from brakeline.node.keys.guard import Guard
from brakeline.node.meters.protocol import commitment
from brakeline.node.raw import RawCounters
from brakeline.node.sender import Sender
from brakeline.node.service import Node
from brakeline.node.setup import open_site
from brakeline.node.tls import TlsFiles
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.statements import Usage, parse_statement

from tests.node import house
from tests.support import cast
from tests.verifier import world

PERIOD_MS = 1000
PROGRAM = """
import json, os, sys, time
from brakeline.node.hook import Hook
hook, steps = Hook.connect(workload="lives", activity="training"), 0
while not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
    steps += 1
    hook.step(flop=1000, tokens=3)
hook.close()
print(json.dumps({"flop": 1000 * steps}))
"""


def treaty() -> TreatyDocument:
    """Return the treaty of four verifiers with short periods from now on."""
    value = world.treaty(4, heartbeat_ms=PERIOD_MS).to_json()
    value["grid"] = {"start": house.now_ms(), "period_ms": PERIOD_MS}
    return TreatyDocument.from_json(value)


def fork(work: partial[None]) -> int:
    """Run *work* in a child process; return its id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001  (nothing may return into the parent's code)
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def verifiers(folder: Path, made: world.World) -> None:
    """Serve until SIGTERM; the addresses go to a file."""

    async def serve() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async with world.running(made) as judges:
            found = {j.server.name: dict(j.addresses) for j in judges}
            (folder / "addresses.part").write_text(json.dumps(found))
            (folder / "addresses.part").rename(folder / "addresses")
            await stop.wait()

    asyncio.run(serve())


STEPS: tuple[tuple[type, str], ...] = (
    (Journal, "reserve"),
    (Guard, "permit"),
    (ed25519.SeedSigner, "sign"),
    (Journal, "signed"),
    (Journal, "delivered"),
    (Journal, "add_samples"),
    (Journal, "prune"),
    (RawCounters, "keep"),
    (Sender, "_keep"),
)
"""What a statement goes through. Random moments seldom fall between two of these; half of the lives end there."""


def doom(crossing: int) -> None:
    """Let this process kill itself when it enters or leaves a step for the *crossing*-th time."""
    left = crossing

    def cross() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(owner: type, name: str) -> None:
        inner = getattr(owner, name)

        def outer(*arguments: object, **named: object) -> object:
            cross()
            result = inner(*arguments, **named)
            cross()
            return result

        setattr(owner, name, outer)

    for owner, name in STEPS:
        wrap(owner, name)


def life(folder: Path, crossing: int = 0) -> None:
    """Be the node until killed; *crossing*: where it kills itself, 0 for nowhere."""
    written = os.open(folder / "signatures", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sign = ed25519.SeedSigner.sign

    def recorded(self: ed25519.SeedSigner, message: bytes) -> bytes:
        payload = message.split(b" ", 4)[4]
        statement = parse_statement(payload)
        assert statement.authored is not None
        os.write(written, f"{statement.authored.sequence} {statement.digest}\n".encode())
        return sign(self, message)

    ed25519.SeedSigner.sign = recorded  # type: ignore[method-assign]
    if crossing:
        doom(crossing)
    settings, site = open_site(folder / "node", None, house.now_ms)
    assert not site.held, site.held
    node = Node(folder / "node", settings, site, TlsFiles.within(folder / "node" / "tls"), house.now_ms)

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await node.run(lambda: None, stop)

    try:
        asyncio.run(run())
    finally:
        site.journal.close()


def until(condition: partial[bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def booked(folder: Path) -> tuple[int, list[Usage], list[tuple[int, str]]]:
    """Return the booked FLOP, the books and the positions of the chain."""
    _, site = open_site(folder / "node", None, house.now_ms)
    try:
        items = [item for item in site.journal.envelopes() if item.author == cast.SITE]
        said = [parse_statement(Envelope.from_body(item.body).payload).predicate for item in items]
        books = [predicate for predicate in said if isinstance(predicate, Usage)]
        return house.total(books, "training", "flop_model"), books, [(i.sequence, i.digest) for i in items]
    finally:
        site.journal.close()


def drained(folder: Path, period: int) -> bool:
    """Whether the books of *period*, and whatever was signed before them, are with every verifier."""
    with Journal(folder / "node" / "journal.db", read_only=True) as journal:
        digest = journal.usage(period)
        last = next((item.id for item in journal.envelopes() if item.digest == digest), None)
        if last is None:  # not booked, or not signed yet
            return False
        waiting = [item.id for name in cast.VERIFIERS for item in journal.undelivered(name, 1)]
        return all(number > last for number in waiting)


def check(folder: Path, document: TreatyDocument, flop: int) -> list[str]:
    """Return what is wrong at the end."""
    problems: list[str] = []
    total, books, positions = booked(folder)
    if total != flop:
        problems.append(f"booked {total} FLOP of {flop}")
    start = document.grid.start.value
    if [usage.start.value for usage in books] != [start + i * PERIOD_MS for i in range(len(books))]:
        problems.append("a period is booked twice, or missing")
    if [sequence for sequence, _ in positions] != list(range(len(positions))):
        problems.append("the chain has a hole, or a position twice")
    held = {item.digest: item for item in RawCounters(folder / "node", config.RawPart()).held()}
    metered = {line.meter.digest for usage in books for line in usage.lines if line.meter is not None}
    metered.discard(commitment([]))  # a busy machine may take no sample within a period of a second
    if lost := [digest for digest in metered if digest not in held or not raw.read(held[digest])]:
        problems.append(f"raw counters that were committed to are lost: {lost[:3]}")
    made = {tuple(line.split()) for line in (folder / "signatures").read_text().splitlines()}
    twice = [sequence for sequence, count in Counter(sequence for sequence, _ in made).items() if count > 1]
    if twice:
        problems.append(f"positions signed with several payloads: {twice[:9]}")
    if {(str(sequence), digest) for sequence, digest in positions[1:]} != made:
        problems.append("what was signed is not what the chain holds")
    addresses = json.loads((folder / "addresses").read_text())
    sources = {name: partial(HttpSource, found["http"]) for name, found in addresses.items()}
    chains = _learnt(document, sources)
    if [said.at for said in chains.branch(cast.SITE)] != positions or len(chains.ends(cast.SITE)) != 1:
        problems.append("the logs hold another chain")
    return problems


def _learnt(document: TreatyDocument, sources: Mapping[str, Callable[[], Source]]) -> Chains:
    """Read all four logs; on a machine that is busy their checkpoints may be old for a while."""
    for _ in range(60):
        try:
            return learn(document, cast.SITE, sources, house.now_ms, need=4)
        except BrakelineError:
            time.sleep(1)
    return learn(document, cast.SITE, sources, house.now_ms, need=4)


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lives", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--longest", type=float, default=0.8, help="seconds of a life at most")
    options = parser.parse_args()
    folder, rng = options.folder, random.Random(options.seed)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    document, authority = treaty(), trustme.CA()
    judges = fork(partial(verifiers, folder, world.World(folder / "verifiers", document, authority=authority)))
    house.make(folder, document, authority).journal.close()
    ended = signal.signal(signal.SIGTERM, _interrupt)
    began, program, problems = time.monotonic(), None, []
    try:
        if not until(partial((folder / "addresses").exists), 60):
            raise TimeoutError("the verifiers do not come up")
        settings = folder / "node" / config.FILE
        found = json.loads((folder / "addresses").read_text())
        lines = [f'"{name}" = "{addresses["grpc"]}"' for name, addresses in found.items()]
        settings.write_text("\n".join([settings.read_text(), "[books]", "settle_ms = 150", "[verifiers]", *lines, ""]))
        command = [*house.PROGRAM, "meter", "--dir", str(folder / "node"), "--", sys.executable, "-c", PROGRAM]
        program = subprocess.Popen([*command, str(folder / "stop")], stdout=subprocess.PIPE)
        for number in range(options.lives):
            crossing = rng.choice((0, rng.randint(1, 30)))
            child = fork(partial(life, folder, crossing))
            _wait(child, rng.uniform(0, options.longest) if not crossing else options.longest)
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            if not os.WIFSIGNALED(status):
                problems.append("a life ended by itself")
            if number % 100 == 99:
                print(f"{number + 1} lives", file=sys.stderr, flush=True)
        lasted = time.monotonic() - began
        (folder / "stop").touch()
        flop = int(json.loads(program.communicate(timeout=120)[0])["flop"])
        child = fork(partial(life, folder))
        last = document.grid.period_of(InstantMs(house.now_ms()))
        if not until(partial(drained, folder, last), 900):
            problems.append("the outbox does not drain")
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        problems += check(folder, document, flop)
        signatures = len((folder / "signatures").read_text().splitlines())
        value = {"lives": options.lives, "seconds": round(lasted), "signatures": signatures, "flop": flop}
        print(json.dumps({**value, "statements": len(booked(folder)[2]), "problems": problems}))
    finally:
        signal.signal(signal.SIGTERM, ended)
        if program is not None and program.poll() is None:
            program.kill()
            program.communicate()
        os.kill(judges, signal.SIGTERM)
        os.waitpid(judges, 0)
    return 1 if problems else 0


def _wait(child: int, seconds: float) -> None:
    """Wait so long, or until *child* has ended by itself (it stays a zombie)."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(min(0.01, left))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
