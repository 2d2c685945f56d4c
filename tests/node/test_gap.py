"""The operator's sum of the gap between both methods is the rule's, and is told before the rule fires."""

from __future__ import annotations

from brakeline.node.gap import Gap, gaps
from brakeline.treaty.quantities import Flop
from brakeline.treaty.statements import Activity, ChipTime, UsageLine
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import cast
from tests.support.judging import site, standing

DOC = cast.document()
LIMIT = 1_000_000_000_000
flops = st.integers(0, 3 * LIMIT) | st.none()
periods = st.lists(
    st.lists(st.tuples(st.sampled_from(["training", "inference"]), flops, flops), max_size=3), max_size=5
)


def lines(drawn: list[tuple[str, int | None, int | None]]) -> tuple[UsageLine, ...]:
    return tuple(
        UsageLine(
            workload="w",
            activity=Activity(activity),
            chip_ms=(ChipTime.model_validate({"class": "cpu-core", "value": "1"}),),
            flop_hardware=None if hardware is None else Flop(hardware),
            flop_model=None if model is None else Flop(model),
        )
        for activity, hardware, model in drawn
    )


@settings(max_examples=40)
@given(periods)
def test_the_operator_is_told_of_a_finding_exactly_where_the_rule_finds_one(
    drawn: list[list[tuple[str, int | None, int | None]]],
) -> None:
    books = [(period, lines(item)) for period, item in enumerate(drawn)]
    author, inventory = site()
    used = [author.use(period, inventory.digest, item) for period, item in books if item]
    found = {finding.rule for finding in standing([inventory, *used])}
    assert any(gap.fired for gap in gaps(DOC, books)) == ("method-gap" in found)


def test_a_gap_is_told_before_it_is_a_finding_and_forgiven_when_it_closes() -> None:
    half = [(0, lines([("training", LIMIT, LIMIT // 2)]))]
    margin = DOC.counting.margin
    excess = LIMIT - LIMIT * margin.numerator // margin.denominator - LIMIT // 2
    assert excess > 0
    (gap,) = gaps(DOC, half)
    assert gap == Gap("training", "model", 0, LIMIT, LIMIT // 2, excess, LIMIT, fired=False)
    assert "model method is low" in gap.text()
    assert gap.to_json()["finding"] is False
    assert gaps(DOC, [*half, (1, lines([("training", LIMIT, 2 * LIMIT)]))])[0].low == "hardware"
    assert gaps(DOC, [(0, lines([("training", LIMIT, None)]))]) == []
