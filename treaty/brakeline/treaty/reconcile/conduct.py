"""``verifier-conduct``: did a verifier keep one history, and judge by the rules?

Sees two things in this version. *Fork*: two checkpoints signed by one log with different roots at one size, one of them
embedded in a peer's heartbeat (or both). *Misjudging*: an entry under the log's own signed checkpoint that its replay
refuses: a statement that was not admissible, a finding that does not follow or is left out, a heartbeat that embeds
what it must not.
Cannot see: a history shown to nobody whom the auditor reads; omission and backdating; more than f verifiers that lie
alike.
Figures: ``act`` (``fork``, ``misjudging``); for a fork ``size``, ``root`` (the log's own, or the smaller one),
``other_root`` and ``seen_in`` (the log whose heartbeat embeds the other); for misjudging ``code`` and ``entry``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.reconcile.logs import Logs
from brakeline.treaty.replay import RootAt
from brakeline.treaty.rules.board import make


class Misjudged(NamedTuple):
    """Where the replay of a log ended by its verifier's own doing."""

    origin: str
    code: str
    entry: int


class History(NamedTuple):
    """A log as it was read: its size under its checkpoint, and its root at any size up to that."""

    size: int
    root_at: RootAt


def conduct(
    logs: Logs, histories: Mapping[str, History], misjudged: Sequence[Misjudged], document: TreatyDocument
) -> Iterator[Finding]:
    """Yield the findings of ``verifier-conduct``, one fork at most a log: the one at the smallest size."""
    terms = document.rule("verifier-conduct")
    if terms is None:
        return
    for verifier in sorted(document.verifiers, key=lambda item: item.origin):
        fork = _fork(logs, verifier.origin, histories.get(verifier.origin))
        if fork is not None:
            yield make(terms, verifier.origin, statements=(), figures={"act": "fork", **fork})
    for origin, code, entry in sorted(misjudged):
        figures = {"act": "misjudging", "code": code, "entry": entry}
        yield make(terms, origin, statements=(), figures=figures)


def _fork(logs: Logs, origin: str, own: History | None) -> dict[str, object] | None:
    """Return the figures of the first fork of *origin* that the claims about it show."""
    claims = sorted(
        (claim.size, claim.root, facts.origin)
        for facts in logs.parts
        for claim in facts.claims
        if claim.origin == origin
    )
    roots: dict[int, bytes] = {}
    for size, root, seen_in in claims:
        if size not in roots:
            roots[size] = own.root_at(size) if own is not None and size <= own.size else root
        if root != roots[size]:
            return {"size": size, "root": roots[size].hex(), "other_root": root.hex(), "seen_in": seen_in}
    return None
