"""The Go project's own log code (tests/go) verifies what brakeline writes, names what was changed, and is read in turn.

Needs ``go`` and the sources of golang.org/x/mod/sumdb below a GOPATH (Debian: golang-go, golang-golang-x-mod-dev).
"""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from random import Random

import pytest
from brakeline.ledger.checkpoint import open_checkpoint
from brakeline.ledger.export import export
from brakeline.ledger.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)
from brakeline.ledger.vkey import VKey

from tests.ledger.gocases import (
    GOPATHS,
    SOURCES,
    ConsistencyProof,
    InclusionProof,
    Job,
    go,
    gopath,
    judge,
    raw,
    read_job,
    text,
    write_case,
    write_job,
)
from tests.ledger.logs import KEY, TIME, WITNESSES, candidates, sequencer
from tests.support.cast import vkey
from tests.support.tamper import flip, log_files

SIZES = (1, 2, 3, 255, 256, 257, 700, 65_537)
VAST = (1, 2, 257, 2**32 - 1, 2**32, 2**48 + 12345, 2**61 - 1, 2**61)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that the processes of one test run share; skips where Go is not to be had."""
    if shutil.which("go") is None:
        pytest.skip("there is no go on PATH")
    if not gopath():
        pytest.skip(f"no golang.org/x/mod/sumdb below {', '.join(GOPATHS)}")
    base = tmp_path_factory.getbasetemp()
    work = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "go"
    work.mkdir(exist_ok=True)
    return work


@pytest.fixture(scope="session")
def program(workshop: Path) -> Path:
    """The program, built once in a test run."""
    built = workshop / "interop"
    with (workshop / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            go(workshop, "build", "-o", built, ".")
    return built


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, workshop: Path) -> Path:
    """A sound case of 700 entries: two full bundles and a partial one, tiles of two levels."""
    case = tmp_path_factory.mktemp("sound")
    write_case(case, 700)
    return case


@pytest.fixture
def case(sound: Path, tmp_path: Path) -> Path:
    """A copy of the sound case, to be changed."""
    return Path(shutil.copytree(sound, tmp_path / "case", ignore=shutil.ignore_patterns("live")))


# What is right is found right, by both.


@pytest.mark.parametrize("size", SIZES)
def test_go_verifies_checkpoint_entries_tiles_proofs_receipts_and_cosignatures(
    size: int, program: Path, tmp_path: Path
) -> None:
    write_case(tmp_path, size)
    job, verdict = read_job(tmp_path), judge(program, tmp_path)
    assert verdict.problems == []
    assert (verdict.origin, verdict.size) == (KEY.name, size)
    assert verdict.cosigned == {f"{name}/witness": TIME // 1000 for name in WITNESSES}
    bundles = [name for name in log_files(tmp_path / "log") if name.startswith("tile/entries/")]
    tiles = [name for name in log_files(tmp_path / "log") if name not in {"checkpoint", *bundles}]
    expected = {"leaf": size, "link": size, "entries": len(bundles), "tile": len(tiles)}
    expected |= dict.fromkeys(("checkpoint", "root", "tile-root", "signed"), 1)
    expected |= {"older": len(job.older), "receipt": len(job.receipts)}
    expected |= dict.fromkeys(("inclusion", "go-inclusion"), len(job.inclusion))
    expected |= dict.fromkeys(("consistency", "go-consistency"), len(job.consistency))
    assert verdict.counts == expected


def test_every_proof_between_small_trees_is_gos_too(program: Path, tmp_path: Path) -> None:
    log = sequencer(tmp_path / "live")
    note = log.append(candidates(40), TIME).note
    export(log.store, note, tmp_path / "log")
    job = Job(key=str(KEY), witnesses=[], quorum=0)
    for size in range(1, 41):
        for index in range(size):
            job.inclusion.append(InclusionProof(index=index, size=size, hashes=text(log.inclusion(index, size))))
            proof = log.consistency(index + 1, size)
            job.consistency.append(ConsistencyProof(old=index + 1, new=size, hashes=text(proof)))
    log.close()
    write_job(tmp_path, job)
    verdict = judge(program, tmp_path)
    assert verdict.problems == []
    assert verdict.counts["go-inclusion"] == verdict.counts["go-consistency"] == 820


def test_proofs_in_trees_that_no_disk_holds_are_gos_too(program: Path, case: Path) -> None:
    levels = [leaf_hash(b"vast")]
    while len(levels) < 63:
        levels.append(node_hash(levels[-1], levels[-1]))

    def read(level: int, index: int) -> bytes:
        return levels[level]

    job = read_job(case)
    for size in VAST:
        for index in sorted({0, size // 2, size // 3, size - 1}):
            proof = inclusion_proof(index, size, read)
            job.vast_inclusion.append(InclusionProof(index=index, size=size, hashes=text(proof)))
        for old in (item for item in VAST if item <= size):
            proof = consistency_proof(old, size, read)
            job.vast_consistency.append(ConsistencyProof(old=old, new=size, hashes=text(proof)))
    write_job(case, job)
    verdict = judge(program, case)
    assert verdict.problems == []
    assert verdict.counts["vast-go-inclusion"] == len(job.vast_inclusion)
    assert verdict.counts["vast-go-consistency"] == len(job.vast_consistency)


def test_brakeline_verifies_what_go_proves_and_signs(program: Path, sound: Path) -> None:
    verdict = judge(program, sound)
    notes = {int(path.name.partition("-")[2]): path.read_bytes() for path in sound.glob("older-*")}
    roots = {size: open_checkpoint(note, KEY).checkpoint.root for size, note in notes.items()}
    entries = list(stored_entries(sound))
    assert verdict.go_inclusion
    assert verdict.go_consistency
    for inclusion in verdict.go_inclusion:
        leaf = leaf_hash(entries[inclusion.index])
        verify_inclusion(inclusion.index, inclusion.size, leaf, raw(inclusion.hashes), roots[inclusion.size])
    for item in verdict.go_consistency:
        verify_consistency(item.old, item.new, raw(item.hashes), roots[item.old], roots[item.new])

    signed = verdict.go_signed
    assert signed is not None
    witness = VKey.parse(signed.witness)
    opened = open_checkpoint(signed.note.encode(), VKey.parse(signed.key), [witness])
    assert (opened.checkpoint.size, opened.checkpoint.root) == (700, roots[700])
    assert opened.cosignatures == {witness: signed.timestamp}


def stored_entries(case: Path) -> Iterable[bytes]:
    log = sequencer(case / "live")
    try:
        yield from log.store.read_entries(0, log.size)
    finally:
        log.close()


# What was changed is named.


def xor(path: Path, at: int, mask: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= mask
    path.write_bytes(data)


def append(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


def edit(path: Path, old: str, new: str) -> None:
    found = path.read_text(encoding="utf-8")
    assert old in found
    path.write_text(found.replace(old, new, 1), encoding="utf-8")


def signature_line(note: Path, name: str) -> str:
    lines = note.read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith(f"— {name} "))


def reencoded(line: str, at: int) -> str:
    """The signature line with one bit of the byte *at* of its signature turned (4 bytes of key id come first)."""
    head, _, encoded = line.rpartition(" ")
    data = bytearray(base64.b64decode(encoded))
    data[at] ^= 1
    return f"{head} {base64.b64encode(data).decode()}"


def change_signature(case: Path, name: str, at: int) -> None:
    line = signature_line(case / "log/checkpoint", name)
    edit(case / "log/checkpoint", line, reencoded(line, at))


def change_proof(case: Path, which: str) -> None:
    job = read_job(case)
    proofs: list[InclusionProof | ConsistencyProof] = [*job.inclusion, *job.consistency]
    proof = next(
        item
        for item in proofs
        if which
        == (f"entry {item.index} in {item.size}" if isinstance(item, InclusionProof) else f"{item.old} to {item.new}")
    )
    data = base64.b64decode(proof.hashes[1])
    proof.hashes[1] = base64.b64encode(bytes((data[0] ^ 1, *data[1:]))).decode()
    write_job(case, job)


def shift_index(case: Path) -> None:
    job = read_job(case)
    next(item for item in job.inclusion if item.index == 256 and item.size == 700).index = 255
    write_job(case, job)


def add_quorum(case: Path) -> None:
    write_job(case, read_job(case).model_copy(update={"quorum": len(WITNESSES) + 1, "receipts": []}))


def other_key(case: Path) -> None:
    write_job(case, read_job(case).model_copy(update={"key": str(vkey("verifier-2.example", "log"))}))


W1 = f"{WITNESSES[0]}/witness"
CHANGES: dict[str, tuple[Callable[[Path], object], set[tuple[str, str]]]] = {
    "a full tile": (lambda case: xor(case / "log/tile/0/001", 32 * 7 + 3), {("tile", "tile/0/001")}),
    "a partial tile": (lambda case: xor(case / "log/tile/0/002.p/188", 5), {("tile", "tile/0/002.p/188")}),
    "an upper tile": (lambda case: xor(case / "log/tile/1/000.p/2", 40), {("tile", "tile/1/000.p/2")}),
    "a tile cut short": (lambda case: os.truncate(case / "log/tile/0/000", 255 * 32), {("tile", "tile/0/000")}),
    "an entry's last byte": (
        lambda case: xor(case / "log/tile/entries/001", -1),
        {("root", "tile/entries"), ("link", "tile/entries/002.p/188 entry 512")},
    ),
    "an entry's length": (
        lambda case: xor(case / "log/tile/entries/002.p/188", 1),
        {("entries", "tile/entries/002.p/188")},
    ),
    "a bundle cut short": (
        lambda case: os.truncate(case / "log/tile/entries/000", 1000),
        {("entries", "tile/entries/000")},
    ),
    "a bundle with bytes behind": (
        lambda case: append(case / "log/tile/entries/001", b"\0\0"),
        {("entries", "tile/entries/001")},
    ),
    "a missing tile": (lambda case: (case / "log/tile/0/000").unlink(), {("tile", "tile/0/000")}),
    "the size": (lambda case: edit(case / "log/checkpoint", "\n700\n", "\n701\n"), {("checkpoint", "checkpoint")}),
    "the log's signature": (lambda case: change_signature(case, KEY.name, 20), {("checkpoint", "checkpoint")}),
    "the log's key id": (lambda case: change_signature(case, KEY.name, 0), {("checkpoint", "checkpoint")}),
    "a cosignature": (lambda case: change_signature(case, W1, 40), {("checkpoint", "checkpoint")}),
    "a cosignature's time": (lambda case: change_signature(case, W1, 11), {("checkpoint", "checkpoint")}),
    "a witness's key id": (lambda case: change_signature(case, W1, 3), {("checkpoint", "checkpoint")}),
    "a quorum that was not reached": (add_quorum, {("checkpoint", "checkpoint")}),
    "another log's key": (other_key, {("checkpoint", "checkpoint")}),
    "an older checkpoint": (lambda case: xor(case / "older-256", -20), {("older", "older-256")}),
    "an inclusion proof": (lambda case: change_proof(case, "entry 256 in 700"), {("inclusion", "entry 256 in 700")}),
    "an inclusion proof's index": (shift_index, {("inclusion", "entry 255 in 700")}),
    "a consistency proof": (lambda case: change_proof(case, "257 to 700"), {("consistency", "257 to 700")}),
    "a receipt's entry": (lambda case: xor(case / "receipt-350", 60), {("receipt", "receipt-350")}),
    "a receipt's index": (
        lambda case: edit(case / "receipt-350", "index 350", "index 351"),
        {("receipt", "receipt-350")},
    ),
    "a receipt's cosignature": (lambda case: xor(case / "receipt-350", -30), {("receipt", "receipt-350")}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_go_names_what_was_changed(change: str, program: Path, case: Path) -> None:
    apply, expected = CHANGES[change]
    apply(case)
    assert expected <= judge(program, case).named


def test_go_misses_no_flipped_bit_of_a_log(program: Path, sound: Path, tmp_path: Path) -> None:
    random = Random(3)
    job = read_job(sound).model_copy(update={"older": [], "receipts": []})
    write_job(tmp_path, job)
    files = log_files(sound / "log")
    missed = []
    for file in chain(files, random.choices(files, k=60), ["checkpoint"] * 60):
        at, mask = random.randrange(1 << 20), 1 << random.randrange(8)
        flip(sound / "log", tmp_path / "log", file, at, mask)
        if judge(program, tmp_path).ok:
            missed.append((file, at, mask))
    assert missed == []


def test_go_misses_no_flipped_bit_of_a_receipt(program: Path, case: Path) -> None:
    random = Random(4)
    path = case / "receipt-350"
    data = path.read_bytes()
    missed = []
    for _ in range(100):
        at, mask = random.randrange(len(data)), 1 << random.randrange(8)
        path.write_bytes(data[:at] + bytes((data[at] ^ mask,)) + data[at + 1 :])
        if ("receipt", path.name) not in judge(program, case).named:
            missed.append((at, mask))
    assert missed == []


# The program itself.


def test_the_program_is_formatted_and_vetted(workshop: Path, program: Path) -> None:
    if shutil.which("gofmt") is None:
        pytest.skip("there is no gofmt on PATH")
    listed = subprocess.run(["gofmt", "-l", SOURCES], capture_output=True, text=True, check=True)
    assert listed.stdout == ""
    go(workshop, "vet", ".")


def test_without_a_job_there_is_no_verdict(program: Path, tmp_path: Path) -> None:
    done = subprocess.run([program, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "job.json" in done.stderr
