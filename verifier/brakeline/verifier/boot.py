"""Before the log may be signed: does a quorum's memory of it agree with what is on this disk?

A log restored from yesterday's backup, or begun afresh under an old key, would fork when signed. So at boot the witness
service starts first, and the log waits for n - w + f + 1 witnesses' memory of it, its own included: any
checkpoint that w witnesses cosigned is then remembered by at least one honest of those who answered. If one remembers
more than this disk holds, or another history, the log refuses to be signed and says what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from brakeline.ledger.checkpoint import Checkpoint, open_checkpoint
from brakeline.ledger.errors import LedgerError
from brakeline.ledger.vkey import VKey
from brakeline.treaty.document import TreatyDocument
from brakeline.verifier.clients import HttpWitness
from brakeline.verifier.errors import BootError
from brakeline.verifier.witness import Witness

log = structlog.get_logger(__name__)

_POLL = 0.25


@dataclass(frozen=True, slots=True)
class OwnLog:
    """This log as it is on disk: origin and key, its size, and the root it had at any size up to that."""

    origin: str
    key: VKey
    size: int
    root_at: Callable[[int], bytes]


def memories_needed(document: TreatyDocument) -> int:
    """Return n - w + f + 1: how many witnesses must say what they remember before the log is signed."""
    return len(document.verifiers) - document.quorum.witnesses + document.quorum.liars + 1


async def wait_for_memory(own: OwnLog, witness: Witness, others: Sequence[HttpWitness], needed: int) -> None:
    """Return once *needed* witnesses (ours first) have said what they remember and none contradicts this disk.

    Our own counts unless it remembers nothing of a log that holds entries: then its store was lost, and as many of the
    others must answer instead, as far as there are so many.

    Raises:
        BootError: ``boot-log-behind``, ``boot-log-forked``.
    """
    held = witness.remembers(own.origin)
    if held is not None:
        await asyncio.to_thread(check_memory, own, witness.key.name, Checkpoint(own.origin, held.size, held.root))
    answered = 1
    if held is None and own.size:
        answered, needed = 0, min(needed, len(others))
        log.warning("boot-witness-forgot", note="witness.sqlite remembers nothing of this log", needed=needed)
    waiting = list(others)
    while answered < needed:
        notes = await asyncio.gather(*(_remembered(own, other) for other in waiting))
        for other, note in zip(list(waiting), notes, strict=True):
            if isinstance(note, OSError):
                continue
            waiting.remove(other)
            answered += 1
            if note is not None:
                await asyncio.to_thread(check_memory, own, other.key.name, note)
        if answered < needed:
            log.info("boot-waiting-for-witnesses", answered=answered, needed=needed)
            await asyncio.sleep(_POLL)


def check_memory(own: OwnLog, witness: str, remembered: Checkpoint) -> None:
    """Compare one witness's memory with this disk."""
    if remembered.size > own.size:
        raise BootError(
            code="boot-log-behind",
            message=f"{witness} has cosigned more of this log than this disk holds; signing it would fork the log",
            expected=f"at least {remembered.size} entries",
            found=f"{own.size} entries",
            fix="restore the newest copy (a peer's mirror holds one); never sign with this copy",
        )
    if own.root_at(remembered.size) != remembered.root:
        raise BootError(
            code="boot-log-forked",
            message=f"{witness} has cosigned another history of this log than this disk holds",
            expected=f"root {remembered.root.hex()} at size {remembered.size}",
            found=own.root_at(remembered.size).hex(),
            fix="find out which copy is the published one; never sign with this copy",
        )


async def _remembered(own: OwnLog, other: HttpWitness) -> Checkpoint | OSError | None:
    """Return the verified checkpoint another witness remembers, None for none, or the error in asking."""
    try:
        note = await other.remembers(own.origin)
        if note is None:
            return None
        return open_checkpoint(note, own.key, [other.key]).checkpoint
    except OSError as error:
        return error
    except LedgerError as error:
        return OSError(str(error))
