"""Logs for tests: cheap entries, a sequencer over real stores in a directory, exported and opened again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from brakeline.ledger.checkpoint import Checkpoint, add_signatures, cosign, sign_checkpoint
from brakeline.ledger.checkpoint_store import CheckpointStore
from brakeline.ledger.entry import Entry, Kind, first_previous
from brakeline.ledger.export import export
from brakeline.ledger.policy import Policy, quorum_policy
from brakeline.ledger.sequencer import Candidate, Sequencer
from brakeline.ledger.sqlite_store import SqliteStore
from brakeline.ledger.tiles import TileRef, bundles, encode_bundle
from brakeline.ledger.treebuilder import TileBuilder

from tests.support.cast import signer, vkey

ORIGIN = "verifier-1.example"
KEY = vkey(ORIGIN, "log")
SIGNER = signer(ORIGIN, "log")
WITNESSES = [f"verifier-{i}.example" for i in range(1, 5)]
TIME = 1_767_225_600_000


def policy(w: int = 3) -> Policy:
    return quorum_policy([KEY], [vkey(name, "witness") for name in WITNESSES], w)


def cosigned(note: bytes, *names: str) -> bytes:
    """The note with cosignatures of *names* (default: all four witnesses)."""
    lines = [cosign(note, vkey(n, "witness"), signer(n, "witness"), TIME // 1000) for n in names or WITNESSES]
    return add_signatures(note, lines)


def candidates(count: int, start: int = 0, word: str = "entry") -> list[Candidate]:
    return [Candidate(Kind.STATEMENT, b"client.example", f"{word} {start + i}".encode()) for i in range(count)]


def sequencer(directory: Path) -> Sequencer:
    """Open the log in *directory* (made when absent), as its one writer."""
    directory.mkdir(parents=True, exist_ok=True)
    store = SqliteStore(directory / "log.sqlite")
    try:
        checkpoints = CheckpointStore(directory / "checkpoint.sqlite")
    except BaseException:
        store.close()
        raise
    return Sequencer(store, checkpoints, KEY, SIGNER)


def filled(directory: Path, size: int) -> Sequencer:
    """A log of *size* entries."""
    log = sequencer(directory)
    log.append(candidates(size), TIME)
    return log


def chain(size: int, word: str = "entry", bodies: Sequence[bytes] = ()) -> list[Entry]:
    """The entries of a log of this origin, made without a store."""
    entries: list[Entry] = []
    previous = first_previous(ORIGIN)
    for index in range(size):
        body = bodies[index] if index < len(bodies) else f"{word} {index}".encode()
        entries.append(Entry(index, previous, TIME + index, Kind.STATEMENT, b"", body))
        previous = entries[-1].digest
    return entries


def write_log(directory: Path, data: Sequence[bytes], origin: str = ORIGIN) -> bytes:
    """Write a log of these encoded entries (whatever they are) as tiles with a signed checkpoint; return the note."""
    from brakeline.ledger.merkle import leaf_hash

    builder = TileBuilder()
    tiles: dict[TileRef, bytes] = builder.extend([leaf_hash(item) for item in data])
    files = {ref.path: content for ref, content in tiles.items()}
    for ref in bundles(len(data)):
        files[ref.path] = encode_bundle(data[256 * ref.n : 256 * ref.n + ref.width])
    note = sign_checkpoint(Checkpoint(origin, len(data), builder.root()), vkey(origin, "log"), signer(origin, "log"))
    files["checkpoint"] = note
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    return note


def exported(directory: Path, size: int) -> Path:
    """A log of *size* entries, made by a sequencer and exported; return the exported directory."""
    log = filled(directory / "live", size)
    assert log.note is not None
    export(log.store, log.note, directory / "log")
    log.close()
    return directory / "log"
