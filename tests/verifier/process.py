"""A verifier as a process of its own: made with ``brakeline verifier init``, started with ``serve``."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from brakeline.ledger import keyfile
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import encode_statement
from brakeline.treaty.strictjson import JsonValue
from brakeline.verifier.commands import app
from typer.testing import CliRunner

from tests.support import cast
from tests.verifier import world

NAME = cast.VERIFIERS[0]
COMMAND = [sys.executable, "-c", "from brakeline.verifier.commands import app; app()"]


@dataclass
class Made:
    """A directory that ``init`` made, with the treaty installed and certificates in place."""

    world: world.World
    directory: Path
    envelope: Envelope


def invoke(*arguments: str) -> str:
    """Run ``brakeline verifier`` in this process; return stdout (the exit code must be 0)."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def make(root: Path, *, heartbeat_ms: int = 100) -> Made:
    """Init, have the treaty signed by every key it names, install it, and furnish TLS files."""
    directory = root / NAME
    table = tomllib.loads(invoke("init", "--dir", str(directory), "--name", NAME, "--party", cast.PARTIES[0]))
    document = named(table["verifier"][0], heartbeat_ms)
    envelope = sign(document, directory)
    (root / "treaty.dsse.json").write_bytes(envelope.to_dsse_json())
    invoke("init", "--dir", str(directory), "--treaty", str(root / "treaty.dsse.json"), "--pin", document.digest)
    config = directory / "verifier.toml"
    limits = "gather_ms = 1\ndrain_ms = 500\n"
    listen = '[listen]\ngrpc = "127.0.0.1:0"\nhttp = "127.0.0.1:0"\n'
    config.write_text(f"{config.read_text()}{listen}[limits]\n{limits}")
    made = world.World(root, document, authority=trustme.CA())
    made.directory(NAME)
    return Made(made, directory, envelope)


def named(verifier: Mapping[str, JsonValue], heartbeat_ms: int) -> TreatyDocument:
    """Return the small treaty with one verifier, whose lines ``init`` printed."""
    value = world.treaty(1, heartbeat_ms=heartbeat_ms).to_json()
    return TreatyDocument.from_json({**value, "verifier": [dict(verifier)]})


def sign(document: TreatyDocument, directory: Path) -> Envelope:
    """Return the treaty statement signed by the cast and by the verifier's own key files."""
    signers = [cast.signer(name) for name in (*cast.PARTIES, *cast.LABS, cast.METER)]
    signers += [keyfile.read_signer(directory / "keys" / f"{name}.pem", None) for name in ("log", "witness")]
    return cast.envelope(encode_statement(document), *signers)


@dataclass
class Served:
    """A verifier process that is ready."""

    process: subprocess.Popen[bytes]
    addresses: dict[str, str]


@asynccontextmanager
async def served(made: Made) -> AsyncIterator[Served]:
    """Run ``serve`` until the block ends (SIGTERM unless it ended before)."""
    with (made.directory / "stderr.log").open("ab") as errors:
        command = [*COMMAND, "serve", "--dir", str(made.directory)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
    assert process.stdout is not None
    try:
        line = await asyncio.to_thread(process.stdout.readline)
        assert line, (made.directory / "stderr.log").read_text()[-2_000:]
        yield Served(process, json.loads(line)["ready"])
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)
        process.stdout.close()
