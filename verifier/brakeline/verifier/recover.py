"""Ask the witnesses what this log signed last, when its checkpoint store is lost: ``recover-checkpoint``.

The order is what makes it safe. The log is taken as its writer would take it (a running verifier, or a second recovery,
is refused). All witnesses of the treaty are asked, our own on this disk included when its store survived: an empty one
does not count, it was lost too. An answer counts when it is a note that our log key signed and that witness cosigned,
or a plain "none". Enough must answer. Then the log must lead to every note (:mod:`brakeline.ledger.recover`), and only
then is the newest written.

How many are enough. A published checkpoint was cosigned by w of n witnesses; any n - w + f + 1 of them contain an
honest one that cosigned it, so what was published, and every receipt, is known to those who answered. A checkpoint that
was signed and never published may be known to a single witness, who may be the one that does not answer. That matters
only when the log lost entries with it, that is, when the log file is a restored copy. So all n must answer, unless the
operator states that the file was never restored: then n - w + f + 1 do.

Whose witnesses, where the treaty was amended: those of the version by which this log was signed last, and nothing here
says which that was. So enough must answer of every version that has governed since the newest entry of the log, and of
the one before it, by which a verifier goes on until it is started again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from brakeline.ledger.checkpoint import Checkpoint, open_checkpoint
from brakeline.ledger.checkpoint_store import CheckpointStore
from brakeline.ledger.entry import Entry
from brakeline.ledger.errors import LedgerError
from brakeline.ledger.recover import check_forgotten, put_back
from brakeline.ledger.sqlite_store import SqliteStore
from brakeline.ledger.vkey import VKey
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.succession import Succession
from brakeline.treaty.terms import VerifierTerms
from brakeline.verifier.boot import memories_needed
from brakeline.verifier.clients import HttpWitness, make_client
from brakeline.verifier.config import Config
from brakeline.verifier.errors import VerifierError
from brakeline.verifier.keys import Terms
from brakeline.verifier.witness_store import WitnessStore

TIMEOUT_S = 10.0
"""How long one witness may take to answer."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What one witness said: the note it remembers (None: none), or why its answer does not count."""

    witness: str
    note: bytes | None = None
    size: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was put back: the checkpoint, how many entries the log holds, and what every witness said."""

    checkpoint: Checkpoint
    held: int
    needed: int
    memories: tuple[Memory, ...]

    def to_json(self) -> dict[str, object]:
        """Return what ``--format json`` prints."""
        return {
            "size": self.checkpoint.size,
            "root": self.checkpoint.root.hex(),
            "held": self.held,
            "needed": self.needed,
            "witnesses": [{"name": m.witness, "size": m.size, "problem": m.problem} for m in self.memories],
        }

    def to_text(self) -> str:
        """Return what a person reads."""
        lines = [f"  {item.witness}: {_said(item)}" for item in self.memories]
        return "\n".join(
            [
                "what the witnesses remember:",
                *lines,
                f"put back: the checkpoint of {self.checkpoint.size} entries, root {self.checkpoint.root.hex()}",
                f"the log holds {self.held} entries and leads to every one of them; start the verifier",
            ]
        )


def recover(directory: Path, config: Config, terms: Terms, *, now_ms: int, never_restored: bool = False) -> Recovered:
    """Put the newest checkpoint that the witnesses remember back into the checkpoint store of *directory*.

    Args:
        directory: the verifier's, which must not be running.
        config: where peers are, when not where the treaty says.
        terms: the treaty's.
        now_ms: the clock (Unix ms): which versions govern by now.
        never_restored: the operator states that ``log.sqlite`` is the file that was signed, never a copy put back.

    Raises:
        VerifierError: ``recover-no-log``, ``recover-too-few``, ``recover-nothing``.
        LedgerError: ``store-remembers``, ``store-locked``, ``store-behind``, ``store-forked``, ``store-corrupt``.
            Nothing was written.
    """
    log = directory / "log.sqlite"
    if not log.is_file():
        raise VerifierError(
            code="recover-no-log",
            message="there is no log here whose checkpoint could be put back",
            expected=str(log),
            found="no such file",
            fix="bring the log back first: `brakeline ledger restore` or `catch-up`, from a peer's mirror",
        )
    own = terms.own
    with ExitStack() as stack:
        store = SqliteStore(log)
        stack.callback(store.close)
        checkpoints = CheckpointStore(directory / "checkpoint.sqlite")
        stack.callback(checkpoints.close)
        check_forgotten(checkpoints)
        versions = signed_by(terms, _newest_ms(store), now_ms)
        memories = ask(directory, config, Succession(versions[0], versions[1:]).verifiers(), own)
        needed = 0
        for document in versions:
            needed = memories_needed(document) if never_restored else len(document.verifiers)
            _check_enough(memories, document, needed)
        checkpoint = put_back(store, checkpoints, own.log_key, _notes(memories))
        return Recovered(checkpoint, store.size(), needed, tuple(memories))


def signed_by(terms: Terms, newest_ms: int, now_ms: int) -> tuple[TreatyDocument, ...]:
    """Return the versions by which a log may have been signed last whose newest entry is of *newest_ms*, in order."""
    treaty = Succession(terms.document, terms.versions)
    first, last = (treaty.last(terms.document.grid.period_of(InstantMs(at))) for at in (newest_ms, now_ms))
    governing = treaty.chain()
    begin, end = governing.index(first), governing.index(last)
    naming = tuple(item for item in governing[max(begin - 1, 0) : end + 1] if item.verifier(terms.own.name))
    return naming or (last,)


def _newest_ms(store: SqliteStore) -> int:
    size = store.size()
    return Entry.decode(next(iter(store.read_entries(size - 1, size)))).received_at_ms if size else 0


def ask(directory: Path, config: Config, verifiers: Sequence[VerifierTerms], own: VerifierTerms) -> list[Memory]:
    """Return what the witness of each of *verifiers* remembers of our log, our own first."""
    others = [item for item in verifiers if item.name != own.name]
    urls = {item.name: item.url for item in others} | config.peers
    own_key = own.witness_key
    found = [_judge(own.log_key, own_key, _own_memory(directory, own))]
    return found + asyncio.run(_ask([(item.witness_key, urls[item.name]) for item in others], own.log_key))


async def _ask(witnesses: Sequence[tuple[VKey, str]], log_key: VKey) -> list[Memory]:
    client = make_client(TIMEOUT_S)

    async def one(key: VKey, url: str) -> Memory:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer: bytes | OSError | None = await HttpWitness(key, url, client).remembers(log_key.name)
        except OSError as error:  # TimeoutError is one
            answer = error if str(error) else OSError(f"no answer within {TIMEOUT_S:g} s")
        return _judge(log_key, key, answer)

    try:
        return await asyncio.gather(*(one(key, url) for key, url in witnesses))
    finally:
        await client.aclose()


def _own_memory(directory: Path, own: VerifierTerms) -> bytes | OSError:
    """Return what our own witness cosigned last: a store that remembers nothing was lost, and says nothing."""
    path = directory / "witness.sqlite"
    if path.is_file():
        store = WitnessStore(path)
        try:
            held = store.get(own.origin)
        finally:
            store.close()
        if held is not None:
            return held.note
    return OSError("our own witness has lost its memory too")


def _judge(log_key: VKey, witness: VKey, answer: bytes | OSError | None) -> Memory:
    if answer is None:
        return Memory(witness.name)
    if isinstance(answer, OSError):
        return Memory(witness.name, problem=str(answer))
    try:
        opened = open_checkpoint(answer, log_key, [witness])
    except LedgerError as error:
        return Memory(witness.name, problem=str(error))
    if witness not in opened.cosignatures:
        return Memory(witness.name, problem="its answer does not carry its own cosignature")
    return Memory(witness.name, answer, opened.checkpoint.size)


def _said(memory: Memory) -> str:
    if memory.problem:
        return f"no answer that counts: {memory.problem}"
    return "none" if memory.size is None else f"{memory.size} entries"


def _check_enough(memories: Sequence[Memory], document: TreatyDocument, needed: int) -> None:
    """Refuse where fewer than *needed* of the witnesses of *document* have answered."""
    witnesses = {item.witness_key.name for item in document.verifiers}
    silent = [item for item in memories if item.problem and item.witness in witnesses]
    if len(witnesses) - len(silent) < needed:
        raise VerifierError(
            code="recover-too-few",
            message="too few witnesses say what they remember; nothing was changed",
            expected=f"{needed} of the {len(witnesses)} of version {document.version} of the treaty",
            found="; ".join(f"{item.witness}: {item.problem}" for item in silent)[:600],
            fix="reach the others; if log.sqlite was never restored from a copy, --never-restored asks for fewer",
        )


def _notes(memories: Sequence[Memory]) -> list[bytes]:
    """Return what the witnesses remember; at least one remembers something."""
    notes = [item.note for item in memories if item.note is not None]
    if not notes:
        raise VerifierError(
            code="recover-nothing",
            message="no witness remembers this log; nothing was changed",
            expected="a checkpoint that a witness has cosigned",
            found=f"{sum(not item.problem for item in memories)} witnesses, who remember none",
            fix="is this the directory and the treaty of this log? If it was never published, begin it anew",
        )
    return notes
