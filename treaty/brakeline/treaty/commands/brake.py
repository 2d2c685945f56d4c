"""``brakeline brake``: draft an order, sign it offline, see whether its quorum is complete and what it comes to.

Files are carried by hand: the draft to every party that signs, each party's envelope back to whoever submits. Every
command says what the next step is. Nothing here touches a network; ``brakeline brake submit`` is the node's command
(:mod:`brakeline.node.submit_order`), and a machine that only signs needs nothing of the node.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

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
    from brakeline.treaty.signing import SigningState
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
        text = [f"wrote {out}", *_order_lines(document, digest, order), f"{needed} parties must sign it"]
        text.append(f"next: carry it to each of them: brakeline brake sign {out} --treaty ... --key ...")
        emit(value, text, form)


@brake_app.command(
    "sign",
    epilog="Example: brakeline brake sign order.json --treaty treaty.toml --key party-a.key --out order.dsse.json",
)
def sign_order(
    file: Annotated[Path, typer.Argument(help="The payload that `brake draft` wrote, or an envelope of it.")],
    treaty: Treaty,
    out: Annotated[Path, typer.Option(help="The envelope; signatures that stand in it already are kept.")],
    key: Annotated[
        list[Path] | None, typer.Option(help="A party's key file; several times. None: only merge what was signed.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Add a party's signature to an order, beside those that are there. Signing twice changes nothing.

    Parties may sign one after the other, each handing its envelope on, or each alone: envelopes of one order are
    merged by signing (or with no --key) into a file that holds another's.
    """
    from hashlib import sha256

    from brakeline.treaty.signing import add_signature, order_state

    with reported():
        document = read_document(treaty)
        payload, envelope = _payload_of(file)
        if out.exists():
            there = read_envelope(out)
            envelope = there if envelope is None else there.merged(envelope)
        digest, order = _read_order(payload)
        _check_order(document, order)
        parties = {vkey.keyid for vkey in document.party_keys().values()}
        for path in key or ():
            signer = open_signer(path, passphrase_file)
            if sha256(signer.public_key).hexdigest() not in parties:
                fail(f"signer-not-allowed: {path}: not the key of a party. Orders are signed by parties only")
            envelope = add_signature(payload, envelope, signer)
        if envelope is None:
            raise typer.BadParameter("nothing is signed yet: give at least one --key")
        write_whole(out, envelope.to_dsse_json())
        state = order_state(document, envelope)
        value = {"file": str(out), "digest": digest, **signing_json(state)}
        emit(value, [*_order_lines(document, digest, order), *signing_lines(state), _next(state, out)], form)


@brake_app.command(
    "status",
    epilog="Example: brakeline brake status order.dsse.json --treaty treaty.toml --beside resume.dsse.json"
    " --site lab-1.party-a.example/site-1 --period 30",
)
def order_status(
    file: Annotated[Path, typer.Argument(help="The order's envelope.")],
    treaty: Treaty,
    beside: Annotated[
        list[Path] | None, typer.Option(help="Another order that may lift it or bind besides; several times.")
    ] = None,
    site: Annotated[str | None, typer.Option(help="With --period: what a site may do under these orders.")] = None,
    period: Annotated[int | None, typer.Option(min=0, help="With --site: in which period.")] = None,
    require_complete: Annotated[
        bool, typer.Option("--require-complete", help="Exit with 4 unless the quorum is there.")
    ] = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Say what an order orders, for when, who has signed it, and what it comes to for a site beside other orders.

    Whether it is logged, and who obeyed, the logs know: `brakeline audit order`.
    """
    from brakeline.treaty.signing import order_state
    from brakeline.treaty.statements import to_json

    if (site is None) != (period is None):
        raise typer.BadParameter("--site and --period go together")
    with reported():
        document = read_document(treaty)
        payload, envelope = _payload_of(file)
        digest, order = _read_order(payload)
        _check_order(document, order)
        orders = {digest: order, **_complete_orders(document, beside or [])}
        state = order_state(document, envelope)
        value: dict[str, object] = {"digest": digest, "order": to_json(order), **signing_json(state)}
        lines = [*_order_lines(document, digest, order), *signing_lines(state)]
        if site is not None and period is not None:
            value |= _come_to(document, orders, digest, site, period)
            lines += [f"  for {site} in period {period}: {value['standing']}"]
            lines += [f"    {name}: {text}" for name, text in cast("dict[str, str]", value["may"]).items()]
        emit(value, [*lines, _next(state, file)], form)
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


def _check_order(document: TreatyDocument, order: Order) -> None:
    from brakeline.treaty.orders import check_order

    _check_treaty(document, order)
    check_order(document, order)


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


def _next(state: SigningState, file: Path) -> str:
    """Return the next step as one line."""
    if state.complete:
        return f"next: hand it in, from any machine with a client certificate: brakeline brake submit {file} --dir NODE"
    if state.invalid or state.strangers:
        return "next: leave out what is no party's or does not verify: sign the draft again, into a new file"
    others = ", ".join(item.owner for item in state.missing)
    return f"next: carry it to {others}: brakeline brake sign {file} --treaty ... --key ... --out {file.name}"


def _complete_orders(document: TreatyDocument, files: Sequence[Path]) -> dict[str, Order]:
    """Return the orders in *files*, each of which must be one that admission would take."""
    from brakeline.treaty.signing import order_state

    found: dict[str, Order] = {}
    for path in files:
        payload, envelope = _payload_of(path)
        digest, order = _read_order(payload)
        _check_order(document, order)
        if not order_state(document, envelope).complete:
            fail(f"order-incomplete: {path}: its quorum is not complete, so it lifts and binds nothing")
        found[digest] = order
    return found


def _come_to(
    document: TreatyDocument, orders: dict[str, Order], digest: str, site: str, period: int
) -> dict[str, object]:
    """Return how the order *digest* stands for *site* in *period*, and what all *orders* together leave it."""
    from brakeline.treaty.orders import limit, standing
    from brakeline.treaty.statements import Activity

    activities = sorted({activity for order in orders.values() for activity in order.scope.activities})
    may = {}
    for activity in map(Activity, activities):
        left = limit(orders, site, period, activity, document)
        free = "free" if left is None else "none" if left.stops else f"{left.share} of its chip time"
        may[activity.value] = free if left is None else f"{free}, by {left.order[:16]}..."
    return {"standing": standing(orders, digest, site, period, document).value, "may": may}
