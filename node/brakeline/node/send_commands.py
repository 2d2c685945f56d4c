"""``brakeline node say``, ``submit``, ``disclose``: what people hand over by hand. Nothing heavy is imported here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from brakeline.node.cli import (
    EXIT_INCOMPLETE,
    PASSPHRASE_ENV,
    Folder,
    Format,
    FormatOption,
    emit,
    now_ms,
    reported,
    secret,
)

if TYPE_CHECKING:
    from brakeline.node.say import Request, Said
    from brakeline.treaty.document import TreatyDocument
    from brakeline.treaty.envelope import Envelope
    from brakeline.treaty.succession import Succession

app = typer.Typer()

TermsFolder = Annotated[Path | None, typer.Option("--dir", help="A node's folder: its treaty, pin and TLS files.")]
TreatyFile = Annotated[
    Path | None, typer.Option(help="Without --dir: the signed treaty, or a folder of all its versions.")
]
PinOption = Annotated[str | None, typer.Option(help="Without --dir: its digest, or that of one of them.")]
TlsFolder = Annotated[Path | None, typer.Option(help="Without --dir: folder with tls.pem, tls.key, ca.pem.")]
ReceiptsFolder = Annotated[Path, typer.Option(help="Where verified receipts go.")]
TimeoutOption = Annotated[float, typer.Option(help="Seconds to wait for receipts.")]


@app.command("say", epilog="Example: brakeline node say declaration.toml --dir node")
def say_(
    file: Annotated[Path, typer.Argument(help="A TOML file: say = declaration, inventory, reply or correction.")],
    folder: Folder,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, print what would be signed, sign nothing.")
    ] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for a running node's answer.", min=0)] = 20.0,
    form: FormatOption = Format.TEXT,
) -> None:
    """Declare a run before it begins, answer a finding, take books back, change the inventory: a TOML file is signed.

    A running node signs it itself; a node that is not running is opened, and sends it after its next start. The same
    file is said once, however often it is given. Exit 4: the node has not answered yet; ask again.
    """
    from brakeline.node import config, say
    from brakeline.node.journal import JournalError
    from brakeline.node.setup import open_site

    with reported():
        request = say.read(file, config.load(folder / config.FILE).site)
        if dry_run:
            lines = [f"would sign, as a {request.kind}:", json.dumps(request.members, indent=2)]
            emit({"say": request.kind, "members": request.members, "signed": False}, lines, form)
            return
        try:
            _, site = open_site(folder, secret(PASSPHRASE_ENV), now_ms)
        except JournalError as error:
            if error.code != "journal-locked":
                raise
            said = _ask(folder, request, wait)
        else:
            try:
                said = say.take(site, request)
            finally:
                site.journal.close()
        if said is None:
            emit({"request": request.id, "signed": None}, ["the node has not answered yet; run this again"], form)
            raise typer.Exit(EXIT_INCOMPLETE)
        value = {"request": said.request, "digest": said.digest, "sequence": said.sequence, "signed": True}
        emit(value, [f"{request.kind} {said.digest}, statement {said.sequence} of the site's chain"], form)


def _ask(folder: Path, request: Request, wait_s: float) -> Said | None:
    """Leave a request with a running node, and wait for its answer."""
    import time

    from brakeline.node import say

    say.post(folder, request)
    deadline = time.monotonic() + wait_s
    while (said := say.answer(folder, request)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return said


@app.command(epilog="Example: brakeline node submit order.dsse.json --dir node")
def submit(
    file: Annotated[Path, typer.Argument(help="An envelope (DSSE JSON): an order, evidence, an enrolment.")],
    folder: TermsFolder = None,
    treaty: TreatyFile = None,
    pin: PinOption = None,
    tls_dir: TlsFolder = None,
    receipts: ReceiptsFolder = Path("receipts"),
    timeout: TimeoutOption = 20.0,
    form: FormatOption = Format.TEXT,
) -> None:
    """Hand an envelope to every verifier and collect verified receipts. Exit 0 at the receipt quorum, else 4."""
    import asyncio

    from brakeline.node.journal import Delivery
    from brakeline.node.submit import submit_everywhere
    from brakeline.node.tls import TlsFiles
    from brakeline.treaty.envelope import Envelope

    with reported():
        envelope = Envelope.from_dsse_json(file.read_bytes())
        terms = terms_of(folder, treaty, pin, tls_dir)
        document, credentials = terms.document, TlsFiles.within(terms.tls).credentials()
        work = submit_everywhere(envelope, document, credentials, receipts, timeout, terms.addresses, proxy=terms.proxy)
        results = asyncio.run(work)
        received = sum(state is Delivery.RECEIVED for state, _ in results.values())
        value = {
            "digest": envelope.digest,
            "received": received,
            "receipt_quorum": document.quorum.receipts,
            "verifiers": {name: {"state": state.value, "detail": detail} for name, (state, detail) in results.items()},
        }
        lines = [f"{name}: {state.value} {detail}" for name, (state, detail) in results.items()]
        emit(value, [envelope.digest, *lines], form)
    if received < document.quorum.receipts:
        raise typer.Exit(EXIT_INCOMPLETE)


@app.command(epilog="Example: brakeline node disclose --dir node --out for-the-auditor --period 12")
def disclose(
    folder: Folder,
    out: Annotated[Path | None, typer.Option(help="Write <statement>.disclosure.json files here.")] = None,
    period: Annotated[list[int] | None, typer.Option(help="Only books of these periods; default: all.", min=0)] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Send them to the verifiers once more; the node must not be running.")
    ] = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Give what opens sealed values to an auditor, as files, or to verifiers once more. Whoever has it reads them."""
    from brakeline.node import disclose as disclosures

    with reported():
        found = disclosures.disclose(folder, out, period, again=again)
        value = {"statements": found, "out": "" if out is None else str(out), "again": again}
        done = [f"{len(found)} disclosures" + ("" if out is None else f" written to {out}")]
        done += ["they go to the verifiers again when the node starts"] if again else []
        emit(value, done, form)


class Terms(NamedTuple):
    """With whom to speak and how: treaty, folder of TLS files, other addresses of verifiers, the proxy if any."""

    treaty: Succession
    tls: Path
    addresses: dict[str, str]
    proxy: str | None

    @property
    def document(self) -> TreatyDocument:
        """The version that governs now."""
        from brakeline.treaty.quantities import InstantMs

        return self.treaty.last(self.treaty.root.grid.period_of(InstantMs(now_ms())))


def terms_of(folder: Path | None, treaty: Path | None, pin: str | None, tls_dir: Path | None) -> Terms:
    """Return the pinned treaty and the way to its verifiers, from a node's folder or as given.

    A node's folder has the amendments that the node follows; without one, *treaty* may be a folder of all versions.
    """
    from brakeline.node import config
    from brakeline.node.setup import TREATY, amendments_in, load_versions

    addresses: dict[str, str] = {}
    proxy = None
    later: list[Envelope] = []
    if folder is not None:
        later = amendments_in(folder)
        settings = config.load(folder / config.FILE)
        proxy = settings.egress.proxy if settings.egress else None
        treaty, pin, tls_dir = folder / TREATY, settings.pin, tls_dir or folder / settings.tls.folder
        addresses = settings.verifiers
    if treaty is None or pin is None or tls_dir is None:
        raise typer.BadParameter("give --dir, or all of --treaty, --pin and --tls-dir")
    return Terms(load_versions(treaty, pin, later), tls_dir, addresses, proxy)
