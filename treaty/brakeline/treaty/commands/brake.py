"""``brakeline brake``: draft an order, sign it offline, see whether its quorum is complete.

An order leaves this house as a file. Sending it is not done here, since anyone may do it and it takes the network:
``brakeline node submit FILE --dir NODE`` (or any gRPC client of ``SubmitBatch``) hands the envelope to the verifiers.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from brakeline.treaty.commands.files import (
    EXIT_INCOMPLETE,
    Format,
    FormatOption,
    PassphraseFile,
    emit,
    fail,
    open_signer,
    read_bytes,
    read_document,
    read_envelope,
    reported,
    signing_json,
    signing_lines,
    write_whole,
)

if TYPE_CHECKING:
    from brakeline.treaty.document import TreatyDocument
    from brakeline.treaty.envelope import Envelope
    from brakeline.treaty.statements import Order, Statement

brake_app = typer.Typer(
    help="Draft, sign and follow an order that stops, slows or resumes training.", no_args_is_help=True
)

Treaty = Annotated[Path, typer.Option("--treaty", help="The treaty: TOML file or signed envelope.")]


class OrderKind(StrEnum):
    """What an order does."""

    PAUSE = "pause"
    SLOW = "slow"
    RESUME = "resume"


@brake_app.command(
    "draft",
    epilog="Example: brakeline brake draft --treaty treaty.toml --kind pause --effective-period 12 --expiry-period 36"
    ' --reason "Art. 9: a threshold was passed" --out order.json',
)
def draft_order(
    treaty: Treaty,
    kind: Annotated[OrderKind, typer.Option(help="What the order does.")],
    effective_period: Annotated[int, typer.Option(help="First period in which it is in force.")],
    expiry_period: Annotated[int, typer.Option(help="First period in which it no longer is.")],
    reason: Annotated[str, typer.Option(help="One sentence, on the public record.")],
    out: Annotated[Path, typer.Option(help="The payload to sign.")],
    who: Annotated[
        list[str] | None, typer.Option(help="Party, lab or site it binds; several times. Default: everyone.")
    ] = None,
    activity: Annotated[
        list[str] | None, typer.Option(help="Activity it binds; several times. Default: training.")
    ] = None,
    above: Annotated[
        str | None, typer.Option(help="Bind only runs whose lineage has passed this threshold of the treaty.")
    ] = None,
    ceiling: Annotated[
        str | None, typer.Option(help="For slow: the share of chip time that stays allowed, such as 1/4.")
    ] = None,
    lifts: Annotated[list[str] | None, typer.Option(help="Digest of an order that it lifts; several times.")] = None,
    exercise: Annotated[bool, typer.Option("--exercise", help="Walk the whole path and stop nothing.")] = False,
    nonce: Annotated[str | None, typer.Option(help="32 hex digits; default: drawn at random.")] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Write the payload of an order, for the parties to sign. Nothing is in force before a quorum has signed."""
    with reported():
        document = read_document(treaty)
        if out.exists():
            fail(f"order-exists: {out} is there already; it is never overwritten. Choose another --out")
        members: dict[str, object] = {
            "treaty": document.digest,
            "kind": kind.value,
            "scope": _scope(who, activity, above),
            "ceiling": _ratio(ceiling),
            "effective_period": effective_period,
            "expiry_period": expiry_period,
            "reason": reason,
            "exercise": exercise,
            "lifts": tuple(lifts or []),
            "nonce": nonce or _nonce(),
        }
        payload = _order_payload(document, members)
        write_whole(out, payload)
        digest, order = _read_order(payload)
        needed = document.quorum.orders
        value = {"file": str(out), "digest": digest, "needed": needed}
        emit(value, [f"wrote {out}", *_order_lines(document, digest, order), f"{needed} parties must sign it"], form)


