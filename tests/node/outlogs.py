"""Logs of the cast's verifiers as static files, with checkpoints that the cast's witnesses cosigned just now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from brakeline.ledger.checkpoint import add_signatures, cosign
from brakeline.ledger.entry import Entry, Kind, first_previous
from brakeline.ledger.source import DirectorySource, Source
from brakeline.node.site import Site
from brakeline.treaty.envelope import Envelope

from tests.ledger.logs import write_log
from tests.support import cast


def log(
    folder: Path,
    origin: str,
    envelopes: Iterable[Envelope],
    at_ms: int,
    witnesses: Sequence[str] = cast.VERIFIERS,
) -> Path:
    """Write the log *origin* that holds *envelopes*, received and cosigned (by *witnesses*) at *at_ms*."""
    entries: list[Entry] = []
    previous = first_previous(origin)
    for index, envelope in enumerate(envelopes):
        entries.append(Entry(index, previous, at_ms, Kind.STATEMENT, b"client", envelope.to_body()))
        previous = entries[-1].digest
    note = write_log(folder / origin, [entry.encode() for entry in entries], origin)
    keys = [(cast.vkey(name, "witness"), cast.signer(name, "witness")) for name in witnesses]
    signed = add_signatures(note, [cosign(note, key, signer, at_ms // 1000) for key, signer in keys])
    (folder / origin / "checkpoint").write_bytes(signed)
    return folder / origin


def logs(folder: Path, held: Mapping[str, Iterable[Envelope]], at_ms: int) -> dict[str, Callable[[], Source]]:
    """Write a log for each verifier of *held*; return how each is opened."""
    return {name: partial(DirectorySource, log(folder, name, items, at_ms)) for name, items in held.items()}


def signed(site: Site) -> list[Envelope]:
    """Return everything in the outbox of *site*, in order."""
    return [Envelope.from_body(item.body) for item in site.journal.envelopes()]
