"""Which orders are in force, as a table."""

from __future__ import annotations

import pytest
from brakeline.treaty.orders import binding, covers, in_force, names_site
from brakeline.treaty.statements import Activity, Order

from tests.support import cast

DOCUMENT = cast.document()


def order(effective: int = 5, expiry: int = 10, **changes: object) -> Order:
    found = cast.read(cast.order(DOCUMENT, effective=effective, expiry=expiry)).predicate
    assert isinstance(found, Order)
    return Order.model_validate({**found.model_dump(), **changes})


@pytest.mark.parametrize(("period", "expected"), [(4, False), (5, True), (9, True), (10, False)])
def test_an_order_is_in_force_from_its_effective_period_until_before_its_expiry(period: int, expected: bool) -> None:
    assert bool(in_force({"a": order()}, period)) is expected


def test_an_order_is_lifted_from_the_effective_period_of_the_order_that_names_it() -> None:
    orders = {"a": order(), "b": order(7, 8, kind="resume", lifts=("a" * 64,)), "a" * 64: order()}
    assert set(in_force(orders, 6)) == {"a", "a" * 64}
    assert set(in_force(orders, 7)) == {"a", "b"}
    assert set(in_force(orders, 9)) == {"a"}  # what was lifted stays lifted when the resume has expired


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
