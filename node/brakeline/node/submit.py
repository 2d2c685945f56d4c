"""Handing one envelope to every verifier of a treaty, with verified receipts back. What ``brakeline node submit`` does.

Anyone may submit what is signed by whoever it takes: a party's order, a meter's evidence, a colleague's enrolment.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path

import grpc
from brakeline.node.journal import Delivery, Journal, Outgoing
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
    """Submit to all verifiers at once; return by verifier how far it came, with the receipt's path or the reason.

    *addresses*: host:port by verifier's name, where it differs from the treaty's. *proxy*: as in ``[egress]``.

    Raises:
        StatementError, JsonError: the payload is no statement of this protocol.
    """
    statement = parse_statement(envelope.payload)
    author, sequence = (statement.authored.author, statement.authored.sequence) if statement.authored else ("", -1)
    item = Outgoing(0, statement.digest, statement.name, author, sequence, envelope.to_body())
    with tempfile.TemporaryDirectory(prefix="brakeline-") as folder, Journal(Path(folder) / "outbox.db") as outbox:
        outbox.spool(item)
        channels = [
            (v, open_channel(v, credentials, (addresses or {}).get(v.name), proxy=proxy)) for v in document.verifiers
        ]
        senders = [Sender(v, channel, outbox, document, receipts) for v, channel in channels]
        tasks = [asyncio.create_task(sender.drain()) for sender in senders]
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, channel in channels:
            await channel.close(grace=0)
        return {v.name: outbox.delivery(v.name, statement.digest) for v in document.verifiers}
