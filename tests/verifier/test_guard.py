"""Before every RPC: identity, quota, deadline; and errors that cross a real socket with their stable code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import cast

import grpc
import pytest
import trustme
from brakeline.treaty.admission import NotYet, Refused
from brakeline.treaty.envelope import Envelope
from brakeline.v1 import verifier_pb2 as pb
from brakeline.v1 import verifier_pb2_grpc as pb_grpc
from brakeline.verifier.config import Limits
from brakeline.verifier.errors import CallError, Status, VerifierError
from brakeline.verifier.guard import Guard
from brakeline.verifier.metrics import Metrics
from brakeline.verifier.service import SERVICE, RpcServer
from brakeline.verifier.tls import IdentityCheck, Role, server_credentials
from brakeline.verifier.wire import Pending, ReceiptQuery, Result, StatusReport
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status.rpc_status import from_call

from tests.support import cast as people

LAB = "lab-1.party-a.example"
ROLES = {LAB: Role.LAB, "party-a.example": Role.PARTY}
NOW = 1_767_225_600_000


class SlowDesk:
    """A desk that blocks until told, and fails on request: the real interface, nothing behind it."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.names: list[str] = []
        self.error: Exception | None = None

    async def submit(self, name: str, items: Sequence[Envelope | Refused], boxes: Sequence[bytes] = ()) -> list[Result]:
        assert not any(boxes)
        self.names.append(name)
        await self.release.wait()
        if self.error is not None:
            raise self.error
        return [item if isinstance(item, Refused) else Pending(item.digest) for item in items]

    async def receipt(self, query: ReceiptQuery) -> bytes | Pending | NotYet:
        return NotYet("statement-unknown", f"no {query.digest}")

    async def status(self, author: str) -> StatusReport:
        return StatusReport("origin", b"note", "0" * 64, ((author, 3, "1" * 64),) if author else ())

    async def watch(self, first: int) -> AsyncIterator[tuple[int, Envelope]]:
        yield first, ITEM
        await asyncio.Event().wait()


ITEM = people.envelope(b"{}", people.signer(LAB))
REQUEST = pb.SubmitBatchRequest(
    attestations=[
        pb.Attestation(payload=ITEM.payload, signatures=[pb.Signature(keyid=k, sig=s) for k, s in ITEM.signatures])
    ]
)


class Bench:
    """A gRPC server over mutual TLS on loopback, and clients of it."""

    def __init__(self, directory: Path, limits: Limits) -> None:
        self.authority = trustme.CA()
        self.directory = directory
        self.desk = SlowDesk()
        certificate = self.authority.issue_cert("127.0.0.1")
        (directory / "server.pem").write_bytes(b"".join(p.bytes() for p in certificate.cert_chain_pems))
        certificate.private_key_pem.write_to_path(directory / "server.key")
        self.authority.cert_pem.write_to_path(directory / "ca.pem")
        check = IdentityCheck(directory / "ca.pem", ROLES, self.clock)
        paths = [directory / name for name in ("server.pem", "server.key", "ca.pem")]
        self.now = NOW + 400 * 86_400_000
        self.rpc = RpcServer(self.desk, Guard(check, limits, Metrics()), server_credentials(*paths), limits, Metrics())
        self.address = ""

    def clock(self) -> int:
        return self.now

    @asynccontextmanager
    async def channel(self, *names: str) -> AsyncIterator[grpc.aio.Channel]:
        leaf = self.authority.issue_cert(*names)
        chain = b"".join(p.bytes() for p in leaf.cert_chain_pems)
        credentials = grpc.ssl_channel_credentials(self.authority.cert_pem.bytes(), leaf.private_key_pem.bytes(), chain)
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(self.address, credentials, options=options) as channel:
            yield channel


@asynccontextmanager
async def bench(directory: Path, limits: Limits | None = None) -> AsyncIterator[Bench]:
    made = Bench(directory, limits or Limits(drain_ms=200))
    port = await made.rpc.start("127.0.0.1:0")
    made.address = f"127.0.0.1:{port}"
    await made.rpc.set_serving(True)
    try:
        yield made
    finally:
        await made.rpc.stop()


