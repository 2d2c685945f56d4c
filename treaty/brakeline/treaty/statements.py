"""Statements: what an author says, as in-toto Statements v1 whose predicates are the models below.

A payload is the restricted canonical JSON (:mod:`brakeline.treaty.strictjson`) of

    {"_type": "https://in-toto.io/Statement/v1", "predicate": {...}, "predicateType": "...", "subject": [...]}

Source: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md. The predicate type is
``https://brakeline.example/<predicate>/v1`` (``.example`` is reserved, so nobody can squat on it; see the decision
records). Every authored predicate carries ``author``, ``sequence`` (from 0), ``previous`` (the digest of its parent,
or 64 zeros) and ``treaty`` (the digest of the version it is made under). Statements by parties have no chain.

Optional members are *absent* when the author does not know them; null does not exist. Reading is strict: unknown
members, coercions and anything not canonical are refused (``statement-*``, ``json-*``).

Predicates of this version: treaty, enrolment, inventory, usage, evidence, order, acknowledgement. Further ones join
``PREDICATES`` with a model and, in :mod:`brakeline.treaty.admission`, a role.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias, cast

from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.errors import DocumentError, StatementError
from brakeline.treaty.names import NameKind, is_name
from brakeline.treaty.quantities import ChipMs, Flop, InstantMs, Joules, Tokens
from brakeline.treaty.strictjson import MAX_SAFE_INTEGER, JsonObject, JsonValue, canonical, parse_object
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_PREFIX = "https://brakeline.example/"
MAX_LINES = 256
"""Lines of one usage statement, whatever a treaty says; a treaty's own ``line_count`` is lower."""


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


class Enrolment(Authored):
    """A lab's root key begins a site key. Signed by the root key *and* the key (which so proves possession)."""

    author: HostName
    site: SiteName
    action: Literal["begin"]
    key: Annotated[StrictStr, Field(max_length=400)]
    effective_period: Count


class Serials(Model):
    """RFC 6962 root over the serial strings (UTF-8), in byte order, and how many there are."""

    root: Digest
    count: Count


class Inventory(Authored):
    """Chips a site holds, by class, from a period on."""

    author: SiteName
    effective_period: Count
    chips: Annotated[tuple[ChipCount, ...], Field(min_length=1, max_length=64)]
    serials: Serials


class MeterRef(Model):
    """Which meter a line's figures come from, and the SHA-256 of its raw counters."""

    name: Identifier
    digest: Digest


class UsageLine(Model):
    """Chip time of one workload and activity in a period, and what is known of it."""

    workload: Identifier
    activity: Activity
    chip_ms: Annotated[tuple[ChipTime, ...], Field(min_length=1, max_length=64)]
    flop_hardware: Flop | None = None
    flop_model: Flop | None = None
    tokens: Tokens | None = None
    joules: Joules | None = None
    parents: Annotated[tuple[Digest, ...], Field(max_length=16)] | None = None
    model_out: Digest | None = None
    code: Digest | None = None
    data: Digest | None = None
    meter: MeterRef | None = None


class Table(Model):
    """Commitment to the chip x slot rows of a period: RFC 6962 root over canonical rows, and their number."""

    root: Digest
    rows: Count


class Usage(Authored):
    """The books of one period of one site: lines that sum to inventory x period, by class."""

    author: SiteName
    start: InstantMs
    end: InstantMs
    inventory: Digest
    table: Table
    lines: Annotated[tuple[UsageLine, ...], Field(min_length=1, max_length=MAX_LINES)]


class Evidence(Authored):
    """Energy that a metering third party read at a site in a period; ``readings`` commits to the raw readings."""

    author: HostName
    kind: Literal["energy"]
    site: SiteName
    start: InstantMs
    end: InstantMs
    joules: Joules
    readings: Digest


class Scope(Model):
    """Whom an order binds, and which activities: "everyone", or names of parties, labs or sites."""

    who: Annotated[
        tuple[Annotated[StrictStr, Field(min_length=1, max_length=200)], ...], Field(min_length=1, max_length=256)
    ]
    activities: Annotated[tuple[Activity, ...], Field(min_length=1, max_length=7)]


