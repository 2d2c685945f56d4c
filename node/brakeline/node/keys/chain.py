"""Where a site's chain truly stands: read from the logs of n - f verifiers, with nothing believed that is not proved.

Each log is read whole under one checkpoint (:mod:`brakeline.ledger.reader`: every entry leads to its root), which a
quorum of witnesses must have cosigned a short while ago: so a verifier that lies can neither leave out a statement that
stands below it, nor show an old state for the new one. Of the entries only treaty versions, and the site's and its lab
root's own, are looked at further: admission decides whether they are theirs. One pass, flat memory but for these.

What it cannot see: a statement that the site signed and that reached fewer logs than were not read, plus the f that may
lie. Such a one has no receipt quorum; where another key begins at the position learnt here, it is disowned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from brakeline.ledger.entry import Entry, Kind
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.reader import LogReader
from brakeline.ledger.vkey import VKey
from brakeline.node.keys.guard import FRESH, LastSigned
from brakeline.treaty.admission import Admitted, admit
from brakeline.treaty.document import ZERO_DIGEST, TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.names import lab_of
from brakeline.treaty.register import Register
from brakeline.treaty.rules.branches import Branches
from brakeline.treaty.statements import Enrolment, Statement

if TYPE_CHECKING:
    from brakeline.ledger.source import Source
    from brakeline.treaty.terms import VerifierTerms


class ChainError(BrakelineError):
    """The logs do not say where the chain stands (codes ``chain-*``)."""


@dataclass(frozen=True, slots=True)
class Said:
    """One statement with its envelope."""

    statement: Statement
    envelope: Envelope

    @property
    def at(self) -> LastSigned:
        """Its sequence and digest."""
        authored = self.statement.authored
        return LastSigned(authored.sequence if authored is not None else -1, self.statement.digest)


@dataclass(slots=True)
class Chains:
    """What the logs that were read hold of one site and of its lab's root.

    Attributes:
        site, lab: whose statements.
        read: verifier -> entries under the checkpoint it was read by.
        refused: verifier -> why it could not be read, or was not believed.
    """

    document: TreatyDocument
    site: str
    read: dict[str, int] = field(default_factory=dict[str, int])
    refused: dict[str, BrakelineError] = field(default_factory=dict[str, BrakelineError])
    register: Register = field(init=False)
    _held: dict[str, Said] = field(default_factory=dict[str, Said])
    _branches: Branches = field(default_factory=Branches)

    def __post_init__(self) -> None:
        """Begin with an empty prefix."""
        self.register = Register(self.document)

    @property
    def lab(self) -> str:
        """The lab whose root enrols the site's keys."""
        return lab_of(self.site)

    def take(self, envelope: Envelope, now_ms: int) -> None:
        """Keep *envelope* where it is an admissible statement of the site or of its lab's root."""
        outcome = admit(self.register, envelope, now_ms=now_ms, from_peer=True)
        if not isinstance(outcome, Admitted) or outcome.known:
            return
        if isinstance(outcome.statement.predicate, TreatyDocument):  # statements may be made under a later version
            self.register.record(outcome.statement, len(self._held))
        elif outcome.statement.authored is not None and outcome.statement.authored.author in (self.site, self.lab):
            self.register.record(outcome.statement, len(self._held))
            self._branches.add(outcome.statement)
            self._held[outcome.statement.digest] = Said(outcome.statement, envelope)

    def ends(self, author: str) -> list[LastSigned]:
        """Return the statements of *author* that stand and have no child that stands, in order.

        What a revocation disowns does not stand.
        """
        stand = [said for said in self._held.values() if said.statement.authored is not None]
        stand = [s for s in stand if not self._branches.disowned(author, bytes.fromhex(s.statement.digest))]
        parents = {said.statement.authored.previous for said in stand if said.statement.authored is not None}
        own = [s for s in stand if s.statement.authored is not None and s.statement.authored.author == author]
        return sorted(said.at for said in own if said.statement.digest not in parents)

    def concerns(self, entry: Entry) -> bool:
        """Say whether an entry may matter here: a treaty version, or one that names the site or its lab as author."""
        names = (f'"author":"{name}"'.encode() for name in (self.site, self.lab))
        return entry.kind is Kind.TREATY or (entry.kind is Kind.STATEMENT and any(n in entry.body for n in names))

    def branch(self, author: str, last: LastSigned | None = None) -> list[Said]:
        """Return the statements of *author* from its first to *last* (None: to the one end of its chain), in order.

        Raises:
            ChainError: ``chain-forked`` (several ends, and *last* not given), ``chain-unknown`` (no such statement).
        """
        if last is None:
            heads = self.ends(author)
            if len(heads) > 1:
                raise ChainError(
                    code="chain-forked",
                    message=f"{author} has signed several branches",
                    expected="one end of the chain",
                    found=", ".join(f"{sequence}:{digest}" for sequence, digest in heads),
                    fix="say with --honours which statement is the last that stands",
                )
            last = LastSigned(*heads[0]) if heads else FRESH
        found: list[Said] = []
        wanted = last.digest
        while wanted != ZERO_DIGEST:
            said = self._held.get(wanted)
            authored = None if said is None else said.statement.authored
            if said is None or authored is None or authored.author != author:
                raise ChainError(
                    code="chain-unknown",
                    message="the logs that were read hold no such statement",
                    expected=f"{last.sequence}:{last.digest} of {author}",
                    found=f"{len(found)} of its ancestors",
                    fix="check --honours; read more logs",
                )
            found.append(said)
            wanted = authored.previous
        found.reverse()
        if last != (found[-1].at if found else FRESH):
            raise ChainError(
                code="chain-unknown", message="no such sequence", expected=str(last.sequence), found=str(len(found) - 1)
            )
        return found

    def live_keys(self) -> list[VKey]:
        """Return the keys of the site that its lab has begun and not ended, oldest first (``chain-forked``)."""
        alive: dict[str, VKey] = {}
        for said in self.branch(self.lab):
            match said.statement.predicate:
                case Enrolment(site=self.site) as enrolment:
                    for ended in (enrolment.replaced, enrolment.key if enrolment.action == "end" else None):
                        if ended is not None:
                            alive.pop(VKey.parse(ended).keyid, None)
                    if enrolment.action != "end":
                        begun = VKey.parse(enrolment.key)
                        alive[begun.keyid] = begun
                case _:
                    pass
        return list(alive.values())


