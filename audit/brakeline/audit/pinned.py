"""Read a treaty and hold it against the pin: the one thing an auditor trusts.

Two forms, told apart by their first character: TOML, as negotiators edit it, and the signed envelope (DSSE JSON), whose
signatures are then verified too. Either way the digest of the canonical document must be the pin, which the auditor has
from elsewhere; with the pin right, nobody's signature is needed to believe the text.

A pin may be that of an amendment. Then *path* is a folder with a file for every version up to it: each names the digest
of the one before, so that the pin holds them all. Logs begin with version 1, and every replay does; later versions than
the pinned one are learnt from the logs, by the signatures that admission asks for.
"""

from __future__ import annotations

import re
from pathlib import Path

from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.admission import check_treaty_statement
from brakeline.treaty.document import TreatyDocument, load_toml
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import parse_statement
from brakeline.treaty.succession import Succession

MAX_FILE = 1024 * 1024
_PIN = re.compile(r"[0-9a-f]{64}", re.ASCII)


def load_pinned(path: Path, pin: str) -> Succession:
    """Return version 1 of the treaty in *path*, and those after it up to the one whose digest is *pin* (64 hex digits).

    Raises:
        BrakelineError: ``pin-malformed``, ``treaty-unreadable``, ``treaty-not-pinned``, and the codes of documents and
            admission.
    """
    if not _PIN.fullmatch(pin):
        raise BrakelineError(
            code="pin-malformed",
            message="this is not the digest of a treaty",
            expected="64 lowercase hex digits",
            found=pin[:80],
            fix="take the pin from a source you trust; `brakeline treaty show` prints it",
        )
    if path.is_dir():
        return _chain_in(path, pin)
    data = _read(path)
    if data.lstrip().startswith(b"{"):
        return _first(check_treaty_statement(Envelope.from_dsse_json(data), pin)[1])
    try:
        document = load_toml(data.decode("utf-8")).require()
    except UnicodeDecodeError:
        raise _unreadable(path, "UTF-8 text", "other bytes") from None
    if document.digest != pin:
        raise BrakelineError(
            code="treaty-not-pinned",
            message="this is not the treaty that was pinned",
            expected=pin,
            found=document.digest,
            fix="obtain the treaty whose digest your government published",
        )
    return _first(document)


def _first(document: TreatyDocument) -> Succession:
    """Return *document*, which must be version 1."""
    if document.version == 1:
        return Succession(document)
    raise BrakelineError(
        code="treaty-chain",
        message=f"the pin is that of version {document.version}: a log is replayed from version 1 on",
        expected="a folder with the files of versions 1 to the pinned one",
        found="one file",
        fix="put them into one folder and give that as the treaty",
    )


def _chain_in(folder: Path, pin: str) -> Succession:
    """Return the chain that ends in *pin*, of the versions in *folder*."""
    found: dict[str, TreatyDocument] = {}
    for path in sorted(item for item in folder.iterdir() if item.suffix in (".toml", ".json")):
        data = _read(path)
        if data.lstrip().startswith(b"{"):
            said = parse_statement(Envelope.from_dsse_json(data).payload).predicate
        else:
            said = load_toml(data.decode("utf-8", "replace")).require()
        if isinstance(said, TreatyDocument):
            found[said.digest] = said
    wanted, document = pin, found.get(pin)
    later: list[TreatyDocument] = []
    while document is not None and document.version > 1:
        later.append(document)
        wanted = document.previous
        document = found.get(wanted)
    if document is None:
        raise BrakelineError(
            code="treaty-chain",
            message="a version between the first and the pinned one is missing",
            expected=f"a file of the version {wanted}",
            found=", ".join(f"version {item.version}" for item in found.values()) or "no version",
            fix="obtain every version from version 1 to the one that you pin",
        )
    return Succession(document, later)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise _unreadable(path, "a readable file", error.strerror or "an error") from None
    if len(data) > MAX_FILE:
        raise _unreadable(path, f"at most {MAX_FILE} bytes", "more")
    return data


def _unreadable(path: Path, expected: str, found: str) -> BrakelineError:
    return BrakelineError(
        code="treaty-unreadable",
        message=f"the treaty {path} cannot be read",
        expected=expected,
        found=found,
        fix="give the treaty as TOML, or as its signed envelope (DSSE JSON)",
    )
