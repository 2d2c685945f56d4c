"""Admission of batches: from envelopes to drafts of entries, in one pass over the register. Pure; no I/O.

A batch is decided in order, and what is admitted is recorded at once, so that a child may follow its parent in the
same batch. Items that could not be decided *yet* are looked at once more when anything was admitted after all: a batch
may so name parents in any order. Bounds come first: what could never fit an entry is refused before it is parsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from brakeline.ledger.entry import MAX_ENTRY, Kind
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.admission import Admitted, NotYet, Refused, admit
from brakeline.treaty.disclosure import Disclosure
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.register import Register
from brakeline.treaty.statements import Statement, parse_statement

MAX_ITEMS = 512
"""Attestations in one batch (proto/brakeline/v1/verifier.proto)."""

MAX_BYTES = 3 * 1024 * 1024
"""Bytes of one batch (proto/brakeline/v1/verifier.proto)."""

_FRAME = 8 + 32 + 8 + 1 + 1 + 255
"""Bytes of an entry around its body, with the longest source: so the bound does not depend on who brings it."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One envelope on its way into the log.

    Attributes:
        source: the entry's source field (a client's name, or a peer's origin and index).
        from_peer: it stands in a peer's log, where the child cap does not apply.
        disclosure: what opens it, held against its commitments, where the client sent that.
    """

    envelope: Envelope
    source: bytes
    from_peer: bool = False
    disclosure: Disclosure | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The statement stands in this log at ``index``; ``known``: it did before this submission."""

    digest: str
    index: int
    known: bool = False


Outcome: TypeAlias = Held | NotYet | Refused


@dataclass(frozen=True, slots=True)
class Accepted:
    """An admitted statement and the entry it becomes."""

    submission: Submission
    statement: Statement
    index: int

    @property
    def kind(self) -> Kind:
        """Treaty versions have a kind of their own; everything else that is signed is a statement."""
        return Kind.TREATY if isinstance(self.statement.predicate, TreatyDocument) else Kind.STATEMENT


def admit_batch(
    register: Register, submissions: Sequence[Submission], *, first_index: int, now_ms: int
) -> tuple[list[Outcome], list[Accepted]]:
    """Decide *submissions* against *register* and record what is admitted, at indices from *first_index* on.

    Returns:
        One outcome for each submission, and what to append, in order of index.
    """
    outcomes: list[Outcome | None] = [None] * len(submissions)
    accepted: list[Accepted] = []
    waiting = list(range(len(submissions)))
    for _ in range(2):
        before = len(accepted)
        for i in waiting:
            outcomes[i] = _decide(register, submissions[i], first_index + len(accepted), now_ms, accepted)
        waiting = [i for i in waiting if isinstance(outcomes[i], NotYet)]
        if len(accepted) == before:
            break
    return [outcome for outcome in outcomes if outcome is not None], accepted


def _decide(register: Register, submission: Submission, index: int, now_ms: int, accepted: list[Accepted]) -> Outcome:
    envelope = submission.envelope
    size = _FRAME + len(envelope.to_body())
    if size > MAX_ENTRY:
        return Refused(
            "entry-too-large",
            "payload and signatures do not fit one log entry",
            expected=f"at most {MAX_ENTRY} bytes with the entry's frame",
            found=f"{size} bytes",
            fix="leave out signatures that no quorum needs",
        )
    if submission.from_peer and (held := _known(register, envelope)) is not None:
        return held
    outcome = admit(register, envelope, now_ms=now_ms, from_peer=submission.from_peer)
    if not isinstance(outcome, Admitted):
        return outcome
    if outcome.known:
        return Held(outcome.statement.digest, outcome.index, known=True)
    register.record(outcome.statement, index)
    accepted.append(Accepted(submission, outcome.statement, index))
    return Held(outcome.statement.digest, index)


def _known(register: Register, envelope: Envelope) -> Held | None:
    """Whether what a peer logged stands here already: told by payload alone, so without checking signatures again."""
    try:
        statement = parse_statement(envelope.payload)
    except BrakelineError:
        return None
    index = register.index_of(statement)
    return None if index is None else Held(statement.digest, index, known=True)
