"""placeholder until the ledger's mirror lands."""
from __future__ import annotations
from collections.abc import Sequence
from pathlib import Path
from brakeline.ledger.entry import Entry
from brakeline.ledger.policy import Policy
from brakeline.ledger.vkey import VKey


class MirrorCopy:
    def __init__(self, origin: str, url: str, directory: Path, log_key: VKey, policy: Policy) -> None:
        self.size = 0

    def update(self) -> bytes | None:
        return None

    def entries(self, start: int, stop: int) -> Sequence[Entry]:
        return []
