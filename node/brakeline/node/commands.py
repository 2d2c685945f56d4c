"""``brakeline node``: make a node, run it, meter a command, look, submit. Nothing heavy is imported up here."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypedDict, cast

import typer
from brakeline.node.keys import commands as keys_commands
from brakeline.node.meters import commands as meters_commands
from brakeline.node.ops import commands as ops_commands
from brakeline.node.records import commands as records_commands

if TYPE_CHECKING:
    from brakeline.node.journal import Journal
    from brakeline.node.say import Request, Said
    from brakeline.node.service import Node
    from brakeline.treaty.document import TreatyDocument
    from brakeline.treaty.envelope import Envelope
    from brakeline.treaty.succession import Succession

app = typer.Typer(help="A lab's node: meters, books, sends, brakes.", no_args_is_help=True)
app.add_typer(meters_commands.app)
app.add_typer(records_commands.app)
app.add_typer(ops_commands.app)
app.add_typer(ops_commands.outbox_app, name="outbox")
app.add_typer(keys_commands.app, name="key")
app.command(
    epilog="Example: brakeline node takeover --dir node-2 --treaty treaty.dsse.json --pin 5f3c..."
    " --site lab-1.party-a.example/site-1 --tls-dir tls --guard /mnt/other/last-signed.json --out request.dsse.json"
)(keys_commands.takeover)

EXIT_MISTAKE = 3
EXIT_INCOMPLETE = 4
PASSPHRASE_ENV = "BRAKELINE_PASSPHRASE"  # noqa: S105  (the name of a variable, no secret)


class Format(StrEnum):
    """How a command prints its result."""

    TEXT = "text"
    JSON = "json"


class OnPause(StrEnum):
    """What a pause does to a command without a hook (as :class:`brakeline.node.wrapped.OnPause`)."""

    FREEZE = "freeze"
    END = "end"


Folder = Annotated[Path, typer.Option("--dir", help="The node's folder.")]
FormatOption = Annotated[Format, typer.Option("--format", help="text for people, json for programs.")]


@app.command(
    epilog="Example: brakeline node init --dir node --treaty treaty.dsse.json --pin 5f3c... --site"
    " lab-1.party-a.example/site-1 --root-key root.pem --chips cpu-core=2 --tls-dir tls"
)
def init(
    folder: Folder,
    treaty: Annotated[Path | None, typer.Option(help="The signed treaty (DSSE JSON).")] = None,
    pin: Annotated[str | None, typer.Option(help="The treaty's digest, as your government published it.")] = None,
    site: Annotated[str | None, typer.Option(help="This site's name: lab-1.party-a.example/site-1.")] = None,
    chips: Annotated[
        list[str] | None, typer.Option(help="CLASS=COUNT, the metered class first; several times.")
    ] = None,
    tls_dir: Annotated[Path | None, typer.Option(help="Folder with tls.pem, tls.key, ca.pem; copied.")] = None,
    join: Annotated[
        Path | None, typer.Option("--from", help="Join file (TOML) that says all this; options override it.")
    ] = None,
    root_key: Annotated[
        Path | None, typer.Option(help="The lab's root key file; not kept. Without it a request is written.")
    ] = None,
    serials: Annotated[list[str] | None, typer.Option(help="CLASS=FILE, one serial a line; several times.")] = None,
    effective_period: Annotated[int | None, typer.Option(help="First period to book; default: the next one.")] = None,
    after: Annotated[str | None, typer.Option(help="SEQUENCE:DIGEST of the lab root's last enrolment.")] = None,
    guard: Annotated[
        Path | None, typer.Option(help="File on another disk that remembers what was signed last. Recommended.")
    ] = None,
    module: Annotated[str | None, typer.Option("--pkcs11-module", help="Key in a token: the PKCS#11 module.")] = None,
    token: Annotated[str | None, typer.Option(help="The token's label.")] = None,
    key_label: Annotated[str | None, typer.Option(help="The key's label; a new one.")] = None,
    pin_file: Annotated[str | None, typer.Option(help="File that holds the token's PIN.")] = None,
    pin_env: Annotated[str | None, typer.Option(help="Variable that holds the token's PIN.")] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Make a node: site key, enrolment, first inventory, node.toml. Nothing is sent before `run`.

    The site key is encrypted when BRAKELINE_PASSPHRASE is set; BRAKELINE_ROOT_PASSPHRASE opens the root key. With
    --pkcs11-module the key is made in a token and never leaves it. Without --guard the node asks all verifiers at every
    start, and signs nothing before they have answered. Without --root-key the folder gets a request.dsse.json for the
    root key's machine (`node key sign`, then `node key install`).
    """
    from brakeline.ledger.keyfile import read_signer
    from brakeline.node import join as joining
    from brakeline.node.setup import REQUEST, Plan, make_node

    with reported():
        given = None if join is None else joining.load(join)
        if given is not None and join is not None:
            base = join.parent
            treaty, pin, site = treaty or base / given.treaty, pin or given.pin, site or given.site
            tls_dir, guard = tls_dir or base / given.tls, guard or (base / given.guard if given.guard else None)
            root_key = root_key or (base / given.root_key if given.root_key else None)
            serials = serials or [f"{c.chip_class}={base / c.serials}" for c in given.chips if c.serials]
            chips = chips or [f"{c.chip_class}={c.count}" for c in given.chips]
            effective_period = given.effective_period if effective_period is None else effective_period
        if treaty is None or pin is None or site is None or tls_dir is None or not chips:
            raise typer.BadParameter("--treaty, --pin, --site, --chips and --tls-dir, or --from a join file")
        counts = tuple((name, _count(value)) for name, value in map(_pair, chips))
        files = {name: Path(value) for name, value in map(_pair, serials or [])}
        key = keys_commands.key_options(module, token, key_label, pin_file, pin_env)
        plan = Plan(site, counts, files, tls_dir, effective_period, after_of(after), guard, key)
        root = None if root_key is None else read_signer(root_key, _secret("BRAKELINE_ROOT_PASSPHRASE"))
        made = make_node(
            folder, plan, treaty.read_bytes(), pin, root, passphrase=_secret(PASSPHRASE_ENV), now_ms=_now_ms
        )
        if given is not None:
            joining.settle(folder, given)
        first = made.first_period()
        heads = {o.name: o.digest for o in made.journal.envelopes()}
        made.journal.close()
        value = {"dir": str(folder), "site": site, "first_period": first, "statements": heads}
        following = "brakeline node run --dir ..." if root else f"brakeline node key sign {folder / REQUEST} ..."
        _emit(value, [f"made {folder} for {site}; first period {first}", f"next: {following}"], form)


