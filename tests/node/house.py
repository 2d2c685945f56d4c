"""A node for the tests: the cast's treaty on a grid around now, a folder made by the real ``init``, and helpers."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trustme
from brakeline.node.config import NodeConfig
from brakeline.node.service import Node
from brakeline.node.setup import Plan, make_node, open_site
from brakeline.node.site import Site
from brakeline.node.tls import TlsFiles
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import Statement, Usage, parse_statement
from brakeline.treaty.strictjson import JsonValue

from tests.support import cast

ROOT = Path(__file__).parents[2]
PERIOD_MS = 1_000
PROGRAM = (sys.executable, "-c", "from brakeline.node.commands import app; app()")


def now_ms() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000


def treaty(start: int, **changes: JsonValue) -> TreatyDocument:
    """Return the cast's treaty with periods of a second from *start* on."""
    return cast.document(grid={"start": start, "period_ms": PERIOD_MS}, **changes)


def issue(authority: trustme.CA, folder: Path) -> Path:
    """Write tls.pem, tls.key and ca.pem of the cast's first lab into *folder*, and return it."""
    folder.mkdir(parents=True)
    certificate = authority.issue_cert(cast.LABS[0])
    (folder / "tls.pem").write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(folder / "tls.key")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return folder


def make(
    folder: Path,
    document: TreatyDocument,
    authority: trustme.CA,
    *,
    clock: Callable[[], int] = now_ms,
    treaty: Envelope | None = None,
) -> Site:
    """Make the node of the cast's first site below *folder*, owing books from its first period on; its journal is open.

    *treaty*: the signed treaty, where other keys than the cast's sign it.
    """
    tls = issue(authority, folder / "issued")
    guard = folder / "apart" / "last-signed.json"
    first = document.effective_period
    plan = Plan(cast.SITE, (("cpu-core", cast.CHIPS),), {}, tls, effective_period=first, guard=guard)
    envelope = (treaty or cast.treaty_envelope(document)).to_dsse_json()
    root = cast.signer(cast.LABS[0])
    return make_node(folder / "node", plan, envelope, document.digest, root, passphrase=None, now_ms=clock)


@asynccontextmanager
async def running(folder: Path, addresses: dict[str, str] | None = None) -> AsyncGenerator[tuple[Site, Node]]:
    """Run the node of *folder* in this process until the block ends (then flush it, as SIGTERM does)."""
    config, site = open_site(folder, None, now_ms)
    config = NodeConfig.model_validate({**config.model_dump(by_alias=True), "verifiers": addresses or {}})
    node = Node(folder, config, site, TlsFiles.within(folder / "tls"), now_ms, flush_s=0.2)
    ready, stop = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(node.run(ready.set, stop))
    try:
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        yield site, node
    finally:
        stop.set()
        await task
        site.journal.close()


@asynccontextmanager
async def serving(folder: Path, addresses: dict[str, str] | None = None) -> AsyncGenerator[Site]:
    """As :func:`running`, for those who only look at the site."""
    async with running(folder, addresses) as (site, _):
        yield site


async def metered(folder: Path, *command: str, options: tuple[str, ...] = ()) -> asyncio.subprocess.Process:
    """Start ``brakeline node meter`` around a command."""
    return await asyncio.create_subprocess_exec(
        *PROGRAM,
        "meter",
        "--dir",
        str(folder),
        *options,
        "--",
        *command,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ},
    )


async def until(condition: Callable[[], object], seconds: float = 180.0) -> None:
    """Poll until *condition* holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.02)


def statements(site: Site) -> list[Statement]:
    """Return what the site's outbox holds, in order."""
    return [parse_statement(Envelope.from_body(item.body).payload) for item in site.journal.envelopes()]


def books(site: Site) -> list[Usage]:
    """Return the site's usage statements, in order."""
    return [s.predicate for s in statements(site) if isinstance(s.predicate, Usage)]


def total(usages: list[Usage], activity: str, what: str) -> int:
    """Return the sum of chip_ms (all classes), flop_model or tokens over the lines of an activity."""
    found = 0
    for line in (line for usage in usages for line in usage.lines if line.activity == activity):
        if what == "chip_ms":
            found += sum(time.value.value for time in line.chip_ms)
        else:
            value = getattr(line, what)
            found += value.value if value is not None else 0
    return found
