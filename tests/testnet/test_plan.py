"""The plot: a function of the seed, and the truth the audit is held against."""

from __future__ import annotations

import pytest
from brakeline.testnet.plan import ORDER_PERIODS, Expected, Role, draw
from hypothesis import given
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**40)


@given(SEEDS, st.integers(2, 12), st.data(), st.booleans())
def test_a_plan_is_drawn_alike_again_and_has_as_many_cheats_as_asked(
    seed: int, labs: int, data: st.DataObject, evidence: bool
) -> None:
    cheats = data.draw(st.integers(0, labs - 1))
    plan = draw(seed=seed, labs=labs, cheats=cheats, evidence=evidence)
    assert plan == draw(seed=seed, labs=labs, cheats=cheats, evidence=evidence)
    assert [lab.number for lab in plan.labs] == list(range(1, labs + 1))
    assert plan.labs[0].role is Role.TRAINER
    assert sum(lab.role in (Role.CLUMSY, Role.HIDDEN) for lab in plan.labs) == cheats
    assert plan.order_period in ORDER_PERIODS


@given(SEEDS)
def test_lies_come_before_the_order_and_in_different_periods(seed: int) -> None:
    clumsy = [lab for lab in draw(seed=seed, labs=6, cheats=5, evidence=True).labs if lab.role is Role.CLUMSY]
    assert clumsy
    for lab in clumsy:
        assert lab.imbalance_period != lab.second_version_period
        assert {lab.imbalance_period, lab.second_version_period} <= set(range(1, ORDER_PERIODS[0]))


def test_of_two_cheats_one_is_clumsy_and_one_cheats_well() -> None:
    plan = draw(seed=3, labs=4, cheats=2, evidence=True)
    (clumsy,) = [lab for lab in plan.labs if lab.role is Role.CLUMSY]
    (hidden,) = [lab for lab in plan.labs if lab.role is Role.HIDDEN]
    assert set(plan.expected()) == {
        Expected("imbalance", clumsy.site, clumsy.imbalance_period),
        Expected("equivocation", clumsy.site),
        Expected("brake-breach", clumsy.site),
        Expected("energy-gap", hidden.site),
    }
    assert plan.not_detectable() == ()


def test_without_evidence_well_hidden_training_is_not_detectable_and_not_expected() -> None:
    plan = draw(seed=3, labs=4, cheats=2, evidence=False)
    (hidden,) = [lab for lab in plan.labs if lab.role is Role.HIDDEN]
    assert plan.not_detectable() == (hidden,)
    assert hidden.site not in {item.about for item in plan.expected()}


def test_without_cheats_nothing_is_expected() -> None:
    assert draw(seed=9, labs=4, cheats=0, evidence=True).expected() == ()


@pytest.mark.parametrize(("labs", "cheats"), [(1, 0), (4, 4), (4, -1)])
def test_impossible_plans_are_refused(labs: int, cheats: int) -> None:
    with pytest.raises(ValueError, match="need 2 or more labs"):
        draw(seed=1, labs=labs, cheats=cheats, evidence=True)