@app.command(epilog="Example: brakeline node run --dir node")
def run(folder: Folder) -> None:
    """Run the node until SIGTERM: book every period, send it, keep receipts, obey the brake.

    Prints one JSON line {"ready": ...} when programs can connect; logs as JSON lines on standard error.
    """
    import asyncio

    from brakeline.node.service import SOCKET, Node
    from brakeline.node.setup import open_site
    from brakeline.node.tls import TlsFiles

    _log_as_json()
    with reported():
        config, site = open_site(folder, _secret(PASSPHRASE_ENV), _now_ms)
        node = Node(folder, config, site, TlsFiles.within(folder / config.tls.folder), _now_ms)
        ready: dict[str, object] = {
            "site": site.name,
            "socket": str(folder / SOCKET),
            "pid": os.getpid(),
            "treaty": site.document.digest,
        }
        try:
            asyncio.run(_serve(node, ready))
        finally:
            site.journal.close()


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Example: brakeline node meter --dir node --workload char-lm -- python train.py",
)
def meter(
    command: Annotated[list[str], typer.Argument(help="The command, after --.")],
    folder: Folder,
    workload: Annotated[str | None, typer.Option(help="Name in the books; default: the program's.")] = None,
    activity: Annotated[str, typer.Option(help="How to book what no hook declares.")] = "unattributed",
    on_pause: Annotated[
        OnPause, typer.Option(help="Without a hook: freeze the process group in place, or end it and start it again.")
    ] = OnPause.FREEZE,
    grace: Annotated[float, typer.Option(help="Seconds from SIGTERM to SIGKILL.", min=0)] = 30.0,
    checkpoint: Annotated[
        list[Path] | None, typer.Option(help="What the command leaves behind; digested. With --on-pause end.")
    ] = None,
    patience: Annotated[
        float | None, typer.Option(help="Seconds for hooks to stop before --on-pause is done to them.", min=0)
    ] = None,
) -> None:
    """Run a command, book what its processes use, pass the brake on to it. Exits as the command does.

    A program with a hook stops by its own means. To one without, --on-pause is done; what that cannot prove is said in
    docs/operators.md. Exit 5: the checkpoint is not the one it left behind, so it was not started again.
    """
    import asyncio
    import re

    from brakeline.node import wrapped
    from brakeline.node.relay import Relay, Settings
    from brakeline.node.service import SOCKET, SPOOL
    from brakeline.treaty.statements import Activity

    try:
        declared = Activity(activity)
    except ValueError:
        raise typer.BadParameter(f"--activity: one of {', '.join(Activity)}") from None
    if checkpoint and on_pause is OnPause.FREEZE:
        raise typer.BadParameter("--checkpoint: a frozen command goes on from its memory; use --on-pause end")
    name = workload or re.sub(r"[^a-zA-Z0-9._-]", "-", Path(command[0]).name).lstrip("._-") or "command"
    settings = Settings(
        command=tuple(command),
        socket=(folder / SOCKET).absolute(),
        spool=(folder / SPOOL).absolute(),
        workload=name[:128],
        activity=declared,
        on_pause=wrapped.OnPause(on_pause.value),
        grace_s=grace,
        checkpoints=tuple(checkpoint or ()),
        patience_s=patience,
    )
    with reported():
        code = asyncio.run(Relay(settings, session=os.urandom(16).hex(), now_ms=_now_ms).run())
    raise typer.Exit(code)


