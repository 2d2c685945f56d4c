"""What an audit keeps of a replay, so that it goes on where it was interrupted, or where the log has grown since.

What it is: a cache that an auditor made for itself. A state is written only after every entry below its size has been
verified and replayed. It is believed only where it was made: in a folder of the auditor's own that nobody else may
write, by the same code, for the same treaty and log, and under a history that the log still has: the root of the log at
the state's size, from tiles that lead to the checkpoint, is the one that the state was made under. Anything else is
refused, never repaired. What it is not: evidence, or anything to hand on or to accept from others; a report made
without it is the same.

A state that was made with disclosures holds figures that they open, and serves with the very same disclosures only.

Form: a line of canonical JSON (what the state is of, and the SHA-256 of what follows), then Python objects, read back
by a reader that makes nothing but this project's plain values; beside it a copy of each scratch file. The header is
written last, by a rename, so that an interrupted save leaves the state before.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.export import write_file
from brakeline.ledger.reader import LogReader
from brakeline.ledger.spill import Spill
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.errors import JsonError
from brakeline.treaty.replay import LogReplay
from brakeline.treaty.strictjson import JsonObject, canonical, parse_object

FORMAT = "brakeline/replay-state/v2"
SAVE_EVERY = 1 << 16
"""Entries between two saves."""
MAX_HEADER = 4096


@dataclass(slots=True)
class State:
    """A replay up to some entry.

    Attributes:
        replay, archive: the replay, and the scratch file it writes to.
        second: the scratch file of the rules over opened values, None where nothing is opened.
        size: entries fed.
        previous: SHA-256 of the entry before, 32 bytes; b"" when there is none.
        newest_ms: when the newest entry was received; None for an empty log.
        counts: entries by kind.
    """

    replay: LogReplay
    archive: Spill
    second: Spill | None = None
    size: int = 0
    previous: bytes = b""
    newest_ms: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict[str, int])


class States:
    """The states of one treaty's logs, in one folder."""

    def __init__(
        self,
        folder: Path,
        document: TreatyDocument,
        *,
        paranoid: bool,
        disclosed: str = "",
        every: int = SAVE_EVERY,
    ) -> None:
        """Keep states in *folder*, made if absent, and readable by its owner alone; *disclosed* names the disclosures.

        Raises:
            BrakelineError: ``state-unsafe``: others may write there, or it is not ours.
        """
        self._folder, self._document, self._paranoid, self._disclosed = folder, document, paranoid, disclosed
        self.every = every
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _own(folder)

    def load(self, reader: LogReader) -> State | None:
        """Return the state of the log that *reader* reads, None when there is none.

        Raises:
            BrakelineError: ``state-damaged``, ``state-unsafe``, ``state-other``, ``state-disclosures``,
                ``state-ahead``, ``state-history``.
        """
        path = self._path(reader.checkpoint.origin)
        if not path.exists():
            return None
        _own(path)
        head, _, body = path.read_bytes().partition(b"\n")
        try:
            header = parse_object(head, max_bytes=MAX_HEADER)
        except JsonError as error:
            raise _refused("state-damaged", path, "a header", error.message) from None
        wanted = self._header(reader.checkpoint.origin)
        for name, value in wanted.items():
            if header.get(name) != value:
                code = "state-disclosures" if name == "disclosures" else "state-other"
                raise _refused(code, path, f"{name} {value}", str(header.get(name))[:80])
        size, root, scratch = header.get("size"), header.get("root"), path.with_name(str(header.get("scratch")))
        if hashlib.sha256(body).hexdigest() != header.get("body") or not isinstance(size, int):
            raise _refused("state-damaged", path, str(header.get("body")), "other bytes")
        if size > reader.size:
            raise _refused("state-ahead", path, f"a log of at least {size} entries", f"{reader.size} entries")
        if reader.root_at(size).hex() != root:
            raise _refused("state-history", path, f"root {root} at {size} entries", reader.root_at(size).hex())
        return self._read(path, body, scratch, size)

    def save(self, state: State, reader: LogReader) -> None:
        """Keep *state*: everything below its size has been verified under the checkpoint of *reader*."""
        origin = reader.checkpoint.origin
        path = self._path(origin)
        scratch = path.with_name(f"{origin}.{state.size}.scratch")
        fresh = [(state.archive, scratch)]
        if state.second is not None:
            fresh.append((state.second, _beside(scratch)))
        old = {item for item in self._folder.glob(f"{origin}.*.scratch") if item not in {file for _, file in fresh}}
        stream = io.BytesIO()
        writer = _Writer(stream, self._document, [archive for archive, _ in fresh])
        writer.dump([(*archive.copy_to(file), _digest(file)) for archive, file in fresh])
        writer.dump((state.previous, state.newest_ms, dict(state.counts), state.replay))
        body = stream.getvalue()
        header: JsonObject = {
            **self._header(origin),
            "size": state.size,
            "root": reader.root_at(state.size).hex(),
            "scratch": scratch.name,
            "body": hashlib.sha256(body).hexdigest(),
        }
        write_file(path, canonical(header) + b"\n" + body, durable=True)
        for item in old:
            item.unlink(missing_ok=True)

    def _read(self, path: Path, body: bytes, scratch: Path, size: int) -> State:
        reader = _Reader(io.BytesIO(body), self._document)
        try:
            for file, (places, sizes, free, digest) in zip((scratch, _beside(scratch)), reader.load(), strict=False):
                if _digest(file) != digest:
                    raise _refused("state-damaged", file, digest, "other bytes")
                reader.archives.append(Spill.restored(file, (places, sizes, free)))
            previous, newest_ms, counts, replay = reader.load()
        except (pickle.UnpicklingError, ValueError, TypeError, AttributeError, EOFError, OSError) as error:
            raise _refused("state-damaged", path, "a state that this program wrote", str(error)[:120]) from None
        if not isinstance(replay, LogReplay):
            raise _refused("state-damaged", path, "a replay", type(replay).__name__)
        archive, second = (*reader.archives, None)[:2]
        if archive is None or bool(self._disclosed) is (second is None):
            raise _refused("state-damaged", path, "a scratch file for all that is judged", str(len(reader.archives)))
        return State(replay, archive, second, size, previous, newest_ms, counts)

    def _path(self, origin: str) -> Path:
        return self._folder / f"{origin}.state"

    def _header(self, origin: str) -> JsonObject:
        return {
            "format": FORMAT,
            "code": code_digest(),
            "treaty": self._document.digest,
            "origin": origin,
            "paranoid": self._paranoid,
            "disclosures": self._disclosed,
        }


