"""What the rules say of a world: the judge of the log rules, heartbeat by heartbeat, and the verdict over all logs.

The judge is :class:`brakeline.treaty.judge.LogJudge`, the verdict :func:`brakeline.treaty.verdict.verdict`: what runs
in a verifier and in an audit. Every log is taken to hold every statement at the same instant; what verifiers do to each
other is played by the testnet, with processes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from brakeline.explorer.worlds.voices import Heard, statements
from brakeline.explorer.worlds.world import World
from brakeline.ledger.entry import Kind
from brakeline.treaty.findings import Finding, Withdrawn, parse_finding
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.replay import Facts, gather
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
    judge, facts = LogJudge(document), Facts(document.verifiers[0].origin)
    known: dict[str, int] = {}
    heard = 0
    now = 0
    for item in statements(world):
        if item.period != now:
            _beat(judge, known, now)
            now = item.period
        heard += 1
        judge.add(heard, Kind.STATEMENT, item.statement)
        _note(facts, world, item)
    _beat(judge, known, now)
    facts.standing, facts.passed, facts.unverifiable = judge.standing(), judge.passed(), judge.unverifiable()
    deadlines = document.deadlines
    end = document.grid.end_of(world.periods - 1).value + deadlines.report_ms.value + deadlines.reply_ms.value
    facts.newest_ms = end
    parts = [replace(facts, origin=verifier.origin) for verifier in document.verifiers]
    reached = verdict(document, parts, as_of_ms=end)
    within = [item for item in reached.findings if item.period is None or item.period < world.periods]
    return Hearing(tuple(Found(item, _when(world, item, known, now)) for item in within), heard)


def _beat(judge: LogJudge, known: dict[str, int], period: int) -> None:
    """Let the log write down what is new, and note when."""
    for body in judge.heartbeat():
        said = parse_finding(body)
        if not isinstance(said, Withdrawn):
            known.setdefault(said.digest, period)


def _note(facts: Facts, world: World, item: Heard) -> None:
    gather(facts, world.document, item.statement, item.at_ms, len(facts.arrivals))


def _when(world: World, finding: Finding, known: dict[str, int], now: int) -> int:
    """Return when a finding could be known: of a log rule when it was written, else when its books were due."""
    if finding.digest in known:
        return known[finding.digest]
    if finding.period is None:
        return now
    late = world.document.deadlines.report_ms.value // world.period_ms
    return finding.period + late
