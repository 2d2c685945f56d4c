"""Statements: what an author says, as in-toto Statements v1 whose predicates are the models below.

A payload is the restricted canonical JSON (:mod:`brakeline.treaty.strictjson`) of

    {"_type": "https://in-toto.io/Statement/v1", "predicate": {...}, "predicateType": "...", "subject": [...]}

Source: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md. The predicate type is
``https://brakeline.example/<predicate>/v1`` (``.example`` is reserved, so nobody can squat on it; see the decision
records). Every authored predicate carries ``author``, ``sequence`` (from 0), ``previous`` (the digest of its parent,
or 64 zeros) and ``treaty`` (the digest of the version it is made under). Statements by parties have no chain.

Optional members are *absent* when the author does not know them; null does not exist. Reading is strict: unknown
members, coercions and anything not canonical are refused (``statement-*``, ``json-*``).

Predicates of this version are the keys of ``PREDICATES``; the models that are not here are in
:mod:`brakeline.treaty.oversight`. Each has a role in :mod:`brakeline.treaty.admission`. Evidence has a model a kind.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Protocol, Self, TypeAlias, cast

from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.treaty.counting import Precision, Purpose
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.errors import DocumentError, StatementError
from brakeline.treaty.oversight import (
    Authorisation,
    Autonomy,
    Capacity,
    Correction,
    Declaration,
    Determination,
    Evaluation,
    Inspection,
    Opening,
    Reply,
    Shipment,
    Withdrawal,
)
from brakeline.treaty.parts import Activity as Activity
from brakeline.treaty.parts import Authored as Authored
from brakeline.treaty.parts import ChipCount as ChipCount
from brakeline.treaty.parts import ChipTime as ChipTime
from brakeline.treaty.parts import Count as Count
from brakeline.treaty.parts import Digest as Digest
from brakeline.treaty.parts import HostName as HostName
from brakeline.treaty.parts import Identifier as Identifier
from brakeline.treaty.parts import Model as Model
from brakeline.treaty.parts import Nonce as Nonce
from brakeline.treaty.parts import Serials as Serials
from brakeline.treaty.parts import SiteName as SiteName
from brakeline.treaty.parts import Subject as Subject
from brakeline.treaty.parts import Text as Text
from brakeline.treaty.quantities import Flop, InstantMs, Joules, Tokens
from brakeline.treaty.sealing import MARK, NOTHING, Sealed, unseal_form
from brakeline.treaty.strictjson import JsonObject, JsonValue, canonical, parse_object
from brakeline.treaty.terms import ChipClassName, Ratio
from brakeline.treaty.usage import MAX_LINES as MAX_LINES
from brakeline.treaty.usage import STATEMENT_TYPE as STATEMENT_TYPE
from brakeline.treaty.usage import ReadUsage, read_usage
from pydantic import BaseModel, Field, StrictBool, StrictStr, ValidationError, model_validator

PREDICATE_PREFIX = "https://brakeline.example/"

VKeyText: TypeAlias = Annotated[StrictStr, Field(max_length=400)]
"""A statement vkey as text; what it must be is checked where it is used."""


class Honoured(Model):
    """The last statement of a site that its lab stands by when a key ends: position and digest."""

    sequence: Count
    digest: Digest


class Enrolment(Authored):
    """A lab's root key begins, replaces or ends a site key.

    Signed by the root key and, where a key begins, by that key (which so proves possession). A key that ends is still
    admitted: what it signs off the branch that ``honours`` names is judged, not refused.

    Attributes:
        action: ``begin`` (a first or further key), ``replace`` (one ends as another begins), ``end``.
        key: the key that begins; of an ``end``, the key that ends.
        replaced: of a ``replace``, the key that ends.
        honours: of ``replace`` and ``end``, the last statement of the site that stands.
    """

    author: HostName
    site: SiteName
    action: Literal["begin", "replace", "end"]
    key: VKeyText
    replaced: VKeyText | None = None
    honours: Honoured | None = None
    effective_period: Count

    @model_validator(mode="after")
    def _whole(self) -> Self:
        ends = self.action != "begin"
        if (self.honours is not None) is not ends or (self.replaced is not None) is not (self.action == "replace"):
            raise ValueError("`honours` where a key ends, `replaced` where it is replaced, and nowhere else")
        return self


class Movement(Model):
    """Chips that came or went since the inventory before: how many of which class, to or from whom.

    Attributes:
        kind: ``acquired`` (new), ``received`` and ``sent`` (from and to another site), ``retired``.
        counterparty: who sold, sent or received them; absent for ``retired``.
        serials: commitment to their serials.
    """

    kind: Literal["acquired", "received", "sent", "retired"]
    chip_class: Annotated[Identifier, Field(alias="class")]
    count: Count
    counterparty: Annotated[StrictStr, Field(min_length=1, max_length=200)] | None = None
    serials: Serials


class Inventory(Authored):
    """Chips a site holds, by class, from a period on.

    Attributes:
        follows: digest of the site's inventory before this one; absent in its first.
        movements: what came and went since then; absent where nothing is said.
    """

    author: SiteName
    effective_period: Count
    chips: Annotated[tuple[ChipCount, ...], Field(min_length=1, max_length=64)]
    serials: Serials
    follows: Digest | None = None
    movements: Annotated[tuple[Movement, ...], Field(max_length=64)] | None = None


class MeterRef(Model):
    """Which meter a line's figures come from, and the SHA-256 of its raw counters."""

    name: Identifier
    digest: Digest


