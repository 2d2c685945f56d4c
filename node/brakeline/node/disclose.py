"""Giving away what opens sealed values: files for an auditor, or to the verifiers once more. By hand, never by itself.

A file ``<statement digest>.disclosure.json`` holds the canonical JSON of one disclosure (docs/spec/statements.md), and
``brakeline audit replay --disclosures`` reads it. It is written with mode 0600: whoever has it reads what was sealed.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from brakeline.ledger.errors import BrakelineError
from brakeline.node import config
from brakeline.node.journal import Journal
from brakeline.node.setup import JOURNAL

SUFFIX = ".disclosure.json"


def disclose(folder: Path, out: Path | None, periods: Collection[int] | None, *, again: bool) -> list[str]:
    """Write the disclosures of the books of *periods* (None: of everything sealed) to *out*; return the statements.

    *again*: send them to every verifier once more, when the node next runs.

    Raises:
        BrakelineError: ``config-*``; ``journal-*`` (with *again*: ``journal-locked`` while the node runs);
            ``disclose-nowhere``: neither *out* nor *again*.
    """
    config.load(folder / config.FILE)
    if out is None and not again:
        raise BrakelineError(
            code="disclose-nowhere",
            message="nobody is named to disclose to",
            expected="--out FOLDER for an auditor, or --again for the verifiers",
            found="neither",
        )
    with Journal(folder / JOURNAL, read_only=not again) as journal:
        wanted = [digest for _, digest, period in journal.disclosed() if periods is None or period in periods]
        if out is not None:
            out.mkdir(parents=True, exist_ok=True, mode=0o700)
            for digest in wanted:
                _write(out / f"{digest}{SUFFIX}", journal.disclosure(digest))
        if again:
            journal.deliver_again(wanted)
    return wanted


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