def fresh_ms(document: TreatyDocument) -> int:
    """Return how old a checkpoint's quorum of cosignatures may be: two of the longest intervals, and the clock skew."""
    deadlines = document.deadlines
    return 2 * max(deadlines.checkpoint_ms.value, deadlines.heartbeat_ms.value) + deadlines.skew_ms.value + 1_000


def learn(
    document: TreatyDocument,
    site: str,
    sources: Mapping[str, Callable[[], Source]],
    now_ms: Callable[[], int],
    need: int | None = None,
) -> Chains:
    """Read the logs of *sources* (verifier -> opens its log) and return what they hold of *site* and its lab's root.

    Args:
        document: the pinned treaty: log keys, witness policy.
        site: whose chain.
        sources: each is opened, read, and closed.
        now_ms: the clock, Unix ms.
        need: how many logs must have been read; default n - f.

    Raises:
        ChainError: ``chain-logs``: fewer could be read and believed.
    """
    chains = Chains(document, site)
    for verifier in document.verifiers:
        if verifier.name not in sources:
            continue
        try:
            with closing(sources[verifier.name]()) as source:
                chains.read[verifier.name] = _read(chains, verifier, source, now_ms)
        except BrakelineError as error:
            chains.refused[verifier.name] = error
    wanted = len(document.verifiers) - document.quorum.liars if need is None else need
    if len(chains.read) < wanted:
        why = "; ".join(f"{name}: {error}" for name, error in chains.refused.items())
        raise ChainError(
            code="chain-logs",
            message="too few logs could be read to know where the chain stands",
            expected=f"{wanted} of {len(document.verifiers)} logs, each with a checkpoint that is fresh and cosigned",
            found=f"{len(chains.read)}. {why}"[:1000],
            fix="wait until they are reachable, or give other addresses with --log",
        )
    return chains


def _read(chains: Chains, verifier: VerifierTerms, source: Source, now_ms: Callable[[], int]) -> int:
    policy = chains.document.witness_policy(verifier.origin)
    log = LogReader(source, verifier.log_key, tuple(policy.witnesses.values()))
    oldest = (now_ms() - fresh_ms(chains.document)) // 1000
    recent = [witness for witness, at in log.opened.cosignatures.items() if at >= oldest]
    if not policy.satisfied(recent):
        raise ChainError(
            code="chain-stale",
            message=f"the checkpoint of {verifier.name} is not cosigned by a quorum of witnesses of late",
            expected=f"the witness policy of the treaty, within {fresh_ms(chains.document)} ms",
            found=", ".join(sorted(witness.name for witness in recent)) or "none",
            fix="try again in a while; a log that stays behind is not to be believed",
        )
    staged = [Envelope.from_body(entry.body) for entry in log.entries() if chains.concerns(entry)]
    for envelope in staged:  # only once the whole log has led to its root
        chains.take(envelope, now_ms())
    return log.size
