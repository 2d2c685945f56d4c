"""Scenarios: the presets are sane, mistakes are told by file and line, terms move in the text that verifiers load."""

from __future__ import annotations

from pathlib import Path

import pytest
from brakeline.explorer.scenario.designs import difference, move, terms_of
from brakeline.explorer.scenario.load import ScenarioError, inputs, load_scenario
from brakeline.explorer.scenario.presets import PRESETS, folder, preset
from brakeline.treaty.document import load_toml


def text(name: str) -> str:
    return folder().joinpath(name).read_text("utf-8")


def written(tmp_path: Path, old: str, new: str, which: str = "eu-1e25.toml") -> tuple[Path, int]:
    """Write the preset with *old* replaced once; return its path and the line of the change."""
    for name in ("eu-1e25.toml", "eu-1e25.treaty.toml"):
        whole = text(name)
        if name == which:
            assert old in whole
            line = whole[: whole.index(old)].count("\n") + 1
            whole = whole.replace(old, new, 1)
        (tmp_path / name).write_text(whole, "utf-8")
    return tmp_path / "eu-1e25.toml", line


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_sane_and_grades_every_number(name: str) -> None:
    scenario = preset(name)
    assert scenario.name == name
    assert {item.code for item in scenario.document.warnings()} <= {"treaty-warning-rule-absent"}  # rules come later
    given = [item for _, item in inputs(scenario.terms)]
    assert len(given) > 40
    assert all(item.source for item in given if item.grade != "assumed")
    assert load_toml(scenario.treaty_text).require().digest == scenario.document.digest


MISTAKES = [
    ("interruptions = { value = 7.8", "interruptions = { value = -7.8", "scenario-range"),
    ("training = { value = 0.30", 'training = { value = "much"', "scenario-type"),
    ("training = { value = 0.30", "training = { value = 0.95", "scenario-shares"),
    ("repair = { value = 0.006, ", "repair = { ", "scenario-missing"),
    ('repair = { value = 0.006, grade = "assumed"', 'repair = { value = 0.006, grade = "guessed"', "scenario-choice"),
    ('repair = { value = 0.006, grade = "assumed"', 'repair = { value = 0.006, grade = "sure"', "scenario-choice"),
    ("trials = 600", "trails = 600", "scenario-unknown-key"),
    ('strategy = "unsaid"', 'strategy = "unsad"', "scenario-strategy"),
    ('way = "evenly"', 'way = "oddly"', "scenario-way"),
    ('chip_class = "h100-sxm"', 'chip_class = "z9"', "scenario-chip-class"),
    ('fleet = "frontier"', 'fleet = "frontiers"', "scenario-fleet"),
    ('name = "sky"\ncorrelation', 'name = "sea"\ncorrelation', "scenario-group"),
    ("low = 0.15, high = 0.38", "low = 0.35, high = 0.38", "scenario-interval"),
    ("low = 0.15, high = 0.38", "low = 0.15", "scenario-interval"),
    ('treaty = "eu-1e25.treaty.toml"', 'treaty = "no.toml"', "scenario-treaty"),
    ("seed = 1", "seed = = 1", "scenario-toml"),
    ("days = 30", "days = 30.5", "scenario-type"),
]


@pytest.mark.parametrize(("old", "new", "code"), MISTAKES)
def test_a_mistake_is_explained_by_file_and_line(tmp_path: Path, old: str, new: str, code: str) -> None:
    path, line = written(tmp_path, old, new)
    loaded = load_scenario(path)
    assert loaded.scenario is None
    first = next(item for item in loaded.problems if item.problem.mistake.code == code)
    assert first.file == str(path)
    if code not in {"scenario-shares", "scenario-group", "scenario-unknown-key"}:  # these are about a line nearby
        assert first.problem.line == line
    assert str(first).startswith(f"{path}: line {first.problem.line}: {code}: ")
    with pytest.raises(ScenarioError):
        loaded.require()


TREATY = [
    ('rule = "muf"', 'rule = "mufti"', "treaty-rule-unknown"),
    ("orders = 2", "orders = 3", "treaty-quorum-orders"),
    ("liars = 1", "liars = 2", "treaty-quorum-liars"),
]


@pytest.mark.parametrize(("old", "new", "code"), TREATY)
def test_a_mistake_of_the_treaty_is_explained_in_its_own_file(tmp_path: Path, old: str, new: str, code: str) -> None:
    path, line = written(tmp_path, old, new, "eu-1e25.treaty.toml")
    first = load_scenario(path).problems[0]
    assert (first.problem.mistake.code, first.problem.line) == (code, line)
    assert first.file == str(tmp_path / "eu-1e25.treaty.toml")


def test_a_number_that_claims_a_source_must_name_it(tmp_path: Path) -> None:
    path, line = written(
        tmp_path,
        'repair = { value = 0.006, grade = "assumed", source',
        'repair = { value = 0.006, grade = "measured", low',
    )
    whole = path.read_text().split("\n")
    whole[line - 1] = 'repair = { value = 0.006, grade = "measured" }'
    path.write_text("\n".join(whole))
    first = load_scenario(path).problems[0]
    assert (first.problem.mistake.code, first.problem.line) == ("scenario-source", line)


def test_moved_terms_are_what_verifiers_load_and_nothing_else_changes() -> None:
    scenario = preset("eu-1e25")
    wanted = {"line-systemic-risk": 1e24, "detection": 0.9, "energy-gap-k-permille": 20, "stop": 3_600_000}
    moved = move(scenario.treaty_text, wanted)
    after = scenario.under(moved).document
    values = {term.id: term.value for term in terms_of(after)}
    assert {name: values[name] for name in wanted} == wanted
    assert [item.where for item in difference(scenario.document, after)] == [
        "deadlines.stop_ms",
        "goals.detection",
        "threshold[systemic-risk].flop",
        "rule[energy-gap].parameters.k_permille",
    ]
    assert len(moved.split("\n")) == len(scenario.treaty_text.split("\n"))
    changed = [old for old, new in zip(scenario.treaty_text.split("\n"), moved.split("\n"), strict=True) if old != new]
    assert len(changed) == 4


@pytest.mark.parametrize("name", PRESETS)
def test_every_term_moves(name: str) -> None:
    scenario = preset(name)
    terms = terms_of(scenario.document)
    assert len({term.id for term in terms}) == len(terms) > 20
    assert all(term.low <= term.value <= term.high for term in terms)
    moved = scenario.under(move(scenario.treaty_text, {term.id: term.value for term in terms}))
    assert moved.document == scenario.document
    rules = {term.id: round(term.value / 2) for term in terms if term.path[0] == "rule" and term.value >= 2}
    after = terms_of(scenario.under(move(scenario.treaty_text, rules)).document)
    assert {term.id: term.value for term in after if term.id in rules} == rules


def test_what_cannot_be_moved_is_told() -> None:
    scenario = preset("eu-1e25")
    with pytest.raises(ScenarioError, match="scenario-term"):
        move(scenario.treaty_text, {"nothing": 1})
    with pytest.raises(ScenarioError, match="treaty-quorum-orders"):
        move(scenario.treaty_text, {"orders": 5})
    with pytest.raises(ScenarioError, match="scenario-preset"):
        preset("utopia")
