"""The six answers: what they say of known scenarios, that every number says whence it comes, that equals agree."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from brakeline.explorer.answers import burden, hidden, pause, unverified
from brakeline.explorer.answers.ask import answer_all
from brakeline.explorer.answers.detect import Setup, detect
from brakeline.explorer.answers.forms import QUESTIONS, Answer, AnswerId
from brakeline.explorer.commands import app
from brakeline.explorer.model.intervals import clopper_pearson, rate
from brakeline.explorer.scenario.designs import move
from brakeline.explorer.scenario.form import Amount, Grade
from brakeline.explorer.scenario.load import Scenario
from brakeline.explorer.scenario.presets import PRESETS, preset
from typer.testing import CliRunner

TRIALS = 40


@cache
def answers(name: str) -> dict[AnswerId, Answer]:
    return {item.id: item for item in answer_all(preset(name), trials=TRIALS)}


def moved(scenario: Scenario, **values: float) -> Scenario:
    return scenario.under(move(scenario.treaty_text, {name.replace("_", "-"): value for name, value in values.items()}))


def number(answer: Answer, name: str) -> float:
    value = answer.figure(name).value
    assert isinstance(value, float | int)
    return float(value)


def test_every_question_is_answered_and_every_number_says_whence_it_comes() -> None:
    found = answers("eu-1e25")
    assert list(found) == list(QUESTIONS)
    for answer in found.values():
        assert answer.sentence.endswith(".")
        assert answer.caveat
        assert len({item.id for item in answer.figures}) == len(answer.figures)
        for figure in answer.figures:
            assert figure.formula
            assert figure.value is not None or figure.note, figure
            if figure.source.startswith("simulation"):
                assert (figure.seed, figure.trials is not None) == (1, True)
        for series in answer.series:
            names = [column.name for column in series.columns]
            assert {series.x, series.y, series.colour or series.x} <= set(names)
            assert all(len(row) == len(names) for row in series.rows)
            assert series.rows


def test_an_answer_is_the_same_again_and_another_seed_is_another_sample() -> None:
    scenario = preset("miri-draft")
    one, two = (answer_all(scenario, ["caught"], 30) for _ in range(2))
    assert one == two
    terms = scenario.terms.model_copy(update={"run": scenario.terms.run.model_copy(update={"seed": 2})})
    (other,) = answer_all(replace(scenario, terms=terms), ["caught"], 30)
    assert other.figure("worst").seed == 2
    assert other.table("curves") != one[0].table("curves")


def test_what_is_caught_has_intervals_that_hold_it_and_residuals_are_told_apart() -> None:
    caught = answers("eu-1e25")["caught"]
    assert number(caught, "caught-quiet") == 1.0
    assert "nothing in a log can see it" in caught.figure("caught-other-hall").note
    assert caught.figure("worst").note.startswith(("as-inference", "thinned"))
    for row in caught.table("curves").records():
        if row["probability"] is not None:
            assert float(row["low"] or 0) <= float(row["probability"]) <= float(row["high"] or 0)
    assert number(caught, "breakout") == pytest.approx(1e25 / (25_000 * 989e12 * 0.40 * 86_400), rel=1e-6)


def test_a_smaller_significant_quantity_breaks_out_sooner_and_more_is_needed() -> None:
    scenario = preset("eu-1e25")
    (before,), (after,) = (
        answer_all(item, ["caught"], 20) for item in (scenario, moved(scenario, significant_quantity=1e24))
    )
    assert number(after, "breakout") == pytest.approx(number(before, "breakout") / 10, rel=1e-6)
    assert "too late" in after.sentence


def test_forgiving_less_sees_smaller_runs_and_accuses_more() -> None:
    rows = answers("miri-draft")["accused"].table("trade-off").records()
    rates = [float(row["rate"] or 0) for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.0
    assert rates[-1] == 0.0
    assert float(rows[1]["probability"] or 0) > float(rows[-1]["probability"] or 0)
    assert all(float(row["low"] or 0) <= float(row["rate"] or 0) <= float(row["high"] or 0) for row in rows)


def test_bulk_accounting_cannot_guard_a_low_line_and_the_answer_says_so() -> None:
    found = answers("miri-draft")["hidden"]
    assert "bulk accounting alone cannot see" in found.sentence
    assert number(found, "bulk") > number(found, "lowest-line")
    sizes = [float(row["flop"] or 0) for row in found.table("bulk").records()]
    assert sizes == sorted(sizes)
    blind = Setup.of(preset("miri-draft"), 20)
    perfect = replace(blind, habits=replace(blind.habits, error=0.0))
    assert hidden.bulk_bound(perfect) == 0.0


def test_what_a_cheat_hides_cautiously_is_caught_no_more_often_than_it_says() -> None:
    setup = Setup.of(preset("eu-1e25"), 60)
    quiet = next(item for item in setup.scenario.terms.adversaries if item.name == "quiet")
    best = hidden.best(setup, quiet)
    assert best.sure is not None
    assert best.cautious < best.sure < best.most
    below, above = detect(setup, quiet, best.cautious * 0.98), detect(setup, quiet, best.sure * 1.05)
    assert below is not None
    assert above is not None
    assert (below.probability or 0) <= 0.05
    assert (above.probability or 0) >= 0.95


def test_a_pause_leaks_what_trains_on_and_what_never_joined() -> None:
    scenario = preset("pause-3-of-5")
    answer = answers("pause-3-of-5")["pause"]
    assert number(answer, "signed") == pytest.approx(0.94208)
    assert number(answer, "bites") == pytest.approx(3 + 600 / 86_400)
    parts = [number(answer, name) for name in ("leak-before", "leak-labs", "leak-outsiders")]
    last = [row for row in answer.table("training").rows if row[0] == 180.0]
    assert sum(float(row[2] or 0) for row in last[:3]) == pytest.approx(sum(parts))
    assert number(answer, "leak-share") == pytest.approx(sum(parts) / float(last[3][2] or 0))
    slower = pause.answer(moved(scenario, stop=3_600_000))
    assert number(slower, "leak-before") > number(answer, "leak-before")


def test_what_has_no_default_is_not_asked() -> None:
    scenario = preset("eu-1e25")
    response = scenario.terms.response.model_copy(update={"decide_days": None})
    unasked = replace(scenario, terms=scenario.terms.model_copy(update={"response": response}))
    answer = pause.answer(unasked)
    for name in ("bites", "leak-share", "leak-before"):
        assert answer.figure(name).value is None
        assert "not asked" in answer.figure(name).note
    assert "not asked" in answer.sentence
    assert "not asked" in burden.answer(scenario).figure("cost").note
    asked = burden.answer(preset("pause-3-of-5"))
    assert number(asked, "visits-possible") == 800


def test_a_higher_line_covers_fewer_models_and_no_small_developer() -> None:
    scenario = preset("eu-1e25")
    answer = answers("eu-1e25")["burden"]
    assert number(answer, "models-general-purpose") > number(answer, "models-systemic-risk") >= 5
    assert number(answer, "models-by-small") == 0
    models = {row["model"]: row for row in answer.table("models").records()}
    assert models["GPT-3"]["flop"] == 6 * 175e9 * 300e9
    assert models["Llama 3.1 405B"]["passes"] == "systemic-risk"
    higher = burden.answer(moved(scenario, line_systemic_risk=1e26))
    assert number(higher, "models") < number(answer, "models")
    assert all(row["source"] for row in models.values())


def test_one_assumption_at_a_time_moves_only_what_it_touches() -> None:
    scenario = preset("pause-3-of-5")
    swings = {(item.where, item.metric): item for item in unverified.sensitivity(scenario)}
    people = swings["hint people: seen", unverified.NOTICED]
    assert people.low < people.base < people.high
    assert swings["outsider elsewhere: chips", unverified.LEAK].size > 0
    assert ("outsider elsewhere: chips", unverified.CAUGHT) not in swings
    assert swings["meters.metered", unverified.CAUGHT].low < swings["meters.metered", unverified.CAUGHT].base
    assert unverified.changed(scenario, ("work", "training"), 0.9) is None
    answer = answers("pause-3-of-5")["unverified"]
    assert answer.figure("matters-most").value == answer.table("sensitivity").rows[0][0]


def test_intervals_and_rates() -> None:
    assert clopper_pearson(5, 5).low == pytest.approx(0.478, abs=1e-3)
    each, ends = rate(0, 600, 0.1)
    assert each == 0.0
    assert ends.low == 0.0
    assert ends.high == pytest.approx(0.0613, abs=1e-3)
    each, ends = rate(30, 600, 0.1)
    assert ends.low < each < ends.high


def test_the_grade_of_a_figure_is_that_of_its_weakest_input() -> None:
    scenario = preset("eu-1e25")
    assert answers("eu-1e25")["pause"].figure("stops").grade is Grade.DERIVED
    known = Amount(value=10, grade="measured", source="an exercise")
    response = scenario.terms.response.model_copy(update={"decide_days": known})
    better = replace(scenario, terms=scenario.terms.model_copy(update={"response": response}))
    assert pause.answer(better).figure("bites").grade is Grade.MEASURED


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_answers_in_a_sentence(name: str) -> None:
    for answer in answer_all(preset(name), ["pause", "burden"]):
        assert len(answer.sentence) > 40


def test_the_command_answers_in_both_forms_and_writes_tables(tmp_path: Path) -> None:
    words = ["answer", "eu-1e25", "--question", "pause", "--question", "accused", "--trials", "20"]
    told = CliRunner().invoke(app, [*words, "--tables", str(tmp_path)])
    assert told.exit_code == 0, told.output
    assert "How fast does a pause bite" in told.stdout
    assert "10 minutes" in told.stdout
    with (tmp_path / "pause-training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {"day", "part", "flop"}
    value = json.loads(CliRunner().invoke(app, [*words, "--format", "json"]).stdout)
    assert [item["id"] for item in value["answers"]] == ["accused", "pause"]
    assert value["treaty"] == preset("eu-1e25").document.digest
    assert value["answers"][1]["figures"][0]["formula"] == "decide + stop_ms"


def test_presets_are_listed_and_written_to_be_edited(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["presets", "--write", str(tmp_path)])
    assert told.exit_code == 0
    assert "miri-draft" in told.stdout
    again = CliRunner().invoke(
        app, ["answer", str(tmp_path / "us-1e26.toml"), "--question", "burden", "--format", "json"]
    )
    assert json.loads(again.stdout)["scenario"] == "us-1e26"
    assert [row["name"] for row in json.loads(CliRunner().invoke(app, ["presets", "--format", "json"]).stdout)] == list(
        PRESETS
    )


def test_commands_tell_mistakes_by_file_and_line(tmp_path: Path) -> None:
    CliRunner().invoke(app, ["presets", "--write", str(tmp_path)])
    path = tmp_path / "eu-1e25.toml"
    path.write_text(path.read_text().replace("interruptions = { value = 7.8", "interruptions = { value = -1"))
    told = CliRunner().invoke(app, ["answer", str(path)])
    assert told.exit_code == 3
    assert "scenario-range" in told.stderr
    assert f"{path}: line " in told.stderr
    assert CliRunner().invoke(app, ["answer", str(tmp_path / "none.toml")]).exit_code == 3
    assert CliRunner().invoke(app, ["answer", "eu-1e25", "--question", "why"]).exit_code == 2
