"""Handing envelopes to every verifier of a treaty, with verified receipts back. What ``brakeline node submit`` does.

Anyone may submit what is signed by whoever it takes: a party's order, a meter's evidence, a colleague's enrolment.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import grpc
from brakeline.node.journal import Delivery, Journal, Outgoing
from brakeline.node.ops.carry import Carried
from brakeline.node.sender import Sender
from brakeline.node.tls import open_channel
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import parse_statement


async def submit_everywhere(
    envelope: Envelope,
    document: TreatyDocument,
    credentials: grpc.ChannelCredentials,
    receipts: Path,
    timeout_s: float,
    addresses: Mapping[str, str] | None = None,
    *,
    proxy: str | None = None,
) -> dict[str, tuple[Delivery, str]]:
    """Submit one envelope to all verifiers at once: :func:`submit_all` of one.

    Raises:
        StatementError, JsonError: the payload is no statement of this protocol.
    """
    done = await submit_all([Carried(envelope, {})], document, credentials, receipts, timeout_s, addresses, proxy=proxy)
    return done[envelope.digest]


async def submit_all(
    items: Iterable[Carried],
    document: TreatyDocument,
    credentials: grpc.ChannelCredentials,
    receipts: Path,
    timeout_s: float,
    addresses: Mapping[str, str] | None = None,
    *,
    proxy: str | None = None,
) -> dict[str, dict[str, tuple[Delivery, str]]]:
    """Submit to all verifiers at once; return by statement and verifier how far it came, with receipt or reason.

    They are held in files while this goes on, not in memory; disclosures as they were encrypted elsewhere. *addresses*:
    host:port by verifier's name, where it differs from the treaty's. *proxy*: as in ``[egress]``.

    Raises:
        StatementError, JsonError: a payload is no statement of this protocol; nothing was submitted.
    """
    with tempfile.TemporaryDirectory(prefix="brakeline-") as folder, Journal(Path(folder) / "outbox.db") as outbox:
        boxes = Path(folder) / "disclosures"
        digests = [_spool(outbox, boxes, item, document) for item in items]
        at = dict(addresses or {})
        channels = [(v, open_channel(v, credentials, at.get(v.name), proxy=proxy)) for v in document.verifiers]
        senders = [Sender(v, channel, outbox, document, receipts, boxes=boxes) for v, channel in channels]
        tasks = [asyncio.create_task(_empty(sender, outbox)) for sender in senders]
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, channel in channels:
            await channel.close(grace=0)
        return {digest: {v.name: outbox.delivery(v.name, digest) for v in document.verifiers} for digest in digests}


async def _empty(sender: Sender, outbox: Journal) -> None:
    """Deliver batch after batch until this verifier has received, or refused, everything."""
    while outbox.undelivered(sender.verifier.name, 1):
        await sender.drain()


def _spool(outbox: Journal, boxes: Path, item: Carried, document: TreatyDocument) -> str:
    envelope = item.envelope
    statement = parse_statement(envelope.payload)
    author, sequence = (statement.authored.author, statement.authored.sequence) if statement.authored else ("", -1)
    for name in {verifier.name for verifier in document.verifiers} & item.disclosures.keys():
        (boxes / name).mkdir(parents=True, exist_ok=True)
        (boxes / name / statement.digest).write_bytes(item.disclosures[name])
    outbox.spool(Outgoing(0, statement.digest, statement.name, author, sequence, envelope.to_body()))
    return statement.digest
