"""A lost checkpoint store: what witnesses remember puts it back, and no answer of theirs can make the log fork."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw
import httpx
import pytest
from brakeline.ledger.checkpoint import Checkpoint, add_signatures, cosign, open_checkpoint, sign_checkpoint
from brakeline.ledger.checkpoint_store import CheckpointStore, read_slot
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.recover import put_back
from brakeline.ledger.sequencer import SIGNED
from brakeline.ledger.sqlite_store import SqliteStore
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.strictjson import JsonObject
from brakeline.verifier.boot import OwnLog, wait_for_memory
from brakeline.verifier.clients import HttpWitness, make_client
from brakeline.verifier.commands import app
from brakeline.verifier.config import Config
from brakeline.verifier.keys import Terms
from brakeline.verifier.recover import Recovered, recover
from brakeline.verifier.witness import Witness
from brakeline.verifier.witness_store import Witnessed, WitnessStore
from typer.testing import CliRunner

from tests.ledger import logs
from tests.support import cast
from tests.verifier import process, world
from tests.verifier.world import World

OWN, LOG = logs.ORIGIN, logs.KEY
JOINED = "verifier-5.example"
HOUR = 3_600_000


@dataclass
class Scene:
    """A verifier that lost its checkpoint store, and what it and its three peers remember of its log."""

    world: World
    answers: dict[str, bytes | None]
    notes: dict[int, bytes]
    port: int = 0
    amendment: Envelope | None = None

    @property
    def directory(self) -> Path:
        """The verifier's."""
        return self.world.directory(OWN)

    @property
    def remembered(self) -> bytes | None:
        """What the checkpoint store holds."""
        path = self.directory / "checkpoint.sqlite"
        return read_slot(path, SIGNED) if path.exists() else None

    def recover(self, *, never_restored: bool = False) -> Recovered:
        """Run the recovery."""
        document = self.world.document
        peers = {name: f"http://127.0.0.1:{self.port}/{name}" for name in (*cast.VERIFIERS, JOINED)}
        config = Config(name=OWN, pin=document.digest, peers=peers)
        later = () if self.amendment is None else (self.amendment,)
        terms = Terms(cast.treaty_envelope(document), document, document.verifiers[0], later)
        return recover(self.directory, config, terms, now_ms=logs.TIME + HOUR, never_restored=never_restored)

    async def refused(self, code: str, *, never_restored: bool = False) -> BrakelineError:
        """Expect a refusal that leaves the store as it was."""
        before = self.remembered
        with pytest.raises(BrakelineError) as caught:
            await asyncio.to_thread(self.recover, never_restored=never_restored)
        assert caught.value.code == code, caught.value
        assert self.remembered == before
        return caught.value

    def cosigned(self, witness: str, note: bytes) -> bytes:
        """*note* with the cosignature of *witness*."""
        line = cosign(note, cast.vkey(witness, "witness"), cast.signer(witness, "witness"), 1_767_225_600)
        return add_signatures(note, [line])


@asynccontextmanager
async def scene(tmp_path: Path, remembered: Sequence[int] = (7, 7, 7, 5)) -> AsyncIterator[Scene]:
    """A log of 7 entries without its checkpoint store; who remembers how many (verifier 0 is the one that lost it)."""
    four = World(tmp_path, world.treaty(4))
    directory = four.directory(OWN)
    sequencer = logs.sequencer(directory)
    notes = {0: sequencer.append([], logs.TIME).note}
    for count in range(1, 8):
        notes[count] = sequencer.append(logs.candidates(1, count - 1), logs.TIME).note
    sequencer.close()
    for path in directory.glob("checkpoint.sqlite*"):
        path.unlink()
    made = Scene(four, {}, notes)
    for name, size in zip(cast.VERIFIERS, remembered, strict=False):
        made.answers[name] = made.cosigned(name, notes[size])
    remember_own(made, made.answers[OWN])
    async with AsyncExitStack() as stack:
        server = await asyncio.start_server(lambda r, w: answer(made.answers, r, w), "127.0.0.1", 0)
        stack.push_async_callback(server.wait_closed)
        stack.callback(server.close)
        made.port = server.sockets[0].getsockname()[1]
        yield made


