"""A disk that remembers: an SQLite VFS that records every write, truncation, sync, creation and deletion, in order.

It stands on the real VFS, so SQLite runs as always (locks, shared memory, two connections); what it adds is the *tape*
from which :mod:`states` derives what a crash may leave. A tape also fails on request: the k-th sync returns an I/O
error, writes find the disk full, or a bit of what is written flips on its way.

The model of durability, which is POSIX's and SQLite's own:

- a write is durable after the next successful sync of its file, and may or may not be on the disk before;
- after a *failed* sync the writes before it may or may not be there, and no later sync makes up for it (Linux marks the
  pages clean);
- a name made or removed in a directory is durable after the next sync of that directory (SQLite syncs it with the
  first sync of a journal or WAL, and where a deletion says so); directory changes reach the disk in order;
- a sector that is not written keeps its bytes (SQLite's "powersafe overwrite", its default on Linux).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import apsw

NAME = "brakeline-recording"
REAL = apsw.vfs_names()[0]
"""The platform's own VFS, which is the default until a recording begins."""
AUTOCHECKPOINT = 12
"""WAL pages after which SQLite copies them into the file (its default is 1000): small, so that short runs see many."""

_JOURNALS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
_KEPT = _JOURNALS | apsw.SQLITE_OPEN_MAIN_DB

Fault = Literal["", "io", "full", "short"]


@dataclass(frozen=True, slots=True)
class Write:
    """*data* written at *offset* of file *inode*."""

    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """File *inode* cut (or extended) to *size*."""

    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """A sync of file *inode*; failed when not *ok*."""

    inode: int
    ok: bool


@dataclass(frozen=True, slots=True)
class Link:
    """*path* now names file *inode*; nothing when that is None."""

    path: Path
    inode: int | None


@dataclass(frozen=True, slots=True)
class SyncDirectory:
    """The names in *directory* are durable."""

    directory: Path


Operation = Write | Truncate | Sync | Link | SyncDirectory


def _never(_count: int) -> Fault:
    return ""


def _intact(_count: int, data: bytes) -> bytes:
    return data


@dataclass
class Faults:
    """What goes wrong: each function gets the number of the call (from 0) and says how it ends."""

    on_sync: Callable[[int], Fault] = _never
    on_write: Callable[[int], Fault] = _never
    on_bytes: Callable[[int, bytes], bytes] = _intact
    kill_at: int | None = None
    """The process is killed when it is about to do this operation (from 0); the kernel lives on."""
    dies_of_sync: bool = False
    """A failed sync also kills the process."""
    lying: bool = False
    """The disk says that it synced, and did not (the control: every check must then find losses)."""


@dataclass
class Tape:
    """Everything that happened to the files, in order. ``base`` is what was durable when the tape began."""

    faults: Faults = field(default_factory=Faults)
    base: dict[Path, bytes] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    names: dict[Path, int] = field(default_factory=dict)
    inodes: int = 0
    syncs: int = 0
    writes: int = 0
    dead: bool = False
    """The process was killed; what SQLite still tries while its connections are closed does not happen."""

    def __len__(self) -> int:
        """Return the number of operations so far: an instant that a promise can be dated with."""
        return len(self.operations)

    def live(self) -> None:
        """Raise when the process is dead, or dies now."""
        if len(self.operations) == self.faults.kill_at:
            self.dead, self.faults.kill_at = True, None
        if self.dead:
            raise _error("io", apsw.SQLITE_IOERR)

    def inode(self, path: Path) -> int:
        """Return the file that *path* names, made now when there is none."""
        if path not in self.names:
            self.names[path] = self.inodes
            self.inodes += 1
            self.operations.append(Link(path, self.names[path]))
        return self.names[path]

    def unlink(self, path: Path) -> None:
        """Record a deletion."""
        if path in self.names:
            del self.names[path]
            self.operations.append(Link(path, None))

    def load(self, directory: Path) -> None:
        """Take the SQLite files below *directory* as durable."""
        for path in sorted(directory.rglob("*")):
            if path.is_file() and path.suffix not in (".lock",) and not path.name.endswith("-shm"):
                self.base[path] = path.read_bytes()
                self.names[path] = self.inodes
                self.inodes += 1


class _File(apsw.VFSFile):
    """One open file: the real one, with every change written down first or failed."""

    def __init__(self, tape: Tape, name: apsw.URIFilename | str, flags: list[int]) -> None:
        self._tape = tape
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)
        self._directory = path.parent
        self._sync_directory = bool(flags[0] & _JOURNALS and flags[0] & apsw.SQLITE_OPEN_CREATE)
        super().__init__(REAL, name, flags)
        self._inode = tape.inode(path)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._tape.live()
        number, self._tape.writes = self._tape.writes, self._tape.writes + 1
        fault = self._tape.faults.on_write(number)
        data = self._tape.faults.on_bytes(number, bytes(data))
        if fault:
            if fault == "short":
                self._record(data[: len(data) // 2], offset)
            raise _error(fault, apsw.SQLITE_IOERR_WRITE)
        self._record(data, offset)

    def _record(self, data: bytes, offset: int) -> None:
        self._tape.operations.append(Write(self._inode, offset, data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._tape.live()
        self._tape.operations.append(Truncate(self._inode, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self._tape.live()
        number, self._tape.syncs = self._tape.syncs, self._tape.syncs + 1
        if self._tape.faults.lying:
            return
        fault = self._tape.faults.on_sync(number)
        self._tape.operations.append(Sync(self._inode, not fault))
        if fault:
            self._tape.dead = self._tape.faults.dies_of_sync
            raise _error(fault, apsw.SQLITE_IOERR_FSYNC)
        if self._sync_directory:
            self._tape.operations.append(SyncDirectory(self._directory))
            self._sync_directory = False


class _Vfs(apsw.VFS):
    """The recording VFS; its tape is set while it is the default."""

    tape: Tape

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> apsw.VFSFile:
        if name is None or not flags[0] & _KEPT:
            return super().xOpen(name, flags)
        return _File(self.tape, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.tape.live()
        super().xDelete(filename, False)
        self.tape.unlink(Path(filename))
        if syncdir and not self.tape.faults.lying:
            self.tape.operations.append(SyncDirectory(Path(filename).parent))


def _error(fault: Fault, code: int) -> Exception:
    return apsw.exception_for(code if fault == "io" else apsw.SQLITE_FULL)


def small_wal(db: apsw.Connection) -> None:
    """Make SQLite copy its WAL into the file often (a connection hook)."""
    db.wal_autocheckpoint(AUTOCHECKPOINT)


@contextmanager
def recording(faults: Faults | None = None, directory: Path | None = None) -> Iterator[Tape]:
    """Record what every SQLite connection opened in this block does; files below *directory* are there and durable."""
    tape = Tape(faults or Faults())
    if directory is not None:
        tape.load(directory)
    vfs = _Vfs(NAME, REAL)
    vfs.tape = tape
    apsw.set_default_vfs(NAME)
    apsw.connection_hooks.append(small_wal)
    try:
        yield tape
    finally:
        apsw.connection_hooks.remove(small_wal)
        apsw.set_default_vfs(REAL)
        vfs.unregister()


@contextmanager
def scratch_directory(fallback: Path) -> Iterator[Path]:
    """Give a directory in memory where there is one (crash states are many and small), else below *fallback*."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    path = Path(tempfile.mkdtemp(prefix="brakeline-crash-", dir=memory if usable else fallback))
    try:
        yield path
    finally:
        shutil.rmtree(path)
