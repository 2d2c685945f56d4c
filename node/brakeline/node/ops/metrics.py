"""What ``/metrics`` of a node shows, in Prometheus' text format. Names are part of the public interface.

The registry is this object's own. Figures are set from the journal by the node's loop every ten seconds; the HTTP
server (prometheus_client's, a thread) only renders what was set, so that a scrape never waits for a disk or a lock.

What to alert on is in docs/operators.md: ``brakeline_node_periods_behind``, ``brakeline_node_without_quorum``,
``brakeline_node_certificate_days``, ``brakeline_node_disk_free_bytes``.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

from brakeline.ledger.errors import BrakelineError
from brakeline.node.deadlines import Alarm
from brakeline.node.journal import Delivery
from brakeline.node.site import Site
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.quantities import InstantMs
from prometheus_client import CollectorRegistry, Gauge, start_http_server

REFRESH_S = 10.0
"""How often figures are set: counting an outbox of a year takes some hundredths of a second."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What the running node knows beside its journal.

    Attributes:
        connected, away: programs whose meters report, and those that were lost and may come back.
        stopped: workloads that stand still on an order, or on silence.
        certificate_days: whole days left; None when the files were not read yet.
        renewed: how often certificate files were taken up since the start.
        alarm: what is due soon, and was missed.
    """

    connected: int
    away: int
    stopped: int
    certificate_days: int | None
    renewed: int
    alarm: Alarm


class Metrics:
    """Every figure of one node."""

    def __init__(self) -> None:
        """Register all figures at zero."""
        self.registry = CollectorRegistry()

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"brakeline_node_{name}", text, list(labels), registry=self.registry)

        self._period = gauge("last_period", "Last period whose books are signed; -1 before the first")
        self._behind = gauge("periods_behind", "Periods that are over and not booked")
        self._statements = gauge("statements", "Statements in the outbox, delivered ones included")
        self._quorum = gauge("without_quorum", "Statements without receipts of a quorum of logs")
        self._near = gauge("books_due", "Books that fewer than f + 1 logs are known to hold, half of their time gone")
        self._missed = gauge("books_late", "Books that fewer than f + 1 logs are known to hold, their deadline past")
        self._held = gauge(
            "signs_nothing", "1 while the node may not sign: its position is in doubt, or its key awaited"
        )
        self._outbox = gauge("outbox", "Statements by verifier and how far they have come", "verifier", "state")
        self._orders = gauge("orders", "Orders seen and verified")
        self._connected = gauge("programs", "Programs whose meters report")
        self._away = gauge("programs_away", "Programs whose meters were lost and may come back")
        self._stopped = gauge("workloads_stopped", "Workloads that stand still on an order, or on silence")
        self._days = gauge("certificate_days", "Whole days until the client certificate expires")
        self._renewed = gauge("certificate_renewals", "Certificate files taken up since the start")
        self._journal = gauge("journal_bytes", "Size of journal.db with its write-ahead log")
        self._free = gauge("disk_free_bytes", "Free space where the journal lies")

    def refresh(self, folder: Path, site: Site, moment: Moment, now_ms: int) -> None:
        """Set every figure from the site, its journal in *folder*, and *moment*; times in Unix ms."""
        journal, document = site.journal, site.document
        last = journal.last_period()
        self._period.set(-1 if last is None else last)
        self._behind.set(periods_behind(document, site.first_period(), last, now_ms))
        held = journal.receipts()
        self._statements.set(len(held))
        self._quorum.set(sum(count < document.quorum.receipts for count in held.values()))
        self._near.set(moment.alarm.near)
        self._missed.set(moment.alarm.missed)
        self._held.set(bool(site.held))
        for verifier in document.verifiers:
            progress = journal.progress(verifier.name)
            for state in Delivery:
                self._outbox.labels(verifier.name, state.value).set(progress[state])
        self._orders.set(len(list(journal.orders())))
        self._connected.set(moment.connected)
        self._away.set(moment.away)
        self._stopped.set(moment.stopped)
        if moment.certificate_days is not None:
            self._days.set(moment.certificate_days)
        self._renewed.set(moment.renewed)
        self._journal.set(sum(path.stat().st_size for path in folder.glob("journal.db*") if path.is_file()))
        self._free.set(shutil.disk_usage(folder).free)


def periods_behind(document: TreatyDocument, first: int | None, last: int | None, now_ms: int) -> int:
    """Return how many periods are over and have no books; *first*, *last*: the first owed and the last booked."""
    if first is None:
        return 0
    over = document.grid.period_of(InstantMs(now_ms)) - 1
    return max(0, over - (first - 1 if last is None else last))


class MetricsServer:
    """Serves ``http://host:port/metrics`` from a thread until closed."""

    def __init__(self, listen: str, metrics: Metrics) -> None:
        """Bind *listen* (``host:port``; port 0 takes a free one).

        Raises:
            BrakelineError: ``metrics-address``: nothing can listen there.
        """
        host, _, port = listen.rpartition(":")
        try:
            self._server, self._thread = start_http_server(int(port), host, metrics.registry)
        except (OSError, OverflowError) as error:
            raise BrakelineError(
                code="metrics-address",
                message="figures cannot be served at this address",
                expected="a free port of this machine",
                found=f"{listen}: {error}",
                fix="change [metrics] listen in node.toml",
            ) from None
        self.url = f"http://{host}:{self._server.server_port}/metrics"

    async def close(self) -> None:
        """Stop serving and wait for the thread."""
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()
        await asyncio.to_thread(self._thread.join)
