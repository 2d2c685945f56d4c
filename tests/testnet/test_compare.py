"""Planted truth against findings: exactly, or it is told what differs."""

from __future__ import annotations

from brakeline.testnet.compare import Found, Outcome, compare
from brakeline.testnet.plan import Expected, Plan, Role, draw

PLAN = draw(seed=3, labs=4, cheats=2, evidence=True)


def found(plan: Plan) -> list[Found]:
    """What an audit finds that finds everything; a breach in three periods."""
    items: list[Found] = []
    for item in plan.expected():
        periods = (6, 7, 8) if item.rule == "brake-breach" else (item.period,)
        items += [Found(item.rule, item.about, period) for period in periods]
    return items


def outcomes(plan: Plan, findings: list[Found]) -> dict[tuple[str, str], Outcome]:
    rows = compare(plan, findings, exit_code=1, unchecked=[]).rows
    return {(row.rule, row.about): row.outcome for row in rows}


def site(role: Role) -> str:
    return next(lab.site for lab in PLAN.labs if lab.role is role)


def test_exactly_what_was_planted_is_a_match() -> None:
    comparison = compare(PLAN, found(PLAN), exit_code=1, unchecked=[])
    assert comparison.matched
    assert {row.outcome for row in comparison.rows} == {Outcome.MATCH}
    assert len(comparison.rows) == len(PLAN.expected())


def test_a_finding_too_many_is_no_match() -> None:
    findings = [*found(PLAN), Found("late", site(Role.IDLE), 3)]
    assert not compare(PLAN, findings, exit_code=1, unchecked=[]).matched
    assert outcomes(PLAN, findings)["late", site(Role.IDLE)] is Outcome.UNEXPECTED


def test_a_planted_rule_about_another_site_is_no_match() -> None:
    findings = [*found(PLAN), Found("imbalance", site(Role.TRAINER), 2)]
    assert outcomes(PLAN, findings)["imbalance", site(Role.TRAINER)] is Outcome.UNEXPECTED


def test_a_finding_too_few_is_no_match() -> None:
    findings = [item for item in found(PLAN) if item.rule != "energy-gap"]
    assert not compare(PLAN, findings, exit_code=1, unchecked=[]).matched
    assert outcomes(PLAN, findings)["energy-gap", site(Role.HIDDEN)] is Outcome.MISSING


def test_a_finding_in_another_period_than_the_planted_one_is_no_match() -> None:
    (planted,) = [item for item in PLAN.expected() if item.rule == "imbalance"]
    assert planted.period is not None
    wrong = [
        Found(i.rule, i.about, i.period + 1 if i.rule == "imbalance" and i.period else i.period) for i in found(PLAN)
    ]
    assert outcomes(PLAN, wrong)["imbalance", planted.about] is Outcome.OTHER_PERIOD
    both = [*found(PLAN), Found("imbalance", planted.about, planted.period + 1)]
    assert outcomes(PLAN, both)["imbalance", planted.about] is Outcome.OTHER_PERIOD


def test_what_no_log_can_show_is_told_and_counts_as_a_match() -> None:
    plan = draw(seed=3, labs=4, cheats=2, evidence=False)
    comparison = compare(plan, found(plan), exit_code=1, unchecked=[])
    assert comparison.matched
    (row,) = [row for row in comparison.rows if row.outcome is Outcome.NOT_DETECTABLE]
    assert row.about == site(Role.HIDDEN)


def test_nothing_planted_and_nothing_found_is_a_match_only_if_the_audit_says_so() -> None:
    plan = draw(seed=3, labs=4, cheats=0, evidence=True)
    assert compare(plan, [], exit_code=0, unchecked=[]).matched
    for code in (1, 2, 3, 4):
        assert not compare(plan, [], exit_code=code, unchecked=[]).matched


def test_what_the_audit_left_open_is_no_match() -> None:
    comparison = compare(PLAN, found(PLAN), exit_code=1, unchecked=["log-stale: ..."])
    assert not comparison.matched
    assert "log-stale" in comparison.problems[0]


def test_misconduct_of_a_verifier_is_never_what_was_planted() -> None:
    assert not compare(PLAN, found(PLAN), exit_code=2, unchecked=[]).matched


def test_every_expected_conclusion_is_about_a_site_of_the_plan() -> None:
    sites = {lab.site for lab in PLAN.labs}
    assert all(isinstance(item, Expected) and item.about in sites for item in PLAN.expected())
