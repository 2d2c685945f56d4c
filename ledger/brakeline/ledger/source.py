"""Where a copy of a log is read from: a directory or an HTTP(S) address in C2SP tlog-tiles layout.

A source is not trusted with anything: sizes are bounded here, bytes are verified by the reader. Offline verification
uses :class:`DirectorySource` and does no network I/O at all.
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from brakeline.ledger.errors import SourceError
from brakeline.ledger.merkle import HASH_SIZE
from brakeline.ledger.note import MAX_NOTE
from brakeline.ledger.tiles import MAX_BUNDLE, TILE_WIDTH, TileRef

if TYPE_CHECKING:
    import httpx

CHECKPOINT = "checkpoint"
TIMEOUT_S = 10.0
"""Seconds to wait for a connection, and for the next bytes of an answer."""
DEADLINE_S = 60.0
"""Seconds for one whole answer: a server that trickles bytes does not hold its reader for ever."""


class Source(Protocol):
    """A copy of a log, as paths and bytes."""

    @property
    def name(self) -> str:
        """What a person calls it: the directory or the address."""
        ...

    def read(self, path: str, limit: int) -> bytes | None:
        """Return the bytes at *path*, or None when there are none.

        Raises:
            SourceError: ``source-too-large`` (more than *limit* bytes), ``source-unreachable``.
        """
        ...

    def close(self) -> None:
        """Release what the source holds."""
        ...


class DirectorySource:
    """A log exported or mirrored into a directory."""

    def __init__(self, directory: Path) -> None:
        """Read below *directory*."""
        self._directory = directory

    @property
    def name(self) -> str:
        """The directory."""
        return str(self._directory)

    def read(self, path: str, limit: int) -> bytes | None:
        """Return the file's bytes, or None when there is none (see :class:`Source`)."""
        try:
            with (self._directory / path).open("rb") as file:
                data = file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise _unreachable(f"{self.name}/{path}", error.strerror or "an error") from None
        return _bounded(data, limit, f"{self.name}/{path}")

    def close(self) -> None:
        """Do nothing."""


class HttpSource:
    """A log behind a read API."""

    def __init__(self, url: str, client: httpx.Client | None = None, deadline_s: float = DEADLINE_S) -> None:
        """Read below *url*, with *client* or one of its own (SourceError ``source-unreachable``: no address).

        *deadline_s*: seconds that one answer may take in all.
        """
        import httpx as http  # imported when a network source is asked for: offline checks never load it

        self._http = http
        self._url = url.rstrip("/")
        try:
            http.URL(self._url)
        except http.InvalidURL as error:
            raise _unreachable(url[:200], f"not an address: {error}"[:200]) from None
        self._deadline_s = deadline_s
        self._client = client or http.Client(timeout=TIMEOUT_S, follow_redirects=False)

    @property
    def name(self) -> str:
        """The address."""
        return self._url

    def read(self, path: str, limit: int) -> bytes | None:
        """Return the resource's bytes, or None on 404 (see :class:`Source`)."""
        where = f"{self._url}/{path}"
        until = time.monotonic() + self._deadline_s
        try:
            with self._client.stream("GET", where) as response:
                if response.status_code == 404:
                    return None
                if response.status_code != 200:
                    raise _unreachable(where, f"HTTP status {response.status_code}")
                data = bytearray()
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > limit:
                        break
                    if time.monotonic() > until:
                        raise _unreachable(where, f"no whole answer within {self._deadline_s:g} s")
        except self._http.HTTPError as error:
            raise _unreachable(where, f"{type(error).__name__}: {error}"[:200]) from None
        return _bounded(bytes(data), limit, where)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def opened(text: str) -> closing[Source]:
    """Return a context manager over the source that *text* names; leaving it closes the source.

    Raises:
        SourceError: as :func:`open_source`.
    """
    return closing(open_source(text))


def open_source(text: str, proxy: str | None = None) -> Source:
    """Return the source that *text* names: an http(s) address, or a directory.

    *proxy*: ``http://host:port`` that addresses are reached through, and no other way; None: as the environment says.

    Raises:
        SourceError: ``source-unreachable`` when it is neither.
    """
    if text.startswith(("http://", "https://")):
        if proxy is None:
            return HttpSource(text)
        import httpx

        return HttpSource(text, httpx.Client(proxy=proxy, trust_env=False, timeout=TIMEOUT_S, follow_redirects=False))
    directory = Path(text)
    if not directory.is_dir():
        raise SourceError(
            code="source-unreachable",
            message="no log can be read here",
            expected="a directory in tlog-tiles layout, or an http(s) address",
            found=text[:200],
            fix="export one with `brakeline ledger export`, or check the address",
        )
    return DirectorySource(directory)


def read_checkpoint(source: Source) -> bytes:
    """Return the source's checkpoint note (SourceError ``source-no-checkpoint``, and those of read)."""
    data = source.read(CHECKPOINT, MAX_NOTE)
    if data is None:
        raise SourceError(
            code="source-no-checkpoint",
            message="there is no checkpoint here",
            expected=f"{source.name}/{CHECKPOINT}",
            found="nothing",
            fix="is this a log in tlog-tiles layout?",
        )
    return data


def read_ref(source: Source, ref: TileRef) -> bytes:
    """Return the bytes of a hash tile or bundle; a partial one that is gone is cut from the full one.

    The tlog-tiles specification lets servers drop partial tiles once the full tile exists. What is cut from a full one
    has the first ``ref.width`` hashes or entries; everything else is returned as it is, and decoding refuses what is
    not of that width.

    Raises:
        SourceError: ``source-missing-tile`` and those of read.
    """
    limit = MAX_BUNDLE if ref.level is None else TILE_WIDTH * HASH_SIZE
    data = source.read(ref.path, limit)
    if data is None and ref.width < TILE_WIDTH:
        data = source.read(ref.full.path, limit)
        if data is not None:
            data = _head(data, ref)
    if data is None:
        raise SourceError(
            code="source-missing-tile",
            message="a tile that the checkpoint covers is missing",
            expected=f"{source.name}/{ref.path}",
            found="nothing",
            fix="fetch the log again, or ask another mirror",
        )
    return data


def _head(data: bytes, ref: TileRef) -> bytes:
    if ref.level is not None:
        return data[: ref.width * HASH_SIZE]
    at = 0
    for _ in range(ref.width):
        at += 2 + int.from_bytes(data[at : at + 2], "big")
    return data[:at]


def _bounded(data: bytes, limit: int, where: str) -> bytes:
    if len(data) > limit:
        raise SourceError(
            code="source-too-large",
            message="more bytes than any honest log serves here",
            expected=f"at most {limit}",
            found=f"more, at {where}",
        )
    return data


def _unreachable(where: str, found: str) -> SourceError:
    return SourceError(
        code="source-unreachable",
        message=f"{where} cannot be read",
        found=found,
        fix="check the address and the network, or use a mirror",
    )