class UsageLine(Model):
    """Chip time of one workload and activity in a period, and what is known of it.

    ``purpose`` is what the compute was spent on, in the words of counting profiles, where the activity does not say
    enough (inference that makes training data); ``precision`` is the format that most of its operations were done in.
    """

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
    purpose: Purpose | None = None
    precision: Precision | None = None


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
    """Whom an order binds, and which activities: "everyone", or names of parties, labs or sites.

    ``above`` narrows it to runs whose compute, accumulated over their lineage, has passed that threshold of the treaty.
    """

    who: Annotated[
        tuple[Annotated[StrictStr, Field(min_length=1, max_length=200)], ...], Field(min_length=1, max_length=256)
    ]
    activities: Annotated[tuple[Activity, ...], Field(min_length=1, max_length=7)]
    above: ChipClassName | None = None


class Order(Model):
    """Parties press (pause, slow) or release (resume) the brake. In force in p when effective <= p < expiry and
    no admitted order effective by p lifts its digest (:mod:`brakeline.treaty.orders`).

    ``ceiling``, of slow orders and of no others: the share of chip time, of each class, that may be used in a period.
    """

    treaty: Digest
    kind: Literal["pause", "slow", "resume"]
    scope: Scope
    ceiling: Ratio | None = None
    effective_period: Count
    expiry_period: Count
    reason: Text
    exercise: StrictBool
    lifts: Annotated[tuple[Digest, ...], Field(max_length=64)]
    nonce: Nonce


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


AuthoredPredicate: TypeAlias = (
    Enrolment
    | Inventory
    | Usage
    | Evidence
    | Capacity
    | Shipment
    | Inspection
    | Acknowledgement
    | Declaration
    | Evaluation
    | Autonomy
    | Opening
    | Reply
    | Correction
)
PartyPredicate: TypeAlias = Order | Authorisation | Determination | Withdrawal
Predicate: TypeAlias = AuthoredPredicate | PartyPredicate | TreatyDocument

EVIDENCE_KINDS: dict[str, type[Evidence | Capacity | Shipment | Inspection]] = {
    "energy": Evidence,
    "capacity": Capacity,
    "shipment": Shipment,
    "inspection": Inspection,
}
"""Kind of evidence -> its model; all of them are statements of the predicate ``evidence``."""

PREDICATES: dict[str, type[Predicate]] = {
    "treaty": TreatyDocument,
    "amendment": TreatyDocument,
    "enrolment": Enrolment,
    "inventory": Inventory,
    "declaration": Declaration,
    "usage": Usage,
    "evidence": Evidence,
    "order": Order,
    "acknowledgement": Acknowledgement,
    "authorisation": Authorisation,
    "evaluation": Evaluation,
    "autonomy": Autonomy,
    "opening": Opening,
    "reply": Reply,
    "correction": Correction,
    "determination": Determination,
    "withdrawal": Withdrawal,
}
"""Predicate name -> model (of evidence: that of energy). The wire's predicate type is
``https://brakeline.example/<name>/v1``. Version 1 of a treaty is a ``treaty``, every later one an ``amendment``."""

