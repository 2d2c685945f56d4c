"""Columns: one small value a period, kept exactly, in memory that does not grow with the length of the log.

What it is: the container in which rules keep what they must remember of the past (figures by period, digests to cite).
A rule must answer for the *set* of statements, so it may never forget a period: somebody may still sign a second
version of it. But old periods are hardly ever looked at again. A column keeps the stretch of periods that it wrote
last as a dictionary; older stretches are packed and handed to an :class:`Archive`, and put together there when there
are many, so that memory holds few handles. So memory holds what is live, the
archive holds the past, and reading it back is exact. What it is not: a database. Nothing outlives the judge that made
it, and nothing here knows what the values mean.

    columns = Columns()                  # or Columns(archive) with an archive on disk
    column = columns.new()
    column.put(3, (10, b"digest"))
    column.get(3)
"""

from __future__ import annotations

import marshal
import zlib
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

SPAN = 64
"""Periods of a stretch."""
GROUP = 16
"""Stretches kept under one handle once they are old, each packed by itself: a year of hours has nine such groups."""
OPEN = 16384
"""Columns that keep a stretch unpacked; beyond them the one that was written longest ago is packed. A site has some
thirty columns and writes them all every period, so that with fewer all would be packed and unpacked every time."""
READ = 64
"""Old stretches that stay unpacked after they were read: whoever reads one period mostly reads its neighbours next."""

Value: TypeAlias = "int | str | bytes | tuple[Value, ...]"
V = TypeVar("V", bound=Value)


class Archive(Protocol):
    """Where packed stretches go. Handles are the archive's own; every one is used until it is dropped."""

    def put(self, data: bytes) -> int:
        """Keep *data*; return its handle."""
        ...

    def get(self, handle: int) -> bytes:
        """Return what was put under *handle*."""
        ...

    def drop(self, handle: int) -> None:
        """*handle* will not be asked for again."""


class MemoryArchive:
    """Packed stretches in memory: for logs that fit, and where nothing else is given."""

    def __init__(self) -> None:
        """Start empty."""
        self._kept: dict[int, bytes] = {}
        self._next = 0

    def put(self, data: bytes) -> int:
        """Keep *data*; return its handle."""
        self._next += 1
        self._kept[self._next] = data
        return self._next

    def get(self, handle: int) -> bytes:
        """Return what was put under *handle*."""
        return self._kept[handle]

    def drop(self, handle: int) -> None:
        """Forget *handle*."""
        del self._kept[handle]


