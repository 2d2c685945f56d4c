"""``verifier-conduct``: did a verifier keep one history, and judge by the rules?

Sees five acts. *Fork*: two checkpoints signed by one log with different roots at one size, one of them embedded in a
peer's heartbeat (or both). *Misjudging*: an entry under the log's own signed checkpoint that its replay refuses: a
statement that was not admissible, a finding that does not follow or is left out, a heartbeat that embeds what it must
not. *Omission*: a statement that stands in a peer's log below a checkpoint which this verifier's heartbeat says it has
mirrored, and which its own log lacks longer than ``takeover_ms`` after that heartbeat. *Backdating*: an entry whose
``received_at_ms`` leaves the bracket that cosignatures set, by more than ``skew_ms``: later than f + 1 witnesses had
cosigned the log's own checkpoint above it, or, for a heartbeat, earlier than all but f of the cosignatures on a
checkpoint that it embeds, its own log's or a peer's.
*Dishonoured receipt*: a receipt under the log's own signature that its history, as it was read, does not contain.
Cannot see: a history shown to nobody whom the auditor reads; a statement that was refused to its author and is in no
log (mere refusal leaves no proof); more than f verifiers that lie alike.
Figures: ``act``; for a fork ``size``, ``root`` (the log's own, or the smaller one), ``other_root`` and ``seen_in`` (the
log whose heartbeat embeds the other); for misjudging ``code`` and ``entry``; for an omission ``seen_in`` (the peer's
log), ``size`` (mirrored), ``heartbeat`` (the index where it says so), ``omitted`` (how many; at most 64 are cited); for
backdating ``entry``, ``received_at_ms``, ``bound_ms``; for a dishonoured receipt ``entry``, ``size`` and ``root`` (what
the receipt's checkpoint says), ``other_root`` (the log's own at that size). At most one finding of a kind about a
verifier (an omission: per peer; receipts: one each).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from typing import NamedTuple

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.reconcile.logs import Logs
from brakeline.treaty.replay import Facts, RootAt
from brakeline.treaty.rules.board import make
from brakeline.treaty.terms import RuleTerms


class Misjudged(NamedTuple):
    """Where the replay of a log ended by its verifier's own doing."""

    origin: str
    code: str
    entry: int


class Dishonoured(NamedTuple):
    """A receipt under a log's own signature that its history does not contain.

    ``statement`` is the digest of what the receipt is for, "" for an entry of the log's own kinds.
    """

    origin: str
    entry: int
    size: int
    root: bytes
    other_root: bytes
    statement: str = ""


class History(NamedTuple):
    """A log as it was read: its size under its checkpoint, and its root at any size up to that."""

    size: int
    root_at: RootAt


def conduct(
    logs: Logs,
    histories: Mapping[str, History],
    misjudged: Sequence[Misjudged],
    document: TreatyDocument,
    dishonoured: Sequence[Dishonoured] = (),
) -> Iterator[Finding]:
    """Yield the findings of ``verifier-conduct``, one fork at most a log: the one at the smallest size."""
    terms = document.rule("verifier-conduct")
    if terms is None:
        return
    for verifier in sorted(document.verifiers, key=lambda item: item.origin):
        fork = _fork(logs, verifier.origin, histories.get(verifier.origin))
        if fork is not None:
            yield make(terms, verifier.origin, statements=(), figures={"act": "fork", **fork})
    for facts in logs.parts:
        if (late := facts.out_of_time) is not None:
            figures = {"entry": late.entry, "received_at_ms": late.received_at_ms, "bound_ms": late.bound_ms}
            yield make(terms, facts.origin, statements=(), figures={"act": "backdating", **figures})
        for other in logs.parts:
            yield from _omission(terms, facts, other, histories.get(other.origin), document)
    for origin, code, entry in sorted(misjudged):
        yield make(terms, origin, statements=(), figures={"act": "misjudging", "code": code, "entry": entry})
    for item in sorted(set(dishonoured)):
        roots = {"root": item.root.hex(), "other_root": item.other_root.hex()}
        places = {"entry": item.entry, "size": item.size}
        cited = (item.statement,) if item.statement else ()
        yield make(terms, item.origin, statements=cited, figures={"act": "dishonoured-receipt", **places, **roots})


def _fork(logs: Logs, origin: str, own: History | None) -> dict[str, object] | None:
    """Return the figures of the first fork of *origin* that the claims about it show."""
    at, first = -1, b""
    for size, root, seen_in in merge(*(_claimed(facts, origin) for facts in logs.parts)):
        if size != at:
            at, first = size, own.root_at(size) if own is not None and size <= own.size else root
        if root != first:
            return {"size": size, "root": first.hex(), "other_root": root.hex(), "seen_in": seen_in}
    return None


def _claimed(facts: Facts, origin: str) -> Iterator[tuple[int, bytes, str]]:
    return ((claim.size, claim.root, facts.origin) for claim, _ in facts.claims.of(origin))


def _omission(
    terms: RuleTerms, facts: Facts, other: Facts, history: History | None, document: TreatyDocument
) -> Iterator[Finding]:
    """Yield what the log *facts* lacks of *other*, by its own heartbeats' word."""
    told = facts.newest_ms - document.deadlines.takeover_ms.value
    claims = (
        (claim.size, seen.entry, claim.root) for claim, seen in facts.claims.of(other.origin) if seen.at_ms < told
    )
    size, heartbeat, root = max(claims, default=(0, 0, b""))
    if not size or history is None or size > history.size or history.root_at(size) != root:
        return  # nothing said in time, or of a history that was not read (a fork, if it is one, is found as such)
    absent = other.arrivals.absent_from(facts.arrivals)
    omitted = sorted(digest.hex() for digest, arrival in absent if arrival.entry < size)
    if omitted:
        figures = {"seen_in": other.origin, "size": size, "heartbeat": heartbeat, "omitted": len(omitted)}
        yield make(terms, facts.origin, statements=omitted, figures={"act": "omission", **figures})
