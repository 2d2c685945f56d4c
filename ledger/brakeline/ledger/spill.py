"""A scratch file for what a process must be able to look up again, and should not hold in memory.

What it is: blobs by handle in one file that has no name from its first moment on, so that nothing is left behind,
whatever happens. What it is not: durable, or a store; what is in it was computed from a log and can be computed again.
Meets :class:`brakeline.treaty.rules.columns.Archive`. Keeps 16 bytes in memory a blob. Space of dropped blobs is won
back by copying what is left, once that is less than half of the file.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from array import array
from pathlib import Path

from brakeline.ledger.errors import LedgerError

_COPY = 1 << 20
_SMALL = 16 << 20
"""Bytes below which a file is never tidied up."""


class Spill:
    """Blobs in a nameless file. One thread at a time."""

    def __init__(self, folder: Path | None = None) -> None:
        """Begin an empty file in *folder*, by default where temporary files go.

        Raises:
            LedgerError: ``spill-io``.
        """
        self._folder = folder
        self._places, self._sizes, self._free = array("Q"), array("L"), array("Q")
        self._end = self._gone = 0
        self._file = _nameless(folder)
        self._close = weakref.finalize(self, os.close, self._file)

    @property
    def bytes_used(self) -> int:
        """Length of the file."""
        return self._end

    def put(self, data: bytes) -> int:
        """Keep *data*; return its handle (LedgerError ``spill-io``: the disk is full, or failed)."""
        if self._gone > _SMALL and 2 * self._gone > self._end:
            self._tidy()
        _write(self._file, data, self._end)
        handle = self._free.pop() if self._free else len(self._places)
        if handle == len(self._places):
            self._places.append(0)
            self._sizes.append(0)
        self._places[handle], self._sizes[handle] = self._end, len(data)
        self._end += len(data)
        return handle

    def get(self, handle: int) -> bytes:
        """Return what was put under *handle* (LedgerError ``spill-io``)."""
        wanted = self._sizes[handle]
        try:
            data = os.pread(self._file, wanted, self._places[handle])
        except OSError as error:
            raise _failed(error) from None
        if len(data) != wanted:
            raise LedgerError(
                code="spill-io", message="a scratch file is short", expected=str(wanted), found=str(len(data))
            )
        return data

    def copy_to(self, path: Path) -> tuple[bytes, bytes, bytes]:
        """Copy the file to *path*; return what else :meth:`restored` needs (LedgerError ``spill-io``)."""
        try:
            with path.open("wb") as file:
                at = 0
                while at < self._end:
                    data = os.pread(self._file, min(_COPY, self._end - at), at)
                    if not data:
                        break
                    file.write(data)
                    at += len(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _failed(error) from None
        return self._places.tobytes(), self._sizes.tobytes(), self._free.tobytes()

    @classmethod
    def restored(cls, path: Path, index: tuple[bytes, bytes, bytes], folder: Path | None = None) -> Spill:
        """Return a scratch file with what :meth:`copy_to` wrote (LedgerError ``spill-io``)."""
        made = cls(folder)
        for column, data in zip((made._places, made._sizes, made._free), index, strict=True):
            column.frombytes(data)
        try:
            with path.open("rb") as file:
                while data := file.read(_COPY):
                    _write(made._file, data, made._end)
                    made._end += len(data)
        except OSError as error:
            raise _failed(error) from None
        made._gone = made._end - sum(made._sizes)
        return made

    def drop(self, handle: int) -> None:
        """*handle* will not be asked for again."""
        self._gone += self._sizes[handle]
        self._sizes[handle] = 0
        self._free.append(handle)

    def _tidy(self) -> None:
        """Copy what is left into a new file."""
        fresh, end = _nameless(self._folder), 0
        close = weakref.finalize(self, os.close, fresh)
        places = array("Q", self._places)
        for handle in sorted(range(len(places)), key=self._places.__getitem__):
            if self._sizes[handle]:
                _write(fresh, self.get(handle), end)
                places[handle] = end
                end += self._sizes[handle]
        self._close()
        self._file, self._close, self._places = fresh, close, places
        self._end, self._gone = end, 0


def _nameless(folder: Path | None) -> int:
    try:
        handle, name = tempfile.mkstemp(prefix="brakeline-", dir=folder)
        os.unlink(name)
    except OSError as error:
        raise _failed(error) from None
    return handle


def _write(file: int, data: bytes, at: int) -> None:
    try:
        while data:
            done = os.pwrite(file, data, at)
            data, at = data[done:], at + done
    except OSError as error:
        raise _failed(error) from None


def _failed(error: OSError) -> LedgerError:
    return LedgerError(
        code="spill-io",
        message="a scratch file cannot be used",
        expected="room for temporary files",
        found=str(error.strerror),
        fix="free the disk, or set TMPDIR to one with room",
    )
