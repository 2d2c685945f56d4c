"""``brakeline ledger``: export a log as static files, check a log for damage, mirror a log; and the commands beside it.

Imports nothing heavy at the top: ``brakeline --help`` loads this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from brakeline.ledger import commands_copies, commands_proof
from brakeline.ledger.output import Format, FormatOption, emit, progress_bar

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Export, check, mirror, serve, back up and prove logs (C2SP tlog-tiles directories).",
)
app.add_typer(commands_proof.app, name="proof")

DAMAGED = 1
"""Exit code of ``fsck`` when something is wrong with the log."""


@app.command(epilog="Example: brakeline ledger export --dir /var/lib/brakeline-verifier --out ./log")
def export(
    directory: Annotated[Path, typer.Option("--dir", help="the verifier's directory (it may be running)")],
    out: Annotated[Path, typer.Option("--out", help="where to write the static log")],
    format: FormatOption = Format.TEXT,  # noqa: A002  the option's name is --format
) -> None:
    """Write a verifier's log, under its newest published checkpoint, as a static C2SP tlog-tiles directory."""
    from brakeline.ledger.errors import StoreError
    from brakeline.ledger.export import export as write
    from brakeline.ledger.sqlite_store import SqliteReader

    note = _note(directory, "published")
    if note is None:
        raise StoreError(
            code="store-unpublished",
            message="this log has published no checkpoint yet",
            found=str(directory),
            fix="start the verifier and wait until enough witnesses have cosigned",
        )
    store = SqliteReader(directory / "log.sqlite")
    try:
        with progress_bar("exporting") as progress:
            size = write(store, note, out, progress)
    finally:
        store.close()
    emit(format, {"entries": size, "out": str(out)}, f"{size} entries written to {out}")


@app.command(epilog="Example: brakeline ledger fsck ./log --vkey verifier.party-a.example+1f6b2a0c+AZ...")
def fsck(
    path: Annotated[Path, typer.Argument(help="a verifier's directory, or an exported log")],
    vkey: Annotated[str, typer.Option("--vkey", help="the log's key, as the treaty names it")],
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Hash everything: entries, links, tiles, root, checkpoint. Exit code 0 sound, 1 damaged, 3 unreadable."""
    from brakeline.ledger.fsck import check_source, check_store
    from brakeline.ledger.source import DirectorySource
    from brakeline.ledger.sqlite_store import SqliteReader
    from brakeline.ledger.vkey import VKey

    key = VKey.parse(vkey)
    with progress_bar("checking") as progress:
        if (path / "log.sqlite").is_file():
            store = SqliteReader(path / "log.sqlite")
            try:
                health = check_store(store, _note(path, "signed"), key, progress)
            finally:
                store.close()
        else:
            health = check_source(DirectorySource(path), key, progress)
    value: dict[str, object] = {"entries": health.size, "root": health.root.hex(), "sound": health.problem is None}
    if health.problem is not None:
        value["problem"] = health.problem.as_dict()
    emit(format, value, str(health.problem or f"sound: {health.size} entries, root {health.root.hex()}"))
    raise typer.Exit(DAMAGED if health.problem else 0)


@app.command(
    epilog="Example: brakeline ledger mirror https://log.example ./copy --vkey verifier.party-a.example+1f6b2a0c+AZ..."
)
def mirror(
    source: Annotated[str, typer.Argument(help="a log's http(s) address, or a directory")],
    directory: Annotated[Path, typer.Argument(help="where the copy grows")],
    vkey: Annotated[str, typer.Option("--vkey", help="the log's key, as the treaty names it")],
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Fetch what is new of a log, verify it, and add it to the copy; a second run continues where the first ended."""
    from brakeline.ledger.mirror import Mirror
    from brakeline.ledger.source import opened
    from brakeline.ledger.vkey import VKey

    copy = Mirror(directory, VKey.parse(vkey))
    with opened(source) as log, progress_bar("mirroring") as progress:
        added = copy.update(log, progress)
    value: dict[str, object] = {"added": added, "entries": copy.size, "directory": str(directory)}
    emit(format, value, f"{added} entries added, {copy.size} in {directory}")


def _note(directory: Path, slot: str) -> bytes | None:
    from brakeline.ledger.checkpoint_store import read_slot

    return read_slot(directory / "checkpoint.sqlite", slot)


app.add_typer(commands_copies.app)