_BY_URI: dict[str, tuple[str, type[Predicate]]] = {
    f"{PREDICATE_PREFIX}{name}/v1": (name, model) for name, model in PREDICATES.items()
}
_NAME_OF: dict[type[object], str] = {
    **{model: name for name, model in PREDICATES.items()},
    TreatyDocument: "treaty",
    **dict.fromkeys(EVIDENCE_KINDS.values(), "evidence"),
}


class Placed(Protocol):
    """Whose statement, where in its author's chain, and under which version of the treaty."""

    @property
    def author(self) -> str:
        """The author's name."""
        ...

    @property
    def sequence(self) -> int:
        """Its place in the chain, from 0."""
        ...

    @property
    def previous(self) -> str:
        """Digest of its parent, or 64 zeros."""
        ...

    @property
    def treaty(self) -> str:
        """Digest of the version it is made under."""
        ...


class Statement:
    """A payload that was read strictly; never changed once it was made.

    Two statements that say the same are equal, whoever signed them. Books that the fast reader took are rows
    (:attr:`usage`); their models are made when somebody asks for :attr:`predicate` or :attr:`subject`.

    Attributes:
        digest: lowercase hex SHA-256 of the payload.
        name: the predicate's name ("usage").
        signed_by: ids of the keys that signed it, as far as admission knew them; empty where nobody looked. Not part
            of what it says.
        sealed: what of it is a commitment. A sealed figure is absent from the predicate, an opaque line is left out of
            its lines: whoever reads the predicate alone sees what everybody can.
    """

    __slots__ = ("_payload", "_predicate", "_subject", "_usage", "digest", "name", "sealed", "signed_by")

    def __init__(
        self,
        digest: str,
        name: str,
        predicate: Predicate,
        subject: tuple[Subject, ...],
        signed_by: tuple[str, ...] = (),
        sealed: Sealed = NOTHING,
    ) -> None:
        """Take what the models read."""
        self.digest, self.name, self.signed_by, self.sealed = digest, name, signed_by, sealed
        self._predicate: Predicate | None = predicate
        self._subject = subject
        self._usage: ReadUsage | None = None
        self._payload = b""

    @classmethod
    def of_books(cls, payload: bytes, usage: ReadUsage) -> Statement:
        """Return the statement of a *payload* that the fast reader took."""
        made = cls.__new__(cls)
        made.digest, made.name, made.signed_by = hashlib.sha256(payload).hexdigest(), "usage", ()
        made._predicate, made._subject, made._usage, made._payload = None, (), usage, payload
        made.sealed = NOTHING
        return made

    def signed(self, keyids: tuple[str, ...]) -> Statement:
        """Return the same statement, signed by *keyids*."""
        if self._predicate is not None:
            return Statement(self.digest, self.name, self._predicate, self._subject, keyids, self.sealed)
        made = Statement.__new__(Statement)
        made.digest, made.name, made.signed_by = self.digest, self.name, keyids
        made._predicate, made._subject, made._usage, made._payload = None, (), self._usage, self._payload
        made.sealed = NOTHING
        return made

    @property
    def predicate(self) -> Predicate:
        """The model."""
        return self._whole()

    @property
    def subject(self) -> tuple[Subject, ...]:
        """At least one."""
        self._whole()
        return self._subject

    @property
    def usage(self) -> ReadUsage | None:
        """The books as rows, when it is a usage statement."""
        if self._usage is None and isinstance(self._predicate, Usage):
            self._usage = ReadUsage.of(self._predicate)
        return self._usage

    @property
    def placed(self) -> Placed | None:
        """Author and place in the chain, when it has them."""
        return self.authored if self._usage is None else self._usage

    @property
    def authored(self) -> AuthoredPredicate | None:
        """The predicate when it has an author and a chain position, else None."""
        predicate = self._whole()
        return predicate if isinstance(predicate, Authored) else None

    def _whole(self) -> Predicate:
        if self._predicate is None:
            whole = _parse(self._payload)
            self._predicate, self._subject = whole._predicate, whole._subject
        assert self._predicate is not None
        return self._predicate

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Statement):
            return NotImplemented
        mine, its = (self.digest, self.name), (other.digest, other.name)
        same = mine == its and self.sealed == other.sealed
        return same and self.predicate == other.predicate and self.subject == other.subject

    def __hash__(self) -> int:
        return hash((self.digest, self.name))

    def __repr__(self) -> str:
        return f"Statement({self.name} {self.digest})"


