"""What the rules say of a world: the judge of the log rules, heartbeat by heartbeat, and the verdict over all logs.

The judge is :class:`brakeline.treaty.judge.LogJudge`, the verdict :func:`brakeline.treaty.verdict.verdict`: what runs
in a verifier and in an audit. Else every log holds every statement at the same instant; what verifiers do to each
other is played by the testnet, with processes. What a site shows to f logs alone is heard by the first f verifiers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from brakeline.explorer.worlds.voices import Heard, statements
from brakeline.explorer.worlds.world import World
from brakeline.ledger.entry import Kind
from brakeline.treaty.findings import Finding, Withdrawn, parse_finding
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.replay import Facts, gather
from brakeline.treaty.spotcheck.challenge import Drawn
from brakeline.treaty.statements import Usage
from brakeline.treaty.verdict import verdict


@dataclass(frozen=True, slots=True)
class Found:
    """A finding that stands in the end, and the period at whose end it could first be known."""

    finding: Finding
    known: int


@dataclass(frozen=True, slots=True)
class Hearing:
    """What came of a world: the findings that stand, and how many statements were heard."""

    found: tuple[Found, ...]
    heard: int

    def about(self, lab: str) -> list[Found]:
        """Return the findings about *lab* or its sites."""
        return [item for item in self.found if item.finding.about.partition("/")[0] == lab]


def hear(world: World) -> Hearing:
    """Judge everything that *world* says."""
    document = world.document
    common = _Bench(world)
    helpers = _Bench(world) if any(site.favoured for site in world.sites.values()) else common
    now = heard = 0
    for item in statements(world):
        while item.period != now:
            for bench in {id(common): common, id(helpers): helpers}.values():
                bench.beat(now)
            now = item.period
        heard += 1
        helpers.take(heard, item)
        if common is not helpers and not item.hidden:
            common.take(heard, item)
    deadlines = document.deadlines
    end = document.grid.end_of(world.periods - 1).value + deadlines.report_ms.value + deadlines.reply_ms.value
    facts = [helpers.close(now, end), common.close(now, end)]
    liars = document.quorum.liars
    parts = [
        replace(facts[0 if number < liars else 1], origin=verifier.origin)
        for number, verifier in enumerate(document.verifiers)
    ]
    reached = verdict(document, parts, as_of_ms=end)
    known = {**helpers.known, **common.known}
    within = [item for item in reached.findings if item.period is None or item.period < world.periods]
    return Hearing(tuple(Found(item, _when(world, item, known, now)) for item in within), heard)


class _Bench:
    """One log: the judge of its rules, and the facts that an audit would gather from it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._judge, self._facts = LogJudge(world.document), Facts(world.document.verifiers[0].origin)
        self.known: dict[str, int] = {}

    def take(self, number: int, item: Heard) -> None:
        """Take the next statement."""
        self._judge.add(number, Kind.STATEMENT, item.statement)
        usage, document = item.statement.predicate, self._world.document
        period = document.grid.index_of(usage.start, usage.end) if isinstance(usage, Usage) else None
        if isinstance(usage, Usage) and period in self._world.sites[usage.author].unopened:
            self._draw(item, usage, period or 0)
        gather(self._facts, document, item.statement, item.at_ms, number)

    def _draw(self, item: Heard, usage: Usage, period: int) -> None:
        """Note that the log challenged these books, a moment after they came."""
        seed = hashlib.sha256(item.statement.digest.encode()).digest()
        drawn = Drawn(
            hashlib.sha256(seed).hexdigest(),
            usage.author,
            period,
            item.statement.digest,
            usage.table.rows,
            1,
            seed,
            item.at_ms + 1,
        )
        self._facts.challenges.append(drawn)

    def beat(self, period: int) -> None:
        """Let the log write down what is new, and note when."""
        for body in self._judge.heartbeat():
            said = parse_finding(body)
            if not isinstance(said, Withdrawn):
                self.known.setdefault(said.digest, period)

    def close(self, period: int, end_ms: int) -> Facts:
        """Return what the log shows in the end."""
        self.beat(period)
        facts, judge = self._facts, self._judge
        facts.standing, facts.passed, facts.unverifiable = judge.standing(), judge.passed(), judge.unverifiable()
        facts.newest_ms = end_ms
        return facts


def _when(world: World, finding: Finding, known: dict[str, int], now: int) -> int:
    """Return when a finding could be known: of a log rule when it was written, else when its books were due."""
    if finding.digest in known:
        return known[finding.digest]
    if finding.period is None:
        return now
    late = world.document.deadlines.report_ms.value // world.period_ms
    return finding.period + late
