"""Read a treaty and hold it against the pin: the one thing an auditor trusts.

Two forms, told apart by their first character: TOML, as negotiators edit it, and the signed envelope (DSSE JSON), whose
signatures are then verified too. Either way the digest of the canonical document must be the pin, which the auditor has
from elsewhere; with the pin right, nobody's signature is needed to believe the text.
"""

from __future__ import annotations

import re
from pathlib import Path

from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.admission import check_treaty_statement
from brakeline.treaty.document import TreatyDocument, load_toml
from brakeline.treaty.envelope import Envelope

MAX_FILE = 1024 * 1024
_PIN = re.compile(r"[0-9a-f]{64}", re.ASCII)


def load_pinned(path: Path, pin: str) -> TreatyDocument:
    """Return the treaty in *path* whose digest is *pin* (64 lowercase hex digits).

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
    data = _read(path)
    if data.lstrip().startswith(b"{"):
        return check_treaty_statement(Envelope.from_dsse_json(data), pin)[1]
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
    return document


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