async def failure(call: Awaitable[object]) -> tuple[grpc.StatusCode, str, int]:
    """Return (status, stable code, retry delay in ms) of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = from_call(cast("grpc.Call", caught.value))
    assert status is not None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    delay = 0
    if len(status.details) > 1:
        assert status.details[1].Unpack(retry)
        delay = retry.retry_delay.ToMilliseconds()
    return caught.value.code(), info.reason, delay


async def health_check(channel: grpc.aio.Channel) -> health_pb2.HealthCheckResponse:
    """Ask whether the service is serving."""
    call = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    return await call(health_pb2.HealthCheckRequest(service=SERVICE))


def test_the_certificate_is_the_identity_of_each_call(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as it, it.channel(LAB) as lab, it.channel("party-a.example") as party:
            it.desk.release.set()
            await pb_grpc.VerifierStub(lab).SubmitBatch(REQUEST)
            await pb_grpc.VerifierStub(party).SubmitBatch(REQUEST)
            assert it.desk.names == [LAB, "party-a.example"]

    asyncio.run(scenario())


def test_a_name_the_treaty_does_not_know_is_denied_everything(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as it, it.channel("stranger.example") as channel:
            stub = pb_grpc.VerifierStub(channel)
            denied = (grpc.StatusCode.PERMISSION_DENIED, "identity-unknown", 0)
            assert await failure(stub.SubmitBatch(REQUEST)) == denied
            assert await failure(stub.GetStatus(pb.GetStatusRequest())) == denied
            assert await failure(stub.GetReceipt(pb.GetReceiptRequest(digest="0" * 64))) == denied
            assert await failure(health_check(channel)) == denied
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in stub.Watch(pb.WatchRequest()):
                    pass
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert it.desk.names == []

    asyncio.run(scenario())


def test_a_client_without_a_certificate_does_not_get_past_the_handshake(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as it:
            credentials = grpc.ssl_channel_credentials(it.authority.cert_pem.bytes())
            options = [("grpc.enable_http_proxy", 0)]
            async with grpc.aio.secure_channel(it.address, credentials, options=options) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await pb_grpc.VerifierStub(channel).GetStatus(pb.GetStatusRequest(), timeout=5)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    asyncio.run(scenario())


def test_an_open_connection_does_not_outlive_its_ca(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as it, it.channel(LAB) as channel:
            stub = pb_grpc.VerifierStub(channel)
            assert (await stub.GetStatus(pb.GetStatusRequest(author=LAB))).heads[0].sequence == 3
            (tmp_path / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes() + b"\n")
            code = await failure(stub.GetStatus(pb.GetStatusRequest()))
            assert code == (grpc.StatusCode.UNAUTHENTICATED, "identity-untrusted", 0)

    asyncio.run(scenario())


def test_quotas_are_per_identity(tmp_path: Path) -> None:
    async def scenario() -> None:
        limits = Limits(calls=2, streams=1, drain_ms=200)
        async with bench(tmp_path, limits) as it, AsyncExitStack() as stack:
            lab, again, party = [
                pb_grpc.VerifierStub(await stack.enter_async_context(it.channel(name)))
                for name in (LAB, LAB, "party-a.example")
            ]
            held = [asyncio.ensure_future(s.SubmitBatch(REQUEST)) for s in (lab, again)]
            while len(it.desk.names) < 2:
                await asyncio.sleep(0.01)
            exhausted = await failure(again.SubmitBatch(REQUEST))
            assert exhausted == (grpc.StatusCode.RESOURCE_EXHAUSTED, "quota-calls", 500)
            stream = lab.Watch(pb.WatchRequest(from_index=4))
            first = await stream.read()
            assert isinstance(first, pb.WatchEvent)
            assert first.index == 4
            second = again.Watch(pb.WatchRequest())
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await second.read()
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            other = party.Watch(pb.WatchRequest(from_index=7))
            assert isinstance(await other.read(), pb.WatchEvent)
            it.desk.release.set()
            await asyncio.gather(*held)
            await again.SubmitBatch(REQUEST)
            stream.cancel()
            other.cancel()

    asyncio.run(scenario())


def test_a_call_that_takes_too_long_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path, Limits(call_ms=50, drain_ms=200)) as it, it.channel(LAB) as channel:
            failed = await failure(pb_grpc.VerifierStub(channel).SubmitBatch(REQUEST))
            assert failed == (grpc.StatusCode.DEADLINE_EXCEEDED, "call-deadline", 0)

    asyncio.run(scenario())


@pytest.mark.parametrize("status", list(Status))
def test_errors_cross_the_wire_with_their_code(tmp_path: Path, status: Status) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as it, it.channel(LAB) as channel:
            it.desk.release.set()
            it.desk.error = CallError(status, code="test-code", message="m", found="é\n" * 50, retry_after_ms=1_250)
            failed = await failure(pb_grpc.VerifierStub(channel).SubmitBatch(REQUEST))
            assert failed == (grpc.StatusCode[status.value], "test-code", 1_250)
            it.desk.error = VerifierError(code="inner-code", message="m")
            failed = await failure(pb_grpc.VerifierStub(channel).SubmitBatch(REQUEST))
            assert failed == (grpc.StatusCode.INTERNAL, "inner-code", 0)

    asyncio.run(scenario())


def test_bounds_of_a_batch_come_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as it, it.channel(LAB) as channel:
            stub = pb_grpc.VerifierStub(channel)
            item = REQUEST.attestations[0]
            invalid = grpc.StatusCode.INVALID_ARGUMENT
            assert await failure(stub.SubmitBatch(pb.SubmitBatchRequest())) == (invalid, "batch-empty", 0)
            many = pb.SubmitBatchRequest(attestations=[item] * 513)
            assert await failure(stub.SubmitBatch(many)) == (invalid, "batch-too-many", 0)
            large = pb.SubmitBatchRequest(attestations=[pb.Attestation(payload=bytes(60_000))] * 60)
            assert await failure(stub.SubmitBatch(large)) == (invalid, "batch-too-large", 0)
            assert await failure(stub.GetReceipt(pb.GetReceiptRequest(digest="X"))) == (invalid, "field-missing", 0)
            assert it.desk.names == []

    asyncio.run(scenario())


def test_malformed_items_are_refused_one_by_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as it, it.channel(LAB) as channel:
            it.desk.release.set()
            good = REQUEST.attestations[0]
            signature = good.signatures[0]
            items = [
                pb.Attestation(),
                pb.Attestation(payload=b"{}"),
                pb.Attestation(payload=b"{}", signatures=[pb.Signature(keyid="x", sig=bytes(64))]),
                pb.Attestation(payload=b"{}", signatures=[signature, signature]),
                pb.Attestation(payload=b"{}", signatures=[pb.Signature(keyid=signature.keyid, sig=b"short")]),
                pb.Attestation(payload=bytes(61_441), signatures=[signature]),
                good,
            ]
            answer = await pb_grpc.VerifierStub(channel).SubmitBatch(pb.SubmitBatchRequest(attestations=items))
            assert [result.refused.code for result in answer.results] == [
                "field-missing",
                "envelope-signatures",
                "envelope-keyid",
                "envelope-keyid",
                "envelope-signature-size",
                "envelope-too-large",
                "",
            ]
            assert answer.results[-1].pending.digest == ITEM.digest

    asyncio.run(scenario())


def test_health_and_reflection_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as it, it.channel(LAB) as channel:
            assert (await health_check(channel)).status == health_pb2.HealthCheckResponse.SERVING
            watch = channel.unary_stream(
                "/grpc.health.v1.Health/Watch",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            watched = watch(health_pb2.HealthCheckRequest(service=SERVICE))
            first = await watched.read()
            assert isinstance(first, health_pb2.HealthCheckResponse)
            assert first.status == health_pb2.HealthCheckResponse.SERVING
            watched.cancel()
            reflect = channel.stream_stream(
                "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )
            call = reflect()
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            listed = await call.read()
            assert isinstance(listed, reflection_pb2.ServerReflectionResponse)
            assert SERVICE in {item.name for item in listed.list_services_response.service}
            await call.done_writing()

    asyncio.run(scenario())


def test_a_taken_port_is_not_shared(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as it:
            (tmp_path / "second").mkdir()
            second = Bench(tmp_path / "second", Limits())
            with pytest.raises(VerifierError) as caught:
                await second.rpc.start(it.address)
            assert caught.value.code == "listen-grpc"

    asyncio.run(scenario())
