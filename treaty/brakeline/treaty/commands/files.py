"""What the commands share: reading and writing files, pass phrases, errors and output. Not for use by other parties."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from brakeline.ledger.ed25519 import Signer
    from brakeline.treaty.document import NamedKey, TreatyDocument
    from brakeline.treaty.envelope import Envelope
    from brakeline.treaty.signing import SigningState

EXIT_MISTAKE = 3
EXIT_INCOMPLETE = 4
PASSPHRASE_ENV = "BRAKELINE_PASSPHRASE"  # noqa: S105  (the name of a variable)
MAX_FILE = 1024 * 1024


class Format(StrEnum):
    """How a command prints its result."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="text for people, json for programs.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help=f"Its first line opens the key; else ${PASSPHRASE_ENV}, else a prompt."),
]
NoPassphrase = Annotated[
    bool, typer.Option("--no-passphrase", help="The key file is not encrypted. For demonstrations only.")
]


@contextmanager
def reported() -> Generator[None]:
    """Print an error that a person should see as one line on standard error, and exit with 3."""
    from brakeline.ledger.errors import BrakelineError

    try:
        yield
    except BrakelineError as error:
        fail(str(error))
    except UnicodeDecodeError as error:
        fail(f"file-not-text: expected UTF-8 text, found byte {error.object[error.start]:#04x} at {error.start}")
    except BrokenPipeError:  # whoever read our output has seen enough: click's business, not a mistake
        raise
    except OSError as error:
        fail(f"file-error: {error.filename}: {error.strerror}. Check the path and its permissions")


def fail(text: str) -> NoReturn:
    """Print *text* on standard error and exit with 3."""
    typer.echo(text, err=True)
    raise typer.Exit(EXIT_MISTAKE)


def emit(value: object, text: Iterable[str], form: Format) -> None:
    """Print the result: *value* as JSON, or the lines of *text*."""
    if form is Format.JSON:
        typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        for line in text:
            typer.echo(line)


def read_bytes(path: Path) -> bytes:
    """Read a small file whole; refuse one above 1 MiB."""
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        fail(f"file-too-large: {path}: expected at most {MAX_FILE} bytes")
    return data


def read_document(path: Path) -> TreatyDocument:
    """Read a treaty from its TOML file or from its envelope; print every mistake and exit with 3 if there is one."""
    from brakeline.treaty.document import load_toml

    data = read_bytes(path)
    if data.lstrip().startswith(b"{"):
        return treaty_of(read_envelope(path))
    loaded = load_toml(data.decode("utf-8"))
    if loaded.document is None:
        fail("\n".join(f"{path}: {problem}" for problem in loaded.problems))
    return loaded.document


def read_envelope(path: Path) -> Envelope:
    """Read a DSSE JSON file."""
    from brakeline.treaty.envelope import Envelope

    return Envelope.from_dsse_json(read_bytes(path))


def treaty_of(envelope: Envelope) -> TreatyDocument:
    """Return the treaty that an envelope carries, or exit with 3 when it carries something else."""
    from brakeline.treaty.document import TreatyDocument
    from brakeline.treaty.statements import parse_statement

    statement = parse_statement(envelope.payload)
    if not isinstance(statement.predicate, TreatyDocument):
        fail(f"treaty-not-a-treaty: expected a treaty statement, found a statement of kind {statement.name}")
    return statement.predicate


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file whole and durably: a crash leaves the old one or the new one."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def passphrase(file: Path | None, no_passphrase: bool, *, new: bool) -> bytes | None:
    """Return the pass phrase from the file, the environment or a prompt; None only when it was refused explicitly."""
    if no_passphrase:
        return None
    if file is not None:
        secret = read_bytes(file).partition(b"\n")[0]
    elif PASSPHRASE_ENV in os.environ:
        secret = os.environ[PASSPHRASE_ENV].encode()
    else:
        prompted: str = typer.prompt("Pass phrase of the key", hide_input=True, confirmation_prompt=new, err=True)
        secret = prompted.encode()
    if not secret:
        fail("key-passphrase-empty: expected a pass phrase, found nothing. Say --no-passphrase for a key without one")
    return secret


def is_encrypted(path: Path) -> bool:
    """Say whether a PEM key file is encrypted (so that nobody is asked for a pass phrase that is not needed)."""
    return b"ENCRYPTED" in read_bytes(path).partition(b"\n")[0]


def open_signer(path: Path, passphrase_file: Path | None) -> Signer:
    """Open a key file, asking for its pass phrase when it has one."""
    from brakeline.ledger.keyfile import read_signer

    secret = passphrase(passphrase_file, no_passphrase=not is_encrypted(path), new=False)
    return read_signer(path, secret)


def signing_json(state: SigningState) -> dict[str, object]:
    """Return where a signing stands for ``--format json``."""

    def rows(keys: tuple[NamedKey, ...]) -> list[dict[str, str]]:
        return [{"name": item.owner, "role": item.role, "keyid": item.key.keyid} for item in keys]

    return {
        "complete": state.complete,
        "parties": {"signed": state.parties_signed, "needed": state.parties_needed},
        **({"before": {"signed": state.before_signed, "needed": state.before_needed}} if state.before_needed else {}),
        "signed": rows(state.signed),
        "missing": rows(state.missing),
        "invalid": list(state.invalid),
        "strangers": list(state.strangers),
    }


def signing_lines(state: SigningState) -> list[str]:
    """Return where a signing stands, for people."""
    lines = [f"  signed   {item.owner} ({item.role})" for item in state.signed]
    lines += [f"  missing  {item.owner} ({item.role})" for item in state.missing]
    lines += [f"  INVALID  keyid {keyid}: does not verify" for keyid in state.invalid]
    lines += [f"  STRANGER keyid {keyid}: may not sign this" for keyid in state.strangers]
    lines.append(f"  parties: {state.parties_signed} of the {state.parties_needed} needed")
    if state.before_needed:
        lines.append(f"  parties of the version before: {state.before_signed} of the {state.before_needed} needed")
    lines.append("complete" if state.complete else "not complete yet")
    return lines
