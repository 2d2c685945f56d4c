"""The parts of a treaty document: one frozen model per table of the file that negotiators edit.

What it is: form only. Each model says which members a table has, their units and their range taken alone; what must
hold *between* members (quorums that can be reached, deadlines that can be met, keys that differ) is in
:mod:`brakeline.treaty.document_checks`. Member names are the keys of the TOML file and of the canonical JSON, alike.

What it is not: a place for numbers of a treaty. Every number comes from the document; no policy is a constant here.

Members ending in ``_ms`` are milliseconds; ``Flop`` is a decimal string on the wire; a ratio is a table of two
integers ``{numerator, denominator}``. Nothing is coerced: ``true`` is no integer, ``"3"`` is none either.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, TypeAlias, cast

from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.vkey import TYPE_LOG, TYPE_STATEMENT, TYPE_WITNESS, VKey
from brakeline.treaty.errors import DocumentError, QuantityError
from brakeline.treaty.names import NameKind, check_name
from brakeline.treaty.quantities import DurationMs, Flop, Grid, InstantMs, Rational
from brakeline.treaty.strictjson import MAX_SAFE_INTEGER
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PlainValidator

Silence: TypeAlias = Literal["continue", "stop"]
Severity: TypeAlias = Literal["note", "discrepancy", "referral"]
ThirdPartyKind: TypeAlias = Literal["meter", "provider", "vendor", "inspector", "evaluator"]
CountingProfile: TypeAlias = Literal["free", "eu-gpai", "miri", "us-eo14110", "sb53"]
"""How compute is counted; equal, word for word, to ``counting.ProfileName``."""
ActivityName: TypeAlias = Literal["training", "inference", "evaluation", "other", "maintenance", "idle", "unattributed"]
"""The closed list of activities (docs/spec/statements.md); equal, word for word, to ``statements.Activity``."""

PLACEHOLDER = "put here what that command prints"
"""What a template writes where a key is still to come."""

MAX_TEXT = 500
MAX_ITEMS = 1024
"""Rows of one list of the document. Longer lists belong in annexes."""


class Terms(BaseModel):
    """Base of every table: frozen, closed to unknown members, nothing coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _refuse(error: BrakelineError) -> ValueError:
    """Wrap *error* for pydantic, which only collects ValueErrors; the reader of the report unwraps the cause."""
    wrapped = ValueError(str(error))
    wrapped.__cause__ = error
    return wrapped


def _named(kind: NameKind) -> AfterValidator:
    def check(text: str) -> str:
        try:
            return check_name(text, kind)
        except BrakelineError as error:
            raise _refuse(error) from error

    return AfterValidator(check)


def _read_vkey(expected_type: int, what: str) -> Callable[[object], VKey]:
    def read(value: object) -> VKey:
        if not isinstance(value, str | VKey):
            raise _refuse(
                DocumentError(
                    code="treaty-key", message=f"not a {what} key", expected="a vkey string", found=repr(value)[:60]
                )
            )
        if value == PLACEHOLDER:
            raise _refuse(
                DocumentError(
                    code="treaty-key-placeholder",
                    message=f"the {what} key is not filled in yet",
                    expected="a vkey: name+hash+key",
                    found="the template's placeholder",
                    fix="run the command in the comment above where the key is to live, and put the vkey here",
                )
            )
        try:
            key = value if isinstance(value, VKey) else VKey.parse(value)
        except BrakelineError as error:
            raise _refuse(error) from error
        if key.type != expected_type:
            raise _refuse(
                DocumentError(
                    code="treaty-key-purpose",
                    message=f"this is a key of another purpose than {what}",
                    expected=f"vkey type {expected_type:#04x}",
                    found=f"vkey type {key.type:#04x}",
                    fix="one key, one purpose: make one with `brakeline key new --purpose ...`",
                )
            )
        return key

    return read


def _text(value: str) -> str:
    if not value.strip() or len(value) > MAX_TEXT or not value.isprintable():
        raise _refuse(
            DocumentError(
                code="treaty-text",
                message="not a line of text",
                expected=f"1 to {MAX_TEXT} printable characters",
                found=repr(value)[:60],
            )
        )
    return value


def _x25519(value: str) -> str:
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) == 32 and base64.b64encode(data).decode("ascii") == value:
        return value
    raise _refuse(
        DocumentError(
            code="treaty-disclosure-key",
            message="not an X25519 public key",
            expected="32 bytes in standard base64 (44 characters)",
            found=repr(value)[:60],
            fix="make one with `brakeline key new --purpose disclosure ...`",
        )
    )