@brake_app.command(
    "sign",
    epilog="Example: brakeline brake sign order.json --treaty treaty.toml --key party-a.key --out order.dsse.json",
)
def sign_order(
    file: Annotated[Path, typer.Argument(help="The payload that `brake draft` wrote, or an envelope of it.")],
    treaty: Treaty,
    key: Annotated[list[Path], typer.Option(help="A party's key file; may be given several times.")],
    out: Annotated[Path, typer.Option(help="The envelope; signatures that stand in it already are kept.")],
    passphrase_file: PassphraseFile = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Add a party's signature to an order, beside those that are there. Signing twice changes nothing."""
    from hashlib import sha256

    from brakeline.treaty.signing import add_signature, order_state

    with reported():
        document = read_document(treaty)
        payload, envelope = _payload_of(file)
        if out.exists():
            there = read_envelope(out)
            envelope = there if envelope is None else there.merged(envelope)
        digest, order = _read_order(payload)
        _check_treaty(document, order)
        parties = {vkey.keyid for vkey in document.party_keys().values()}
        for path in key:
            signer = open_signer(path, passphrase_file)
            if sha256(signer.public_key).hexdigest() not in parties:
                fail(f"signer-not-allowed: {path}: not the key of a party. Orders are signed by parties only")
            envelope = add_signature(payload, envelope, signer)
        if envelope is None:
            raise typer.BadParameter("give at least one --key")
        write_whole(out, envelope.to_dsse_json())
        state = order_state(document, envelope)
        value = {"file": str(out), "digest": digest, **signing_json(state)}
        emit(value, [*_order_lines(document, digest, order), *signing_lines(state), *_hint(state.complete, out)], form)


@brake_app.command("status", epilog="Example: brakeline brake status order.dsse.json --treaty treaty.toml")
def order_status(
    file: Annotated[Path, typer.Argument(help="The order's envelope.")],
    treaty: Treaty,
    require_complete: Annotated[
        bool, typer.Option("--require-complete", help="Exit with 4 unless the quorum is there.")
    ] = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Say what an order orders, for when, and who has signed it. Whether it is logged, the verifiers know."""
    from brakeline.treaty.signing import order_state

    with reported():
        document = read_document(treaty)
        payload, envelope = _payload_of(file)
        digest, order = _read_order(payload)
        _check_treaty(document, order)
        state = order_state(document, envelope)
        value = {"digest": digest, "order": order.model_dump(mode="json"), **signing_json(state)}
        emit(value, [*_order_lines(document, digest, order), *signing_lines(state), *_hint(state.complete, file)], form)
    if require_complete and not state.complete:
        raise typer.Exit(EXIT_INCOMPLETE)


def _nonce() -> str:
    import secrets

    return secrets.token_hex(16)


def _order_payload(document: TreatyDocument, members: dict[str, object]) -> bytes:
    from brakeline.treaty.errors import StatementError
    from brakeline.treaty.orders import check_order
    from brakeline.treaty.statements import Order, encode_statement
    from pydantic import ValidationError

    try:
        order = Order.model_validate(members)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "/".join(str(step) for step in first["loc"])
        raise StatementError(
            code="order-malformed",
            message=f"{where}: this is no order",
            expected=first["msg"],
            found=repr(first["input"])[:80],
        ) from None
    check_order(document, order)
    _check_release(order)
    return encode_statement(order)


def _scope(who: list[str] | None, activity: list[str] | None, above: str | None) -> dict[str, object]:
    scope: dict[str, object] = {"who": tuple(who or ["everyone"]), "activities": tuple(activity or ["training"])}
    return scope if above is None else {**scope, "above": above}


def _ratio(text: str | None) -> dict[str, int] | None:
    """Read ``1/4`` exactly."""
    import re

    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,15})/([1-9][0-9]{0,14})", text, re.ASCII)
    if match is None:
        raise typer.BadParameter(f"--ceiling: expected two integers such as 1/4, found {text[:40]!r}")
    return {"numerator": int(match[1]), "denominator": int(match[2])}


def _check_release(order: Order) -> None:
    """Refuse a resume that would not do what it seems to say."""
    from brakeline.treaty.errors import StatementError

    if order.kind != "resume":
        return
    if not order.lifts:
        raise StatementError(
            code="order-lifts-nothing",
            message="a resume works by the orders it lifts, and this one names none",
            expected="--lifts DIGEST, once for each order that ends",
            found="none",
            fix="`brakeline brake status FILE` prints an order's digest",
        )
    if order.scope.who != ("everyone",) or order.scope.above is not None:
        raise StatementError(
            code="order-resume-scope",
            message="a resume ends what it lifts for everybody; its own scope says nothing",
            expected="a resume without --who and --above",
            found=", ".join(order.scope.who)[:120],
            fix="to release some only, draft the narrower order that is to stay, with --lifts of the wide one",
        )


def _payload_of(path: Path) -> tuple[bytes, Envelope | None]:
    """Read a payload file or an envelope file; both are JSON objects, told apart by their members."""
    from brakeline.treaty.envelope import Envelope
    from brakeline.treaty.strictjson import parse_any

    data = read_bytes(path)
    value = parse_any(data, max_bytes=len(data))
    if isinstance(value, dict) and "payloadType" in value:
        envelope = Envelope.from_dsse_json(data)
        return envelope.payload, envelope
    return data, None


def _read_order(payload: bytes) -> tuple[str, Order]:
    from brakeline.treaty.statements import Order, parse_statement

    statement: Statement = parse_statement(payload)
    if not isinstance(statement.predicate, Order):
        fail(f"order-not-an-order: expected an order, found a statement of kind {statement.name}")
    return statement.digest, statement.predicate


def _check_treaty(document: TreatyDocument, order: Order) -> None:
    if order.treaty != document.digest:
        fail(
            f"treaty-unknown: the order is made under another version: expected {document.digest}, found {order.treaty}"
        )


def _order_lines(document: TreatyDocument, digest: str, order: Order) -> list[str]:
    grid = document.grid
    ceiling = f" to {order.ceiling.numerator}/{order.ceiling.denominator} of chip time" if order.ceiling else ""
    what = f"{order.kind}{ceiling}{' (EXERCISE: stops nothing)' if order.exercise else ''}"
    runs = f", runs above {order.scope.above}" if order.scope.above else ""
    return [
        f"order {digest}",
        f"  {what}: {', '.join(order.scope.activities)} of {', '.join(order.scope.who)}{runs}",
        f"  in force from period {order.effective_period} ({_utc(grid.start_of(order.effective_period).value)})"
        f" until period {order.expiry_period} ({_utc(grid.start_of(order.expiry_period).value)})",
        *(f"  lifts {lifted}" for lifted in order.lifts),
        f"  reason: {order.reason}",
    ]


def _utc(instant_ms: int) -> str:
    from datetime import UTC, datetime, timedelta

    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant_ms)
    except OverflowError:
        return "far future"
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _hint(complete: bool, file: Path) -> list[str]:
    return [f"hand it to the verifiers: brakeline node submit {file} --dir NODE"] if complete else []
