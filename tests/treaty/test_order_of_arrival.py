"""Whatever order statements come in, and however often is judged meanwhile, a season shows the same; and nothing that
may be said ends the judge."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from brakeline.ledger.entry import Kind
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.statements import Statement

from tests.support import cast
from tests.support.counts import count
from tests.support.season import Season, treaty

PROFILES = ("free", "eu-gpai", "miri")
CI_SEASONS, SOAK_SEASONS = 12, 1_500
FIRST, SOAK_FIRST = 100, 10_000
"""Numbers of the seasons: others than those of test_record."""


def shown(document: TreatyDocument, said: Sequence[Statement], beats: random.Random | None) -> dict[str, object]:
    """Return all that a judge has to say of *said*, taken in that order, with heartbeats at random moments."""
    taken: list[Statement] = []
    judge = LogJudge(document, past=lambda: taken)
    for index, statement in enumerate(said):
        judge.add(index, Kind.STATEMENT, statement)
        if not isinstance(statement.usage or statement.predicate, TreatyDocument):
            taken.append(statement)
        if beats is not None and beats.random() < 0.7:
            judge.heartbeat()
    return {
        "findings": sorted(judge.standing()),
        "unverifiable": sorted(judge.unverifiable().items()),
        "passed": sorted((name, sorted(runs.items())) for name, runs in judge.passed().items()),
        "lineages": sorted(judge.lineages()),
    }


def play(number: int) -> None:
    document = treaty(PROFILES[number % len(PROFILES)])
    said = [cast.read(item) for item in Season(document, number).said]
    rng = random.Random(number)
    shuffled = rng.sample(said, len(said))
    once = shown(document, said, None)
    assert once["findings"]
    assert shown(document, said, rng) == once
    assert shown(document, shuffled, rng) == once


@pytest.mark.parametrize("number", range(FIRST, FIRST + count(CI_SEASONS, 6)))
def test_a_season_shows_the_same_in_any_order(number: int) -> None:
    play(number)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_many_seasons_show_the_same_in_any_order() -> None:
    for number in range(SOAK_FIRST, SOAK_FIRST + SOAK_SEASONS):
        play(number)
