"""The node's lines to the verifiers: a channel each, with a sender, a watcher and, where silence matters, an asker.

Credentials of gRPC are fixed when a channel is made. So when the certificate files are replaced, all lines are taken
down and opened again with the new ones; what was under way is tried again, the outbox owns it. Files that do not fit
together (a key copied before its certificate) are waited out: the old lines go on, and the log says why. The same is
done when another version of the treaty begins to govern, which may name other verifiers and quorums.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog
from brakeline.ledger.errors import BrakelineError
from brakeline.node.config import NodeConfig
from brakeline.node.keys.position import Inquiry, PositionAsker
from brakeline.node.ops import certificates
from brakeline.node.ops.certificates import Certificate
from brakeline.node.sender import Sender
from brakeline.node.silence import Asker, Silence
from brakeline.node.site import Site
from brakeline.node.tls import TlsFiles, open_channel
from brakeline.node.watch import Watcher
from brakeline.treaty.envelope import Envelope

RENEW_S = 30.0
"""How often the certificate files are looked at, and which version of the treaty governs."""
_log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Who is told what verifiers say."""

    def see(self, envelope: Envelope, source: str) -> object:
        """An order that somebody passed on."""
        ...

    def challenged(self, body: bytes, verifier: str) -> None:
        """A draw of rows to open."""
        ...

    def heard(self, verifier: str) -> None:
        """A verifier has answered."""
        ...

    def released(self) -> None:
        """All verifiers have answered alike: the site may sign."""
        ...


class Lines:
    """All lines of one node."""

    def __init__(
        self,
        site: Site,
        config: NodeConfig,
        tls: TlsFiles,
        receipts: Path,
        listener: Listener,
        silence: Silence,
        now_ms: Callable[[], int],
        renew_s: float = RENEW_S,
    ) -> None:
        """Prepare; nothing is opened yet. *renew_s*: how often files and treaty are looked at."""
        self._site, self._config, self._tls, self._receipts = site, config, tls, receipts
        self._listener, self._silence, self._now_ms, self._renew_s = listener, silence, now_ms, renew_s
        self._inquiry = Inquiry(site, listener.released)
        self._senders: list[Sender] = []
        self._warned: int | None = None
        self.document = site.document
        self.certificate: Certificate | None = None
        self.renewed = 0

    async def run(self) -> None:
        """Keep lines to the verifiers that the treaty names open until cancelled, with whatever certificate lies there.

        Raises:
            TlsError: the files cannot be used when the node starts (``tls-*``).
        """
        self.certificate = certificates.read(self._tls)
        while True:
            self.document = self._site.document
            self._silence.follow(self.document, self._now_ms())
            opened = asyncio.create_task(self._open())
            try:
                await self._replaced(opened)
            finally:
                opened.cancel()
                await asyncio.gather(opened, return_exceptions=True)

    def wake(self) -> None:
        """There is something new in the outbox."""
        for sender in self._senders:
            sender.wake()

    async def _open(self) -> None:
        credentials = self._tls.credentials()
        proxy = self._config.egress.proxy if self._config.egress else None
        document, addresses = self.document, self._config.verifiers
        channels = [(v, open_channel(v, credentials, addresses.get(v.name), proxy=proxy)) for v in document.verifiers]
        try:
            async with asyncio.TaskGroup() as group:
                self._senders = [Sender(v, c, self._site.journal, document, self._receipts) for v, c in channels]
                for sender, (verifier, channel) in zip(self._senders, channels, strict=True):
                    group.create_task(sender.run())
                    group.create_task(Watcher(verifier, channel, self._listener.see, self._listener.challenged).run())
                    if self._inquiry.open:
                        group.create_task(PositionAsker(verifier, channel, self._inquiry, self._site.name).run())
                    if document.silence == "stop":
                        interval = self._silence.interval_s()
                        group.create_task(Asker(verifier, channel, interval, self._listener.heard).run())
        finally:
            for _, channel in channels:
                await channel.close(grace=0)

    async def _replaced(self, opened: asyncio.Task[None]) -> None:
        """Return when another version of the treaty governs, or other certificate files that fit lie there.

        Fails as *opened* does.
        """
        while True:
            self._warn()
            await asyncio.wait({opened}, timeout=self._renew_s)
            if opened.done():
                opened.result()
            governing = self._site.document
            if governing.digest != self.document.digest:
                _log.info("verifiers-of-version", version=governing.version, treaty=governing.digest)
                return
            try:
                found = certificates.read(self._tls)
            except BrakelineError as error:
                _log.warning("certificate-not-usable", **error.as_dict())
                continue
            if self.certificate is None or found.stamp != self.certificate.stamp:
                self.certificate, self._warned = found, None
                self.renewed += 1
                _log.info("certificate-renewed", days_left=found.days_left(self._now_ms()))
                return

    def _warn(self) -> None:
        if self.certificate is None:
            return
        left = self.certificate.days_left(self._now_ms())
        threshold = certificates.due(left, self._warned)
        if threshold is not None:
            self._warned = threshold
            _log.warning(
                "certificate-expires",
                days_left=left,
                fix="replace tls.pem and tls.key; the node takes them up by itself",
            )
