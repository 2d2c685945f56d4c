"""The corpus: what every strategy really does, what the rules see of it, and that what is counted is right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from brakeline.explorer.commands import app
from brakeline.explorer.evasion import STRATEGIES
from brakeline.explorer.evasion.hidden import train
from brakeline.explorer.evasion.strategy import Infeasible, Plan
from brakeline.explorer.notebook import notebook
from brakeline.explorer.trials import Honest, Row, Setting, Table, explore
from brakeline.explorer.worlds.court import Found, hear
from brakeline.explorer.worlds.honest import honest
from brakeline.explorer.worlds.world import Work, World
from brakeline.treaty.rule_table import RULES
from brakeline.treaty.statements import Activity
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.explorer.test_worlds import EXAMPLE, treaty

QUANTITY = 10**25
CASES = [(name, way) for name, strategy in STRATEGIES.items() for way in strategy.ways]
DAYS = 30
IMPOSSIBLE = {("unsaid", "in a week"), ("unsaid", "late"), ("throttled", "as it is")}
"""Too much for the site's chips in so short a time, or at so slow a pace."""


def cheated(name: str, way: str, flop: int = QUANTITY, days: int | None = None, sites: int = 1) -> World:
    strategy = STRATEGIES[name]
    world = honest(treaty(), 1, max(DAYS, strategy.days) if days is None else days, max(strategy.sites, sites))
    STRATEGIES[name].cheat(world, Plan(flop, 24, world.periods - 24, way, Random(1)))
    return world


@cache
def seen(name: str, way: str) -> Sequence[Found]:
    world = cheated(name, way)
    return hear(world).about(world.first.lab)


def cases() -> list[Any]:
    """Every way of every strategy: of each the last one, which lies most; the others where long counts are wanted."""
    hardest = {name: strategy.ways[-1] for name, strategy in STRATEGIES.items()} | {"unsaid": "evenly"}
    return [
        pytest.param(name, way, marks=() if hardest[name] == way else pytest.mark.soak)
        for name, way in CASES
        if (name, way) not in IMPOSSIBLE
    ]


@pytest.mark.parametrize(("name", "way"), cases())
def test_one_significant_quantity_is_seen_by_a_rule_that_is_meant_to(name: str, way: str) -> None:
    strategy = STRATEGIES[name]
    assert set(strategy.seen_by) <= set(RULES)
    rules = {item.finding.rule for item in seen(name, way)}
    if strategy.residual:
        assert rules == set()
    else:
        assert rules & set(strategy.seen_by)


@pytest.mark.parametrize("case", sorted(IMPOSSIBLE))
def test_what_the_chips_cannot_do_is_refused(case: tuple[str, str]) -> None:
    with pytest.raises(Infeasible):
        cheated(*case)


OTHERWISE = {"ghost-chips", "other-hall", "other-chips-work", "autonomous", "sandbagged", "distilled"}
"""What they train, if anything, the site's declared chips did not do."""
HIDES = sorted(set(STRATEGIES) - OTHERWISE)


@pytest.mark.parametrize("name", HIDES)
def test_the_truth_holds_the_training_and_chip_time_stays_whole(name: str) -> None:
    flop = 10**22
    before = honest(treaty(), 1, 4, 3)
    world = cheated(name, STRATEGIES[name].ways[0], flop, 4, 3)
    paused = sum(
        work.flop
        for site in before.of_lab(before.first.lab)
        for period in range(24, before.periods - 24)
        for work in site.truth[period]
        if work.activity is Activity.TRAINING and "pause" in name
    )
    labs = {site.lab for site in world.sites.values()}
    gained = sum(world.trained(lab) - before.trained(lab) for lab in labs) + paused
    assert flop <= gained <= flop + 1000
    for site in world.sites.values():
        for works in site.truth.values():
            assert sum(work.chip_ms for work in works) == site.present * world.period_ms


def test_a_cheat_troubles_nobody_else() -> None:
    for name in ("unsaid", "undeclared", "two-versions", "as-idle"):
        world = cheated(name, STRATEGIES[name].ways[0], 10**24, 8, 3)
        heard = hear(world)
        assert heard.found
        assert len(heard.found) == len(heard.about(world.first.lab)), name


# counting -------------------------------------------------------------------------------------------------------------


def played(jobs: int) -> Table:
    names = ("understated", "other-hall")
    return explore(treaty(), Setting(4, 2, (1, 2), (10**22, 3 * 10**23), names, jobs))


def test_the_table_is_the_same_whatever_the_number_of_processes() -> None:
    one = played(1)
    assert one == played(2)
    by = {(row.strategy, row.flop): row for row in one.rows}
    assert by["understated", 3 * 10**23].caught == by["understated", 3 * 10**23].trials == 2
    assert by["other-hall", 3 * 10**23].caught == 0
    assert one.honest.site_years == Fraction(2 * 2 * 4 * 86_400_000, 31_557_600_000)
    assert one.missed(treaty()) == []