class Order(Model):
    """Parties press (pause, slow) or release (resume) the brake. In force in p when effective <= p < expiry and
    no admitted order effective by p lifts its digest.
    """

    treaty: Digest
    kind: Literal["pause", "slow", "resume"]
    scope: Scope
    effective_period: Count
    expiry_period: Count
    reason: Text
    exercise: StrictBool
    lifts: Annotated[tuple[Digest, ...], Field(max_length=64)]
    nonce: Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{32}$")]


class StoppedWorkload(Model):
    """Where one workload stopped on an order, and what it went on from after a resume.

    Attributes:
        step: the last optimiser step it started, by its own count.
        freeze: SHA-256 of weights and optimiser state as they were saved (docs/spec/freeze.md).
        agreed_at: when all its ranks had agreed to stop after that step.
        ceased_at: when that step had ended everywhere.
        durable_at: when the checkpoint was durable, and ``freeze`` known.
        resumed: digest, in the same form, of what it goes on from; honest when equal to ``freeze``.
        resumed_at: when that digest was computed, before the first step after the pause.

    Members that a site does not know are absent: a program without a hook commits to no weights.
    """

    workload: Identifier
    step: Count
    freeze: Digest | None = None
    agreed_at: InstantMs | None = None
    ceased_at: InstantMs | None = None
    durable_at: InstantMs | None = None
    resumed: Digest | None = None
    resumed_at: InstantMs | None = None


class Acknowledgement(Authored):
    """A site has seen an order, and when and where its workloads stopped.

    A site may acknowledge an order again, to say what it learnt later (a checkpoint became durable, a workload went
    on): the first one is what deadlines ask for, each later one repeats or adds workloads.
    """

    author: SiteName
    order: Digest
    seen_at: InstantMs
    stopped_at: InstantMs
    workloads: Annotated[tuple[StoppedWorkload, ...], Field(max_length=256)]


AuthoredPredicate: TypeAlias = Enrolment | Inventory | Usage | Evidence | Acknowledgement
Predicate: TypeAlias = AuthoredPredicate | Order | TreatyDocument

PREDICATES: dict[str, type[Predicate]] = {
    "treaty": TreatyDocument,
    "enrolment": Enrolment,
    "inventory": Inventory,
    "usage": Usage,
    "evidence": Evidence,
    "order": Order,
    "acknowledgement": Acknowledgement,
}
"""Predicate name -> model. The wire's predicate type is ``https://brakeline.example/<name>/v1``."""

_BY_URI: dict[str, tuple[str, type[Predicate]]] = {
    f"{PREDICATE_PREFIX}{name}/v1": (name, model) for name, model in PREDICATES.items()
}
_NAME_OF: dict[type[object], str] = {model: name for name, model in PREDICATES.items()}


@dataclass(frozen=True, slots=True)
class Statement:
    """A payload that was read strictly.

    Attributes:
        digest: lowercase hex SHA-256 of the payload.
        name: the predicate's name ("usage").
        predicate: the model.
        subject: at least one.
    """

    digest: str
    name: str
    predicate: Predicate
    subject: tuple[Subject, ...]

    @property
    def authored(self) -> AuthoredPredicate | None:
        """The predicate when it has an author and a chain position, else None."""
        return self.predicate if isinstance(self.predicate, Authored) else None


