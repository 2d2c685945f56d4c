"""The log by itself, as it grows: durable appends, inclusion proofs near the tip, bytes on disk.

A :class:`~brakeline.ledger.sequencer.Sequencer` over its real stores, without gRPC, admission or rules: what a verifier
commits through. Entries are the bodies of real signed statements, the same few thousand again and again (every entry
is unique: it names its index and the one before). *append*: batches of 256, each committed with full sync, read back,
hashed again, signed, the checkpoint swapped; over strict verifications a second on two threads. *proofs*: of random
entries among the newest 4,096, made as a verifier makes receipts' (a batch of 256 shares one reader of stored tiles,
and all of them the cache of full ones); over pymerkle's ``InmemoryTree`` at 10^5 entries, its default cache warm,
proving random entries near its tip. *disk*: bytes of the closed log's files over the bytes of payloads and signatures.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from brakeline.ledger.checkpoint_store import CheckpointStore
from brakeline.ledger.entry import Kind
from brakeline.ledger.merkle import InclusionProofs
from brakeline.ledger.sequencer import Candidate, Sequencer
from brakeline.ledger.sqlite_store import SqliteReader, SqliteStore
from brakeline.ledger.tiles import TileCache, TileHashReader
from brakeline.ledger.vkey import TYPE_LOG, VKey
from brakeline.treaty.envelope import Envelope
from pymerkle import InmemoryTree

from bench import denominator
from bench.denominator import Beside, Signed
from bench.ingest import Round
from bench.payloads import Payload, SiteChain, samples, signer
from bench.report import Figure, Share

SIZES = {Payload.S: (10_000, 100_000, 1_000_000), Payload.F: (10_000, 100_000)}
"""The larger payload at 10^6 entries would be 6 GB, and would show nothing that the smaller does not."""
BATCH = 256
TIMED = 2_048
"""Entries of one timed round of appends."""
PROOFS = 4_096
"""Proofs of one timed round, and how near to the tip they are."""
STATEMENTS = 2_048
OTHERS = 100_000
"""Entries of the tree whose proofs are the denominator."""
ORIGIN = "verifier.party-a.example"
TIME = 1_767_225_600_000

Progress = Callable[[str], None]


@dataclass(frozen=True)
class _Material:
    """Signed statements as candidates, their bytes, and what the denominator verifies of them."""

    candidates: Sequence[Candidate]
    envelope_bytes: Sequence[int]
    signed: Sequence[Signed]


def measure(chain: SiteChain, payload: Payload, sizes: Sequence[int], rounds: int, progress: Progress) -> list[Figure]:
    """Return the three figures at each of *sizes*; one log grows through all of them."""
    material = _material(chain, payload)
    other = _other_tree()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="brakeline-bench-") as folder:
        for size in sizes:
            at = f"{size:,} entries"
            progress(f"log {payload}: growing to {at}")
            log = _open(Path(folder))
            _grow(log, material, size - rounds * TIMED)
            appended = [_append(log, material) for _ in range(rounds)]
            progress(f"log {payload}, {at}: append {Figure('append', payload, appended, at).median:.3f}")
            log.close()
            proved = [_prove(Path(folder), size, other, number) for number in range(-1, rounds)][1:]
            progress(f"log {payload}, {at}: proofs {Figure('proofs', payload, proved, at).median:.2f}")
            disk = Share(_files(Path(folder)), _envelopes(material, size))
            figures += [
                Figure("append", payload, appended, at),
                Figure("proofs", payload, proved, at),
                Figure("disk", payload, [disk], at),
            ]
    return figures


def _material(chain: SiteChain, payload: Payload) -> _Material:
    chain.opening()
    envelopes: list[Envelope] = list(chain.books(payload, STATEMENTS))
    return _Material(
        [Candidate(Kind.STATEMENT, chain.site.encode(), item.to_body()) for item in envelopes],
        [len(item.payload) + sum(len(s.keyid) + len(s.sig) for s in item.signatures) for item in envelopes],
        samples(envelopes, chain.site),
    )


def _open(folder: Path) -> Sequencer:
    key = signer(ORIGIN)
    return Sequencer(
        SqliteStore(folder / "log.sqlite"),
        CheckpointStore(folder / "checkpoint.sqlite"),
        VKey(ORIGIN, TYPE_LOG, key.public_key),
        key,
    )


def _batch(material: _Material, first: int, count: int) -> list[Candidate]:
    return [material.candidates[i % STATEMENTS] for i in range(first, first + count)]


def _grow(log: Sequencer, material: _Material, size: int) -> None:
    """Append until the log has *size* entries, in large commits."""
    while log.size < size:
        log.append(_batch(material, log.size, min(16 * BATCH, size - log.size)), TIME)


def _append(log: Sequencer, material: _Material) -> Round:
    before = denominator.on_threads(material.signed)
    began = time.perf_counter()
    for _ in range(TIMED // BATCH):
        log.append(_batch(material, log.size, BATCH), TIME)
    seconds = time.perf_counter() - began
    return Round(TIMED, seconds, Beside(before, denominator.on_threads(material.signed)))


def _prove(folder: Path, size: int, other: InmemoryTree, seed: int) -> Round:
    indices = random.Random(seed).choices(range(size - PROOFS, size), k=PROOFS)
    store = SqliteReader(folder / "log.sqlite")
    cache = TileCache()
    _of(store, size, indices, cache)  # warm, as the other's
    before = _others(other, seed)
    began = time.perf_counter()
    for start in range(0, PROOFS, BATCH):
        _of(store, size, indices[start : start + BATCH], cache)
    seconds = time.perf_counter() - began
    store.close()
    return Round(PROOFS, seconds, Beside(before, _others(other, seed)))


def _of(store: SqliteReader, size: int, indices: Sequence[int], cache: TileCache) -> None:
    proofs = InclusionProofs(size, TileHashReader(store.read_tile, size, cache))
    for index in indices:
        proofs.of(index)


def _other_tree() -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for number in range(OTHERS):
        tree.append_entry(b"%d" % number)
    return tree


def _others(tree: InmemoryTree, seed: int) -> float:
    """Return proofs per second of the tree that is the denominator (its leaves count from 1)."""
    indices = random.Random(seed).choices(range(OTHERS - PROOFS + 1, OTHERS + 1), k=PROOFS)
    began = time.perf_counter()
    for index in indices:
        tree.prove_inclusion(index, OTHERS)
    return PROOFS / (time.perf_counter() - began)


def _files(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("log.sqlite*"))


def _envelopes(material: _Material, size: int) -> int:
    whole, rest = divmod(size, STATEMENTS)
    return whole * sum(material.envelope_bytes) + sum(material.envelope_bytes[:rest])
