"""Lines to verifiers: a certificate that is replaced is taken up, whom an amendment names is called, and a proxy is the
only way out where it is set.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from brakeline.node.config import EgressPart, NodeConfig
from brakeline.node.journal import Delivery
from brakeline.node.ops import certificates
from brakeline.node.service import Node
from brakeline.node.setup import open_site
from brakeline.node.site import Site
from brakeline.node.tls import TlsError, TlsFiles
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.strictjson import JsonObject

from tests.node import house
from tests.node.house import make, now_ms, until
from tests.support import cast
from tests.verifier import world


def current(count: int) -> TreatyDocument:
    """Return a treaty of *count* verifiers on a grid that began a moment ago."""
    document = world.treaty(count)
    value: JsonObject = document.to_json()
    value["grid"] = {"start": now_ms(), "period_ms": house.PERIOD_MS}
    return type(document).from_json(value)


@asynccontextmanager
async def node(folder: Path, addresses: dict[str, str], **changes: object) -> AsyncGenerator[tuple[Site, Node]]:
    """Run a node that looks at its certificate files all the time."""
    config, site = open_site(folder, None, now_ms)
    config = NodeConfig.model_validate({**config.model_dump(by_alias=True), "verifiers": addresses, **changes})
    made = Node(folder, config, site, TlsFiles.within(folder / "tls"), now_ms, flush_s=0.2, renew_s=0.05)
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(made.run(ready.set, stop))
    try:
        await ready.wait()
        yield site, made
    finally:
        stop.set()
        await task
        site.journal.close()


def received(site: Site) -> int:
    return sum(site.journal.progress(v.name)[Delivery.RECEIVED] for v in site.document.verifiers)


def put(authority: trustme.CA, folder: Path, trusted: trustme.CA) -> None:
    """Issue a certificate of *authority* over the files in *folder*; the verifiers' CA stays *trusted*."""
    certificate = authority.issue_cert(cast.LABS[0])
    (folder / "tls.pem").write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(folder / "tls.key")
    trusted.cert_pem.write_to_path(folder / "ca.pem")


def test_a_replaced_certificate_is_taken_up_without_a_restart(tmp_path: Path) -> None:
    authority, stranger, document = trustme.CA(), trustme.CA(), current(1)
    verifiers = world.World(tmp_path / "verifiers", document, authority=authority)
    make(tmp_path, document, authority).journal.close()
    put(stranger, tmp_path / "node" / "tls", authority)

    async def scene() -> None:
        async with world.running(verifiers) as judges:
            addresses = {j.server.name: j.addresses["grpc"] for j in judges}
            async with node(tmp_path / "node", addresses) as (site, running):
                await until(lambda: house.books(site))
                assert received(site) == 0  # the verifier does not accept the stranger's certificate
                put(authority, tmp_path / "node" / "tls", authority)
                await until(lambda: received(site) >= 3)
                assert running.lines.renewed >= 1

    asyncio.run(scene())


def test_lines_go_to_the_verifiers_of_the_version_that_governs(tmp_path: Path) -> None:
    authority, document = trustme.CA(), current(1)
    verifiers = world.World(tmp_path / "verifiers", document, authority=authority)
    make(tmp_path, document, authority).journal.close()
    both: JsonObject = world.treaty(2).to_json()
    called: list[int] = []

    async def scene() -> None:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            called.append(site.document.version)
            writer.close()

        newcomer = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with newcomer, world.running(verifiers) as judges:
            addresses = {j.server.name: j.addresses["grpc"] for j in judges}
            addresses[cast.VERIFIERS[1]] = f"127.0.0.1:{newcomer.sockets[0].getsockname()[1]}"
            async with node(tmp_path / "node", addresses) as (site, running):
                await until(lambda: received(site) >= 3)
                begins = document.grid.period_of(house_now()) + 2
                second = cast.amended(document, begins, verifier=both["verifier"], quorum=both["quorum"])
                site.follow(cast.joined_by(second, cast.VERIFIERS[1]))
                await until(lambda: called)
                assert running.lines.document.digest == second.digest

    asyncio.run(scene())
    assert set(called) == {2}


def house_now() -> InstantMs:
    return InstantMs(now_ms())


def test_everything_leaves_through_the_proxy_where_one_is_set(tmp_path: Path) -> None:
    authority, document = trustme.CA(), current(1)
    verifiers = world.World(tmp_path / "verifiers", document, authority=authority)
    make(tmp_path, document, authority).journal.close()
    asked: list[str] = []

    async def scene() -> None:
        async with world.running(verifiers) as judges:
            (judge,) = judges
            real = judge.addresses["grpc"]

            async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                """Answer one CONNECT, whatever name it asks for, with a way to the verifier."""
                head = await reader.readuntil(b"\r\n\r\n")
                asked.append(head.split(b"\r\n")[0].decode())
                host, _, port = real.rpartition(":")
                inner, outer = await asyncio.open_connection(host, int(port))
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(pump(reader, outer), pump(inner, writer), return_exceptions=True)

            proxy = await asyncio.start_server(connect, "127.0.0.1", 0)
            port = proxy.sockets[0].getsockname()[1]
            addresses = {judge.server.name: "verifier.invalid:7443"}  # no such host: only the proxy can reach it
            egress = EgressPart(proxy=f"http://127.0.0.1:{port}")
            async with node(tmp_path / "node", addresses, egress=egress) as (site, _):
                await until(lambda: received(site) >= 3)
            proxy.close()

    asyncio.run(scene())
    assert asked
    assert set(asked) == {"CONNECT verifier.invalid:7443 HTTP/1.1"}


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


def test_certificate_files_are_read_together(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    folder = tmp_path / "tls"
    folder.mkdir()
    put(authority, folder, authority)
    files = TlsFiles.within(folder)
    found = certificates.read(files)
    assert found.names == (cast.LABS[0],)
    assert found.days_left(found.not_after_ms - 3 * certificates.DAY_MS) == 3
    assert certificates.issued_by_known(files)

    first = files.key.read_bytes()
    put(other, folder, authority)
    assert not certificates.issued_by_known(files)
    assert certificates.read(files).stamp != found.stamp
    files.key.write_bytes(first)
    assert refused(files) == "tls-key-other"
    put(authority, folder, authority)
    files.ca.write_bytes(files.certificate.read_bytes())
    assert refused(files) == "tls-ca-other"
    files.certificate.write_bytes(b"-----BEGIN")
    assert refused(files) == "tls-file"
    files.certificate.unlink()
    assert refused(files) == "tls-file"


def refused(files: TlsFiles) -> str:
    with pytest.raises(TlsError) as caught:
        certificates.read(files)
    return caught.value.code
