"""``brakeline node doctor``, ``top`` and ``outbox``: looking after a node. Nothing heavy is imported up here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from brakeline.ledger.output import Format, FormatOption, emit

if TYPE_CHECKING:
    from brakeline.node.ops.carry import Taken

app = typer.Typer(rich_markup_mode=None)
outbox_app = typer.Typer(
    help="Carry what is signed out of a site without a network, and the receipts back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

EXIT_UNWELL = 1
EXIT_INCOMPLETE = 4
Folder = Annotated[Path, typer.Option("--dir", help="The node's folder.")]


@app.command(epilog="Example: brakeline node doctor --dir node --format json")
def doctor(
    folder: Folder,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the verifiers.")] = False,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Say whether the node is well, and what to do where it is not. Reads only; the node may run.

    Looks at configuration, treaty, key, certificates, disk, journal, books and outbox, and asks every verifier: whether
    it answers, under which treaty it runs, and what its log says of the time. Exit codes: 0 well, or warnings only; 1
    something keeps the node from its work.
    """
    import time

    from brakeline.node.ops.checks import State, worst
    from brakeline.node.ops.doctor import examine

    secret = os.environ.get("BRAKELINE_PASSPHRASE")
    checks = examine(
        folder, secret.encode() if secret else None, lambda: time.time_ns() // 1_000_000, online=not offline
    )
    lines = [f"{c.state.value:<5}{c.name:<44} {c.found}" + (f"\n     -> {c.fix}" if c.fix else "") for c in checks]
    state = worst(checks)
    emit(format, {"state": state.value, "checks": [c.to_json() for c in checks]}, "\n".join([*lines, state.value]))
    raise typer.Exit(EXIT_UNWELL if state is State.FAIL else 0)


@app.command(epilog="Example: brakeline node top --dir node")
def top(
    folder: Folder,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.2, max=3600)] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and exit.")] = False,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Watch books, receipts, programs and orders in the terminal, until Ctrl-C. Reads only; the node may run.

    With --format json it looks once and prints one object.
    """
    from brakeline.node.cli import reported
    from brakeline.node.ops import top as tops

    with reported():
        if format is Format.JSON:
            emit(format, tops.look(folder).to_json(), "")
        else:
            tops.show(folder, every, once=once)


@outbox_app.command("export", epilog="Example: brakeline node outbox export box.jsonl --dir node")
def export(
    file: Annotated[Path, typer.Argument(help="The box to write; one that exists is replaced.")],
    folder: Folder,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Write what some verifier still lacks into one file, to be submitted elsewhere. Reads only; the node may run."""
    from brakeline.node import config
    from brakeline.node.cli import now_ms, reported
    from brakeline.node.journal import Journal
    from brakeline.node.ops import carry
    from brakeline.node.setup import JOURNAL, treaty_of
    from brakeline.treaty.envelope import Envelope

    with reported():
        settings = config.load(folder / config.FILE)
        document = treaty_of(folder, settings, now_ms())
        with Journal(folder / JOURNAL, read_only=True) as journal:
            items = [
                carry.Carried(Envelope.from_body(item.body), carry.disclosures(journal, document, item.digest))
                for item in carry.owed(journal, document)
            ]
        carry.export(file, settings.site, document, items)
        disclosed = sum(bool(item.disclosures) for item in items)
        next_step = (
            f"next, where verifiers are reached: brakeline node outbox submit {file.name} --treaty ... --pin ..."
        )
        value = {"file": str(file), "statements": len(items), "with_disclosures": disclosed}
        emit(format, value, f"{len(items)} statements in {file}, {disclosed} with disclosures\n{next_step}")


