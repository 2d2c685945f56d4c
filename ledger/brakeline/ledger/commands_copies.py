"""``brakeline ledger serve``, ``backup``, ``restore``, ``catch-up``: what an operator does with copies of a log.

Imports nothing heavy at the top.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from brakeline.ledger.output import Format, FormatOption, KeyOption, emit, progress_bar

if TYPE_CHECKING:
    from brakeline.ledger.backup import Restored

app = typer.Typer(rich_markup_mode=None)

NOT_READY = 1
"""Exit code of ``restore`` and ``catch-up`` when the log is on disk and will refuse to be signed as it is."""


@app.command(epilog="Example: brakeline ledger serve ./copy --port 8080")
def serve(
    directory: Annotated[Path, typer.Argument(help="an exported or mirrored log")],
    host: Annotated[str, typer.Option("--host", help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free port")] = 0,
) -> None:
    """Serve a copy of a log over HTTP until SIGTERM, read-only. Prints one JSON line {"ready": ...} with the address.

    Anybody may serve a log: readers believe only what leads to its signed checkpoint. The copy may grow meanwhile.
    """
    from brakeline.ledger.serve import LogServer, run

    def ready(url: str) -> None:
        print(json.dumps({"ready": {"url": url}}), flush=True)

    run(LogServer(directory, host, port), ready)


@app.command(
    epilog="Example: brakeline ledger backup /var/lib/brakeline-verifier /backup/2026-03-01"
    " --vkey verifier.party-a.example+1f6b2a0c+AZ..."
)
def backup(
    directory: Annotated[Path, typer.Argument(help="the verifier's directory (it may be running)")],
    out: Annotated[Path, typer.Argument(help="a new directory for the backup")],
    vkey: KeyOption,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Copy a verifier's log, as of one instant, and hash all of the copy. The checkpoint store is never in it.

    That store remembers what was signed last; taken back by a restore, it would let the log fork.
    """
    from brakeline.ledger.backup import backup as take
    from brakeline.ledger.vkey import VKey

    with progress_bar("copying") as progress:
        size = take(directory, out, VKey.parse(vkey), progress)
    emit(format, {"entries": size, "out": str(out)}, f"{size} entries in {out}")


@app.command(
    epilog="Example: brakeline ledger restore /backup/2026-03-01 /var/lib/brakeline-verifier"
    " --vkey verifier.party-a.example+1f6b2a0c+AZ... --from ./mirror-of-it"
)
def restore(
    copy: Annotated[Path, typer.Argument(help="a backup")],
    directory: Annotated[Path, typer.Argument(help="the verifier's directory, without a log")],
    vkey: KeyOption,
    mirror: Annotated[str, typer.Option("--from", help="a peer's mirror of this log: what the backup lacks")] = "",
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Put a log back from a backup, and bring it forward from a peer's mirror of it. Never touches what was signed.

    Exit code 0: the log holds all that its checkpoint store remembers; 1: it is restored and refuses to be signed as
    it is (what to do is printed); 3: nothing was restored.
    """
    from brakeline.ledger.backup import restore as put_back
    from brakeline.ledger.source import opened
    from brakeline.ledger.vkey import VKey

    key = VKey.parse(vkey)
    with progress_bar("restoring") as progress:
        if mirror:
            with opened(mirror) as source:
                restored = put_back(copy, directory, key, source, progress)
        else:
            restored = put_back(copy, directory, key, progress=progress)
    _tell(format, restored, directory)


@app.command(
    epilog="Example: brakeline ledger catch-up /var/lib/brakeline-verifier --from ./mirror-of-it"
    " --vkey verifier.party-a.example+1f6b2a0c+AZ..."
)
def catch_up(
    directory: Annotated[Path, typer.Argument(help="the verifier's directory (it must not be running)")],
    mirror: Annotated[str, typer.Option("--from", help="a peer's mirror of this log: a directory, or an address")],
    vkey: KeyOption,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Append to a log the entries of its own that it lost and a peer's mirror of it holds, byte for byte, verified.

    Exit codes as for restore.
    """
    from brakeline.ledger.backup import catch_up as bring_forward
    from brakeline.ledger.source import opened
    from brakeline.ledger.vkey import VKey

    with opened(mirror) as source, progress_bar("catching up") as progress:
        restored = bring_forward(directory, VKey.parse(vkey), source, progress)
    _tell(format, restored, directory)


def _tell(format: Format, restored: Restored, directory: Path) -> None:  # noqa: A002
    signed = restored.signed
    if restored.ready:
        to_do = "start the verifier: before it signs, it asks the witnesses what they remember of this log"
    elif signed is None:
        to_do = (
            f"put the checkpoint store back too ({directory / 'checkpoint.sqlite'}), or, when it is lost, have the"
            " witnesses asked (`brakeline verifier recover-checkpoint`): without it nobody knows what was signed, and"
            " the log refuses to be signed (store-forgotten)"
        )
    else:
        to_do = (
            f"{signed.size} entries were signed, so the log refuses to be signed (store-behind): `brakeline ledger"
            f" catch-up {directory} --from MIRROR --vkey KEY`, MIRROR being a peer's copy of this log"
        )
    value: dict[str, object] = {
        "entries": restored.size,
        "added": restored.added,
        "signed": None if signed is None else signed.size,
        "ready": restored.ready,
        "to_do": to_do,
    }
    text = f"{restored.size} entries in {directory}, {restored.added} of them from the mirror\nto do: {to_do}"
    emit(format, value, text)
    raise typer.Exit(0 if restored.ready else NOT_READY)
