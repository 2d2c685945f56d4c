"""The form of an evidence bundle: restricted canonical JSON, one object, one misdeed.

Every bundle says its ``format``, the pin of the ``treaty`` whose keys judge it, the ``act``, and whom it is ``about``.
The rest is what the act needs: checkpoint notes, receipts (C2SP tlog-proof), envelopes (DSSE JSON), each as the text it
is elsewhere, and hashes in hex. Nothing here is verified; :mod:`brakeline.audit.evidence.check` does that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.export import write_file
from brakeline.treaty.statements import Digest, HostName, Model, to_json
from brakeline.treaty.strictjson import canonical, parse_object
from pydantic import Field, StrictStr, TypeAdapter, ValidationError

FORMAT = "brakeline-evidence/v1"
MAX_BUNDLE = 1024 * 1024
"""Bytes of a bundle file: two of the largest receipts fit several times."""
SUFFIX = ".evidence.json"
_MAX_PROOF = 130
"""Hashes of a consistency proof in a tree of 2^63 leaves (RFC 9162, 2.1.4), with room."""


class EvidenceError(BrakelineError):
    """A bundle that is malformed, judged by another treaty, or proves nothing against whom it names."""


NoteText: TypeAlias = Annotated[StrictStr, Field(min_length=1, max_length=32 * 1024)]
ReceiptText: TypeAlias = Annotated[StrictStr, Field(min_length=1, max_length=192 * 1024)]
EnvelopeText: TypeAlias = Annotated[StrictStr, Field(min_length=1, max_length=128 * 1024)]
Hashes: TypeAlias = Annotated[tuple[Digest, ...], Field(max_length=_MAX_PROOF)]


class _Bundle(Model):
    """What every bundle says of itself."""

    format: Literal["brakeline-evidence/v1"]
    treaty: Digest
    about: Annotated[StrictStr, Field(min_length=1, max_length=200)]


class Fork(_Bundle):
    """Two checkpoints signed by one log that cannot both be true.

    Attributes:
        about: the log's origin.
        checkpoints: the notes, the smaller size first.
        root: the root that the larger one's tree has at the smaller one's size; absent when the sizes are equal.
        proof: RFC 9162 consistency proof from ``root`` to the larger checkpoint.
    """

    act: Literal["fork"] = "fork"
    about: HostName
    checkpoints: tuple[NoteText, NoteText]
    root: Digest | None = None
    proof: Hashes = ()


class DishonouredReceipt(_Bundle):
    """A receipt, and a checkpoint of the same log whose history does not contain what it promises.

    Attributes:
        receipt: tlog-proof of the entry, under a checkpoint signed by the log.
        checkpoint: the other checkpoint note of the log; of at least the receipt's size.
        root, proof: as in :class:`Fork`.
    """

    act: Literal["dishonoured-receipt"] = "dishonoured-receipt"
    about: HostName
    receipt: ReceiptText
    checkpoint: NoteText
    root: Digest | None = None
    proof: Hashes = ()


class Omission(_Bundle):
    """A verifier says that it mirrored a peer's log, and its own log lacks a statement that stands there.

    Attributes:
        heartbeat: receipt of the heartbeat in the verifier's own log.
        statement: receipt of the statement in the peer's log, under the very checkpoint that the heartbeat embeds.
    """

    act: Literal["omission"] = "omission"
    about: HostName
    heartbeat: ReceiptText
    statement: ReceiptText


class Backdating(_Bundle):
    """An entry whose time the cosignatures contradict.

    Attributes:
        receipt: of the entry. Either it is the newest below the checkpoint, dated later than f + 1 witnesses had seen
            that; or it is a heartbeat that embeds cosignatures, on its own log's checkpoint or a peer's, dated earlier
            than all but f of them.
    """

    act: Literal["backdating"] = "backdating"
    about: HostName
    receipt: ReceiptText


class Misjudging(_Bundle):
    """An entry under a log's own checkpoint that its replay refuses; the copy of the log shows why.

    Attributes:
        receipt: of the first entry that is not what it must be.
        code: what the replay says of it ("replay-judgement").
    """

    act: Literal["misjudging"] = "misjudging"
    about: HostName
    receipt: ReceiptText
    code: Annotated[StrictStr, Field(pattern=r"^[a-z][a-z-]{0,63}$")]


class Equivocation(_Bundle):
    """Two statements of one author for one place in its chain.

    Attributes:
        about: the author.
        enrolments: what the author's keys rest on besides the treaty; none for a lab's root or a third party.
        statements: the two envelopes (DSSE JSON).
    """

    act: Literal["equivocation"] = "equivocation"
    enrolments: Annotated[tuple[EnvelopeText, ...], Field(max_length=2)] = ()
    statements: tuple[EnvelopeText, EnvelopeText]


Bundle: TypeAlias = Fork | DishonouredReceipt | Omission | Backdating | Misjudging | Equivocation
_ADAPTER: TypeAdapter[Bundle] = TypeAdapter(Annotated[Bundle, Field(discriminator="act")])


def render(bundle: Bundle) -> bytes:
    """Return the file's bytes: canonical JSON and a newline."""
    return canonical(to_json(bundle)) + b"\n"


def write_bundles(bundles: Iterable[Bundle], directory: Path) -> list[Path]:
    """Write *bundles* below *directory* (made when there are any), named by content: equal ones are one file."""
    paths: set[Path] = set()
    for bundle in bundles:
        data = render(bundle)
        name = f"{bundle.act}-{bundle.about.replace('/', '_')}-{hashlib.sha256(data).hexdigest()[:8]}{SUFFIX}"
        write_file(directory / name, data, durable=True)
        paths.add(directory / name)
    return sorted(paths)


def parse(data: bytes) -> Bundle:
    """Read a bundle, strictly: bounded, canonical, closed.

    Raises:
        EvidenceError: ``evidence-malformed``. JsonError: ``json-*``.
    """
    value = parse_object(data.removesuffix(b"\n"), max_bytes=MAX_BUNDLE)
    try:
        return _ADAPTER.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise EvidenceError(
            code="evidence-malformed",
            message="this is not an evidence bundle",
            expected=first["msg"][:160],
            found="/".join(str(part) for part in first["loc"])[:160] or "another object",
            fix="docs/spec/evidence.md has the form",
        ) from None
