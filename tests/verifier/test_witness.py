"""The witness: every status of tlog-witness, and a memory that never goes back."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import apsw
import httpx
import pytest
from brakeline.ledger.checkpoint import Checkpoint, add_signatures, open_checkpoint, sign_checkpoint
from brakeline.ledger.merkle import EMPTY_ROOT, Frontier, consistency_proof, leaf_hash
from brakeline.ledger.note import NoteSignature
from brakeline.verifier.errors import VerifierError
from brakeline.verifier.witness import MAX_PROOF, TYPE_SIZE, Answer, Request, Witness, render_request
from brakeline.verifier.witness_store import Witnessed, WitnessStore
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast
from tests.verifier.world import World, treaty

ORIGIN, STRANGER = cast.VERIFIERS[0], "stranger.example"
LOG = cast.vkey(ORIGIN, "log")
KEY = cast.vkey(cast.VERIFIERS[1], "witness")
NOW = 1_767_225_600_000


class Tree:
    """A growing log of small entries: checkpoints and proofs of any size; *salt* makes another history."""

    def __init__(self, size: int, salt: bytes = b"") -> None:
        self.hashes: dict[tuple[int, int], bytes] = {}
        self.roots = [EMPTY_ROOT]
        frontier = Frontier()
        for i in range(size):
            for level, index, node in frontier.append(leaf_hash(salt + bytes([i]))):
                self.hashes[level, index] = node
            self.roots.append(frontier.root())

    def note(self, size: int, origin: str = ORIGIN) -> bytes:
        checkpoint = Checkpoint(origin, size, self.roots[size])
        return sign_checkpoint(checkpoint, cast.vkey(origin, "log"), cast.signer(origin, "log"))

    def request(self, old: int, new: int) -> bytes:
        proof = consistency_proof(old, new, lambda level, index: self.hashes[level, index])
        return render_request(Request(old, tuple(proof), self.note(new)))


TREE = Tree(40)
FORK = Tree(40, b"another history")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WitnessStore]:
    held = WitnessStore(tmp_path / "witness.sqlite")
    yield held
    held.close()


@pytest.fixture
def witness(store: WitnessStore) -> Witness:
    return make(store)


def make(store: WitnessStore) -> Witness:
    return Witness(store, {ORIGIN: LOG}, KEY, cast.signer(cast.VERIFIERS[1], "witness"), lambda: NOW)


def test_a_first_checkpoint_is_cosigned_and_remembered(witness: Witness) -> None:
    answer = witness.add_checkpoint(TREE.request(0, 7))
    assert answer.status == 200
    opened = open_checkpoint(TREE.note(7) + answer.body, LOG, [KEY])
    assert opened.cosignatures == {KEY: NOW // 1000}
    held = witness.remembers(ORIGIN)
    assert held is not None
    assert (held.size, held.root) == (7, TREE.roots[7])
    assert open_checkpoint(held.note, LOG, [KEY]).cosignatures == {KEY: NOW // 1000}


def test_growth_is_cosigned_with_a_proof(witness: Witness) -> None:
    sizes = [0, 0, 1, 7, 8, 8, 31, 40]
    for old, new in pairwise(sizes):
        assert witness.add_checkpoint(TREE.request(old, new)).status == 200, (old, new)


def test_an_old_size_that_is_not_remembered_conflicts_and_tells_the_size(witness: Witness) -> None:
    witness.add_checkpoint(TREE.request(0, 7))
    assert witness.add_checkpoint(TREE.request(0, 9)) == Answer(409, b"7\n", TYPE_SIZE)
    assert witness.add_checkpoint(TREE.request(5, 9)) == Answer(409, b"7\n", TYPE_SIZE)


def test_a_fork_is_never_cosigned(witness: Witness) -> None:
    witness.add_checkpoint(TREE.request(0, 7))
    assert witness.add_checkpoint(FORK.request(7, 9)).status == 422
    assert witness.add_checkpoint(render_request(Request(7, (), FORK.note(7)))).status == 422
    assert witness.add_checkpoint(render_request(Request(7, (), TREE.note(9)))).status == 422
    held = witness.remembers(ORIGIN)
    assert held is not None
    assert held.root == TREE.roots[7]


def test_a_proof_from_nothing_must_be_empty(witness: Witness) -> None:
    assert witness.add_checkpoint(render_request(Request(0, (bytes(32),), TREE.note(3)))).status == 422


def test_an_empty_tree_has_the_empty_root(witness: Witness) -> None:
    wrong = sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), LOG, cast.signer(ORIGIN, "log"))
    assert witness.add_checkpoint(render_request(Request(0, (), wrong))).status == 422
    assert witness.add_checkpoint(TREE.request(0, 0)).status == 200


def test_a_log_the_treaty_does_not_name_is_not_found(witness: Witness) -> None:
    assert witness.add_checkpoint(render_request(Request(0, (), TREE.note(3, STRANGER)))).status == 404
    assert witness.remembers(STRANGER) is None


def test_a_checkpoint_without_a_valid_signature_of_its_log_is_forbidden(witness: Witness) -> None:
    signed = TREE.note(3)
    broken = signed[:-8] + (b"AAAAAA=\n" if signed[-8:] != b"AAAAAA=\n" else b"BBBBBB=\n")
    assert witness.add_checkpoint(render_request(Request(0, (), broken))).status in (400, 403)
    other = TREE.note(3, STRANGER).replace(STRANGER.encode(), ORIGIN.encode())
    assert witness.add_checkpoint(render_request(Request(0, (), other))).status == 403


def test_a_good_signature_beside_a_bad_one_of_the_same_key_is_forbidden(witness: Witness) -> None:
    bad = NoteSignature(LOG.name, LOG.id, bytes(64))
    text, signature = TREE.note(3).split(b"\n\n", 1)
    note = text + b"\n\n" + bad.render().encode() + signature
    assert witness.add_checkpoint(render_request(Request(0, (), note))).status == 403


def test_signatures_of_strangers_are_ignored_and_not_kept(witness: Witness) -> None:
    stranger = NoteSignature("stranger.example", b"abcd", bytes(64))
    note = add_signatures(TREE.note(3), [stranger])
    assert witness.add_checkpoint(render_request(Request(0, (), note))).status == 200
    held = witness.remembers(ORIGIN)
    assert held is not None
    assert b"stranger" not in held.note


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"old 00\n\n" + TREE.note(3),
        b"old -1\n\n" + TREE.note(3),
        b"old 5\n\n" + TREE.note(3),
        b"old 99999999999999999999\n\n" + TREE.note(3),
        b"old 0\nnot base64\n\n" + TREE.note(3),
        b"old 0\nAA==\n\n" + TREE.note(3),
        b"old 0\n" + (b"A" * 43 + b"=\n") * (MAX_PROOF + 1) + b"\n" + TREE.note(3),
        b"old 0\r\n\r\n" + TREE.note(3),
        b"old 0\n\nno note",
        b"old 0\n\n" + TREE.note(3) + b" " * 140_000,
    ],
)
def test_what_is_no_request_is_bad(witness: Witness, body: bytes) -> None:
    assert witness.add_checkpoint(body).status == 400
    assert witness.remembers(ORIGIN) is None


@given(st.binary(max_size=400))
def test_no_bytes_crash_the_witness(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    held = WitnessStore(tmp_path_factory.mktemp("witness") / "witness.sqlite")
    try:
        assert make(held).add_checkpoint(b"old 0\n" + tail).status != 200
    finally:
        held.close()


def test_the_memory_survives_a_restart(tmp_path: Path) -> None:
    first = WitnessStore(tmp_path / "witness.sqlite")
    make(first).add_checkpoint(TREE.request(0, 7))
    first.close()
    second = WitnessStore(tmp_path / "witness.sqlite")
    assert make(second).add_checkpoint(TREE.request(0, 9)).status == 409
    assert make(second).add_checkpoint(TREE.request(7, 9)).status == 200
    second.close()


def test_of_requests_that_race_from_one_size_exactly_one_wins(store: WitnessStore) -> None:
    witness = make(store)
    witness.add_checkpoint(TREE.request(0, 7))
    answers: list[Answer] = []
    requests = [TREE.request(7, size) for size in range(8, 24)]
    threads = [threading.Thread(target=lambda b=body: answers.append(witness.add_checkpoint(b))) for body in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [200] + [409] * 15


def test_an_error_of_the_store_answers_nothing_and_remembers_nothing(store: WitnessStore) -> None:
    witness = make(store)

    def fails(before: object) -> None:
        raise VerifierError(code="test", message="the decision fails")

    with pytest.raises(VerifierError):
        store.swap(ORIGIN, fails)
    assert witness.remembers(ORIGIN) is None
    assert witness.add_checkpoint(TREE.request(0, 7)).status == 200


def test_a_checkpoint_with_sixteen_signatures_of_post_quantum_size_is_cosigned(witness: Witness) -> None:
    strangers = [NoteSignature(f"stranger-{i}.example", b"abcd", bytes([i]) * 4_900) for i in range(16)]
    note = add_signatures(TREE.note(9), strangers)
    witness.add_checkpoint(TREE.request(0, 7))
    proof = consistency_proof(7, 9, lambda level, index: TREE.hashes[level, index])
    body = render_request(Request(7, tuple(proof), note))
    assert len(body) > 100_000
    assert witness.add_checkpoint(body).status == 200


def test_over_http_every_status_of_the_specification_with_its_type_and_body(tmp_path: Path) -> None:
    """A witness that serves before its own log does, asked about another log of the treaty."""

    async def scenario() -> None:
        two = World(tmp_path, treaty(2))
        own = two.document.verifiers[1]
        server = two.server(1)
        url = await server.start_witness()
        known = f"{url}/{hashlib.sha256(ORIGIN.encode()).hexdigest()}/checkpoint"
        plain = "text/plain; charset=utf-8"
        forged = TREE.note(9, STRANGER).replace(STRANGER.encode(), ORIGIN.encode())
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.get(known)).status_code == 404

                async def post(body: bytes) -> tuple[int, str, bytes]:
                    answer = await client.post(f"{url}/add-checkpoint", content=body)
                    assert answer.headers["cache-control"] == "no-store"
                    return answer.status_code, answer.headers["content-type"], answer.content

                status, kind, body = await post(TREE.request(0, 7))
                assert (status, kind) == (200, plain)
                opened = open_checkpoint(TREE.note(7) + body, LOG, [own.witness_key])
                assert list(opened.cosignatures) == [own.witness_key]
                assert body.count(b"\n") == 1
                assert body.startswith("\u2014 ".encode())
                held = (await client.get(known)).content
                assert held == TREE.note(7) + body  # the log's signature and the very line that was answered
                assert await post(TREE.request(0, 9)) == (409, "text/x.tlog.size", b"7\n")
                assert await post(TREE.request(5, 9)) == (409, "text/x.tlog.size", b"7\n")
                for wrong, body in (
                    (400, b"old 10\n\n" + TREE.note(9)),
                    (400, b"old 7\n\n"),
                    (400, b"old 7\n\n" + b" " * 200_000),
                    (403, render_request(Request(7, (), forged))),
                    (404, render_request(Request(7, (), TREE.note(9, STRANGER)))),
                    (422, FORK.request(7, 9)),
                    (422, render_request(Request(7, (), FORK.note(7)))),
                ):
                    assert (await post(body))[:2] == (wrong, plain), wrong
                assert (await client.get(f"{url}/add-checkpoint")).status_code == 405
                assert (await client.get(known)).content == held
                assert (await post(TREE.request(7, 9)))[0] == 200
        finally:
            await server.stop()

    asyncio.run(scenario())


def test_who_hangs_up_in_the_middle_of_a_request_is_no_error_of_the_verifier(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        server = World(tmp_path, treaty(2)).server(1)
        url = httpx.URL(await server.start_witness())
        try:
            _, writer = await asyncio.open_connection(url.host, url.port)
            writer.write(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 100\r\n\r\nold 7")
            await writer.drain()
            async with httpx.AsyncClient(trust_env=False) as client:
                await client.get(url)  # by now the half request was taken up
                writer.close()
                await writer.wait_closed()
                for _ in range(20):
                    await client.get(url)
        finally:
            await server.stop()

    asyncio.run(scenario())
    assert [
        record.getMessage() for record in caplog.records if record.name == "uvicorn.error" and record.exc_info
    ] == []


def test_after_a_write_that_failed_the_memory_is_opened_anew(tmp_path: Path) -> None:
    """A full disk: nothing is answered, nothing is forgotten, and it goes on when there is room."""
    opened: list[apsw.Connection] = []
    apsw.connection_hooks.append(opened.append)
    try:
        store = WitnessStore(tmp_path / "witness.sqlite")
        witness = make(store)
        assert witness.add_checkpoint(TREE.request(0, 7)).status == 200
        opened[-1].pragma("max_page_count", 1)
        with pytest.raises(VerifierError, match="witness-store"):
            store.swap(ORIGIN, lambda _: Witnessed(9, bytes(32), bytes(600_000)))
        assert witness.add_checkpoint(TREE.request(0, 9)) == Answer(409, b"7\n", TYPE_SIZE)
        assert witness.add_checkpoint(TREE.request(7, 9)).status == 200
        assert len(opened) == 2
        store.close()
    finally:
        apsw.connection_hooks.remove(opened.append)
