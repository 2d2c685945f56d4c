"""Which orders are in force and what results where several meet: the specification's table, and a property each."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from brakeline.treaty.errors import StatementError
from brakeline.treaty.orders import (
    Limit,
    Standing,
    binding,
    check_order,
    covers,
    in_force,
    limit,
    names_site,
    share,
    standing,
)
from brakeline.treaty.quantities import DurationMs
from brakeline.treaty.statements import Activity, Order
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast

DOCUMENT = cast.document()
SPEC = Path(__file__).resolve().parents[2] / "docs" / "spec" / "orders.md"


def order(effective: int = 5, expiry: int = 10, **changes: object) -> Order:
    found = cast.read(cast.order(DOCUMENT, effective=effective, expiry=expiry)).predicate
    assert isinstance(found, Order)
    return Order.model_validate({**found.model_dump(), **changes})


def digest(name: str) -> str:
    """Return the digest that an order of this name (one capital letter) goes under here."""
    return f"{ord(name):x}" * 32


# the table of docs/spec/orders.md -------------------------------------------------------------------------------------

ORDER = re.compile(
    r"(?P<name>[A-Z]): (?P<kind>pause|slow|resume)(?: (?P<a>\d+)/(?P<b>\d+))? (?P<who>\S+) (?P<activities>\S+) "
    r"(?P<effective>\d+)\.\.(?P<expiry>\d+)(?: above (?P<above>[a-z]+))?(?: lifts (?P<lifts>[A-Z,]+))?"
    r"(?P<exercise> exercise)?"
)
ANSWER = re.compile(
    r"(?P<activity>[a-z]+)(?: above (?P<above>[a-z]+))?: (?:(?P<all>all)|(?P<share>none|\d+/\d+) by (?P<by>[A-Z]))"
)


class Row(NamedTuple):
    """A row of the table: its orders, the period asked for, and the answers as they are written."""

    orders: str
    period: str
    answers: str
    because: str


def rows() -> list[Row]:
    lines = SPEC.read_text("utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| orders | in period |"))
    found: list[Row] = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append(Row(*(cell.strip() for cell in line.strip("|").split(" | "))))
    return found


def read_orders(text: str) -> dict[str, Order]:
    orders: dict[str, Order] = {}
    for part in text.split("; "):
        match = ORDER.fullmatch(part)
        assert match, part
        scope: dict[str, object] = {"who": (match["who"],), "activities": tuple(match["activities"].split(","))}
        members: dict[str, object] = {"kind": match["kind"], "exercise": match["exercise"] is not None}
        if match["above"]:
            scope["above"] = match["above"]
        if match["a"]:
            members["ceiling"] = {"numerator": int(match["a"]), "denominator": int(match["b"])}
        if match["lifts"]:
            members["lifts"] = tuple(digest(name) for name in match["lifts"].split(","))
        found = order(int(match["effective"]), int(match["expiry"]), scope=scope, **members)
        check_order(DOCUMENT, found)
        orders[digest(match["name"])] = found
    return orders


def test_the_table_is_there() -> None:
    assert len(rows()) >= 24
    assert {Activity.TRAINING.value, Activity.INFERENCE.value} == {
        match["activity"] for row in rows() for match in ANSWER.finditer(row.answers)
    }


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.because} in {row.period}".replace(" ", "-"))
def test_overlapping_orders_come_out_as_the_table_says(row: Row) -> None:
    orders = read_orders(row.orders)
    for text in row.answers.split("; "):
        answer = ANSWER.fullmatch(text)
        assert answer, text
        above = {answer["above"]} if answer["above"] else set[str]()
        found = limit(orders, cast.SITE, int(row.period), Activity(answer["activity"]), DOCUMENT, above)
        if answer["all"]:
            assert found is None, row
        else:
            left = Fraction(0) if answer["share"] == "none" else Fraction(answer["share"])
            assert found == Limit(digest(answer["by"]), left), row
            assert found.stops is (left == 0)


# in force, whom, what -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("period", "expected"), [(4, False), (5, True), (9, True), (10, False)])
def test_an_order_is_in_force_from_its_effective_period_until_before_its_expiry(period: int, expected: bool) -> None:
    assert bool(in_force({"a": order()}, period)) is expected


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("everyone", True),
        (cast.SITE, True),
        (cast.LABS[0], True),
        (cast.PARTIES[0], True),
        (cast.LABS[1], False),
        (cast.PARTIES[1], False),
        (cast.OTHER_SITE, False),
    ],
)
def test_a_scope_names_party_lab_site_or_everyone(who: str, expected: bool) -> None:
    scoped = order(scope={"who": (who,), "activities": ("training",)})
    assert names_site(scoped, cast.SITE, DOCUMENT) is expected


def test_neither_resumes_nor_exercises_bind() -> None:
    orders = {
        "pause": order(),
        "slow": order(kind="slow"),
        "resume": order(kind="resume"),
        "drill": order(exercise=True),
    }
    assert set(binding(orders, cast.SITE, 6, DOCUMENT)) == {"pause", "slow"}


def test_an_order_covers_the_activities_it_lists() -> None:
    assert covers(order(), Activity.TRAINING)
    assert not covers(order(), Activity.INFERENCE)


def test_a_run_of_which_nobody_knows_whether_it_is_above_the_line_is_covered() -> None:
    above = order(scope={"who": ("everyone",), "activities": ("training",), "above": "line"})
    assert covers(above, Activity.TRAINING)
    assert covers(above, Activity.TRAINING, {"line"})
    assert not covers(above, Activity.TRAINING, {"another"})


def test_an_exercise_lifts_exercises() -> None:
    orders = {"a" * 64: order(exercise=True), "b": order(7, 8, kind="resume", lifts=("a" * 64,), exercise=True)}
    assert set(in_force(orders, 6)) == {"a" * 64}
    assert set(in_force(orders, 7)) == {"b"}


@pytest.mark.parametrize(
    ("changes", "period", "expected"),
    [
        ({}, 6, Standing.BINDS),
        ({}, 4, Standing.NOT_YET),
        ({}, 10, Standing.EXPIRED),
        ({"scope": {"who": (cast.PARTIES[1],), "activities": ("training",)}}, 6, Standing.ELSEWHERE),
        ({"exercise": True}, 6, Standing.EXERCISE),
        ({"kind": "resume"}, 6, Standing.RELEASES),
    ],
)
def test_why_an_order_does_not_bind(changes: dict[str, object], period: int, expected: Standing) -> None:
    assert standing({"a": order(5, 10, **changes)}, "a", cast.SITE, period, DOCUMENT) is expected


def test_a_lifted_order_says_that_it_was_lifted_also_when_it_has_expired() -> None:
    orders = {"a" * 64: order(), "b": order(7, 8, kind="resume", lifts=("a" * 64,))}
    assert standing(orders, "a" * 64, cast.SITE, 7, DOCUMENT) is Standing.LIFTED
    assert standing(orders, "a" * 64, cast.SITE, 70, DOCUMENT) is Standing.LIFTED


def test_a_share_is_of_the_chip_time_of_a_class() -> None:
    third = Limit("a", share(order(kind="slow", ceiling={"numerator": 1, "denominator": 3})))
    assert third.chip_ms(2, DurationMs(4_000)) == 2_666
    assert Limit("a", share(order())).chip_ms(2, DurationMs(4_000)) == 0


SHARES = [{"numerator": a, "denominator": b} for a, b in ((1, 4), (1, 2), (3, 4))]
DIGESTS = [f"{number:064x}" for number in range(6)]


@st.composite
def any_orders(draw: st.DrawFn) -> dict[str, Order]:
    """Draw up to six orders; each may lift some that stand before it, as digests demand."""
    found: dict[str, Order] = {}
    for place in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(["pause", "slow", "resume"]))
        members: dict[str, object] = {"kind": kind, "exercise": draw(st.booleans())}
        if kind == "slow":
            members["ceiling"] = draw(st.sampled_from(SHARES))
        if place:
            members["lifts"] = tuple(draw(st.sets(st.sampled_from(DIGESTS[:place]), max_size=2)))
        who = draw(st.sampled_from(["everyone", *cast.PARTIES, cast.SITE]))
        activities = tuple(draw(st.sets(st.sampled_from(["training", "inference"]), min_size=1)))
        begin = draw(st.integers(0, 5))
        scope = {"who": (who,), "activities": activities}
        found[DIGESTS[place]] = order(begin, begin + draw(st.integers(1, 5)), scope=scope, **members)
    return found


@given(any_orders(), st.integers(0, 9), st.sampled_from([Activity.TRAINING, Activity.INFERENCE]))
def test_no_order_that_binds_is_ever_obeyed_less_than_it_asks(
    orders: dict[str, Order], period: int, activity: Activity
) -> None:
    found = limit(orders, cast.SITE, period, activity, DOCUMENT)
    asking = {
        name: share(item)
        for name, item in orders.items()
        if standing(orders, name, cast.SITE, period, DOCUMENT) is Standing.BINDS and covers(item, activity)
    }
    assert (found is None) is (not asking)
    if found is not None:
        assert found.share == min(asking.values()) == asking[found.order]


@given(any_orders(), st.integers(0, 9))
def test_exercises_change_nothing_for_anybody(orders: dict[str, Order], period: int) -> None:
    real = {name: item for name, item in orders.items() if not item.exercise}
    assert limit(orders, cast.SITE, period, Activity.TRAINING, DOCUMENT) == limit(
        real, cast.SITE, period, Activity.TRAINING, DOCUMENT
    )


@given(any_orders(), st.integers(0, 9), st.randoms(use_true_random=False))
def test_it_does_not_matter_in_which_order_orders_came(orders: dict[str, Order], period: int, rng: Random) -> None:
    shuffled = list(orders.items())
    rng.shuffle(shuffled)
    assert limit(dict(shuffled), cast.SITE, period, Activity.TRAINING, DOCUMENT) == limit(
        orders, cast.SITE, period, Activity.TRAINING, DOCUMENT
    )


# what can never be obeyed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expiry_period": 5}, "order-periods"),
        ({"kind": "slow"}, "order-ceiling"),
        ({"ceiling": {"numerator": 1, "denominator": 2}}, "order-ceiling"),
        ({"kind": "resume", "ceiling": {"numerator": 1, "denominator": 2}}, "order-ceiling"),
        ({"kind": "slow", "ceiling": {"numerator": 0, "denominator": 2}}, "order-ceiling"),
        ({"kind": "slow", "ceiling": {"numerator": 2, "denominator": 2}}, "order-ceiling"),
        ({"scope": {"who": ("party-z.example",), "activities": ("training",)}}, "order-scope"),
        ({"scope": {"who": ("lab-9.party-a.example/site-1",), "activities": ("training",)}}, "order-scope"),
        ({"scope": {"who": (f"{cast.LABS[0]}/Site 1",), "activities": ("training",)}}, "order-scope"),
        ({"scope": {"who": (cast.VERIFIERS[0],), "activities": ("training",)}}, "order-scope"),
        ({"scope": {"who": ("everyone",), "activities": ("training",), "above": "nowhere"}}, "order-scope"),
    ],
)
def test_orders_that_could_never_be_obeyed_are_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(StatementError) as caught:
        check_order(DOCUMENT, order(5, 10, **changes))
    assert caught.value.code == code


def test_a_scope_above_a_line_needs_the_rule_that_knows_it() -> None:
    rules = [rule for rule in cast.json_lines(cast.terms()["rule"]) if rule["rule"] != "threshold"]
    above = order(scope={"who": ("everyone",), "activities": ("training",), "above": "line"})
    check_order(DOCUMENT, above)
    with pytest.raises(StatementError, match="order-scope"):
        check_order(cast.document(rule=list(rules)), above)
