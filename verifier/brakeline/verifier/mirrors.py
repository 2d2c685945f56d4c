"""One peer's log as it stands on this disk: a :class:`~brakeline.ledger.mirror.Mirror` fed by its read API. Blocking.

Every look verifies what is new against the new checkpoint, the quorum on that checkpoint, and its consistency with the
copy held so far; only then is anything written, and the checkpoint last. Two signed checkpoints that contradict each
other are kept beside the copy as ``<origin>.fork``: that file alone convicts the peer.
"""

from __future__ import annotations

from pathlib import Path

import httpx
from brakeline.ledger.entry import Entry
from brakeline.ledger.errors import ForkError
from brakeline.ledger.export import write_file
from brakeline.ledger.mirror import Mirror
from brakeline.ledger.policy import Policy
from brakeline.ledger.source import HttpSource
from brakeline.ledger.vkey import VKey

TIMEOUT_S = 3.0


class MirrorCopy:
    """The verified copy of one peer's log. One thread at a time."""

    def __init__(self, url: str, directory: Path, log_key: VKey, policy: Policy) -> None:
        """Open (and verify again) the copy in *directory* of the log at *url*.

        Raises:
            StoreError: ``store-corrupt``.
        """
        self._mirror = Mirror(directory, log_key, policy)
        self._fork = directory.with_name(f"{directory.name}.fork")
        self._source = HttpSource(url, httpx.Client(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False))

    @property
    def size(self) -> int:
        """Entries held."""
        return self._mirror.size

    @property
    def note(self) -> bytes | None:
        """The checkpoint note whose whole log is held, or None."""
        return self._mirror.note

    def update(self) -> None:
        """Look at the peer once.

        Raises:
            LedgerError: the peer is unreachable, shows what does not verify, or has forked (``ForkError``).
            OSError: this disk does not take the copy.
        """
        try:
            self._mirror.update(self._source)
        except ForkError as error:
            if not self._fork.exists():
                write_file(self._fork, error.first + b"\n" + error.second, durable=True)
            raise

    def entries(self, start: int, stop: int) -> list[Entry]:
        """Return the entries [start, stop) of the copy."""
        return list(self._mirror.entries(start, stop))

    def close(self) -> None:
        """Close the connections to the peer."""
        self._source.close()
