"""The treaty document: the terms as one value, its canonical bytes, and its digest, the *pin*.

Three forms of one thing, in this order of a document's life:

1. TOML text, which negotiators edit (:func:`load_toml` reads it and reports every mistake with its line);
2. :class:`TreatyDocument`, which the code reads; an instance is always sane: form *and* every condition between
   members (:mod:`brakeline.treaty.document_checks`) hold, or there is no instance;
3. restricted canonical JSON (:meth:`TreatyDocument.to_canonical`), the predicate of a treaty statement. The treaty
   digest = SHA-256 of these bytes, lowercase hex (docs/spec/statements.md, "The treaty document").

The wire form leaves nothing to defaults: an empty list is written as ``[]``, so that whoever hashes the predicate of a
statement gets the pin. Only ``disclosure_key`` and ``settles`` may be absent. TOML may leave empty lists out.

What it is not: a store, a signature check, or a judge. No I/O, no clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, NamedTuple, Self, cast

from brakeline.ledger.policy import Policy, quorum_policy
from brakeline.treaty.document_checks import find_mistakes
from brakeline.treaty.document_warnings import find_warnings
from brakeline.treaty.errors import DocumentError
from brakeline.treaty.mistakes import Mistake
from brakeline.treaty.strictjson import MAX_PAYLOAD, JsonObject, canonical, parse_object
from brakeline.treaty.terms import (
    LISTED,
    MAX_ITEMS,
    Annex,
    ChipClass,
    Counting,
    Deadlines,
    Digest,
    Goals,
    GridTerms,
    LabTerms,
    Limits,
    Natural,
    PartyTerms,
    Quorum,
    RuleTerms,
    Sealing,
    Silence,
    Terms,
    ThirdPartyTerms,
    Threshold,
    TreatyName,
    VerifierTerms,
)
from pydantic import Field, ValidationError, ValidationInfo, model_validator

if TYPE_CHECKING:
    from brakeline.ledger.vkey import VKey
    from brakeline.treaty.document_report import LoadedTreaty
    from brakeline.treaty.quantities import Grid

__all__ = [
    "FORM_ONLY",
    "ZERO_DIGEST",
    "Mistake",
    "NamedKey",
    "ReceiptPolicy",
    "TreatyDocument",
    "document_error",
    "load_toml",
]

ZERO_DIGEST = "0" * 64
"""``previous`` of version 1."""

FORM_ONLY: dict[str, bool] = {"form_only": True}
"""Validation context of the checker alone: read the form, leave the conditions between members to the caller."""

_List = Field(max_length=MAX_ITEMS)


class NamedKey(NamedTuple):
    """An Ed25519 key that a document names.

    Attributes:
        owner: the name in the document ("party-a.example").
        role: "party", "lab-root", "third-party", "log" or "witness".
        key: the verifier key.
    """

    owner: str
    role: str
    key: VKey


class ReceiptPolicy(NamedTuple):
    """From how many logs a site gathers a receipt (k1), how many an auditor reads (k2), and which logs there are."""

    gather: int
    audit: int
    origins: tuple[str, ...]


class TreatyDocument(Terms):
    """One version of a treaty. Build it with ``model_validate`` (wire names), :func:`load_toml` or
    :meth:`from_canonical`; the attributes of lists are plural, their wire names are singular.
    """

    name: TreatyName
    version: Natural
    previous: Digest
    effective_period: Natural
    silence: Silence
    grid_terms: Annotated[GridTerms, Field(alias="grid")]
    deadlines: Deadlines
    limits: Limits
    goals: Goals
    quorum: Quorum
    parties: Annotated[tuple[PartyTerms, ...], LISTED, Field(alias="party", max_length=MAX_ITEMS)]
    labs: Annotated[tuple[LabTerms, ...], LISTED, Field(alias="lab", max_length=MAX_ITEMS)]
    third_parties: Annotated[tuple[ThirdPartyTerms, ...], LISTED, Field(alias="third_party", max_length=MAX_ITEMS)]
    verifiers: Annotated[tuple[VerifierTerms, ...], LISTED, Field(alias="verifier", max_length=MAX_ITEMS)]
    chip_classes: Annotated[tuple[ChipClass, ...], LISTED, Field(alias="chip_class", max_length=MAX_ITEMS)]
    counting: Counting
    thresholds: Annotated[tuple[Threshold, ...], LISTED, Field(alias="threshold", max_length=MAX_ITEMS)]
    rules: Annotated[tuple[RuleTerms, ...], LISTED, Field(alias="rule", max_length=MAX_ITEMS)]
    sealing: Sealing
    annexes: Annotated[tuple[Annex, ...], LISTED, Field(alias="annex", max_length=MAX_ITEMS)]
    settles: Annotated[tuple[Digest, ...], LISTED, Field(min_length=1, max_length=64)] | None = None

    @model_validator(mode="after")
    def _sane(self, info: ValidationInfo) -> Self:
        context = cast("object", info.context)
        if isinstance(context, dict) and cast("dict[str, object]", context).get("form_only"):
            return self
        mistakes = find_mistakes(self)
        if mistakes:
            raise document_error(mistakes)
        return self

    # The wire form ------------------------------------------------------------------------------------------------

    def to_json(self) -> JsonObject:
        """Return the document as the JSON object of the wire (absent members left out)."""
        return cast("JsonObject", self.model_dump(mode="json", by_alias=True, exclude_none=True))

    def to_canonical(self) -> bytes:
        """Return the restricted canonical JSON (RFC 8785) of the document."""
        return canonical(self.to_json())

    @classmethod
    def from_canonical(cls, data: bytes) -> TreatyDocument:
        """Read what :meth:`to_canonical` wrote.

        Raises:
            JsonError: ``json-*``, when the bytes are not restricted canonical JSON.
            DocumentError: ``treaty-*``, when the value is not a sane treaty document.
        """
        return cls.from_json(parse_object(data, max_bytes=MAX_PAYLOAD))

    @classmethod
    def from_json(cls, value: JsonObject) -> TreatyDocument:
        """Read the JSON object of the wire (:class:`DocumentError` when it is not a sane treaty document)."""
        from brakeline.treaty.document_report import form_mistakes  # reports are needed only when something is wrong

        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise document_error(form_mistakes(error)) from None

    @cached_property
    def digest(self) -> str:
        """The treaty digest, the pin: lowercase hex SHA-256 of :meth:`to_canonical`."""
        return hashlib.sha256(self.to_canonical()).hexdigest()

    # What the code asks of a treaty ------------------------------------------------------------------------------

    @cached_property
    def grid(self) -> Grid:
        """The period grid."""
        return self.grid_terms.grid

    def party_keys(self) -> dict[str, VKey]:
        """Return party name -> statement key, in the document's order."""
        return {party.name: party.key for party in self.parties}

    def party(self, name: str) -> PartyTerms | None:
        """Return the party *name*, or None."""
        return self._index.parties.get(name)

    def lab(self, name: str) -> LabTerms | None:
        """Return the lab *name*, or None."""
        return self._index.labs.get(name)

    def third_party(self, name: str) -> ThirdPartyTerms | None:
        """Return the third party *name*, or None."""
        return self._index.third_parties.get(name)

    def verifier(self, name: str) -> VerifierTerms | None:
        """Return the verifier *name*, or None."""
        return self._index.verifiers.get(name)

    def verifier_by_origin(self, origin: str) -> VerifierTerms | None:
        """Return the verifier whose log has the origin line *origin*, or None (the origin is the verifier's name)."""
        return self.verifier(origin)

    def chip_class(self, name: str) -> ChipClass | None:
        """Return the chip class *name*, or None."""
        return self._index.chip_classes.get(name)

    def rule(self, rule: str) -> RuleTerms | None:
        """Return the terms of *rule* when it is in force, else None."""
        return self._index.rules.get(rule)

    def named_keys(self) -> Iterator[NamedKey]:
        """Yield every Ed25519 key the document names, with its owner and role; all of them sign a treaty statement."""
        for party in self.parties:
            yield NamedKey(party.name, "party", party.key)
        for lab in self.labs:
            yield NamedKey(lab.name, "lab-root", lab.root_key)
        for third in self.third_parties:
            yield NamedKey(third.name, "third-party", third.key)
        for verifier in self.verifiers:
            yield NamedKey(verifier.name, "log", verifier.log_key)
            yield NamedKey(verifier.name, "witness", verifier.witness_key)

    def all_statement_and_log_keys(self) -> dict[str, NamedKey]:
        """Return keyid (lowercase hex SHA-256 of the key bytes) -> every Ed25519 key the document names."""
        return {named.key.keyid: named for named in self.named_keys()}

    def witness_policy(self, origin: str) -> Policy:
        """Return the witness policy of the log *origin*: quorum.witnesses of all verifiers' witness keys.

        Raises:
            DocumentError: ``treaty-origin-unknown``.
        """
        verifier = self.verifier_by_origin(origin)
        if verifier is None:
            raise DocumentError(
                code="treaty-origin-unknown",
                message="the treaty names no log of this origin",
                expected=", ".join(item.origin for item in self.verifiers)[:200],
                found=origin[:80],
            )
        return quorum_policy([verifier.log_key], [v.witness_key for v in self.verifiers], self.quorum.witnesses)

    @property
    def receipt_policy(self) -> ReceiptPolicy:
        """The receipt quorums and the logs they are over."""
        return ReceiptPolicy(self.quorum.receipts, self.quorum.audit, tuple(v.origin for v in self.verifiers))

    def warnings(self) -> tuple[Mistake, ...]:
        """Return what is allowed and yet probably not meant."""
        return find_warnings(self)

    @cached_property
    def _index(self) -> _Index:
        return _Index(
            parties={item.name: item for item in self.parties},
            labs={item.name: item for item in self.labs},
            third_parties={item.name: item for item in self.third_parties},
            verifiers={item.name: item for item in self.verifiers},
            chip_classes={item.name: item for item in self.chip_classes},
            rules={item.rule: item for item in self.rules},
        )


@dataclass(frozen=True, slots=True)
class _Index:
    parties: dict[str, PartyTerms]
    labs: dict[str, LabTerms]
    third_parties: dict[str, ThirdPartyTerms]
    verifiers: dict[str, VerifierTerms]
    chip_classes: dict[str, ChipClass]
    rules: dict[str, RuleTerms]


def load_toml(text: str) -> LoadedTreaty:
    """Read the TOML text of a treaty: the document, or every mistake with its line. Never raises for what it says."""
    from brakeline.treaty.document_report import load  # the reader of reports imports this module

    return load(text)


def document_error(mistakes: tuple[Mistake, ...]) -> DocumentError:
    """Return the one error that stands for *mistakes* (at least one): the first, and how many more there are."""
    first = mistakes[0]
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return DocumentError(
        code=first.code,
        message=f"{first.where}: {first.message}{more}",
        expected=first.expected,
        found=first.found,
        fix=first.fix or "run `brakeline treaty check` on the TOML file: it lists every mistake with its line",
    )