@outbox_app.command(
    "submit",
    epilog="Example: brakeline node outbox submit box.jsonl --treaty treaty.dsse.json --pin 5f3c... --tls-dir tls",
)
def submit(
    file: Annotated[Path, typer.Argument(help="The box, as `outbox export` wrote it.")],
    treaty: Annotated[Path, typer.Option(help="The signed treaty (DSSE JSON), or a folder of all its versions.")],
    pin: Annotated[str, typer.Option(help="Its digest, or that of one of them, from a source you trust.")],
    tls_dir: Annotated[Path, typer.Option(help="Folder with tls.pem, tls.key, ca.pem.")],
    receipts: Annotated[Path, typer.Option(help="Where verified receipts go; carry this folder back.")] = Path(
        "receipts"
    ),
    timeout: Annotated[float, typer.Option(help="Seconds to wait for receipts.")] = 60.0,
    proxy: Annotated[str | None, typer.Option(help="http://host:port of a proxy that lets CONNECT through.")] = None,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Hand an exported box to every verifier and collect verified receipts. Exit 0 when each has a quorum, else 4.

    Do it again as often as you like: what a verifier holds gets its receipt once more.
    """
    import asyncio

    from brakeline.node.cli import reported
    from brakeline.node.journal import Delivery
    from brakeline.node.ops import carry
    from brakeline.node.setup import load_versions
    from brakeline.node.submit import submit_all
    from brakeline.node.tls import TlsFiles

    with reported():
        document = carry.version_of(file, load_versions(treaty, pin))
        credentials = TlsFiles.within(tls_dir).credentials()
        box = carry.read(file, document)
        done = asyncio.run(submit_all(box, document, credentials, receipts, timeout, proxy=proxy))
        received = {d: sum(s is Delivery.RECEIVED for s, _ in by.values()) for d, by in done.items()}
        complete = sum(count >= document.quorum.receipts for count in received.values())
        counts = {
            v.name: {state.value: sum(by[v.name][0] is state for by in done.values()) for state in Delivery}
            for v in document.verifiers
        }
        refused = [
            {"digest": digest, "verifier": name, "reason": why}
            for digest, by in done.items()
            for name, (state, why) in by.items()
            if state is Delivery.REFUSED
        ]
        quorum = document.quorum.receipts
        value = {
            "statements": len(done),
            "at_quorum": complete,
            "receipt_quorum": quorum,
            "verifiers": counts,
            "refused": refused,
        }
        lines = [f"{complete} of {len(done)} statements have receipts of {quorum} logs or more"]
        lines += [f"{name}: {', '.join(f'{c} {s}' for s, c in by.items() if c)}" for name, by in counts.items()]
        lines.append(f"next, in the site: brakeline node outbox receipts {receipts.name} --dir node")
        emit(format, value, "\n".join(lines))
    if complete < len(done):
        raise typer.Exit(EXIT_INCOMPLETE)


@outbox_app.command("receipts", epilog="Example: brakeline node outbox receipts receipts --dir node")
def receipts_(
    source: Annotated[Path, typer.Argument(help="The folder of receipts that `outbox submit` filled.")],
    folder: Folder,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Take receipts that were carried back into the node's books; each is verified under the treaty.

    A running node takes them up itself within a second.
    """
    from brakeline.node import config
    from brakeline.node.cli import reported
    from brakeline.node.journal import Journal, JournalError
    from brakeline.node.ops import carry
    from brakeline.node.service import RECEIPTS
    from brakeline.node.setup import JOURNAL, versions_of

    with reported():
        settings = config.load(folder / config.FILE)
        versions = versions_of(folder, settings)
        brought = carry.bring(source, folder / carry.INCOMING, versions)
        taken: Taken | None = None
        try:
            with Journal(folder / JOURNAL) as journal:
                taken = carry.take_up(folder / carry.INCOMING, folder / RECEIPTS, journal, versions)
        except JournalError as error:
            if error.code != "journal-locked":
                raise
        value: dict[str, object] = {"brought": brought, "taken": None, "strange": []}
        if taken is None:
            lines = [f"{brought} receipts left for the running node, which verifies and notes them"]
        else:
            value |= {"taken": taken.receipts, "strange": [{"file": p, "why": why} for p, why in taken.strange]}
            lines = [f"{taken.receipts} of {brought} receipts verified and noted"]
            lines += [f"not taken: {path}: {why}" for path, why in taken.strange]
        emit(format, value, "\n".join(lines))
    if taken is not None and taken.strange:
        raise typer.Exit(EXIT_INCOMPLETE)