def parse_statement(payload: bytes) -> Statement:
    """Read a payload: canonical JSON, in-toto frame, known predicate, closed schema, expected first subject.

    Raises:
        StatementError: ``statement-malformed``, ``statement-type``, ``statement-predicate-unknown``,
            ``statement-schema``, ``statement-subject``, ``statement-sealed``.
        JsonError: ``json-*``.
    """
    usage = read_usage(payload)
    return _parse(payload) if usage is None else Statement.of_books(payload, usage)


def _parse(payload: bytes) -> Statement:
    """Read a payload of any predicate by its model."""
    return read_statement(parse_object(payload), hashlib.sha256(payload).hexdigest(), sealed=MARK in payload)


def read_statement(value: JsonObject, digest: str, *, sealed: bool = True) -> Statement:
    """Return the statement that a payload's JSON is, under *digest*; not *sealed*: nothing in it can be a commitment.

    Raises:
        StatementError: as :func:`parse_statement`.
    """
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
    form, leaves = unseal_form(name, value["predicate"]) if sealed else (value["predicate"], NOTHING)
    if name == "evidence":
        model = _evidence_model(form)
    try:
        predicate = model.model_validate(form, by_alias=True, by_name=False)
        subject = _subjects(value["subject"])
    except ValidationError as error:
        raise _schema_error(name, error) from None
    except DocumentError as error:
        raise StatementError(
            code="statement-schema", message=f"bad {name}: {error.message}", expected=error.expected, found=error.found
        ) from None
    if isinstance(predicate, TreatyDocument) and name != _name_of(predicate):
        raise StatementError(
            code="statement-schema",
            message="version 1 is a treaty statement, and every later version an amendment",
            expected=_name_of(predicate),
            found=f"{name} of version {predicate.version}",
        )
    first = expected_subject(predicate)
    if subject[0] != first:
        raise StatementError(
            code="statement-subject",
            message=f"the first subject of a {name} statement must be what it is about",
            expected=f"{first.name} {first.digest.sha256}",
            found=f"{subject[0].name} {subject[0].digest.sha256}",
        )
    if leaves.opaque and isinstance(predicate, Usage):
        readable = tuple(line for number, line in enumerate(predicate.lines) if number not in leaves.opaque)
        predicate = predicate.model_copy(update={"lines": readable})
    return Statement(digest, name, predicate, subject, sealed=leaves)


def _evidence_model(value: JsonValue) -> type[Predicate]:
    """Return the model of the kind that an evidence predicate says it is; that of energy for a kind unknown."""
    kind = value.get("kind") if isinstance(value, dict) else None
    return EVIDENCE_KINDS.get(kind, Evidence) if isinstance(kind, str) else Evidence


def encode_statement(predicate: Predicate, more_subjects: tuple[Subject, ...] = ()) -> bytes:
    """Return the payload that says *predicate*: canonical, its first subject filled in.

    Raises:
        StatementError: as :func:`parse_statement`; what cannot be read back is never signed.
    """
    name = _name_of(predicate)
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


def _name_of(predicate: Predicate) -> str:
    if isinstance(predicate, TreatyDocument) and predicate.version > 1:
        return "amendment"
    return _NAME_OF[type(predicate)]


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
        case Evidence() | Capacity() | Shipment() | Inspection():
            return Subject.of(predicate.site, predicate.readings)
        case Order() | Authorisation() | Determination() | Withdrawal() | Declaration() | Autonomy():
            return Subject.of("treaty", predicate.treaty)
        case Acknowledgement():
            return Subject.of("order", predicate.order)
        case Evaluation():
            return Subject.of("model", predicate.model)
        case Opening():
            return Subject.of("usage", predicate.usage)
        case Reply():
            return Subject.of("finding", predicate.finding)
        case Correction():
            return Subject.of("usage", predicate.corrects)


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