@app.command(epilog="Example: brakeline node status --dir node --format json")
def status(folder: Folder, form: FormatOption = Format.TEXT) -> None:
    """Say what is booked, what has arrived at whom, which orders are known. Reads only; the node may run."""
    from brakeline.node import config
    from brakeline.node.gap import gaps_of
    from brakeline.node.journal import Delivery, Journal
    from brakeline.node.setup import JOURNAL, TREATY, load_treaty

    with reported():
        settings = config.load(folder / config.FILE)
        document = load_treaty((folder / TREATY).read_bytes(), settings.pin)
        with Journal(folder / JOURNAL, read_only=True) as journal:
            gaps = gaps_of(document, journal)
            progress = {v.name: journal.progress(v.name) for v in document.verifiers}
            held = journal.receipts()
            value = {
                "site": settings.site,
                "last_period": journal.last_period(),
                "statements": len(held),
                "with_receipt_quorum": sum(count >= document.quorum.receipts for count in held.values()),
                "receipt_quorum": document.quorum.receipts,
                "below_quorum": {d: n for d, n in held.items() if n < document.quorum.receipts},
                "verifiers": {n: {state.value: c for state, c in p.items()} for n, p in progress.items()},
                "sessions": [
                    {"session": s.id, "workload": s.workload, "activity": s.activity.value, "last_at": s.last_at}
                    for s in journal.open_sessions()
                ],
                "orders": [{"digest": d, "seen_at": at} for d, _, at in journal.orders()],
                "stopped": (stopped := [item for d, _, at in journal.orders() for item in _stopped(journal, d, at)]),
                "acknowledged": sorted(journal.acknowledged()),
                "method_gaps": [gap.to_json() for gap in gaps],
            }
        lines = [
            f"site          {value['site']}",
            f"booked up to  period {value['last_period']}",
            f"receipts      {value['with_receipt_quorum']} of {len(held)} statements at the quorum",
            *(
                f"  {name}: {p[Delivery.RECEIVED]} received, {p[Delivery.PENDING]} pending, {p[Delivery.OPEN]} open,"
                f" {p[Delivery.REFUSED]} refused"
                for name, p in progress.items()
            ),
            *(
                f"order {item['order'][:16]}...: {item['workload']} after step {item['step']}; ms after it was seen: "
                f"agreed {item['agreed_ms']}, ceased {item['ceased_ms']}, durable {item['durable_ms']}"
                for item in stopped
            ),
            *(gap.text() for gap in gaps),
        ]
        _emit(value, lines, form)