def test_what_is_caught_too_seldom_is_missed_unless_it_is_a_residual() -> None:
    def row(name: str, caught: int, flop: int = QUANTITY) -> Row:
        return Row(name, "w", flop, 20, caught, (), None)

    rows = (row("unsaid", 18), row("late", 19), row("other-hall", 0), row("scattered", 0, QUANTITY - 1))
    missed = Table(Honest(Fraction(1), ()), rows).missed(treaty())
    assert [item.strategy for item in missed] == ["unsaid"]


def test_the_command_prints_a_table_a_page_and_json(tmp_path: Path) -> None:
    page = tmp_path / "table.html"
    small = ("--days", "4", "--seeds", "1", "--sites", "1", "--magnitude", "1e23", "--strategy", "undeclared")
    words = ["try", str(EXAMPLE), *small, "--jobs", "1"]
    told = CliRunner().invoke(app, [*words, "--page", str(page)])
    assert told.exit_code == 0, told.output
    assert "0.00 referrals" in told.stdout
    assert "Nothing of 1.0e25 FLOP" in told.stdout
    text = page.read_text()
    assert "undeclared-run" in text
    assert "<script" not in text
    assert treaty().digest in text
    value = json.loads(CliRunner().invoke(app, [*words, "--format", "json"]).stdout)
    assert value["rows"][0]["caught"] == 1
    assert value["rows"][0]["flop"] == str(10**23)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("try", str(EXAMPLE), "--strategy", "nothing"), "nothing"),
        (("try", str(EXAMPLE), "--magnitude", "much"), "1e24"),
        (("try", str(EXAMPLE), "--magnitude", "0.5"), "whole number"),
        (("try", "none.toml"), "none.toml"),
    ],
)
def test_mistakes_are_told(words: tuple[str, ...], told: str) -> None:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code in (2, 3)
    assert told in result.output


def test_strategies_are_listed() -> None:
    assert "thinned" in CliRunner().invoke(app, ["strategies"]).stdout
    listed = json.loads(CliRunner().invoke(app, ["strategies", "--format", "json"]).stdout)
    assert [item["name"] for item in listed] == list(STRATEGIES)


def test_a_run_that_was_ended_goes_on_where_it_was(tmp_path: Path) -> None:
    setting = Setting(4, 1, (1, 2), (10**22,), ("undeclared",))
    path = tmp_path / "notes.jsonl"
    with notebook(path, treaty(), setting) as notes:
        whole = explore(treaty(), setting, notes=notes)
    kept = path.read_text().splitlines()
    path.write_text("\n".join(kept[:2]) + '\n{"treaty": "cut o')  # as a kill leaves it
    with notebook(path, treaty(), setting) as notes:
        assert len(notes.seen) == 2
        path.write_text("\n".join(kept[:2]) + "\n")
        again = explore(treaty(), setting, notes=notes)
    assert again == whole
    assert len(path.read_text().splitlines()) <= len(kept)
    with notebook(path, treaty(), replace(setting, days=5)) as notes:
        assert notes.seen == {}


@settings(max_examples=25)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.integers(1, 120))
def test_a_run_is_spread_evenly_as_far_as_there_is_room(shares: list[int], part: int) -> None:
    world = honest(treaty(), 1, 2, 1)
    site = world.first
    for period, share in enumerate(shares):
        due = site.due(world.period_ms)
        idle = due * share // 50
        site.truth[period] = [Work("idle", Activity.IDLE, idle), Work("x", Activity.MAINTENANCE, due - idle)]
    wanted = site.flop(site.due(world.period_ms) * sum(shares) * part // 5000, 400)
    if part > 100 and wanted:
        with pytest.raises(Infeasible):
            train(world, Plan(wanted, 0, len(shares), "", Random(1)))
        return
    done = {p: work.flop for p, work in train(world, Plan(wanted, 0, len(shares), "", Random(1))).items()}
    assert wanted <= sum(done.values()) <= wanted + len(shares)
    most = max(done.values(), default=0)
    for period, share in enumerate(shares):
        room = site.flop(site.due(world.period_ms) * share // 50, 400)
        assert done.get(period, 0) in (most, most - 1, room)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_every_strategy_is_caught_in_twenty_worlds() -> None:
    setting = Setting(DAYS, 3, tuple(range(20)), (QUANTITY,), tuple(STRATEGIES), 2)
    table = explore(treaty(), setting)
    for row in table.rows:
        print(row)
    assert table.missed(treaty()) == []
