"""``brakeline brake submit``: hand an order that its quorum has signed to every verifier.

It is the node's, since it takes the network, and it stands beside `brake draft` and `brake sign` because that is where
people look for it. Unlike `node submit`, which hands over any envelope, it says beforehand what every verifier would
refuse. Nothing heavy is imported before it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from brakeline.node.cli import Format, FormatOption, reported
from brakeline.node.send_commands import (
    PinOption,
    ReceiptsFolder,
    TermsFolder,
    TimeoutOption,
    TlsFolder,
    TreatyFile,
    submit,
    terms_of,
)

if TYPE_CHECKING:
    from brakeline.treaty.succession import Succession

app = typer.Typer()


@app.command("submit", epilog="Example: brakeline brake submit order.dsse.json --dir node")
def submit_order(
    file: Annotated[Path, typer.Argument(help="The order's envelope, as `brake sign` wrote it.")],
    folder: TermsFolder = None,
    treaty: TreatyFile = None,
    pin: PinOption = None,
    tls_dir: TlsFolder = None,
    receipts: ReceiptsFolder = Path("receipts"),
    timeout: TimeoutOption = 20.0,
    form: FormatOption = Format.TEXT,
) -> None:
    """Hand a signed order to every verifier and collect verified receipts. Exit 0 at the receipt quorum, else 4.

    Anybody whom the treaty names may do this, again and again: an order that is known gets its receipt once more.
    """
    with reported():
        digest = checked(file.read_bytes(), terms_of(folder, treaty, pin, tls_dir).treaty)
    submit(file, folder, treaty, pin, tls_dir, receipts, timeout, form)
    if form is Format.TEXT:
        typer.echo(f"next: see who obeys: brakeline audit order {digest[:16]} LOG... --treaty ... --pin ...")


def checked(data: bytes, treaty: Succession) -> str:
    """Return the digest of the order in *data* (DSSE JSON), which a verifier that knows *treaty* would admit.

    Raises:
        BrakelineError: ``order-not-an-order``, and the codes of admission (docs/spec/admission.md).
    """
    from brakeline.ledger.errors import BrakelineError
    from brakeline.treaty.admission import Admitted, Register, authenticate
    from brakeline.treaty.envelope import Envelope
    from brakeline.treaty.statements import Order, parse_statement

    envelope = Envelope.from_dsse_json(data)
    statement = parse_statement(envelope.payload)
    if not isinstance(statement.predicate, Order):
        raise BrakelineError(
            code="order-not-an-order",
            message="this file is not an order",
            expected="an order",
            found=statement.name,
            fix="`brakeline node submit` hands over anything else",
        )
    outcome = authenticate(Register(treaty.root, versions=treaty.known.values()), envelope)
    if isinstance(outcome, Admitted):
        return envelope.digest
    raise BrakelineError(
        code=outcome.code,
        message=outcome.message,
        expected=outcome.expected,
        found=outcome.found,
        fix=outcome.fix or "`brakeline brake status FILE` says who has signed and who is missing",
    )
