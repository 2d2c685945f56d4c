"""``brakeline node doctor``: is this node well, and what to do where it is not. Changes nothing, signs nothing.

A list of checks, each of which looks at one thing: configuration, treaty, key, certificates, disk, journal, books,
outbox, and of each verifier whether it is reached, under which treaty it runs, and what its log says of the time. A
check that cannot be made because an earlier one failed is not made, and does not count as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from brakeline.node import config
from brakeline.node.config import NodeConfig
from brakeline.node.journal import JournalError
from brakeline.node.keys.store import open_store
from brakeline.node.ops import certificates, local_checks, verifier_checks
from brakeline.node.ops.checks import Check, attempt
from brakeline.node.setup import TREATY, load_treaty, treaty_of
from brakeline.node.tls import TlsFiles
from brakeline.treaty.document import TreatyDocument


def examine(folder: Path, passphrase: bytes | None, now_ms: Callable[[], int], *, online: bool = True) -> list[Check]:
    """Return every check of the node in *folder* that can be made, in a fixed order.

    Args:
        folder: the node's folder; the node may run.
        passphrase: of the site's key.
        now_ms: this machine's wall clock, Unix ms.
        online: also ask the verifiers.
    """
    checks: list[Check] = []
    settings = attempt(checks, "config", lambda: config.load(folder / config.FILE), _said_config)
    if settings is None:
        return checks
    document = attempt(checks, "treaty", lambda: _treaty(folder, settings, now_ms()), _said_treaty)
    key = attempt(checks, "key", lambda: _key(folder, settings, passphrase), lambda found: f"opens: {found[:16]}...")
    checks += local_checks.key_mode(folder)
    tls = TlsFiles.within(folder / settings.tls.folder)
    certificate = attempt(checks, "certificate-files", lambda: certificates.read(tls), _said_names)
    if certificate is not None:
        checks += local_checks.certificate(certificate, settings, tls, now_ms())
    checks += local_checks.disk(folder)
    if document is not None:
        checks += local_checks.journal(folder, settings, document, key, now_ms())
        if online and certificate is not None:
            checks += asyncio.run(verifier_checks.ask_all(document, settings, tls, now_ms))
    return checks


def _said_config(found: NodeConfig) -> str:
    return f"{found.site}, {len(found.chips)} classes of chips"


def _said_treaty(found: TreatyDocument) -> str:
    return f"version {found.version} governs, fully signed: {found.digest[:16]}..."


def _treaty(folder: Path, settings: NodeConfig, now_ms: int) -> TreatyDocument:
    """Return the version that governs; the pinned one where the journal, which has the others, cannot be read."""
    try:
        return treaty_of(folder, settings, now_ms)
    except JournalError:
        return load_treaty((folder / TREATY).read_bytes(), settings.pin)


def _key(folder: Path, settings: NodeConfig, passphrase: bytes | None) -> str:
    return open_store(folder, settings.key, passphrase).signer().public_key.hex()


def _said_names(found: certificates.Certificate) -> str:
    return ", ".join(found.names) or "no DNS name"
