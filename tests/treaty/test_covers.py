"""``treaty covers``: what a treaty asks of a plan, line by line, and by how far a plan stays below."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from brakeline.treaty.commands import treaty_app
from brakeline.treaty.covers import Plan, covers
from brakeline.treaty.errors import DocumentError
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.support import cast

DOC = cast.document()
EXAMPLE = Path(__file__).parents[2] / "examples" / "treaty.toml"


def owed(plan: Plan) -> dict[str, bool | None]:
    return {duty.name: duty.owed for duty in covers(DOC, plan)}


def test_a_lab_that_is_not_named_owes_nothing_and_a_named_one_books_every_chip() -> None:
    stranger = owed(Plan(lab="small.example", chips={"cpu-core": 2}, training_flop=0, serving_flop=0))
    assert set(stranger.values()) == {False}
    assert "books" not in stranger
    named = covers(DOC, Plan(lab=cast.LABS[0], chips={"cpu-core": 2}, training_flop=0, serving_flop=0))
    books = next(duty for duty in named if duty.name == "books")
    assert books.owed
    assert books.article
    assert f"2 chips x {cast.PERIOD} ms = {2 * cast.PERIOD} chip-milliseconds" in books.arithmetic


def test_what_the_chips_cannot_reach_is_not_owed_and_what_they_can_depends_on_the_plan() -> None:
    line = DOC.thresholds[0]
    peak = DOC.chip_classes[0].peak_flop_per_s.value
    name = f"threshold-{line.name}"
    enough = -(-line.flop.value // (peak * 86_400)) + 1
    assert owed(Plan(chips={"cpu-core": 1}, days=1))[name] is (False if peak * 86_400 <= line.flop.value else None)
    assert owed(Plan(chips={"cpu-core": enough}, days=1))[name] is None
    assert owed(Plan(chips={"cpu-core": enough}, days=1, training_flop=line.flop.value))[name] is False
    assert owed(Plan(training_flop=line.flop.value + 1))[name] is True


@given(st.integers(0, 10**30), st.integers(0, 10**30))
def test_more_never_owes_less(a: int, b: int) -> None:
    less, more = sorted((a, b))
    small, large = owed(Plan(training_flop=less, serving_flop=less)), owed(Plan(training_flop=more, serving_flop=more))
    assert all(large[name] for name, found in small.items() if found)


def test_a_class_the_treaty_does_not_have_is_an_error() -> None:
    with pytest.raises(DocumentError, match="covers-chip-class"):
        covers(DOC, Plan(chips={"abacus": 1}))


def test_the_command_answers_with_words_figures_and_an_exit_code() -> None:
    small = ["covers", str(EXAMPLE), "--training-flop", "1e18", "--serving-flop", "0"]
    run = CliRunner().invoke(treaty_app, small)
    assert run.exit_code == 0
    assert "nothing is owed" in run.stdout
    large = CliRunner().invoke(
        treaty_app, [*small[:2], "--training-flop", "1.5e26", "--chips", "h100-sxm=8", "--format", "json"]
    )
    assert large.exit_code == 1
    value = json.loads(large.stdout)
    assert value["owed"]
    assert {"declaration", "books"} <= {duty["name"] for duty in value["duties"] if duty["owed"]}
    assert all(duty["article"] for duty in value["duties"] if duty["name"].startswith(("declaration", "threshold")))
    assert CliRunner().invoke(treaty_app, [*small[:2], "--training-flop", "0.5"]).exit_code == 2
    assert CliRunner().invoke(treaty_app, [*small[:2], "--chips", "h100"]).exit_code == 2
