"""The parts that statements are made of: names, digests, counts, and the models that several predicates share.

What it is: the closed vocabulary of docs/spec/statements.md below the level of a predicate. What it is not: predicates
(:mod:`brakeline.treaty.statements` and :mod:`brakeline.treaty.oversight`), nor reading and writing of payloads.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

from brakeline.treaty.names import NameKind, is_name
from brakeline.treaty.quantities import ChipMs
from brakeline.treaty.strictjson import MAX_SAFE_INTEGER
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, StrictStr


def _name(kind: NameKind) -> AfterValidator:
    def check(text: str) -> str:
        if not is_name(text, kind):
            raise ValueError(f"not the name of a {kind}")
        return text

    return AfterValidator(check)


Digest: TypeAlias = Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{64}$")]
SiteName: TypeAlias = Annotated[StrictStr, _name(NameKind.SITE)]
HostName: TypeAlias = Annotated[StrictStr, _name(NameKind.LAB)]
Identifier: TypeAlias = Annotated[StrictStr, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,127}$")]
"""An identifier an author chooses: a workload, a chip class, a meter. ASCII, at most 128."""
Count: TypeAlias = Annotated[StrictInt, Field(ge=0, le=MAX_SAFE_INTEGER)]
Text: TypeAlias = Annotated[StrictStr, Field(min_length=1, max_length=500)]
Nonce: TypeAlias = Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{32}$")]
"""16 random bytes, lowercase hex, so that no two unchained statements are equal by chance."""


class Model(BaseModel):
    """Base of every model on the wire: frozen, closed, nothing coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Activity(StrEnum):
    """What chips did: a closed list, so that nothing hides under a new word."""

    TRAINING = "training"
    INFERENCE = "inference"
    EVALUATION = "evaluation"
    OTHER = "other"
    MAINTENANCE = "maintenance"
    IDLE = "idle"
    UNATTRIBUTED = "unattributed"


class Subject(Model):
    """What a statement is about: a name and a SHA-256."""

    class DigestSet(Model):
        """An in-toto digest set with the one algorithm used here."""

        sha256: Digest

    name: Annotated[StrictStr, Field(min_length=1, max_length=200, pattern=r"^[ -~]+$")]
    digest: DigestSet

    @classmethod
    def of(cls, name: str, sha256: str) -> Subject:
        """Return the subject *name* with the lowercase hex digest *sha256*."""
        return cls(name=name, digest=cls.DigestSet(sha256=sha256))


class Authored(Model):
    """The members every statement with a chain carries."""

    author: StrictStr
    sequence: Count
    previous: Digest
    treaty: Digest


class ChipCount(Model):
    """Chips held of one class."""

    chip_class: Annotated[Identifier, Field(alias="class")]
    count: Count


class ChipTime(Model):
    """Chip-milliseconds of one class."""

    chip_class: Annotated[Identifier, Field(alias="class")]
    value: ChipMs


class Serials(Model):
    """RFC 6962 root over the serial strings (UTF-8), in byte order, and how many there are."""

    root: Digest
    count: Count
