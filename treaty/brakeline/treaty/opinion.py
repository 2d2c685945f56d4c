"""Opinions: what a verifier says of sealed values in its own log, without telling them (entries of kind 5).

Three bodies, restricted canonical JSON:

* :class:`Held`: this verifier holds the disclosure of that statement;
* :class:`Opinion`: a rule of the treaty, run over opened values, finds this of that site;
* :class:`OpinionWithdrawn`: an opinion no longer stands (a correction came, or everybody can see it now).

An opinion names rule, site, period and statements, and the commitments that were opened. It does not show figures,
which would tell what is sealed. Instead it commits to them:

    figures = SHA-256("brakeline/opinion/v1" || 0x00 || secret[32] || canonical finding)

where *secret* is SHA-256 over the secrets of the disclosures of the cited statements, in order of their digests
(:attr:`~brakeline.treaty.disclosure.Disclosure.secret`). Whoever holds the disclosures computes the same digest, in any
log; nobody else can try figures.

What it is not: a finding. Findings in a log rest on public values alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, TypeAlias

from brakeline.treaty.errors import StatementError
from brakeline.treaty.findings import Finding, Severity
from brakeline.treaty.parts import Count, Digest, Model
from brakeline.treaty.statements import to_json
from brakeline.treaty.strictjson import canonical, parse_object
from pydantic import Field, StrictStr, ValidationError

MAX_OPINION = 60 * 1024
"""Bytes of an opinion's canonical JSON."""

_FIGURES = b"brakeline/opinion/v1\x00"


class _Body(Model):
    @cached_property
    def body(self) -> bytes:
        """The canonical JSON: the body of the entry."""
        return canonical(to_json(self))

    @cached_property
    def digest(self) -> str:
        """Lowercase hex SHA-256 of the body."""
        return hashlib.sha256(self.body).hexdigest()


class Held(_Body):
    """This verifier holds what opens the statement ``holds``.

    Attributes:
        holds: the statement, by digest.
        commitments: the digest that names its sealed leaves (:func:`~brakeline.treaty.disclosure.commitments_of`).
        leaves: how many there are.
    """

    holds: Digest
    commitments: Digest
    leaves: Count


class Opinion(_Body):
    """What a rule concludes from opened values.

    Attributes:
        rule, severity, article, about, period, statements: as of the finding.
        commitments: those of the cited statements that were opened, sorted.
        figures: the commitment to the finding itself.
    """

    rule: Annotated[StrictStr, Field(pattern=r"^[a-z][a-z-]{0,63}$")]
    severity: Severity
    article: Annotated[StrictStr, Field(max_length=200)]
    about: Annotated[StrictStr, Field(max_length=200)]
    period: Count | None = None
    statements: Annotated[tuple[Digest, ...], Field(max_length=64)]
    commitments: Annotated[tuple[Digest, ...], Field(max_length=64)]
    figures: Digest

    @classmethod
    def of(cls, finding: Finding, commitments: Iterable[str], secret: bytes) -> Opinion:
        """Return the opinion that says *finding*, whose cited statements have *commitments*, under *secret*."""
        return cls(
            rule=finding.rule,
            severity=finding.severity,
            article=finding.article,
            about=finding.about,
            period=finding.period,
            statements=finding.statements,
            commitments=tuple(sorted(set(commitments))),
            figures=hashlib.sha256(_FIGURES + secret + finding.body).hexdigest(),
        )


class OpinionWithdrawn(_Body):
    """A logged opinion no longer stands."""

    withdrawn_opinion: Digest


OpinionBody: TypeAlias = Held | Opinion | OpinionWithdrawn


def parse_opinion(body: bytes) -> OpinionBody:
    """Read the body of an opinion entry, strictly.

    Raises:
        StatementError: ``opinion-schema``; JsonError: ``json-*``.
    """
    value = parse_object(body, max_bytes=MAX_OPINION)
    model: type[OpinionBody] = Held if "holds" in value else Opinion
    if "withdrawn_opinion" in value:
        model = OpinionWithdrawn
    try:
        said = model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise StatementError(
            code="opinion-schema",
            message="an opinion entry does not have the form of an opinion",
            expected=first["msg"][:160],
            found="/".join(str(part) for part in first["loc"]),
        ) from None
    if isinstance(said, Opinion) and not all(
        list(digests) == sorted(set(digests)) for digests in (said.statements, said.commitments)
    ):
        raise StatementError(
            code="opinion-schema", message="statements or commitments are not sorted and unique", expected="sorted"
        )
    return said