def remember_own(made: Scene, note: bytes | None) -> None:
    """Make our own witness's store remember *note*, or nothing."""
    for path in made.directory.glob("witness.sqlite*"):
        path.unlink()
    store = WitnessStore(made.directory / "witness.sqlite")
    if note is not None:
        checkpoint = open_checkpoint(note, LOG).checkpoint
        store.swap(OWN, lambda _: Witnessed(checkpoint.size, checkpoint.root, note))
    store.close()


async def answer(
    answers: Mapping[str, bytes | None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer one request as the witness in its path would: its note, 404 for None, 500 for a witness not listed."""
    request = await reader.readuntil(b"\r\n\r\n")
    name = request.split(b" ")[1].decode().split("/")[1]
    note = answers.get(name)
    status = b"500 Oops" if name not in answers else b"404 Not Found" if note is None else b"200 OK"
    body = note or b""
    writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body))
    await writer.drain()
    writer.close()


def test_the_newest_note_that_the_witnesses_remember_is_put_back_and_the_log_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, (6, 7, 3, 5)) as it:
            done = await asyncio.to_thread(it.recover)
            assert (done.checkpoint.size, done.held, done.needed) == (7, 7, 4)
            assert [item.size for item in done.memories] == [6, 7, 3, 5]
            assert it.remembered == it.notes[7]  # the log's own signature and nothing else
            log = logs.sequencer(it.directory)
            assert log.append(logs.candidates(1, 7), logs.TIME).size == 8
            log.close()
            await it.refused("store-remembers")

    asyncio.run(scenario())


def test_a_log_that_is_ahead_of_every_memory_goes_on_from_all_it_holds(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path, (3, 3, 2, 0)) as it:
            done = await asyncio.to_thread(it.recover)
            assert (done.checkpoint.size, done.held) == (3, 7)
            log = logs.sequencer(it.directory)
            assert log.append([], logs.TIME).note == it.notes[7]
            log.close()

    asyncio.run(scenario())


def test_an_older_note_never_wins_over_a_newer_one_whoever_answers(tmp_path: Path) -> None:
    """A log brought back short, while all but one witness show only what it still leads to."""

    async def scenario() -> None:
        async with scene(tmp_path, (4, 4, 4, 7)) as it:
            shorten(it.directory, 5)
            error = await it.refused("store-behind")
            assert "at least 7 entries" in str(error)
            assert "found 5" in str(error)
            await it.refused("store-behind", never_restored=True)

    asyncio.run(scenario())


def test_another_history_is_refused_wherever_it_shows(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path) as it:
            other = sign_checkpoint(Checkpoint(OWN, 4, bytes(32)), LOG, cast.signer(OWN, "log"))
            for name in cast.VERIFIERS[1:]:
                honest, it.answers[name] = it.answers[name], it.cosigned(name, other)
                error = await it.refused("store-forked")
                assert "size 4" in str(error)
                it.answers[name] = honest
            assert (await asyncio.to_thread(it.recover)).checkpoint.size == 7

    asyncio.run(scenario())


def test_too_few_witnesses_put_nothing_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path) as it:
            del it.answers[cast.VERIFIERS[3]]
            error = await it.refused("recover-too-few")  # the file may be a copy: all of them must answer
            assert f"{cast.VERIFIERS[3]}/witness" in error.found
            del it.answers[cast.VERIFIERS[2]]
            await it.refused("recover-too-few", never_restored=True)  # n - w + f + 1 = 3, and our own is one
            it.answers[cast.VERIFIERS[2]] = None
            done = await asyncio.to_thread(it.recover, never_restored=True)
            assert (done.checkpoint.size, done.needed) == (7, 3)
            assert [item.size for item in done.memories] == [7, 7, None, None]

    asyncio.run(scenario())


@pytest.mark.parametrize(("effective", "asked"), [(1, True), (10**9, False)], ids=["governs", "not yet"])
def test_after_an_amendment_enough_witnesses_of_both_versions_must_answer(
    tmp_path: Path, effective: int, asked: bool
) -> None:
    """Version 2 puts a fifth verifier in the place of the fourth: either may be the one that knows the newest note."""

    async def scenario() -> None:
        async with scene(tmp_path) as made:
            made.amendment = _fifth_for_fourth(made.world.document, effective)
            if asked:
                refused = await made.refused("recover-too-few")
                assert JOINED in refused.found
                assert "version 2" in refused.expected
            made.answers[JOINED] = made.cosigned(JOINED, made.notes[7])
            last = made.answers.pop(cast.VERIFIERS[3])
            refused = await made.refused("recover-too-few")
            assert cast.VERIFIERS[3] in refused.found
            assert "version 1" in refused.expected
            made.answers[cast.VERIFIERS[3]] = last
            done = await asyncio.to_thread(made.recover)
            assert done.checkpoint.size == 7
            assert (f"{JOINED}/witness" in {item.witness for item in done.memories}) is asked

    asyncio.run(scenario())


def _fifth_for_fourth(first: TreatyDocument, effective: int) -> Envelope:
    lines = cast.json_lines(first.to_json()["verifier"])
    keys: JsonObject = {"log_key": str(cast.vkey(JOINED, "log")), "witness_key": str(cast.vkey(JOINED, "witness"))}
    return cast.amendment_envelope(
        cast.amended(first, effective, verifier=[*lines[:3], {**lines[3], "name": JOINED, **keys}])
    )


def test_our_own_witness_counts_only_while_it_remembers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path) as it:
            remember_own(it, None)
            await it.refused("recover-too-few")
            it.answers[cast.VERIFIERS[3]] = None
            assert (await asyncio.to_thread(it.recover, never_restored=True)).checkpoint.size == 7

    asyncio.run(scenario())


@pytest.mark.parametrize("lie", ["stranger", "unsigned", "not cosigned", "another witness", "forged", "noise"])
def test_an_answer_that_does_not_verify_is_no_answer(tmp_path: Path, lie: str) -> None:
    async def scenario() -> None:
        async with scene(tmp_path) as it:
            name, other = cast.VERIFIERS[1], cast.VERIFIERS[2]
            honest = it.answers[name]
            assert honest is not None
            foreign = sign_checkpoint(
                Checkpoint(other, 7, bytes(32)), cast.vkey(other, "log"), cast.signer(other, "log")
            )
            text, lines = honest.split(b"\n\n")
            it.answers[name] = {
                "stranger": it.cosigned(name, foreign),
                "unsigned": text + b"\n\n" + lines.split(b"\n")[1] + b"\n",
                "not cosigned": it.notes[7],
                "another witness": it.cosigned(other, it.notes[7]),
                "forged": honest.replace(b"\n7\n", b"\n9\n"),
                "noise": b"\xff" * 100,
            }[lie]
            await it.refused("recover-too-few")

    asyncio.run(scenario())


def test_a_log_that_nobody_remembers_stays_as_it_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path) as it:
            it.answers |= dict.fromkeys(cast.VERIFIERS)
            remember_own(it, None)
            await it.refused("recover-nothing", never_restored=True)

    asyncio.run(scenario())


def test_damage_in_the_log_is_found_before_anything_is_put_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path) as it:
            db = apsw.Connection(str(it.directory / "log.sqlite"))
            db.execute("UPDATE entry SET data = zeroblob(90) WHERE idx = 2")
            db.close()
            await it.refused("store-corrupt")

    asyncio.run(scenario())


def test_without_a_log_or_beside_a_running_verifier_it_does_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scene(tmp_path) as it:
            running = SqliteStore(it.directory / "log.sqlite")
            await it.refused("store-locked")
            running.close()
            for path in it.directory.glob("log.sqlite*"):
                path.unlink()
            await it.refused("recover-no-log")
            assert not (it.directory / "log.sqlite").exists()

    asyncio.run(scenario())


def test_of_two_that_put_back_at_once_one_wins(tmp_path: Path) -> None:
    log = logs.filled(tmp_path, 3)
    note = log.note
    assert note is not None
    log.close()
    shutil.copytree(tmp_path, tmp_path / "other")
    for path in (tmp_path / "other").glob("checkpoint.sqlite*"):
        path.unlink()
    store = SqliteStore(tmp_path / "other" / "log.sqlite")
    checkpoints = CheckpointStore(tmp_path / "other" / "checkpoint.sqlite")
    assert put_back(store, checkpoints, logs.KEY, [note]).size == 3
    with pytest.raises(BrakelineError, match="store-remembers"):
        put_back(store, checkpoints, logs.KEY, [note])
    checkpoints.close()
    store.close()


def shorten(directory: Path, size: int) -> None:
    """Replace the log by one of its own first *size* entries, as a restored backup would."""
    for path in directory.glob("log.sqlite*"):
        path.unlink()
    log = logs.sequencer(directory)
    for index in range(size):
        log.append(logs.candidates(1, index), logs.TIME)
    log.close()
    for path in directory.glob("checkpoint.sqlite*"):
        path.unlink()


def test_at_boot_a_witness_that_forgot_is_made_up_for_by_the_others(tmp_path: Path) -> None:
    """Its own store is lost as well: then three others must answer, where two and its own memory were enough."""

    async def scenario() -> None:
        async with scene(tmp_path) as it:
            remember_own(it, None)
            del it.answers[cast.VERIFIERS[3]]
            store = WitnessStore(it.directory / "witness.sqlite")
            key = cast.vkey(OWN, "witness")
            witness = Witness(store, {OWN: LOG}, key, cast.signer(OWN, "witness"), lambda: logs.TIME)
            client = make_client(2)
            others = [
                HttpWitness(cast.vkey(name, "witness"), f"http://127.0.0.1:{it.port}/{name}", client)
                for name in cast.VERIFIERS[1:]
            ]
            roots = {size: open_checkpoint(note, LOG).checkpoint.root for size, note in it.notes.items()}
            own = OwnLog(OWN, LOG, 7, roots.__getitem__)
            waiting = asyncio.create_task(wait_for_memory(own, witness, others, 3))
            await asyncio.sleep(0.6)
            assert not waiting.done()
            it.answers[cast.VERIFIERS[3]] = None
            await asyncio.wait_for(waiting, 10)
            await asyncio.wait_for(wait_for_memory(own, witness, [], 1), 10)  # nobody else to ask
            await client.aclose()
            store.close()

    asyncio.run(scenario())


async def serves(made: process.Made, size: int) -> int:
    """Run the verifier until it has published more than *size* entries; return how many."""
    async with process.served(made) as it, httpx.AsyncClient(trust_env=False) as client:
        found = 0
        while found <= size:
            answer = await client.get(f"{it.addresses['http']}/checkpoint")
            found = int(answer.content.split(b"\n")[1]) if answer.status_code == 200 else 0
        return found


def test_the_command_brings_a_real_verifier_back(tmp_path: Path) -> None:
    made = process.make(tmp_path)
    command = ["recover-checkpoint", "--dir", str(made.directory), "--format"]
    asyncio.run(serves(made, 3))
    for path in made.directory.glob("checkpoint.sqlite*"):
        path.unlink()
    refused = CliRunner().invoke(app, ["serve", "--dir", str(made.directory)])
    assert "store-forgotten" in refused.output
    assert "recover-checkpoint" in refused.output
    result = CliRunner().invoke(app, [*command, "json"])
    assert result.exit_code == 0, result.output
    value = json.loads(result.stdout)
    assert value["witnesses"][0]["size"] == value["size"] <= value["held"]
    again = CliRunner().invoke(app, [*command, "text"])
    assert again.exit_code == 3
    assert "store-remembers" in again.output
    assert asyncio.run(serves(made, value["held"])) > value["held"]
