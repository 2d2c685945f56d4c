"""Carrying an outbox across a gap: a site without a network exports, another machine submits, receipts come back.

    brakeline node outbox export box.jsonl --dir node          # in the closed site
    brakeline node outbox submit box.jsonl --treaty ... --pin ... --tls-dir ... --receipts receipts   # outside
    brakeline node outbox receipts receipts --dir node         # in the closed site again

*The box* is text: its first line ``{"format":"brakeline/outbox/v1","site":...,"treaty":...}``, then one envelope
(DSSE JSON) a line, oldest first. Everything in it is signed and meant for everybody's eyes; who carries it can lose it,
and nothing else. *Receipts* are the files that a node keeps anyway. They are verified on both sides, under the pinned
treaty: whoever carries them cannot make one.

A node that runs has its journal to itself. So ``receipts`` leaves the files in its folder ``incoming``, where the node
takes them up, as it takes up what ``node say`` leaves in ``inbox``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from brakeline.ledger.errors import BrakelineError
from brakeline.node.journal import Delivery, Journal, Outgoing
from brakeline.node.sender import SUFFIX, keep_receipt
from brakeline.treaty import strictjson
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import MAX_ENVELOPE_JSON, Envelope

FORMAT = "brakeline/outbox/v1"
INCOMING = "incoming"
MAX_HEADER = 4096
MAX_RECEIPT = 1024 * 1024
"""Bytes of a receipt file: an entry of 64 KiB, a proof, a checkpoint with cosignatures, in base64."""


class CarryError(BrakelineError):
    """A box or a receipt that is not what it should be (codes ``carry-*``)."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of receipts that were brought back.

    Attributes:
        receipts: how many were verified and noted.
        strange: files that are no receipt of this site's statements, with the reason; left where they are.
    """

    receipts: int
    strange: tuple[tuple[str, str], ...]


def owed(journal: Journal, document: TreatyDocument) -> list[Outgoing]:
    """Return the envelopes that some verifier still lacks, oldest first, each once."""
    found: dict[int, Outgoing] = {}
    for verifier in document.verifiers:
        found |= {item.id: item for item in journal.undelivered(verifier.name, limit=-1)}
    return [found[key] for key in sorted(found)]


def export(path: Path, site: str, document: TreatyDocument, items: Sequence[Outgoing]) -> None:
    """Write the box *path*, whole or not at all."""
    head = strictjson.canonical({"format": FORMAT, "site": site, "treaty": document.digest})
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as out:
        out.write(head + b"\n")
        for item in items:
            out.write(Envelope.from_body(item.body).to_dsse_json() + b"\n")
        out.flush()
        os.fsync(out.fileno())
    part.rename(path)


def read(path: Path, document: TreatyDocument) -> Iterator[Envelope]:
    """Yield the envelopes of a box, one line at a time.

    Raises:
        CarryError: ``carry-format`` (not a box, or a line too long; with its number), ``carry-treaty``.
        EnvelopeError, JsonError: a line that is no envelope.
    """
    with path.open("rb") as lines:
        head = lines.readline(MAX_HEADER)
        value = _head(head, path)
        if value.get("treaty") != document.digest:
            raise CarryError(
                code="carry-treaty",
                message=f"{path.name} was exported under another treaty",
                expected=document.digest,
                found=str(value.get("treaty"))[:80],
                fix="give the treaty and the pin that the site has",
            )
        for number in range(2, 1 << 62):
            line = lines.readline(MAX_ENVELOPE_JSON + 2)
            if not line:
                return
            if not line.endswith(b"\n"):
                raise _malformed(path, f"line {number} is cut off or too long")
            yield Envelope.from_dsse_json(line[:-1])


def _head(line: bytes, path: Path) -> strictjson.JsonObject:
    try:
        value = strictjson.parse_object(line.rstrip(b"\n"), max_bytes=MAX_HEADER)
    except BrakelineError:
        raise _malformed(path, "the first line is no header") from None
    if value.get("format") != FORMAT:
        raise _malformed(path, f"format {str(value.get('format'))[:40]}")
    return value


def _malformed(path: Path, found: str) -> CarryError:
    return CarryError(
        code="carry-format",
        message=f"{path.name} is not an exported outbox",
        expected=f"a header of {FORMAT}, then one envelope a line",
        found=found,
        fix="brakeline node outbox export FILE --dir DIR, and carry it unchanged",
    )


def take_up(incoming: Path, receipts: Path, journal: Journal, document: TreatyDocument) -> Taken:
    """Verify every receipt below *incoming*, keep it below *receipts*, note it in the journal.

    A file is removed from *incoming* once it is kept and noted. What is no receipt stays, and is told.

    Raises:
        JournalError: ``journal-io``: nothing is lost, do it again.
    """
    by_digest = {item.digest: item for item in journal.envelopes()}
    taken, strange = 0, list[tuple[str, str]]()
    for verifier in document.verifiers:
        for path in sorted((incoming / verifier.name).glob(f"*{SUFFIX}")):
            try:
                item = by_digest[path.name.removesuffix(SUFFIX).rpartition("-")[2]]
                kept = keep_receipt(receipts, verifier, item, _bytes(path), document)
            except KeyError:
                strange.append((str(path), "carry-stranger: no statement of this site bears this digest"))
                continue
            except BrakelineError as error:
                strange.append((str(path), f"{error.code}: {error.message}"))
                continue
            journal.delivered(verifier.name, [(item.id, Delivery.RECEIVED, kept)])
            path.unlink()
            taken += 1
    return Taken(taken, tuple(strange))


def bring(source: Path, incoming: Path, document: TreatyDocument) -> int:
    """Copy the receipts below *source* into *incoming*, each whole or not at all; return how many there were."""
    count = 0
    for verifier in document.verifiers:
        for path in sorted((source / verifier.name).glob(f"*{SUFFIX}")):
            target = incoming / verifier.name
            target.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = target / f".{path.name}.part"
            shutil.copyfile(path, part)
            part.rename(target / path.name)
            count += 1
    return count


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_RECEIPT + 1)
    if len(data) > MAX_RECEIPT:
        raise CarryError(
            code="carry-size", message=f"{path.name} is too long for a receipt", expected=f"at most {MAX_RECEIPT} bytes"
        )
    return data