class Columns:
    """Makes columns over one archive, and decides which of them stay open."""

    def __init__(self, archive: Archive | None = None) -> None:
        """Pack into *archive*, by default in memory."""
        self.archive: Archive = MemoryArchive() if archive is None else archive
        self._open: OrderedDict[int, Column[Any]] = OrderedDict()
        self._read: OrderedDict[tuple[int, int], tuple[Column[Any], dict[int, Any]]] = OrderedDict()

    def __getstate__(self) -> dict[str, object]:
        """Return what a copy of this needs: which columns are open, and not under which address they lie."""
        return {"archive": self.archive, "open": list(self._open.values())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over *state*."""
        self.archive = state["archive"]
        self._open = OrderedDict((id(column), column) for column in state["open"])
        self._read = OrderedDict()

    def new(self) -> Column[Any]:
        """Return an empty column; whoever keeps it says of what."""
        return Column(self)

    def opened(self, column: Column[Any]) -> None:
        """Note that *column* was written."""
        key = id(column)
        if key in self._open:
            self._open.move_to_end(key)
            return
        self._open[key] = column  # keeps it alive, so that its id stays its own
        if len(self._open) > OPEN:
            self._open.popitem(last=False)[1].pack()

    def seen(self, column: Column[Any], number: int) -> dict[int, Any] | None:
        """Return the stretch *number* of *column* if it was read a short while ago, and has not been written since."""
        known = self._read.get((id(column), number))
        return None if known is None else known[1]

    def read(self, column: Column[Any], number: int, stretch: dict[int, Any]) -> None:
        """Keep *stretch*, which was unpacked to be read."""
        self._read[id(column), number] = (column, stretch)  # with the column, so that its id stays its own
        if len(self._read) > READ:
            self._read.popitem(last=False)

    def written(self, column: Column[Any], number: int) -> None:
        """Note that the stretch *number* of *column* is about to change."""
        self._read.pop((id(column), number), None)


class Column(Generic[V]):
    """Values by period, in any order of arrival. Periods are 0 or more; values are made of int, str, bytes, tuple."""

    __slots__ = ("_changed", "_columns", "_groups", "_hot", "_number", "_numbers", "_packed")

    def __init__(self, columns: Columns) -> None:
        """Start empty; made by :meth:`Columns.new`."""
        self._columns = columns
        self._hot: dict[int, V] = {}
        self._number = -1
        self._changed = False
        self._numbers: array[int] = array("L")
        self._packed: dict[int, int] = {}  # stretch -> handle, of the newest few
        self._groups: dict[int, int] = {}  # stretch // GROUP -> handle, of all others

    def get(self, period: int) -> V | None:
        """Return the value of *period*, None when it has none."""
        number = period // SPAN
        return (self._hot if number == self._number else self._stretch(number)).get(period)

    def put(self, period: int, value: V) -> None:
        """Let *period* have *value*."""
        number = period // SPAN
        (self._hot if number == self._number and self._changed else self._open(number))[period] = value

    def drop(self, period: int) -> None:
        """Let *period*, which has a value, have none."""
        del self._open(period // SPAN)[period]

    def since(self, period: int) -> Iterator[tuple[int, V]]:
        """Yield (period, value) from *period* on, in order. Values of periods already yielded may be put meanwhile."""
        for number in self._numbers[bisect_left(self._numbers, period // SPAN) :]:
            stretch = self._stretch(number)
            for at in sorted(item for item in stretch if item >= period):
                yield at, stretch[at]

    def before(self, period: int) -> Iterator[tuple[int, V]]:
        """Yield (period, value) from the last one before *period* back to the first."""
        for number in reversed(self._numbers[: bisect_left(self._numbers, period // SPAN + 1)]):
            stretch = self._stretch(number)
            for at in sorted((item for item in stretch if item < period), reverse=True):
                yield at, stretch[at]

    def pack(self) -> None:
        """Hand the open stretch to the archive."""
        if self._changed:
            packed, archive = zlib.compress(marshal.dumps(self._hot), 1), self._columns.archive
            known = self._packed.pop(self._number, None)
            if known is not None:
                archive.drop(known)
            group = self._group(self._number // GROUP)
            if self._number in group:
                self._put_group(self._number // GROUP, {**group, self._number: packed})
            else:
                self._packed[self._number] = archive.put(packed)
                if len(self._packed) > GROUP:
                    self._gather()
        self._hot, self._number, self._changed = {}, -1, False

    def _gather(self) -> None:
        """Put together the packed stretches of every group but the newest."""
        archive, newest = self._columns.archive, max(self._packed) // GROUP
        old: dict[int, dict[int, int]] = {}
        for number, handle in self._packed.items():
            if number // GROUP != newest:
                old.setdefault(number // GROUP, {})[number] = handle
        for place, handles in old.items():
            fresh = {number: archive.get(handle) for number, handle in handles.items()}
            self._put_group(place, {**self._group(place), **fresh})
            for number, handle in handles.items():
                archive.drop(handle)
                del self._packed[number]

    def _group(self, place: int) -> dict[int, bytes]:
        """Return stretch -> packed form of an old group; nothing for one that there is not."""
        handle = self._groups.get(place)
        if handle is None:
            return {}
        # our own bytes, made by this process: nothing that anybody sent is unmarshalled
        return cast("dict[int, bytes]", marshal.loads(self._columns.archive.get(handle)))  # noqa: S302

    def _put_group(self, place: int, group: dict[int, bytes]) -> None:
        known = self._groups.get(place)
        if known is not None:
            self._columns.archive.drop(known)
        self._groups[place] = self._columns.archive.put(marshal.dumps(group))

    def _stretch(self, number: int) -> dict[int, V]:
        """Return a stretch to read: the open one itself, or what its packed form unpacks to."""
        if number == self._number:
            return self._hot
        known = self._columns.seen(self, number)
        if known is not None:
            return known
        handle = self._packed.get(number)
        packed = self._group(number // GROUP).get(number) if handle is None else self._columns.archive.get(handle)
        if packed is None:
            return {}
        stretch = cast("dict[int, V]", marshal.loads(zlib.decompress(packed)))  # noqa: S302 (as above)
        self._columns.read(self, number, stretch)
        return stretch

    def _open(self, number: int) -> dict[int, V]:
        """Return the stretch *number* to write."""
        if number != self._number:
            stretch = self._stretch(number)
            self._columns.written(self, number)
            self.pack()
            self._hot, self._number = stretch, number
            place = bisect_left(self._numbers, number)
            if place == len(self._numbers) or self._numbers[place] != number:
                self._numbers.insert(place, number)
        self._changed = True
        self._columns.opened(self)
        return self._hot
