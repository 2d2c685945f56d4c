"""A lab's figures of its own use of models, entered by hand and signed by its root key, offline. *Self-declared.*

    period = 412
    written_by_models = {numerator = 80, denominator = 100}
    reviewed_by_people = {numerator = 95, denominator = 100}
    longest_unattended_ms = 57600000
    speed_up = {numerator = 12, denominator = 10}

Nobody measured them: nothing here checks that they are true, and whoever shows them says that they are the lab's own.
Author, sequence, previous and treaty follow from who signs, and where the root's chain stands.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from brakeline.ledger.errors import BrakelineError
from brakeline.node.keys.enrolment import consent
from brakeline.treaty.document import ZERO_DIGEST
from brakeline.treaty.oversight import Autonomy
from brakeline.treaty.signing import add_signature
from brakeline.treaty.statements import encode_statement
from brakeline.treaty.toml_lines import locate
from pydantic import ValidationError

if TYPE_CHECKING:
    from brakeline.ledger.ed25519 import Signer
    from brakeline.node.keys.guard import Guard, LastSigned
    from brakeline.treaty.document import TreatyDocument
    from brakeline.treaty.envelope import Envelope

MAX_BYTES = 65_536
"""Of a file of figures."""

_POSITION = ("author", "sequence", "previous", "treaty")


class AutonomyError(BrakelineError):
    """A file of figures is not right (codes ``autonomy-*``)."""


def read(path: Path, lab: str) -> Autonomy:
    """Read the figures of *path*, as *lab* would declare them; its position is still empty.

    Raises:
        AutonomyError: ``autonomy-unreadable``, ``autonomy-toml``, ``autonomy-value`` (every mistake, with its line).
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode()
        if len(text) > MAX_BYTES:
            raise AutonomyError(
                code="autonomy-unreadable", message="too large", expected=f"{MAX_BYTES} bytes", found="more"
            )
        value = tomllib.loads(text)
    except OSError as error:
        raise AutonomyError(
            code="autonomy-unreadable", message="cannot be read", expected=str(path), found=str(error.strerror)
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AutonomyError(
            code="autonomy-toml", message=f"{path.name} is not TOML", expected="TOML 1.0 in UTF-8", found=str(error)
        ) from None
    lines = locate(text)
    told = [
        f"line {lines.of((name,))}: {name}: follows from who signs, leave it out" for name in _POSITION if name in value
    ]
    position = {"author": lab, "sequence": 0, "previous": ZERO_DIGEST, "treaty": ZERO_DIGEST}
    try:
        figures = Autonomy.model_validate({**value, **position}, by_alias=True)
    except ValidationError as error:
        told += [
            f"line {lines.of(tuple(item['loc']))}: {'.'.join(map(str, item['loc']))}: {item['msg']}"
            for item in error.errors(include_url=False)
        ]
    else:
        if not told:
            return figures
    raise AutonomyError(
        code="autonomy-value",
        message=f"{path.name}, " + "; ".join(told),
        expected="the figures of an autonomy statement",
        found=f"{len(told)} mistakes",
        fix="docs/spec/statements.md has the members; `brakeline node key autonomy --help`",
    )


def declare(
    document: TreatyDocument, figures: Autonomy, root: Signer, after: LastSigned, record: Guard | None = None
) -> Envelope:
    """Return *figures* as the statement of the lab's root that follows *after*.

    Raises:
        EnrolmentError: ``enrolment-root`` (not the root key that the treaty names), ``enrolment-position``.
        GuardError: the root has signed this position already.
    """
    placed = {"sequence": after.sequence + 1, "previous": after.digest, "treaty": document.digest}
    payload = encode_statement(figures.model_copy(update=placed))
    consent(document, payload, root, record)
    return add_signature(payload, None, root)
