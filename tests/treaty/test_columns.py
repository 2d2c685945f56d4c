"""Columns hold exactly what was put, wherever it lies, and keep little of it in memory."""

from __future__ import annotations

import pickle

import pytest
from brakeline.treaty.rules import columns
from brakeline.treaty.rules.columns import GROUP, READ, SPAN, Column, Columns, MemoryArchive
from hypothesis import given
from hypothesis import strategies as st

PERIODS = st.integers(0, 6 * SPAN)
STEPS = st.lists(st.tuples(st.sampled_from(["put", "drop", "get"]), st.integers(0, 3), PERIODS), max_size=60)


class CountingArchive(MemoryArchive):
    """Knows how much it holds."""

    def held(self) -> int:
        return len(self._kept)


@given(STEPS)
def test_columns_are_dictionaries(steps: list[tuple[str, int, int]]) -> None:
    archive = CountingArchive()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "OPEN", 2)  # of four columns, two at most stay open
        patch.setattr(columns, "GROUP", 2)
        patch.setattr(columns, "READ", 2)  # and two that were read stay unpacked
        made: Columns = Columns(archive)
        four: list[Column[tuple[int, str]]] = [made.new() for _ in range(4)]
        model: list[dict[int, tuple[int, str]]] = [{} for _ in four]
        for number, (action, which, period) in enumerate(steps):
            if action == "put":
                value = 10**30 * number, f"digest {number}"
                four[which].put(period, value)
                model[which][period] = value
            elif action == "drop" and period in model[which]:
                four[which].drop(period)
                del model[which][period]
            assert four[which].get(period) == model[which].get(period)
        for column, kept in zip(four, model, strict=True):
            assert list(column.since(0)) == sorted(kept.items())
            for edge in (0, 1, SPAN, 3 * SPAN + 7):
                assert list(column.since(edge)) == sorted(item for item in kept.items() if item[0] >= edge)
                back = sorted((item for item in kept.items() if item[0] < edge), reverse=True)
                assert list(column.before(edge)) == back
    assert archive.held() <= 4 * 7, "a stretch is in the archive once"


def test_a_value_may_be_put_while_its_column_is_read() -> None:
    column: Column[int] = Columns().new()
    for period in range(3 * SPAN):
        column.put(period, period)
    for period, value in column.since(5):
        column.put(period, value + 1)
    assert [value for _, value in column.since(0)] == [*range(5), *range(6, 3 * SPAN + 1)]


def test_what_was_read_and_then_written_is_read_as_it_is_now_and_little_of_it_stays_unpacked() -> None:
    made = Columns()
    columns_of = [made.new() for _ in range(3)]
    for column in columns_of:
        for period in range(3 * SPAN):
            column.put(period, period)
    assert [column.get(1) for column in columns_of] == [1, 1, 1]  # unpacked, to be read
    columns_of[0].put(1, -1)
    columns_of[0].put(2 * SPAN, 0)  # packs the first stretch again
    assert [column.get(1) for column in columns_of] == [-1, 1, 1]
    copied = pickle.loads(pickle.dumps(columns_of))
    copied[1].put(1, -2)
    assert [column.get(1) for column in copied] == [-1, -2, 1]
    assert [column.get(1) for column in columns_of] == [-1, 1, 1]
    many: Column[int] = made.new()
    for period in range(2 * READ * SPAN):
        many.put(period, period)
    assert [many.get(period) for period in range(0, 2 * READ * SPAN, SPAN)] == [*range(0, 2 * READ * SPAN, SPAN)]
    assert len(made._read) <= READ


def test_few_handles_are_kept_however_long_the_column() -> None:
    archive = CountingArchive()
    column: Column[int] = Columns(archive).new()
    periods = 40 * GROUP * SPAN
    for period in range(periods):
        column.put(period, period)
    assert archive.held() <= 40 + 2 * GROUP
    assert column.get(5) == 5
    column.put(5, -5)
    column.put(periods, 0)
    assert [column.get(period) for period in (4, 5, 6, periods - 1)] == [4, -5, 6, periods - 1]
    assert archive.held() <= 40 + 2 * GROUP


@pytest.mark.parametrize("stretch", [0, 1, GROUP - 1, GROUP, GROUP + 3])
def test_what_is_written_into_an_old_group_is_read_back_when_all_is_packed(stretch: int) -> None:
    column: Column[int] = Columns().new()
    for number in range(4 * GROUP):
        column.put(number * SPAN, number)
    column.put(stretch * SPAN + 1, -1)
    column.put(4 * GROUP * SPAN, 7)
    column.pack()
    assert column.get(stretch * SPAN + 1) == -1
    expected = {number * SPAN: number for number in range(4 * GROUP)} | {stretch * SPAN + 1: -1, 4 * GROUP * SPAN: 7}
    assert list(column.since(0)) == sorted(expected.items())
