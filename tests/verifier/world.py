"""A treaty whose verifiers run in this process, on loopback, with certificates of a throw-away CA.

Keys come from the cast; certificates from trustme. Ports are always 0 and read back after binding.
"""

from __future__ import annotations

import asyncio
import time
import typing
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import httpx
import trustme
from brakeline.ledger import proof
from brakeline.ledger.proof import VerifiedReceipt
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.strictjson import JsonObject
from brakeline.v1 import verifier_pb2 as pb
from brakeline.v1 import verifier_pb2_grpc as pb_grpc
from brakeline.verifier.config import Config, Limits, Listen
from brakeline.verifier.keys import Signers, Terms
from brakeline.verifier.server import VerifierServer, unix_ms
from google.rpc import error_details_pb2
from grpc_status.rpc_status import from_call

from tests.support import cast, sealing
from tests.support.cast import json_lines

LAB, OTHER_LAB = cast.LABS
FAST = Limits(gather_ms=1, poll_ms=40, cosign_timeout_ms=1_000, drain_ms=500, receipt_wait_ms=8_000)
CHANNEL_OPTIONS = [("grpc.max_receive_message_length", 16 * 1024 * 1024), ("grpc.enable_http_proxy", 0)]


def treaty(verifiers: int = 1, *, heartbeat_ms: int = 100, sealed: bool = False) -> TreatyDocument:
    """Return the cast's treaty with the first *verifiers* verifiers and a quick heart; *sealed*: figures may be."""
    value: JsonObject = sealing.terms(sealing.FIGURES) if sealed else cast.terms()
    value["sealing"] = {"fields": [*sealing.FIGURES] if sealed else [], "holders": (verifiers - 1) // 3 + 1}
    value["verifier"] = [*json_lines(value["verifier"])[:verifiers]]
    liars = (verifiers - 1) // 3
    most = (verifiers + liars) // 2 + 1
    quorum: JsonObject = {
        "liars": liars,
        "witnesses": most,
        "receipts": most,
        "audit": most,
        "orders": 2,
        "amendments": 2,
    }
    deadlines = value["deadlines"]
    assert isinstance(deadlines, dict)
    return cast.document(
        verifier=value["verifier"],
        quorum=quorum,
        sealing=value["sealing"],
        deadlines={**deadlines, "heartbeat_ms": heartbeat_ms, "checkpoint_ms": max(heartbeat_ms, 2_000)},
    )


@dataclass
class World:
    """A directory for each verifier, one CA, one treaty: *document*, which may be an amendment of *pinned*."""

    root: Path
    document: TreatyDocument
    limits: Limits = FAST
    authority: trustme.CA = field(default_factory=trustme.CA)
    off_ms: dict[int, int] = field(default_factory=dict[int, int])
    amendments: tuple[Envelope, ...] = ()
    pinned: TreatyDocument | None = None

    def directory(self, name: str) -> Path:
        """Return (and furnish once) the directory of the verifier *name*."""
        directory = self.root / name
        if not (directory / "tls").exists():
            (directory / "tls").mkdir(parents=True)
            certificate = self.authority.issue_cert(name, "127.0.0.1")
            (directory / "tls/server.pem").write_bytes(b"".join(p.bytes() for p in certificate.cert_chain_pems))
            certificate.private_key_pem.write_to_path(directory / "tls/server.key")
            self.authority.cert_pem.write_to_path(directory / "tls/ca.pem")
        return directory

    def server(self, number: int = 0, http: str = "127.0.0.1:0") -> VerifierServer:
        """Return the verifier *number* of the treaty, not started; *http* is where its HTTP side will listen.

        Its wall clock is off by ``off_ms[number]``, whatever that is at the moment.
        """
        own, root = self.document.verifiers[number], self.pinned or self.document
        config = Config(
            name=own.name,
            pin=root.digest,
            listen=Listen(grpc="127.0.0.1:0", http=http),
            limits=self.limits,
        )
        terms = Terms(cast.treaty_envelope(root), root, own, self.amendments)
        opener = None if own.disclosure_key is None else sealing.disclosure_key(own.name)
        signers = Signers(cast.signer(own.name, "log"), cast.signer(own.name, "witness"), opener)
        clock = lambda: unix_ms() + self.off_ms.get(number, 0)  # noqa: E731
        return VerifierServer(self.directory(own.name), config, terms, signers, now_ms=clock)

    def credentials(self, *names: str, authority: trustme.CA | None = None) -> grpc.ChannelCredentials:
        """Return client credentials whose certificate has *names* as DNS SANs."""
        certificate = (authority or self.authority).issue_cert(*names)
        return grpc.ssl_channel_credentials(
            self.authority.cert_pem.bytes(),
            certificate.private_key_pem.bytes(),
            b"".join(p.bytes() for p in certificate.cert_chain_pems),
        )


@dataclass
class Running:
    """A verifier that serves."""

    server: VerifierServer
    addresses: Mapping[str, str]


@asynccontextmanager
async def running(
    world: World, *numbers: int, peers: Sequence[Running] = (), http: str = "127.0.0.1:0"
) -> AsyncIterator[list[Running]]:
    """Run the verifiers *numbers* of *world* (default: all) in this process until the block ends.

    *peers* are further verifiers that run already.
    """
    servers = [world.server(number, http) for number in numbers or range(len(world.document.verifiers))]
    started: list[Running] = []
    try:
        urls = {item.addresses["name"]: item.addresses["http"] for item in peers}
        urls |= {item.name: await item.start_witness() for item in servers}
        addresses = await asyncio.gather(*(item.start_log(urls) for item in servers))
        started = [Running(server, address) for server, address in zip(servers, addresses, strict=True)]
        yield started
    finally:
        await asyncio.gather(*(item.stop() for item in servers))


@asynccontextmanager
async def stub(
    world: World, verifier: Running, *names: str, authority: trustme.CA | None = None
) -> AsyncIterator[pb_grpc.VerifierAsyncStub]:
    """Return a client of *verifier* whose certificate stands for *names* (default: the first lab)."""
    async with stub_at(world, verifier.addresses["grpc"], *names, authority=authority) as made:
        yield made


@asynccontextmanager
async def stub_at(
    world: World, address: str, *names: str, authority: trustme.CA | None = None
) -> AsyncIterator[pb_grpc.VerifierAsyncStub]:
    """Like :func:`stub`, of the verifier at *address*."""
    credentials = world.credentials(*(names or (LAB,)), authority=authority)
    async with grpc.aio.secure_channel(address, credentials, options=CHANNEL_OPTIONS) as channel:
        yield pb_grpc.VerifierStub(channel)


def batch(envelopes: Sequence[Envelope]) -> pb.SubmitBatchRequest:
    """Return the request that submits *envelopes*."""
    return pb.SubmitBatchRequest(attestations=[attestation(item) for item in envelopes])


def attestation(envelope: Envelope) -> pb.Attestation:
    """Return an envelope as it goes over the wire."""
    signatures = [pb.Signature(keyid=s.keyid, sig=s.sig) for s in envelope.signatures]
    return pb.Attestation(payload=envelope.payload, signatures=signatures)


def check_receipt(world: World, receipt: bytes, number: int = 0) -> VerifiedReceipt:
    """Verify a receipt offline under the treaty's policy for the log of verifier *number*."""
    own = world.document.verifiers[number]
    return proof.verify_receipt(receipt, own.log_key, world.document.witness_policy(own.origin))


def reason(error: grpc.aio.AioRpcError) -> str:
    """Return the stable code in a failed call's ``google.rpc.Status``."""
    status = from_call(typing.cast("grpc.Call", error))
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return str(info.reason)


def retry_ms(error: grpc.aio.AioRpcError) -> int:
    """Return how long a failed call asks its caller to wait (``google.rpc.RetryInfo``)."""
    status = from_call(typing.cast("grpc.Call", error))
    assert status is not None
    info = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    return int(info.retry_delay.ToMilliseconds())


async def event(stream: grpc.aio.UnaryStreamCall[pb.WatchRequest, pb.WatchEvent]) -> pb.WatchEvent:
    """Return the next event of a watch."""
    item = await stream.read()
    assert isinstance(item, pb.WatchEvent)
    return item


async def until(condition: object, seconds: float = 180.0) -> None:
    """Poll a callable (or coroutine function) until it is true."""
    deadline = time.monotonic() + seconds
    assert callable(condition)
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.02)


async def get(verifier: Running, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """Read *path* of a verifier's HTTP side."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(f"{verifier.addresses['http']}/{path}", headers=headers)


def chain(document: TreatyDocument, count: int = 1) -> list[Envelope]:
    """Return an enrolment, an inventory, and *count* periods of balanced books of the first lab's site."""
    lab = cast.Author(LAB, document)
    site = cast.Author(cast.SITE, document)
    held = site.hold()
    books = [site.use(period, held.digest, (cast.line("idle", cast.CHIPS * cast.PERIOD),)) for period in range(count)]
    return [lab.enrol(cast.SITE), held, *books]
