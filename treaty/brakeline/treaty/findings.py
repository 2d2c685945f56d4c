"""Findings: what a rule concludes, in a machine form that is logged and compared between logs.

A finding names statements by digest (never by index in a log, which differs between logs), the article of the treaty
it rests on, and its exact figures as strings. Its digest is SHA-256 of its canonical JSON, so equal findings of two
logs are equal digests. Prose is not part of it: sentences are rendered from it (:mod:`brakeline.treaty.rules`), so
that better wording never changes a digest.

Severities, in the language of safeguards: ``note`` < ``discrepancy`` (opens a query, right of reply) < ``referral``.
Software never pronounces non-compliance.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from functools import cached_property
from typing import Annotated, TypeAlias

from brakeline.treaty.errors import StatementError
from brakeline.treaty.statements import Count, Digest, Model, to_json
from brakeline.treaty.strictjson import canonical, parse_object
from pydantic import Field, StrictStr, ValidationError

MAX_FINDING = 60 * 1024
"""Bytes of a finding's canonical JSON."""

FigureName: TypeAlias = Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
FigureText: TypeAlias = Annotated[StrictStr, Field(max_length=400)]


class Severity(StrEnum):
    """How grave a finding is; the treaty assigns it to a rule."""

    NOTE = "note"
    DISCREPANCY = "discrepancy"
    REFERRAL = "referral"


class Finding(Model):
    """One conclusion of one rule.

    Attributes:
        rule: the rule's identifier ("energy-gap").
        severity, article: from the treaty.
        about: the site, lab or verifier concerned.
        period: index on the treaty's grid, absent where a finding is not about one.
        statements: digests it rests on, sorted, without repeats, at most 64.
        figures: name -> exact figure (decimal strings, digests, identifiers).
    """

    rule: Annotated[StrictStr, Field(pattern=r"^[a-z][a-z-]{0,63}$")]
    severity: Severity
    article: Annotated[StrictStr, Field(max_length=200)]
    about: Annotated[StrictStr, Field(max_length=200)]
    period: Count | None = None
    statements: Annotated[tuple[Digest, ...], Field(max_length=64)]
    figures: dict[FigureName, FigureText]

    @cached_property
    def body(self) -> bytes:
        """The canonical JSON: the body of a finding entry."""
        return canonical(to_json(self))

    @cached_property
    def digest(self) -> str:
        """Lowercase hex SHA-256 of the body."""
        return hashlib.sha256(self.body).hexdigest()


class Withdrawn(Model):
    """A logged finding no longer stands (a correction or a further statement came)."""

    withdrawn: Digest

    @cached_property
    def body(self) -> bytes:
        """The canonical JSON: the body of a finding entry."""
        return canonical(to_json(self))


def parse_finding(body: bytes) -> Finding | Withdrawn:
    """Read the body of a finding entry, strictly.

    Raises:
        StatementError: ``finding-schema``; JsonError: ``json-*``.
    """
    value = parse_object(body, max_bytes=MAX_FINDING)
    model: type[Finding | Withdrawn] = Withdrawn if "withdrawn" in value else Finding
    try:
        finding = model.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise StatementError(
            code="finding-schema",
            message="a finding entry does not have the form of a finding",
            expected=first["msg"][:160],
            found="/".join(str(part) for part in first["loc"]),
        ) from None
    if isinstance(finding, Finding) and list(finding.statements) != sorted(set(finding.statements)):
        raise StatementError(
            code="finding-schema", message="a finding's statements are not sorted and unique", expected="sorted digests"
        )
    return finding