def parse_statement(payload: bytes) -> Statement:
    """Read a payload: canonical JSON, in-toto frame, known predicate, closed schema, expected first subject.

    Raises:
        StatementError: ``statement-malformed``, ``statement-type``, ``statement-predicate-unknown``,
            ``statement-schema``, ``statement-subject``.
        JsonError: ``json-*``.
    """
    value = parse_object(payload)
    if value.keys() != {"_type", "predicate", "predicateType", "subject"}:
        raise StatementError(
            code="statement-malformed",
            message="not an in-toto statement",
            expected="exactly _type, predicate, predicateType, subject",
            found=", ".join(sorted(value))[:100],
        )
    if value["_type"] != STATEMENT_TYPE:
        raise StatementError(
            code="statement-type", message="wrong _type", expected=STATEMENT_TYPE, found=repr(value["_type"])[:80]
        )
    uri = value["predicateType"]
    known = _BY_URI.get(uri) if isinstance(uri, str) else None
    if known is None:
        raise StatementError(
            code="statement-predicate-unknown",
            message="this predicate type is not known to this version",
            expected=f"{PREDICATE_PREFIX}<{'|'.join(PREDICATES)}>/v1",
            found=repr(uri)[:100],
        )
    name, model = known
    try:
        predicate = model.model_validate(value["predicate"], by_alias=True, by_name=False)
        subject = _subjects(value["subject"])
    except ValidationError as error:
        raise _schema_error(name, error) from None
    except DocumentError as error:
        raise StatementError(
            code="statement-schema", message=f"bad {name}: {error.message}", expected=error.expected, found=error.found
        ) from None
    first = expected_subject(predicate)
    if subject[0] != first:
        raise StatementError(
            code="statement-subject",
            message=f"the first subject of a {name} statement must be what it is about",
            expected=f"{first.name} {first.digest.sha256}",
            found=f"{subject[0].name} {subject[0].digest.sha256}",
        )
    return Statement(hashlib.sha256(payload).hexdigest(), name, predicate, subject)


def encode_statement(predicate: Predicate, more_subjects: tuple[Subject, ...] = ()) -> bytes:
    """Return the payload that says *predicate*: canonical, its first subject filled in.

    Raises:
        StatementError: as :func:`parse_statement`; what cannot be read back is never signed.
    """
    name = _NAME_OF[type(predicate)]
    subjects = [s.model_dump(mode="json") for s in (expected_subject(predicate), *more_subjects)]
    payload = canonical(
        {
            "_type": STATEMENT_TYPE,
            "predicate": to_json(predicate),
            "predicateType": f"{PREDICATE_PREFIX}{name}/v1",
            "subject": cast("list[JsonValue]", subjects),
        }
    )
    parse_statement(payload)
    return payload


def to_json(model: BaseModel) -> JsonObject:
    """Return a model as the JSON object of the wire: absent members left out, aliases applied."""
    return cast("JsonObject", model.model_dump(mode="json", by_alias=True, exclude_none=True))


def expected_subject(predicate: Predicate) -> Subject:
    """Return the first subject a statement of *predicate* must name (table in docs/spec/statements.md)."""
    match predicate:
        case TreatyDocument():
            return Subject.of(predicate.name, predicate.digest)
        case Enrolment():
            return Subject.of(predicate.site, key_digest(predicate.key))
        case Inventory():
            return Subject.of("serials", predicate.serials.root)
        case Usage():
            return Subject.of("inventory", predicate.inventory)
        case Evidence():
            return Subject.of(predicate.site, predicate.readings)
        case Order():
            return Subject.of("treaty", predicate.treaty)
        case Acknowledgement():
            return Subject.of("order", predicate.order)


def key_digest(vkey: str) -> str:
    """Return the keyid (lowercase hex SHA-256 of the key bytes) of a statement vkey text.

    Raises:
        StatementError: ``statement-key`` when it is not a statement vkey.
    """
    try:
        key = VKey.parse(vkey)
    except BrakelineError as error:
        raise StatementError(
            code="statement-key", message="not a verifier key", expected=error.expected, found=error.found
        ) from None
    if key.type != TYPE_STATEMENT:
        raise StatementError(
            code="statement-key", message="a key of another purpose", expected="type 0xff", found=f"{key.type:#x}"
        )
    return key.keyid


def _subjects(value: JsonValue) -> tuple[Subject, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= 64:
        raise StatementError(
            code="statement-subject",
            message="the subject is malformed",
            expected="a list of 1 to 64",
            found=repr(value)[:60],
        )
    return tuple(Subject.model_validate(item) for item in value)


def _schema_error(name: str, error: ValidationError) -> StatementError:
    first = error.errors(include_url=False)[0]
    where = "/".join(str(part) for part in first["loc"])
    return StatementError(
        code="statement-schema",
        message=f"a {name} statement does not have the form its predicate demands, at {where or 'its root'}",
        expected=first["msg"][:160],
        found=repr(first.get("input"))[:80],
    )
