"""Everything that bad seasons show, as it was when it was recorded: no figure, statement or count changes unnoticed.

The record says nothing of what is right; other tests do. Where a rule is meant to change, it is written again, and what
else changed with it is looked at: ``python -m tests.treaty.test_record``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from brakeline.ledger.entry import Kind
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.statements import Statement
from brakeline.treaty.verdict import verdict

from tests.support import cast
from tests.support.facts import Logs
from tests.support.season import PERIODS, Season, treaty

RECORD = Path(__file__).parent / "record.json"
SEASONS = (("free", 0), ("eu-gpai", 1), ("miri", 2), ("free", 3), ("eu-gpai", 4), ("miri", 5))
DELAYS = (0, 0, 1_000, 14_999, 15_000, 15_001, 40_000, None)
"""Milliseconds that a statement takes to a log (None: it never comes); books are due after 15,000."""


def short(items: Iterable[object]) -> str:
    return hashlib.sha256("\n".join(map(str, items)).encode()).hexdigest()[:16]


def by_rule(findings: Iterable[Finding]) -> dict[str, str]:
    """Return, by rule, how many findings there are, and a digest of all that they say."""
    found: dict[str, list[str]] = {}
    for item in findings:
        found.setdefault(item.rule, []).append(item.body.decode())
    return {rule: f"{len(bodies)} {short(sorted(bodies))}" for rule, bodies in sorted(found.items())}


def season(profile: str, number: int) -> list[Statement]:
    return [cast.read(item) for item in Season(treaty(profile), number).said]


def judged(profile: str, number: int) -> dict[str, object]:
    """Return what one log shows of a season, with a heartbeat now and then."""
    said = season(profile, number)
    taken: list[Statement] = []
    judge = LogJudge(treaty(profile), past=lambda: taken)
    beats: list[str] = []
    for index, statement in enumerate(said):
        judge.add(index, Kind.STATEMENT, statement)
        if not isinstance(statement.usage or statement.predicate, TreatyDocument):
            taken.append(statement)
        if index % 19 == 0:
            beats.append(short(judge.heartbeat()))
    unknown = {f"{key.rule} {key.why} {key.about}": count for key, count in judge.unverifiable().items()}
    return {
        "statements": len(said),
        "findings": by_rule(judge.standing().values()),
        "unverifiable": f"{sum(unknown.values())} {short(sorted(unknown.items()))}",
        "lineages": short(judge.lineages()),
        "passed": short(sorted((name, sorted(items.items())) for name, items in judge.passed().items())),
        "heartbeats": short(beats),
    }


def compared(profile: str, number: int) -> dict[str, object]:
    """Return what four logs show of a season, each of which hears of it at its own times."""
    document, said = treaty(profile), season(profile, number)
    logs = Logs(document)
    for place, statement in enumerate(said):
        at = cast.START + (place * PERIODS // len(said) + 1) * cast.PERIOD
        drawn = hashlib.sha256(f"{number} {statement.digest}".encode()).digest()
        delays = [DELAYS[byte % len(DELAYS)] for byte in drawn[:4]]
        logs.bring(statement, *(None if delay is None else at + delay for delay in delays))
    logs.read_until(*(cast.START + periods * cast.PERIOD for periods in (30, 26, 22, 14)))
    told = verdict(document, logs.parts, as_of_ms=cast.START + 24 * cast.PERIOD)
    return {
        "findings": by_rule(told.findings),
        "open": short((gap.code, gap.found) for gap in told.open),
        "levels": {level.name: f"{level.state} {sorted(level.figures.items())}" for level in told.levels},
    }


def recorded() -> dict[str, dict[str, dict[str, object]]]:
    return {
        "one log": {f"{profile} {number}": judged(profile, number) for profile, number in SEASONS},
        "four logs": {f"{profile} {number}": compared(profile, number) for profile, number in SEASONS[1:3]},
    }


@pytest.mark.parametrize(("profile", "number"), SEASONS)
def test_a_log_shows_of_a_season_what_was_recorded(profile: str, number: int) -> None:
    expected = json.loads(RECORD.read_text("utf-8"))["one log"][f"{profile} {number}"]
    assert judged(profile, number) == expected


@pytest.mark.parametrize(("profile", "number"), SEASONS[1:3])
def test_four_logs_show_of_a_season_what_was_recorded(profile: str, number: int) -> None:
    expected = json.loads(RECORD.read_text("utf-8"))["four logs"][f"{profile} {number}"]
    assert compared(profile, number) == expected


if __name__ == "__main__":
    RECORD.write_text(json.dumps(recorded(), indent=1) + "\n", "utf-8")