def _ratio(value: object) -> Rational:
    shown = repr(value)[:60]
    if isinstance(value, Rational):
        return value
    if isinstance(value, Mapping):
        parts = cast("Mapping[str, object]", value)
        top, bottom = parts.get("numerator"), parts.get("denominator")
        known = set(parts) == {"numerator", "denominator"}
        if known and type(top) is int and type(bottom) is int and max(top, bottom) <= MAX_SAFE_INTEGER:
            try:
                return Rational(top, bottom)
            except QuantityError as error:
                raise _refuse(error) from error
    raise _refuse(
        DocumentError(
            code="treaty-ratio",
            message="not a ratio",
            expected="{ numerator = 95, denominator = 100 }, integers, denominator at least 1",
            found=shown,
            fix="write decimals as two integers: 1.2 is 12 over 10",
        )
    )


def _ratio_json(value: Rational) -> dict[str, int]:
    return {"numerator": value.numerator, "denominator": value.denominator}


def _listed(value: object) -> object:
    return tuple(cast("list[object]", value)) if isinstance(value, list) else value


_HOST_PORT = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\]):(?P<port>[1-9][0-9]{0,4})", re.ASCII
)
_URL = re.compile(r"https?://(?P<place>[^/?#\s]+)(?P<path>/[A-Za-z0-9._~/-]*)?", re.ASCII)


def _endpoint(value: str) -> str:
    match = _HOST_PORT.fullmatch(value)
    if match and int(match["port"]) <= 65535:
        return value
    raise _refuse(
        DocumentError(
            code="treaty-endpoint", message="not a gRPC address", expected="host:port", found=repr(value)[:60]
        )
    )


def _url(value: str) -> str:
    match = _URL.fullmatch(value)
    place = match["place"] if match else ""
    port = _HOST_PORT.fullmatch(place) or _HOST_PORT.fullmatch(f"{place}:443")
    if match and port and int(port["port"]) <= 65535 and not (match["path"] or "").endswith("/"):
        return value
    raise _refuse(
        DocumentError(
            code="treaty-url",
            message="not the address of a log's read API",
            expected="http(s)://host[:port][/path], no slash at the end, no user, query or fragment",
            found=repr(value)[:80],
        )
    )


Digest: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Natural: TypeAlias = Annotated[int, Field(ge=0, le=MAX_SAFE_INTEGER)]
Text: TypeAlias = Annotated[str, AfterValidator(_text)]
ChipClassName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Pointer: TypeAlias = Annotated[str, Field(pattern=r"^(?:/[A-Za-z0-9_*-]{1,64}){1,8}$")]
Ratio: TypeAlias = Annotated[Rational, PlainValidator(_ratio), PlainSerializer(_ratio_json)]
StatementKey: TypeAlias = Annotated[VKey, PlainValidator(_read_vkey(TYPE_STATEMENT, "statement")), PlainSerializer(str)]
LogKey: TypeAlias = Annotated[VKey, PlainValidator(_read_vkey(TYPE_LOG, "log")), PlainSerializer(str)]
WitnessKey: TypeAlias = Annotated[VKey, PlainValidator(_read_vkey(TYPE_WITNESS, "witness")), PlainSerializer(str)]
PartyName: TypeAlias = Annotated[str, _named(NameKind.PARTY)]
LabName: TypeAlias = Annotated[str, _named(NameKind.LAB)]
ThirdPartyName: TypeAlias = Annotated[str, _named(NameKind.THIRD_PARTY)]
VerifierName: TypeAlias = Annotated[str, _named(NameKind.VERIFIER)]
TreatyName: TypeAlias = Annotated[str, _named(NameKind.TREATY)]
LISTED = BeforeValidator(_listed)
"""Lets a JSON or TOML list fill a tuple, and nothing else."""


class GridTerms(Terms):
    """``[grid]``: when period 0 starts (Unix ms) and how long every period is."""

    start: InstantMs
    period_ms: DurationMs

    @property
    def grid(self) -> Grid:
        """The period arithmetic of these two numbers."""
        return Grid(start=self.start, period=self.period_ms)


