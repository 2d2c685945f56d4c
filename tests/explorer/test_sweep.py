"""Sweeps: many designs at once come to what each comes to alone; what was done is not done again."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from brakeline.explorer.answers.ask import answer_all
from brakeline.explorer.commands import app
from brakeline.explorer.model.habits import Habits, RuleBook
from brakeline.explorer.model.many import Designs, Play, judge
from brakeline.explorer.model.rules import accused, play
from brakeline.explorer.model.sample import draw
from brakeline.explorer.scenario.designs import move
from brakeline.explorer.scenario.load import Scenario, ScenarioError
from brakeline.explorer.scenario.presets import preset
from brakeline.explorer.sweeps import answers
from brakeline.explorer.sweeps.axes import Axis, axis
from brakeline.explorer.sweeps.sums import FIELDS, frontier, run
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

WORLDS = 25
PLAYS = (
    Play("unsaid", "evenly", 4e23),
    Play("thinned", "FLOP as allowed", 3e24),
    Play("as-evaluation", "FLOP and joules as allowed", 1e24),
    Play("unattributed", "as it is", 3e23),
    Play("secretly-through-the-pause", "as it is", 1e23),
)


def scenario() -> Scenario:
    whole = preset("miri-draft")
    run_ = whole.terms.run.model_copy(update={"days": 6})
    return replace(whole, terms=whole.terms.model_copy(update={"run": run_}))


def short() -> tuple[Habits, RuleBook]:
    habits = replace(Habits.of(scenario()), periods=40, error=0.02, metered=0.8)
    return habits, RuleBook.of(scenario().document, habits)


factor = st.floats(0.05, 20.0)


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.floats(0, 0.06), factor, st.floats(0.1, 0.4), factor, st.floats(0, 0.02)), min_size=1, max_size=6
    )
)
def test_many_designs_at_once_come_to_what_each_comes_to_alone(rows: list[tuple[float, ...]]) -> None:
    habits, rules = short()
    k, h, work, shape, lost = (np.array(column) for column in zip(*rows, strict=True))
    moved = {
        "energy_share": k,
        "energy_h": rules.energy_h * h,
        "work_flop": work,
        "shape_flop": rules.shape_flop * shape,
        "muf_share": lost,
    }
    designs = Designs(rules, moved)
    honest, caught = judge(habits, draw(habits, 3, WORLDS), designs, PLAYS)
    for index in range(designs.count):
        one = designs.one(index)
        speaks = np.min([*accused(habits, one, 3, WORLDS).values()], axis=0) < habits.periods
        assert honest[index] == speaks.mean()
        for item, shares in zip(PLAYS, caught, strict=True):
            alone = play(habits, one, 3, WORLDS, item.strategy, item.way, item.flop)
            assert shares[index] == (alone.caught < habits.periods)[alone.feasible].mean()


AXES = (
    Axis("energy-gap-k-permille", (0.0, 5.0, 10.0, 20.0, 40.0)),
    Axis("energy-gap-h-joules", tuple(1e9 * 1.2**n for n in range(80))),
)


def test_a_sweep_goes_on_where_it_was_whatever_the_number_of_processes(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    one = run(scenario(), AXES, whole, 10)
    head, first, second = whole.read_text().splitlines()
    part.write_text(f"{head}\n{second}\n{first[:100]}")  # cut short while the first chunk was written
    told: list[tuple[int, int]] = []
    assert run(scenario(), AXES, part, 10, 1, lambda done, total: told.append((done, total))) == one
    assert told == [(2, 2)]
    assert sorted(part.read_text().splitlines()) == sorted(whole.read_text().splitlines())
    assert run(scenario(), AXES, tmp_path / "two.jsonl", 10, jobs=2) == one
    assert len(one.rows) == 400
    with pytest.raises(ScenarioError, match="sweep-file"):
        run(scenario(), AXES, whole, 11)


def test_the_frontier_holds_what_no_other_design_beats(tmp_path: Path) -> None:
    table = run(scenario(), AXES[:1], tmp_path / "s.jsonl", 60)
    best = frontier(table)
    assert best
    for row in table.rows:
        assert any(
            float(other[1] or 0) <= float(row[1] or 0) and float(other[2] or 0) >= float(row[2] or 0) for other in best
        )


def test_axes_are_read_and_mistakes_told() -> None:
    assert axis("energy-gap-k-permille=5,10", scenario(), FIELDS).values == (5.0, 10.0)
    assert axis("energy-gap-h-joules=1e9:1e11:3", scenario(), FIELDS).values == (1e9, 1e10, 1e11)
    assert axis("detection=0.9,0.95", scenario()).values == (0.9, 0.95)
    assert axis("reply=86400000.4", scenario()).values == (86400000.0,)
    for text in (
        "reply=1",
        "energy-gap-k-permille=",
        "energy-gap-k-permille=a",
        "energy-gap-k-permille=1:2",
        "muf-h-flop=-1",
    ):
        with pytest.raises(ScenarioError, match="sweep-axis"):
            axis(text, scenario(), FIELDS)
    with pytest.raises(ScenarioError, match="treaty-"):
        axis("orders=1,2", scenario())
    with pytest.raises(ScenarioError, match="sweep-size"):
        run(
            scenario(),
            [
                Axis("muf-k-permille", tuple(map(float, range(1001)))),
                Axis("muf-h-flop", tuple(map(float, range(1000)))),
            ],
            Path("none"),
        )


def test_the_command_prints_the_frontier_and_writes_all_designs(tmp_path: Path) -> None:
    out, table = str(tmp_path / "s.jsonl"), tmp_path / "designs.csv"
    words = ["sweep", "miri-draft", "--axis", "energy-gap-k-permille=5,20", "--trials", "20", "--out", out]
    told = CliRunner().invoke(app, [*words, "--table", str(table)])
    assert told.exit_code == 0, told.output
    assert "2 designs in 20 worlds each" in told.stdout
    with table.open() as file:
        assert [row["energy-gap-k-permille"] for row in csv.DictReader(file)] == ["5.0", "20.0"]
    value = json.loads(CliRunner().invoke(app, [*words, "--format", "json"]).stdout)
    assert value["designs"] == 2
    assert value["frontier"][0]["worst"]
    assert CliRunner().invoke(app, ["sweep", "miri-draft", "--axis", "x=1", "--out", out]).exit_code == 3


def test_any_term_is_swept_by_what_the_questions_come_to(tmp_path: Path) -> None:
    asked, out = preset("eu-1e25"), tmp_path / "s.jsonl"
    axes = [
        axis("line-systemic-risk=1e24,1e26", asked),
        axis("stop=60000,3600000", asked),
        axis("notice=600000", asked),
    ]
    table = answers.run(asked, axes, ["burden", "pause"], out)
    for row in table.records():
        moved = {item.term: row[item.term] for item in axes}
        assert (row["refused"] is None) == (row["stop"] == 60_000.0)  # who stops within the notice is never in breach
        if row["refused"] is None:
            under = asked.under(move(asked.treaty_text, {name: float(value or 0) for name, value in moved.items()}))
            burden, pause = answer_all(under, ["burden"]), answer_all(under, ["pause"])
            assert row["burden.models"] == burden[0].figures[0].value
            assert row["pause.proven"] == pause[0].figure("proven").value
        else:
            assert row["refused"] == "treaty-deadline-order"
            assert row["burden.models"] is None
    assert [column.name for column in answers.headlines(table)] == ["pause.bites", "burden.models"]
    assert table.y == "burden.models"
    assert answers.run(asked, axes, ["burden", "pause"], out, jobs=2) == table
    with pytest.raises(ScenarioError, match="sweep-file"):
        answers.run(asked, axes, ["burden"], out)


def test_the_command_asks_every_design_and_draws_them(tmp_path: Path) -> None:
    plot, table = tmp_path / "s.svg", tmp_path / "designs.csv"
    words = ["sweep", "eu-1e25", "--axis", "line-systemic-risk=1e24:1e26:3", "--axis", "stop=60000,600000"]
    words += ["--question", "burden", "--out", str(tmp_path / "s.jsonl")]
    told = CliRunner().invoke(app, [*words, "--plot", str(plot), "--table", str(table)])
    assert told.exit_code == 0, told.output
    assert "6 designs" in told.stdout
    assert plot.read_text().count("600000") >= 1
    with table.open() as file:
        shares = [float(row["burden.models"]) for row in csv.DictReader(file)]
    assert shares[0] > shares[2] > shares[4] > 0
    value = json.loads(CliRunner().invoke(app, [*words, "--format", "json"]).stdout)
    assert [row["burden.models"] for row in value["rows"]] == shares
    assert CliRunner().invoke(app, [*words, "--question", "none"]).exit_code == 2