class _Writer(pickle.Pickler):
    """Writes a replay; the treaty and the scratch files are named, not written."""

    def __init__(self, stream: io.BytesIO, document: TreatyDocument, archives: Sequence[Spill]) -> None:
        super().__init__(stream, protocol=5)
        self._named = {id(document): "treaty", **{id(item): f"archive {n}" for n, item in enumerate(archives)}}

    def persistent_id(self, obj: object) -> str | None:
        """Return the name of what is not written."""
        return self._named.get(id(obj))


class _Reader(pickle.Unpickler):
    """Reads what :class:`_Writer` wrote, and makes objects of the classes below and of no others."""

    def __init__(self, stream: io.BytesIO, document: TreatyDocument) -> None:
        super().__init__(stream)
        self._document = document
        self.archives: list[Spill] = []

    def persistent_load(self, pid: object) -> object:
        """Return what has this name."""
        if pid == "treaty":
            return self._document
        for number, archive in enumerate(self.archives):
            if pid == f"archive {number}":
                return archive
        raise pickle.UnpicklingError(f"nothing is called {pid!r}")

    def find_class(self, module: str, name: str) -> object:
        """Return a class of plain values."""
        if (module, name) in _PLAIN:
            return super().find_class(module, name)
        if module.startswith("brakeline.treaty.") or module in _LEDGER:
            found: object = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise pickle.UnpicklingError(f"no state holds a {module}.{name}")


_PLAIN = {
    *(("builtins", name) for name in ("set", "frozenset", "bytearray", "list", "dict", "tuple", "int", "str")),
    *(("collections", name) for name in ("OrderedDict", "defaultdict", "Counter", "deque")),
    ("array", "array"),
    ("array", "_array_reconstructor"),
    ("fractions", "Fraction"),
    ("functools", "partial"),
}
_LEDGER = frozenset(f"brakeline.ledger.{name}" for name in ("vkey", "checkpoint", "entry", "note"))


@lru_cache(1)
def code_digest() -> str:
    """Return the SHA-256 of the code that a state depends on: whatever changes there makes older states useless."""
    found = hashlib.sha256()
    for package in ("brakeline.treaty", "brakeline.ledger"):
        for file in sorted(_files(resources.files(package))):
            found.update(hashlib.sha256(file).digest())
    return found.hexdigest()


def _files(folder: Traversable) -> Iterator[bytes]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _files(item)
        elif item.name.endswith(".py"):
            yield item.read_bytes()


def _beside(scratch: Path) -> Path:
    """Return where the scratch file of what is opened lies."""
    return scratch.with_name(scratch.name.removesuffix(".scratch") + ".opened.scratch")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _own(path: Path) -> None:
    """Refuse what others could have written."""
    found = path.stat()
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
        raise _refused(
            "state-unsafe", path, "a folder and files that only this user can write", stat.filemode(found.st_mode)
        )


_MESSAGES = {
    "state-unsafe": "others may have written this state",
    "state-damaged": "this is not a state as it was saved",
    "state-other": "this state is of another treaty, log, way of checking, or version of this program",
    "state-disclosures": "this state was made with other disclosures, or with none",
    "state-ahead": "this state is of a longer log than the one shown now",
    "state-history": "this state was made under another history of this log",
}
_FIXES = {
    "state-disclosures": "give another --state folder: what is opened by other disclosures is judged from entry 0",
    "state-ahead": "read the log from where it was read before; one that shows less than it did may be an old copy",
    "state-history": "keep the state and this copy; audit both copies together without --state: a fork is misconduct",
}


def _refused(code: str, path: Path, expected: str, found: str) -> BrakelineError:
    fix = _FIXES.get(code, "give another --state folder, or delete this one: the audit then begins at entry 0")
    return BrakelineError(code=code, message=f"{_MESSAGES[code]}: {path}", expected=expected, found=found, fix=fix)