class Deadlines(Terms):
    """``[deadlines]``: all in milliseconds; from when each one counts is said beside it.

    Attributes:
        report_ms: from the end of a period until its usage statement must stand in f + 1 logs.
        heartbeat_ms: longest time between two heartbeats of a log.
        checkpoint_ms: longest time between two checkpoints of a log.
        takeover_ms: from seeing a statement in a peer's log until it must stand in one's own.
        skew_ms: how far the clocks of honest parties may be apart.
        notice_ms: from the moment f + 1 logs hold an order until breach can be judged.
        stop_ms: from seeing an order until no further optimiser step starts.
        save_ms: from stopping until weights are saved and their digest is committed.
        acknowledge_ms: from the moment f + 1 logs hold an order until a site's acknowledgement must stand in them.
        disclosure_ms: from a sealed statement until its disclosure must be held by the named number of verifiers.
        reply_ms: from a query until its reply, before which nothing is referred.
    """

    report_ms: DurationMs
    heartbeat_ms: DurationMs
    checkpoint_ms: DurationMs
    takeover_ms: DurationMs
    skew_ms: DurationMs
    notice_ms: DurationMs
    stop_ms: DurationMs
    save_ms: DurationMs
    acknowledge_ms: DurationMs
    disclosure_ms: DurationMs
    reply_ms: DurationMs


class Limits(Terms):
    """``[limits]``: children of one statement taken directly from a client; lines of one usage statement."""

    child_cap: Natural
    line_count: Natural


class Goals(Terms):
    """``[goals]``: what the treaty wants to see (FLOP), how fast (ms), and with what probability."""

    significant_quantity_flop: Flop
    timeliness_ms: DurationMs
    detection: Ratio


class Quorum(Terms):
    """``[quorum]``: how many of whom it takes.

    Attributes:
        liars: f, verifiers that may lie without any promise breaking.
        witnesses: w, cosignatures under a checkpoint, one's own witness included.
        receipts: k1, logs from which a site gathers a receipt.
        audit: k2, logs an auditor reads.
        orders: m, parties that sign an order.
        amendments: parties that sign a version of the treaty.
    """

    liars: Natural
    witnesses: Natural
    receipts: Natural
    audit: Natural
    orders: Natural
    amendments: Natural


class PartyTerms(Terms):
    """``[[party]]``: who signs treaty versions and orders."""

    name: PartyName
    key: StatementKey


class LabTerms(Terms):
    """``[[lab]]``: who runs chips; its offline root key enrols its sites' keys."""

    name: LabName
    party: PartyName
    root_key: StatementKey


class ThirdPartyTerms(Terms):
    """``[[third_party]]``: who gives evidence from outside."""

    name: ThirdPartyName
    kind: ThirdPartyKind
    key: StatementKey


class VerifierTerms(Terms):
    """``[[verifier]]``: a verification body, its log, its witness, and where they are found.

    ``party`` names who runs it: a party, or a third party where a neutral body does.
    """

    name: VerifierName
    party: PartyName
    log_key: LogKey
    witness_key: WitnessKey
    disclosure_key: Annotated[str, AfterValidator(_x25519)] | None = None
    url: Annotated[str, AfterValidator(_url)]
    grpc: Annotated[str, AfterValidator(_endpoint)]

    @property
    def origin(self) -> str:
        """The origin line of its log: the verifier's name."""
        return self.name


class ChipClass(Terms):
    """``[[chip_class]]``: dense peak FLOP per second, watts of a whole board at work and idle, and the source."""

    name: ChipClassName
    peak_flop_per_s: Flop
    board_watts: Natural
    idle_watts: Natural
    h100_equivalent: Ratio
    source: Text


class Counting(Terms):
    """``[counting]``: the profile by which training compute is counted, its margin, and PUE (facility / IT energy)."""

    profile: CountingProfile
    margin: Ratio
    pue: Ratio


class Threshold(Terms):
    """``[[threshold]]``: a line that compute accumulated over a lineage may not pass without an authorisation."""

    name: ChipClassName
    flop: Flop
    activities: Annotated[tuple[ActivityName, ...], LISTED, Field(min_length=1, max_length=7)]
    article: Text


class RuleTerms(Terms):
    """``[[rule]]``: a rule in force, how severe its findings are, and the article of the treaty text it enforces.

    ``parameters`` holds what the rule's row in :mod:`brakeline.treaty.rule_table` demands, no more and no less:
    integers or decimal strings, never negative.
    """

    rule: Annotated[str, Field(pattern=r"^[a-z][a-z-]{0,63}$")]
    severity: Severity
    article: Text
    parameters: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")], int | str], Field(max_length=16)
    ]

    def integer(self, name: str) -> int:
        """Return the parameter *name* as an exact integer, whichever way it is written (``KeyError`` if absent)."""
        return int(self.parameters[name])


class Sealing(Terms):
    """``[sealing]``: JSON pointer patterns (``*`` is any one step) that may be sealed; how many verifiers must hold
    the disclosure.
    """

    fields: Annotated[tuple[Pointer, ...], LISTED, Field(max_length=64)]
    holders: Natural


class Annex(Terms):
    """``[[annex]]``: a long list kept apart, named by the SHA-256 of its canonical bytes."""

    name: ChipClassName
    digest: Digest
