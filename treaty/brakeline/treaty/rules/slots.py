"""Figures by version: per period the one that counts among the versions of the books, whatever comes and goes.

A column whose values are, for a period with one version, that version and its figures, and only where there are more,
all of them. Rules say which of several counts (the largest, of equals the one with the largest digest).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias, cast

from brakeline.treaty.rules.columns import Column, Columns, Value
from brakeline.treaty.rules.versions import Slot

Figures: TypeAlias = tuple[Value, ...]
"""What a rule keeps of a version. The first item is what versions are compared by."""


class Slots:
    """The figures of one site and one thing, by period and version."""

    __slots__ = ("_rows",)

    def __init__(self, columns: Columns) -> None:
        """Start empty."""
        self._rows: Column[Value] = columns.new()

    def get(self, period: int) -> dict[int, Figures]:
        """Return version -> figures of *period*."""
        return _unpack(self._rows.get(period))

    def put(self, slot: Slot, figures: Figures) -> None:
        """Let the version in *slot* have *figures*."""
        row = self._rows.get(slot.period)
        if row is None:
            self._rows.put(slot.period, (slot.version, *figures))
            return
        versions = {**_unpack(row), slot.version: figures}
        self._rows.put(slot.period, _pack(versions))

    def drop(self, slot: Slot) -> Figures | None:
        """Forget the version in *slot*; return what it had, None if nothing was kept of it."""
        versions = _unpack(self._rows.get(slot.period))
        gone = versions.pop(slot.version, None)
        if gone is not None and versions:
            self._rows.put(slot.period, _pack(versions))
        elif gone is not None:
            self._rows.drop(slot.period)
        return gone

    def since(self, period: int) -> Iterator[tuple[int, dict[int, Figures]]]:
        """Yield (period, version -> figures) from *period* on, in order."""
        for at, row in self._rows.since(period):
            yield at, _unpack(row)


def _pack(versions: dict[int, Figures]) -> Value:
    if len(versions) == 1:
        ((version, figures),) = versions.items()
        return (version, *figures)
    return tuple((version, *figures) for version, figures in versions.items())


def _unpack(row: Value | None) -> dict[int, Figures]:
    if row is None:
        return {}
    items = cast("tuple[Value, ...]", row)
    if isinstance(items[0], int):
        return {items[0]: items[1:]}
    return {cast("int", item[0]): item[1:] for item in cast("tuple[Figures, ...]", items)}
