"""``brakeline node``: make a node, run it, meter a command, look, submit. Nothing heavy is imported up here."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from brakeline.node import look_commands, send_commands
from brakeline.node.cli import PASSPHRASE_ENV, Folder, Format, FormatOption, emit, now_ms, reported, secret
from brakeline.node.keys import commands as keys_commands
from brakeline.node.meters import commands as meters_commands
from brakeline.node.ops import commands as ops_commands
from brakeline.node.records import commands as records_commands

if TYPE_CHECKING:
    from brakeline.node.service import Node

app = typer.Typer(help="A lab's node: meters, books, sends, brakes.", no_args_is_help=True)
app.add_typer(look_commands.app)
app.add_typer(send_commands.app)
app.add_typer(meters_commands.app)
app.add_typer(records_commands.app)
app.add_typer(ops_commands.app)
app.add_typer(ops_commands.outbox_app, name="outbox")
app.add_typer(keys_commands.app, name="key")
app.command(
    epilog="Example: brakeline node takeover --dir node-2 --treaty treaty.dsse.json --pin 5f3c..."
    " --site lab-1.party-a.example/site-1 --tls-dir tls --guard /mnt/other/last-signed.json --out request.dsse.json"
)(keys_commands.takeover)


class OnPause(StrEnum):
    """What a pause does to a command without a hook (as :class:`brakeline.node.wrapped.OnPause`)."""

    FREEZE = "freeze"
    END = "end"


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
        root = None if root_key is None else read_signer(root_key, secret("BRAKELINE_ROOT_PASSPHRASE"))
        made = make_node(folder, plan, treaty.read_bytes(), pin, root, passphrase=secret(PASSPHRASE_ENV), now_ms=now_ms)
        if given is not None:
            joining.settle(folder, given)
        first = made.first_period()
        heads = {o.name: o.digest for o in made.journal.envelopes()}
        made.journal.close()
        value = {"dir": str(folder), "site": site, "first_period": first, "statements": heads}
        following = "brakeline node run --dir ..." if root else f"brakeline node key sign {folder / REQUEST} ..."
        emit(value, [f"made {folder} for {site}; first period {first}", f"next: {following}"], form)


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
        config, site = open_site(folder, secret(PASSPHRASE_ENV), now_ms)
        node = Node(folder, config, site, TlsFiles.within(folder / config.tls.folder), now_ms)
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
        code = asyncio.run(Relay(settings, session=os.urandom(16).hex(), now_ms=now_ms).run())
    raise typer.Exit(code)


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
