"""Carrying an outbox across a gap: a site without a network exports, another machine submits, receipts come back.

    brakeline node outbox export box.jsonl --dir node          # in the closed site
    brakeline node outbox submit box.jsonl --treaty ... --pin ... --tls-dir ... --receipts receipts   # outside
    brakeline node outbox receipts receipts --dir node         # in the closed site again

*The box* is text: its first line ``{"format":"brakeline/outbox/v2","site":...,"treaty":...}``, then one envelope
(DSSE JSON) a line, oldest first. Before an envelope with sealed values stands what opens them,
``{"disclosures":{verifier:base64,...},"statement":digest}``: for each verifier with a disclosure key a copy that was
encrypted to that key within the site. Envelopes are signed and meant for everybody's eyes, a disclosure is read by the
verifier that it is for; who carries the box can lose it, and nothing else. *Receipts* are the files that a node keeps
anyway. They are verified on both sides, under the treaty: whoever carries them cannot make one. A box is of the version
that governs when it is exported; a receipt is held against the version that governed when its log took the entry.

A node that runs has its journal to itself. So ``receipts`` leaves the files in its folder ``incoming``, where the node
takes them up, as it takes up what ``node say`` leaves in ``inbox``.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from brakeline.ledger.entry import Entry
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.proof import Receipt
from brakeline.node.journal import Delivery, Journal, Outgoing
from brakeline.node.sender import SUFFIX, keep_receipt, seal_to
from brakeline.treaty import strictjson
from brakeline.treaty.disclosure import MAX_DISCLOSURE
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import MAX_ENVELOPE_JSON, Envelope
from brakeline.treaty.succession import Succession

FORMAT = "brakeline/outbox/v2"
INCOMING = "incoming"
MAX_HEADER = 4096
MAX_RECEIPT = 1024 * 1024
"""Bytes of a receipt file: an entry of 64 KiB, a proof, a checkpoint with cosignatures, in base64."""


_DISCLOSURES = b'{"disclosures":'
_SEAL = 48
"""Bytes that a sealed box is longer than what is in it."""


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


@dataclass(frozen=True, slots=True)
class Carried:
    """An envelope of a box, and what opens its sealed values: for each verifier named, encrypted to its key."""

    envelope: Envelope
    disclosures: Mapping[str, bytes]


def owed(journal: Journal, document: TreatyDocument) -> list[Outgoing]:
    """Return the envelopes that some verifier still lacks, oldest first, each once."""
    found: dict[int, Outgoing] = {}
    for verifier in document.verifiers:
        found |= {item.id: item for item in journal.undelivered(verifier.name, limit=-1)}
    return [found[key] for key in sorted(found)]


def disclosures(journal: Journal, document: TreatyDocument, digest: str) -> dict[str, bytes]:
    """Return what opens the statement *digest*, encrypted to each verifier's key; empty where nothing is sealed."""
    opens = journal.disclosure(digest)
    boxes = {verifier.name: seal_to(verifier, opens) for verifier in document.verifiers}
    return {name: box for name, box in boxes.items() if box}


def export(path: Path, site: str, document: TreatyDocument, items: Iterable[Carried]) -> None:
    """Write the box *path*, whole or not at all."""
    head = strictjson.canonical({"format": FORMAT, "site": site, "treaty": document.digest})
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as out:
        out.write(head + b"\n")
        for item in items:
            if item.disclosures:
                sealed: strictjson.JsonObject = {
                    name: base64.b64encode(box).decode() for name, box in sorted(item.disclosures.items())
                }
                said = strictjson.canonical({"disclosures": sealed, "statement": item.envelope.digest})
                out.write(said + b"\n")
            out.write(item.envelope.to_dsse_json() + b"\n")
        out.flush()
        os.fsync(out.fileno())
    part.rename(path)


def version_of(path: Path, versions: Succession) -> TreatyDocument:
    """Return the version of the treaty that governed when the box *path* was exported.

    Raises:
        CarryError: ``carry-format`` (not a box), ``carry-treaty``: it is none of *versions*.
    """
    with path.open("rb") as lines:
        found = str(_head(lines.readline(MAX_HEADER), path).get("treaty"))
    if found not in versions.known:
        raise _other_treaty(path, ", ".join(versions.known)[-400:], found)
    return versions.known[found]


