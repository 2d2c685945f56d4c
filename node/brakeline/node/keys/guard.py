"""What each key signed last: a record apart from the journal, without whose consent nothing is signed.

The journal already reserves a position before it is signed. But a journal can be restored from yesterday's image, and
would then sign a position twice. So this record lies elsewhere (``[guard] path``, best on another disk), takes part in
no backup of the node, and moves before every signature, durably: at one sequence it consents to one payload only, and
below it to none. The same payload may be signed again (a crash between consent and signature costs nothing).

One JSON file for one site, by key id: ``{"<keyid>": {"digest": "...", "sequence": 7, "site": "..."}}``. Every change is
a compare-and-swap under a lock: read, compared with what this process believes, written to a new file, synced, renamed,
the directory synced. A record that cannot be read, or that somebody else moved, stops the signing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.export import sync_directory
from brakeline.ledger.sqlite_store import refuse_network
from brakeline.treaty import strictjson
from brakeline.treaty.document import ZERO_DIGEST
from brakeline.treaty.strictjson import JsonObject

MAX_BYTES = 256 * 1024


class GuardError(BrakelineError):
    """The record does not consent (codes ``guard-*``)."""


class LastSigned(NamedTuple):
    """The newest statement a key has signed, or stands on: -1 and zeros before the first of its chain."""

    sequence: int
    digest: str


FRESH = LastSigned(-1, ZERO_DIGEST)


class Guard:
    """The record at one path, as one process believes it to be."""

    def __init__(self, path: Path) -> None:
        """Use the record at *path*; nothing is opened or made yet."""
        self.path = path
        self._believed: dict[str, LastSigned] = {}

    def begin(self, site: str, keyid: str, at: LastSigned = FRESH) -> None:
        """Begin the record of a key that has signed nothing after *at*; the same again changes nothing.

        Raises:
            GuardError: ``guard-begun`` when the key has a record that says something else, ``guard-io``.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked() as records:
            found = _last(records, keyid)
            if found is not None and found != at:
                raise GuardError(
                    code="guard-begun",
                    message="this key has a record already",
                    expected=f"none, or sequence {at.sequence}",
                    found=f"sequence {found.sequence}, {found.digest}",
                    fix="a key begins once; take the record that belongs to it, or make a new key",
                )
            if found is None:
                self._write(records, site, keyid, at)
        self._believed[keyid] = at

    def last(self, keyid: str) -> LastSigned | None:
        """Return what *keyid* signed last, None where the record knows nothing of it (``guard-damaged``)."""
        found = _last(self._read(), keyid)
        if found is not None:
            self._believed[keyid] = found
        return found

    def advance(self, site: str, keyid: str, at: LastSigned) -> None:
        """Bring a missing or older record up to *at*, which all verifiers have confirmed.

        Raises:
            GuardError: ``guard-ahead`` when more is recorded than that.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked() as records:
            found = _last(records, keyid)
            if found is not None and (found.sequence > at.sequence or (found.sequence == at.sequence and found != at)):
                raise _refuse("guard-ahead", at, found)
            self._write(records, site, keyid, at)
        self._believed[keyid] = at

    def permit(self, site: str, keyid: str, item: LastSigned) -> None:
        """Consent to the signing of *item* by *keyid*, durably, or refuse.

        Raises:
            GuardError: ``guard-double`` (another payload at this sequence, or anything below it), ``guard-missing`` (no
                record of this key), ``guard-moved`` (somebody else signs with it), ``guard-damaged``, ``guard-io``.
        """
        with self._locked() as records:
            found = _last(records, keyid)
            if found is None:
                raise GuardError(
                    code="guard-missing",
                    message="there is no record of what this key signed last",
                    expected=f"a record of {keyid[:16]}... in {self.path}",
                    found="none",
                    fix="bring the record back, or start the node: it asks the verifiers and makes a new one",
                )
            believed = self._believed.setdefault(keyid, found)
            if found != believed:
                raise GuardError(
                    code="guard-moved",
                    message="somebody else has signed with this key",
                    expected=f"sequence {believed.sequence}",
                    found=f"sequence {found.sequence}, {found.digest}",
                    fix="stop one of the two nodes; then see 'At 3 a.m.' in docs/operators.md",
                )
            if item == found:
                return
            if item.sequence <= found.sequence:
                raise _refuse("guard-double", item, found)
            self._write(records, site, keyid, item)
        self._believed[keyid] = item

    def same_disk(self, other: Path) -> bool:
        """Say whether the record and *other* lie on one file system, so that one image restores both."""
        folder = next((path for path in self.path.absolute().parents if path.exists()), Path("/"))
        return folder.stat().st_dev == other.stat().st_dev

    @contextmanager
    def _locked(self) -> Generator[JsonObject]:
        with _io(self.path):
            refuse_network(self.path)
            handle = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)  # held for one read and one write, by whoever shares the record
            yield self._read()
        finally:
            os.close(handle)

    def _read(self) -> JsonObject:
        with _io(self.path):
            try:
                data = self.path.read_bytes()
            except FileNotFoundError:
                return {}
        try:
            return strictjson.parse_object(data, max_bytes=MAX_BYTES)
        except BrakelineError as error:
            raise _damaged(self.path, str(error)) from None

    def _write(self, records: JsonObject, site: str, keyid: str, at: LastSigned) -> None:
        records[keyid] = {"digest": at.digest, "sequence": at.sequence, "site": site}
        part = self.path.with_name(f".{self.path.name}.part")
        with _io(self.path):
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(strictjson.canonical(records))
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.path)
            sync_directory(self.path.parent)


def _last(records: JsonObject, keyid: str) -> LastSigned | None:
    found = records.get(keyid)
    if found is None:
        return None
    if isinstance(found, dict):
        sequence, digest = found.get("sequence"), found.get("digest")
        if type(sequence) is int and isinstance(digest, str) and len(digest) == len(ZERO_DIGEST):
            return LastSigned(sequence, digest)
    raise _damaged(Path(keyid), "a record of another form")


def _refuse(code: str, item: LastSigned, found: LastSigned) -> GuardError:
    return GuardError(
        code=code,
        message="this key has signed another statement at this place of the chain, or further on",
        expected=f"a sequence after {found.sequence}, or {found.digest} again",
        found=f"sequence {item.sequence}, {item.digest}",
        fix="the journal is older than the record: it was restored. Never delete the record: brakeline node takeover",
    )


def _damaged(path: Path, found: str) -> GuardError:
    return GuardError(
        code="guard-damaged",
        message="the record of what was signed last cannot be understood; nothing is signed",
        expected="the file as the node wrote it",
        found=f"{path}: {found}"[:200],
        fix="move it away and start the node: it asks all verifiers, and makes a new record",
    )


@contextmanager
def _io(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise GuardError(
            code="guard-io",
            message="the record of what was signed last cannot be read or written; nothing is signed",
            expected="a local disk that this user may write to",
            found=f"{path}: {error.strerror}",
            fix="mount it, or correct [guard] in node.toml",
        ) from error
