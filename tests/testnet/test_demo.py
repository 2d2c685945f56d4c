"""Whole treaties, played in processes: what is planted is found, exactly, and nothing acknowledged is ever lost."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import cast as typed

import pytest
from brakeline.testnet.outcome import Outcome
from brakeline.testnet.plan import Plan, Role, draw
from brakeline.testnet.show import Progress, render
from brakeline.testnet.terms import PATIENT
from brakeline.testnet.whole import play_whole
from rich.console import Console

from tests.testnet import aftermath, outsiders

CI_KILLS = 4
"""Plugs pulled in one play of the sample; `make soak` pulls 50 in five plays."""

SLOW = pytest.mark.timeout(600)


def play(out: Path, plan: Plan, verifiers: int = 4, plugs: aftermath.Plugs | None = None) -> Outcome:
    """Play, and check what must hold of every play."""
    outcome = play_whole(plan, verifiers, out, aftermath.Silent(), plugs, PATIENT)
    assert outcome.matched, aftermath.explain(outcome, plan, out)
    assert aftermath.acknowledged_statements_stand(outcome) > 0
    aftermath.no_sequence_was_signed_twice(outcome)
    aftermath.all_logs_hold_the_same(outcome)
    outsiders.the_independent_checker_agrees(outcome)
    return outcome


@SLOW
def test_a_whole_treaty_is_found_out_exactly_and_the_brake_stops_the_training(tmp_path: Path) -> None:
    plan = draw(seed=1, labs=4, cheats=2, evidence=True)
    told = Console(file=io.StringIO(), width=160, soft_wrap=True)
    with Progress(plan, told) as progress:
        outcome = play_whole(plan, 4, tmp_path, progress, pace=PATIENT)
    assert outcome.matched, aftermath.explain(outcome, plan, tmp_path)
    assert aftermath.acknowledged_statements_stand(outcome) > 100
    aftermath.no_sequence_was_signed_twice(outcome)
    assert outsiders.every_envelope_is_read_by_libraries_nobody_here_wrote(outcome) > 100
    outsiders.the_independent_checker_agrees(outcome)
    the_pause_shows_in_the_books(outcome)
    everything_is_left_behind(outcome)
    the_order_has_its_report_and_only_evidence_speaks_of_hidden_training(outcome)
    assert isinstance(told.file, io.StringIO)
    assert "acknowledges the order" in told.file.getvalue()
    shown = Console(file=io.StringIO(), width=160, soft_wrap=True)
    render(outcome, shown)
    assert isinstance(shown.file, io.StringIO)
    text = shown.file.getvalue()
    assert "MATCH: the audit found exactly what was planted" in text
    assert "its books hold exactly these steps" in text
    assert "from exactly the frozen weights, no step missing and none twice" in text
    assert str(outcome.paths["html"]) in text


def the_pause_shows_in_the_books(outcome: Outcome) -> None:
    """Who obeys books no training once the order is in force; who defies it goes on; who hides it books none at all."""
    sites = {lab.role: outcome.training[lab.site] for lab in outcome.plan.labs if lab.role is not Role.IDLE}
    assert outcome.braked_in is not None
    assert outcome.resumed_in is not None
    after = range(outcome.braked_in + 2, outcome.resumed_in)
    assert len(after) >= 1
    assert any(sites[Role.TRAINER][period] for period in range(outcome.braked_in + 1))
    assert not any(sites[Role.TRAINER][period] for period in after)
    assert any(sites[Role.TRAINER][period] for period in range(outcome.resumed_in, outcome.periods))
    assert all(sites[Role.CLUMSY][period] for period in after)
    assert not any(sites[Role.HIDDEN].values())
    stop = outcome.stop
    assert stop is not None
    assert stop.step == stop.booked_steps
    assert len(stop.freeze) == 64
    back = outcome.back
    assert back is not None
    assert (back.resumed, back.step, back.unbroken) == (stop.freeze, stop.step, True)
    before, later = ([loss for step, loss in back.losses if (step <= stop.step) is early] for early in (True, False))
    assert later[0] < 0.9 * before[0]  # it goes on from what it had learnt; begun anew, it would repeat its first loss


def the_order_has_its_report_and_only_evidence_speaks_of_hidden_training(outcome: Outcome) -> None:
    """Who obeys and who hides look alike in it: both were heard, and their books keep to the order."""
    report = outcome.audit.order
    assert report["format"] == "brakeline-order/v1"
    assert report["not_heard"] == []
    sites = {site["site"]: site for site in typed("list[dict[str, object]]", report["sites"])}
    roles = {lab.role: sites[lab.site] for lab in outcome.plan.labs}
    assert set(typed("dict[str, int]", roles[Role.TRAINER]["latencies_ms"])) == {"seen", "agreed", "ceased", "durable"}
    assert roles[Role.HIDDEN]["books"] in ("kept", "open")
    assert roles[Role.HIDDEN]["findings"] == []
    assert roles[Role.CLUMSY]["books"] == "broken"
    hidden = next(lab for lab in outcome.plan.labs if lab.role is Role.HIDDEN)
    assert {row.rule for row in outcome.comparison.rows if row.about == hidden.site} == {"energy-gap"}
    assert "<svg" in outcome.paths["order"].read_text("utf-8")


def everything_is_left_behind(outcome: Outcome) -> None:
    assert all(path.exists() for path in outcome.paths.values())
    report = json.loads(outcome.paths["report"].read_text("utf-8"))
    assert report["format"] == "brakeline-audit/v1"
    assert report["exit"] == 1
    assert "<html" in outcome.paths["html"].read_text("utf-8")
    told = json.loads(outcome.paths["comparison"].read_text("utf-8"))
    assert told == json.loads(json.dumps(outcome.to_json()))
    assert told["matched"] is True
    planted = json.loads(outcome.paths["plan"].read_text("utf-8"))
    assert [lab["site"] for lab in planted["labs"]] == [lab.site for lab in outcome.plan.labs]


@SLOW
@pytest.mark.sample
def test_killed_verifiers_and_nodes_lose_nothing_sign_nothing_twice_and_change_no_verdict(tmp_path: Path) -> None:
    plugs = aftermath.Plugs(seed=11, kills=CI_KILLS, every_s=7.0)
    play(tmp_path, draw(seed=12, labs=3, cheats=2, evidence=True), plugs=plugs)
    assert len(plugs.pulled) == CI_KILLS


@SLOW
@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20, 30))
def test_ten_seeds_come_out_exactly(seed: int, tmp_path: Path) -> None:
    play(tmp_path, draw(seed=seed, labs=4, cheats=2, evidence=True))


@SLOW
@pytest.mark.soak
def test_a_treaty_that_everybody_keeps_comes_out_clean(tmp_path: Path) -> None:
    outcome = play(tmp_path, draw(seed=31, labs=4, cheats=0, evidence=True))
    assert outcome.audit.exit_code == 0


@SLOW
@pytest.mark.soak
def test_without_a_meter_hidden_training_is_not_detectable(tmp_path: Path) -> None:
    plan = draw(seed=32, labs=4, cheats=2, evidence=False)
    outcome = play(tmp_path, plan)
    assert [row.outcome.value for row in outcome.comparison.rows].count("not detectable") == 1
    assert plan.not_detectable()


@SLOW
@pytest.mark.soak
@pytest.mark.parametrize(("labs", "cheats", "verifiers"), [(3, 2, 4), (2, 1, 1), (5, 4, 2), (3, 1, 7)])
def test_other_sizes_come_out_exactly(labs: int, cheats: int, verifiers: int, tmp_path: Path) -> None:
    play(tmp_path, draw(seed=33, labs=labs, cheats=cheats, evidence=True), verifiers)


@SLOW
@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_fifty_kills_in_five_plays(seed: int, tmp_path: Path) -> None:
    plugs = aftermath.Plugs(seed=seed, kills=10, every_s=3.0)
    play(tmp_path, draw(seed=40 + seed, labs=4, cheats=2, evidence=True), plugs=plugs)
    assert len(plugs.pulled) == 10
