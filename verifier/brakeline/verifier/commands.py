"""``brakeline verifier``: make a verifier's directory, install the treaty, serve. Nothing heavy is imported up here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from brakeline.ledger.output import Format, FormatOption, emit

app = typer.Typer(
    help="Run a verification body's server: accept statements, judge them, keep the log, witness the others.",
    no_args_is_help=True,
)

Directory = Annotated[Path, typer.Option("--dir", help="The verifier's directory.")]


@app.command(
    epilog="Example: brakeline verifier init --dir verifier-a --name verifier.party-a.example"
    " --url http://127.0.0.1:7480 --grpc 127.0.0.1:7443"
)
def init(
    directory: Directory,
    name: Annotated[str, typer.Option(help="This verifier's name: also the log's origin.")] = "",
    url: Annotated[str, typer.Option(help="Where others read the log (for the treaty).")] = "http://127.0.0.1:7480",
    grpc: Annotated[str, typer.Option(help="host:port where nodes submit (for the treaty).")] = "127.0.0.1:7443",
    party: Annotated[str, typer.Option(help="The party that runs this verifier (for the treaty).")] = "",
    treaty: Annotated[Path | None, typer.Option(help="Install this signed treaty, version 1 (DSSE JSON).")] = None,
    amendment: Annotated[
        list[Path] | None, typer.Option(help="Install this later version too; may be given several times.")
    ] = None,
    pin: Annotated[str, typer.Option(help="The treaty's digest, from a source you trust.")] = "",
    passphrase_file: Annotated[Path | None, typer.Option(help="Encrypt the key files with its first line.")] = None,
) -> None:
    """Make the keys and print the lines for the treaty; later, install the signed treaty.

    First run, with --name: makes log, witness and disclosure keys and verifier.toml, and prints a [[verifier]] table.
    Second run, with --treaty and --pin: checks the treaty statement against the pin and installs it.
    """
    from brakeline.ledger.errors import BrakelineError
    from brakeline.verifier.setup import install_treaty, make_directory

    try:
        if name:
            secret = _passphrase(passphrase_file)
            typer.echo(make_directory(directory, name, url=url, grpc=grpc, party=party, passphrase=secret))
        if treaty is not None:
            later = [item.read_bytes() for item in amendment or ()]
            digest = install_treaty(directory, treaty.read_bytes(), pin, later)
            typer.echo(f"installed treaty {digest}", err=bool(name))
        if not name and treaty is None:
            raise typer.BadParameter("give --name to make keys, or --treaty and --pin to install a treaty")
    except OSError as error:
        _fail(f"file: {error.filename}: {error.strerror}")
    except BrakelineError as error:
        _fail(str(error))


@app.command(epilog="Example: brakeline verifier serve --dir verifier-a")
def serve(
    directory: Directory,
    passphrase_file: Annotated[Path | None, typer.Option(help="First line decrypts the key files.")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error; JSON lines on stderr.")] = "info",
) -> None:
    """Serve until SIGTERM. Prints one JSON line {"ready": ...} on stdout once statements are taken."""
    from brakeline.ledger.errors import BrakelineError
    from brakeline.verifier.server import run

    def ready(addresses: dict[str, str]) -> None:
        typer.echo(json.dumps({"ready": addresses}))

    try:
        run(directory, passphrase=_passphrase(passphrase_file), on_ready=ready, log_level=log_level)
    except BrakelineError as error:
        _fail(str(error))


@app.command(
    name="recover-checkpoint",
    epilog="Example: brakeline verifier recover-checkpoint --dir verifier-a --never-restored --format json",
)
def recover_checkpoint(
    directory: Directory,
    never_restored: Annotated[
        bool,
        typer.Option(
            "--never-restored",
            help="You state that log.sqlite is the file that was signed, never a copy put back. Then n - w + f + 1"
            " witnesses are enough; otherwise all must answer.",
        ),
    ] = False,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Put back what this log signed last, from what the witnesses remember, when checkpoint.sqlite is lost.

    For a verifier that refuses to start with `store-forgotten`; it must be stopped. Asks every witness of the treaty,
    checks their signatures, reads and hashes the whole log and holds it against every answer; writes only when all
    agree and nothing is remembered. Signs nothing.
    """
    import time

    from brakeline.ledger.errors import BrakelineError
    from brakeline.verifier.config import load_config
    from brakeline.verifier.keys import load_terms
    from brakeline.verifier.recover import recover

    try:
        config = load_config(directory)
        typer.echo("asking the witnesses, reading the log", err=True)
        now_ms = time.time_ns() // 1_000_000
        done = recover(directory, config, load_terms(directory, config), now_ms=now_ms, never_restored=never_restored)
    except BrakelineError as error:
        _fail(str(error))
    emit(format, done.to_json(), done.to_text())


def _passphrase(path: Path | None) -> bytes | None:
    if path is None:
        return None
    return path.read_bytes().partition(b"\n")[0] or None


def _fail(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(3)