@app.command(epilog="Example: brakeline node preview --dir node --format json")
def preview(
    folder: Folder,
    period: Annotated[int | None, typer.Option(help="Which period; default: the next to be booked.", min=0)] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Print what the books of a period would reveal, and to whom, before anything is signed. The node may run."""
    from brakeline.node import preview as previews

    with reported():
        shown = previews.preview(folder, period, _now_ms)
        _emit(shown.to_json(), previews.text(shown), form)


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
        _emit(value, done, form)


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
            _emit({"say": request.kind, "members": request.members, "signed": False}, lines, form)
            return
        try:
            _, site = open_site(folder, _secret(PASSPHRASE_ENV), _now_ms)
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
            _emit({"request": request.id, "signed": None}, ["the node has not answered yet; run this again"], form)
            raise typer.Exit(EXIT_INCOMPLETE)
        value = {"request": said.request, "digest": said.digest, "sequence": said.sequence, "signed": True}
        _emit(value, [f"{request.kind} {said.digest}, statement {said.sequence} of the site's chain"], form)


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
    folder: Annotated[
        Path | None, typer.Option("--dir", help="A node's folder: its treaty, pin and TLS files.")
    ] = None,
    treaty: Annotated[
        Path | None, typer.Option(help="Without --dir: the signed treaty, or a folder of all its versions.")
    ] = None,
    pin: Annotated[str | None, typer.Option(help="Without --dir: its digest, or that of one of them.")] = None,
    tls_dir: Annotated[Path | None, typer.Option(help="Without --dir: folder with tls.pem, tls.key, ca.pem.")] = None,
    receipts: Annotated[Path, typer.Option(help="Where verified receipts go.")] = Path("receipts"),
    timeout: Annotated[float, typer.Option(help="Seconds to wait for receipts.")] = 20.0,
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
        _emit(value, [envelope.digest, *lines], form)
    if received < document.quorum.receipts:
        raise typer.Exit(EXIT_INCOMPLETE)


class _Stop(TypedDict):
    order: str
    workload: str
    step: int
    freeze: str | None
    agreed_ms: int | None
    ceased_ms: int
    durable_ms: int | None


def _stopped(journal: Journal, order: str, seen_at: int) -> list[_Stop]:
    """Return where each workload stopped on *order*, instants in ms after the node had verified it."""
    return [
        _Stop(
            order=order,
            workload=workload,
            step=stop.step,
            freeze=stop.freeze,
            agreed_ms=None if stop.agreed_at is None else stop.agreed_at - seen_at,
            ceased_ms=stop.at - seen_at,
            durable_ms=None if stop.durable_at is None else stop.durable_at - seen_at,
        )
        for workload, stop in journal.stops(order).values()
    ]


async def _serve(node: Node, ready: dict[str, object]) -> None:
    import asyncio
    import signal

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def announce() -> None:
        more = {} if node.metrics_url is None else {"metrics": node.metrics_url}
        print(json.dumps({"ready": {**ready, **more}}), flush=True)

    await node.run(announce, stop)


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

        return self.treaty.last(self.treaty.root.grid.period_of(InstantMs(_now_ms())))


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


def _pair(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name or not value:
        raise typer.BadParameter(f"expected CLASS=VALUE, found {text!r}")
    return name, value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise typer.BadParameter(f"expected a number of chips, found {text!r}")
    return int(text)


def after_of(text: str | None) -> tuple[int, str] | None:
    """Return SEQUENCE:DIGEST as a pair."""
    if text is None:
        return None
    sequence, _, digest = text.partition(":")
    return _count(sequence), digest


def _secret(variable: str) -> bytes | None:
    value = os.environ.get(variable)
    return value.encode() if value else None


def _now_ms() -> int:
    import time

    return time.time_ns() // 1_000_000


def _emit(value: object, lines: list[str], form: Format) -> None:
    if form is Format.JSON:
        typer.echo(json.dumps(value))
    else:
        typer.echo("\n".join(lines))


def _log_as_json() -> None:
    import logging
    import sys

    import stamina.instrumentation
    import structlog

    stamina.instrumentation.set_on_retry_hooks([])  # senders and watchers say themselves what went wrong
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@contextmanager
def reported() -> Generator[None]:
    """Print an error that a person should see on standard error, and exit with 3."""
    from brakeline.ledger.errors import BrakelineError

    try:
        yield
    except (BrakelineError, OSError, ExceptionGroup) as error:
        first: BaseException = error
        while isinstance(first, BaseExceptionGroup):  # a task of the service failed
            first = cast("BaseExceptionGroup[BaseException]", first).exceptions[0]
        if not isinstance(first, BrakelineError | OSError):
            raise
        typer.echo(str(first) if isinstance(first, BrakelineError) else f"file-error: {first}", err=True)
        raise typer.Exit(EXIT_MISTAKE) from None
