"""Durable ingest: what one verifier takes, from a client's SubmitBatch to receipts in the client's hand.

A verifier process with its default settings; eight labs, each with its own certificate, connection and chain, each with
one batch in flight. Between the first call and the last answer lie: mutual TLS, admission with one strict signature
check a statement, a commit with full sync, reading back and hashing again, a signed and cosigned checkpoint, a receipt
for every statement. The client runs on the same two cores; its requests are signed and serialised beforehand.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from brakeline.ledger import proof
from brakeline.treaty.envelope import Envelope
from brakeline.v1 import verifier_pb2 as pb

from bench import denominator, house
from bench.denominator import Beside
from bench.payloads import Payload, SiteChain, samples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from brakeline.testnet.ca import Identity

METHOD = "/brakeline.v1.Verifier/SubmitBatch"
BATCH = 256
"""Statements in a batch; 256 of the larger payload are 1.4 MB, below the 3 MiB that a batch may have."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Round:
    """One timed round: how many entries, in how many seconds, and the denominator around it."""

    entries: int
    seconds: float
    beside: Beside

    @property
    def rate(self) -> float:
        """Entries per second."""
        return self.entries / self.seconds

    @property
    def ratio(self) -> float:
        """Entries per verification (or per whatever the denominator counts)."""
        return self.rate / self.beside.mean

    def to_json(self) -> dict[str, float]:
        """Return what was measured."""
        return {
            "entries": self.entries,
            "seconds": round(self.seconds, 4),
            "denominator_per_s_before": round(self.beside.before),
            "denominator_per_s_after": round(self.beside.after),
            "ratio": round(self.ratio, 4),
        }


def measure(
    folder: Path, payload: Payload, entries: int, rounds: int, progress: Progress
) -> tuple[house.House, list[Round]]:
    """Return *rounds* rounds of about *entries* statements, and the house whose verifier holds their log."""
    made = house.build(folder)
    chains = {lab: SiteChain(lab, made.document) for lab in house.LABS}
    with house.serving(made) as ready:
        return made, asyncio.run(_rounds(made, ready["grpc"], chains, payload, entries, rounds, progress))


async def _rounds(
    made: house.House,
    address: str,
    chains: dict[str, SiteChain],
    payload: Payload,
    entries: int,
    rounds: int,
    progress: Progress,
) -> list[Round]:
    each = max(BATCH, entries // len(chains))
    done: list[Round] = []
    async with _connected(made, address) as submit:
        await _send(submit, {lab: [_request(chain.opening())] for lab, chain in chains.items()})
        for number in range(-1, rounds):  # the first one warms up and is not counted
            books = {lab: list(chain.books(payload, each)) for lab, chain in chains.items()}
            first = house.LABS[0]
            signed = samples(books[first], chains[first].site)
            requests = {lab: [_request(part) for part in _parts(items)] for lab, items in books.items()}
            before = denominator.on_threads(signed)
            began = time.perf_counter()
            answers = await _send(submit, requests)
            seconds = time.perf_counter() - began
            beside = Beside(before, denominator.on_threads(signed))
            count = _receipts(made, answers)
            if number >= 0:
                done.append(Round(count, seconds, beside))
                progress(f"ingest {payload}: round {number + 1} of {rounds}, ratio {done[-1].ratio:.3f}")
    return done


Submit = dict[str, "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"]


@asynccontextmanager
async def _connected(made: house.House, address: str) -> AsyncIterator[Submit]:
    channels = {lab: _channel(address, identity) for lab, identity in made.certificates.items()}
    try:
        yield {lab: channel.unary_unary(METHOD) for lab, channel in channels.items()}
    finally:
        for channel in channels.values():
            await channel.close()


def _channel(address: str, identity: Identity) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials(
        identity.ca.read_bytes(), identity.key.read_bytes(), identity.certificate.read_bytes()
    )
    options = [
        ("grpc.max_receive_message_length", 64 * 1024 * 1024),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    return grpc.aio.secure_channel(address, credentials, options=options)


async def _send(submit: Submit, requests: dict[str, list[bytes]]) -> list[bytes]:
    """Send every lab's batches, one at a time a lab, all labs at once; return the answers."""

    async def lab(name: str) -> list[bytes]:
        return [await submit[name](request) for request in requests[name]]

    return [answer for answers in await asyncio.gather(*map(lab, requests)) for answer in answers]


def _parts(items: Sequence[Envelope]) -> Iterator[Sequence[Envelope]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def _request(envelopes: Sequence[Envelope]) -> bytes:
    return pb.SubmitBatchRequest(
        attestations=[
            pb.Attestation(
                payload=item.payload, signatures=[pb.Signature(keyid=s.keyid, sig=s.sig) for s in item.signatures]
            )
            for item in envelopes
        ]
    ).SerializeToString()


def _receipts(made: house.House, answers: Sequence[bytes]) -> int:
    """Return how many receipts came; anything else spoils the measurement. The last of each answer is verified."""
    own = made.document.verifiers[0]
    policy = made.document.witness_policy(own.origin)
    count = 0
    for answer in answers:
        results = pb.SubmitBatchResponse.FromString(answer).results
        for result in results:
            if not result.receipt:
                raise RuntimeError(f"not a receipt: {result}")
        proof.verify_receipt(results[-1].receipt, own.log_key, policy)
        count += len(results)
    return count
