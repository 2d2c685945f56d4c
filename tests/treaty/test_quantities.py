"""Quantities are exact and do not mix."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
from brakeline.treaty.errors import QuantityError
from brakeline.treaty.quantities import ChipMs, DurationMs, Flop, Grid, InstantMs, Joules, Rational, Tokens
from hypothesis import given
from hypothesis import strategies as st

KINDS = (Flop, ChipMs, Joules, Tokens)


@given(st.integers(0, 10**40 - 1))
def test_decimal_strings_round_trip(value: int) -> None:
    for kind in KINDS:
        assert str(kind.parse(str(value))) == str(value)
        assert kind.parse(str(value)).value == value


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "01", "1_0", " 1", "1 ", "1.0", "1e3", "٣", "1\n", "9" * 41, 7, None, True]
)
def test_what_is_not_a_decimal_string_is_refused(text: object) -> None:
    with pytest.raises(QuantityError) as error:
        Flop.parse(text)
    assert error.value.code == "quantity-malformed"


@pytest.mark.parametrize("operation", [operator.add, operator.sub, operator.lt])
def test_units_do_not_mix(operation: Callable[[object, object], object]) -> None:
    with pytest.raises(TypeError):
        operation(Flop(1), Joules(1))
    assert Flop(1) != Joules(1)


def test_no_less_than_nothing() -> None:
    with pytest.raises(QuantityError):
        Flop(1) - Flop(2)
    with pytest.raises(QuantityError):
        Flop(-1)
    with pytest.raises(TypeError):
        Flop(1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Flop(True)


def test_quantities_are_immutable_and_hashable() -> None:
    one = Flop(1)
    with pytest.raises(AttributeError):
        one.value = 2
    assert len({Flop(1), Flop(1), Joules(1)}) == 2
    assert 3 * Flop(2) == Flop(6)
    assert Flop.total([Flop(1), Flop(2)]) == Flop(3)
    assert Flop.total([]) == Flop(0)
    assert not Flop(0)
    assert max(Flop(1), Flop(2)) == Flop(2)


def test_instants_are_bounded_integers() -> None:
    for bad in ("1", 1.0, True, None):
        with pytest.raises(QuantityError):
            InstantMs.parse(bad)
    with pytest.raises(QuantityError) as error:
        InstantMs(2**53)
    assert error.value.code == "quantity-range"
    assert InstantMs(5).after(DurationMs(2)) == InstantMs(7)


@given(st.integers(0, 10**12), st.integers(1, 10**8), st.integers(0, 10**6), st.integers(0, 10**8 - 1))
def test_every_instant_of_a_period_is_of_that_period(start: int, length: int, index: int, offset: int) -> None:
    grid = Grid(InstantMs(start), DurationMs(length))
    instant = InstantMs(start + index * length + offset % length)
    assert grid.period_of(instant) == index
    assert not instant < grid.start_of(index)
    assert instant < grid.end_of(index)
    assert grid.index_of(grid.start_of(index), grid.end_of(index)) == index
    assert grid.first_from(grid.start_of(index)) == index
    assert not grid.start_of(grid.first_from(instant)) < instant


def test_off_the_grid_is_no_period() -> None:
    grid = Grid(InstantMs(1000), DurationMs(100))
    assert grid.index_of(InstantMs(1050), InstantMs(1150)) is None
    assert grid.index_of(InstantMs(1000), InstantMs(1200)) is None
    assert grid.index_of(InstantMs(900), InstantMs(1000)) is None
    assert grid.first_from(InstantMs(0)) == 0


def test_ratios_are_exact() -> None:
    third = Rational(1, 3)
    assert not third.exceeds(10**30, 3 * 10**30)
    assert third.exceeds(10**30 + 1, 3 * 10**30)
    for bad in ((-1, 1), (1, 0)):
        with pytest.raises(QuantityError):
            Rational(*bad)
