"""What several hooks of one metered command say about a stop or a resume, as one session to the node. Pure.

Ranks of one job stopped after one step, and their digests are one when they are equal (every rank holds the same
weights), or when rank 0 alone said one and the others that this is all; different digests are shards
(docs/spec/freeze.md, jobs of several ranks). Until every rank has said its digest, or that it has none, there is
none. Jobs that are not ranks of each other are told apart by their names: steps add up, digests are combined in the
order of the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from brakeline.node.channel import Hello, Resumed, Stopped
from brakeline.node.freeze import freeze_ranks

T = TypeVar("T")


def gather_stops(said: Mapping[str, tuple[Hello, Stopped]]) -> Stopped:
    """Return the one stop of all of *said* (by session; at least one, all on the same order)."""
    jobs = _by_job(said)
    stops = [stop for _, stop in said.values()]
    waiting = any(stop.freeze is None and not stop.final for stop in stops)
    digests = [None if waiting else _digest([s.freeze for _, s in members]) for members in jobs]
    durable = [stop.durable_at for stop in stops if stop.durable_at is not None]
    agreed = [stop.agreed_at for stop in stops if stop.agreed_at is not None]
    freeze = _one(digests)
    return Stopped(
        order=stops[0].order,
        step=sum(max(s.step for _, s in members) for members in jobs),
        freeze=freeze,
        at=max(stop.at for stop in stops),
        agreed_at=max(agreed) if len(agreed) == len(stops) else None,
        durable_at=max(durable) if freeze and durable else None,
        final=all(stop.final for stop in stops),
    )


def gather_resumes(said: Mapping[str, tuple[Hello, Resumed]]) -> Resumed:
    """Return the one resume of all of *said* (by session; at least one)."""
    jobs = _by_job(said)
    return Resumed(
        step=sum(max(r.step for _, r in members) for members in jobs),
        freeze=_one([_digest([r.freeze for _, r in members]) for members in jobs]),
        at=max(resumed.at for _, resumed in said.values()),
    )


def _by_job(said: Mapping[str, tuple[Hello, T]]) -> list[list[tuple[Hello, T]]]:
    jobs: dict[str, list[tuple[Hello, T]]] = {}
    for session, (hello, item) in said.items():
        jobs.setdefault(hello.job or session, []).append((hello, item))
    return [sorted(jobs[name], key=lambda pair: pair[0].rank) for name in sorted(jobs)]


def _digest(by_rank: list[str | None]) -> str | None:
    """Return a job's digest; None when none of its ranks has one."""
    digests = [digest for digest in by_rank if digest is not None]
    if len(set(digests)) <= 1 or len(digests) < len(by_rank):
        return digests[0] if digests else None
    return freeze_ranks(digests)


def _one(digests: list[str | None]) -> str | None:
    known = [digest for digest in digests if digest is not None]
    if len(known) < len(digests):
        return None
    return known[0] if len(known) == 1 else freeze_ranks(known)