def read(path: Path, document: TreatyDocument) -> Iterator[Carried]:
    """Yield the envelopes of a box with their disclosures, one at a time.

    Raises:
        CarryError: ``carry-format`` (not a box, or a line too long; with its number), ``carry-treaty``.
        EnvelopeError, JsonError: a line that is no envelope.
    """
    with path.open("rb") as lines:
        head = lines.readline(MAX_HEADER)
        value = _head(head, path)
        if value.get("treaty") != document.digest:
            raise _other_treaty(path, document.digest, str(value.get("treaty")))
        longest = max(MAX_ENVELOPE_JSON, _longest(document))
        digest, sealed = "", dict[str, bytes]()
        for number in range(2, 1 << 62):
            line = lines.readline(longest + 2)
            if not line:
                if digest:
                    raise _malformed(path, "disclosures of an envelope that does not follow")
                return
            if not line.endswith(b"\n"):
                raise _malformed(path, f"line {number} is cut off or too long")
            if line.startswith(_DISCLOSURES) and not digest:
                digest, sealed = _sealed(line[:-1], document, path, number)
                continue
            envelope = Envelope.from_dsse_json(line[:-1])
            if digest not in ("", envelope.digest):
                raise _malformed(path, f"line {number} is not the envelope whose disclosures stand before it")
            yield Carried(envelope, sealed)
            digest, sealed = "", {}


def _other_treaty(path: Path, expected: str, found: str) -> CarryError:
    return CarryError(
        code="carry-treaty",
        message=f"{path.name} was exported under another treaty, or a later version of it",
        expected=expected,
        found=found[:80],
        fix="give the pin that the site has, and a folder with the treaty and all its amendments",
    )


def _longest(document: TreatyDocument) -> int:
    """Return how long a line of disclosures may be: one for each verifier, in base64, with its name."""
    return 200 + sum(len(item.name) + 10 + (MAX_DISCLOSURE + _SEAL + 2) * 4 // 3 for item in document.verifiers)


def _sealed(line: bytes, document: TreatyDocument, path: Path, number: int) -> tuple[str, dict[str, bytes]]:
    """Return the statement's digest, and by verifier what opens it."""
    try:
        value = strictjson.parse_object(line, max_bytes=_longest(document))
        found, digest = value.get("disclosures"), value.get("statement")
        if value.keys() == {"disclosures", "statement"} and isinstance(found, dict) and isinstance(digest, str):
            return digest, {name: base64.b64decode(str(box), validate=True) for name, box in found.items()}
    except (BrakelineError, ValueError):
        pass
    raise _malformed(path, f"line {number} holds no disclosures")


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
        expected=f"a header of {FORMAT}, then one envelope a line, its disclosures before it",
        found=found,
        fix="brakeline node outbox export FILE --dir DIR, and carry it unchanged",
    )


def take_up(incoming: Path, receipts: Path, journal: Journal, versions: Succession) -> Taken:
    """Verify every receipt below *incoming*, keep it below *receipts*, note it in the journal.

    A file is removed from *incoming* once it is kept and noted. What is no receipt stays, and is told.

    Raises:
        JournalError: ``journal-io``: nothing is lost, do it again.
    """
    by_digest = {item.digest: item for item in journal.envelopes()}
    taken, strange = 0, list[tuple[str, str]]()
    for verifier in versions.verifiers():
        for path in sorted((incoming / verifier.name).glob(f"*{SUFFIX}")):
            try:
                item = by_digest[path.name.removesuffix(SUFFIX).rpartition("-")[2]]
                data = _bytes(path)
                kept = keep_receipt(receipts, verifier, item, data, _over(data, verifier.origin, versions))
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


def _over(receipt: bytes, origin: str, versions: Succession) -> TreatyDocument:
    """Return the version that governed when the log *origin* took the entry of *receipt*, as the entry says."""
    extra = Receipt.parse(receipt).extra
    return versions.over(origin, 0 if extra is None else Entry.decode(extra).received_at_ms)


def bring(source: Path, incoming: Path, versions: Succession) -> int:
    """Copy the receipts below *source* into *incoming*, each whole or not at all; return how many there were."""
    count = 0
    for verifier in versions.verifiers():
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
