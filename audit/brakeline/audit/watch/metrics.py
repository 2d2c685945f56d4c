"""What a watch shows to Prometheus, on a local port that the auditor asks for."""

from __future__ import annotations

from collections.abc import Iterable

from brakeline.audit.watch.follow import Follower
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server


class WatchMetrics:
    """Every figure of a watch; names are part of the public interface."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        """Serve on *address*:*port*."""
        registry = CollectorRegistry()
        self._alarms = Gauge("brakeline_audit_alarms", "What is wrong now, by kind", ["kind"], registry=registry)
        self._entries = Gauge("brakeline_audit_log_entries", "Entries replayed of a log", ["log"], registry=registry)
        self._answered = Gauge(
            "brakeline_audit_log_answered_ms", "When a log last answered, Unix ms", ["log"], registry=registry
        )
        self._grown = Gauge("brakeline_audit_log_grown_ms", "When a log last grew, Unix ms", ["log"], registry=registry)
        self._rounds = Counter("brakeline_audit_rounds", "Rounds over all logs", registry=registry)
        self._server, self._thread = start_http_server(port, addr=address, registry=registry)
        self.port = self._server.server_port
        self._kinds: set[str] = set()

    def close(self) -> None:
        """Serve no longer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def show(self, followers: Iterable[Follower], kinds: Iterable[str]) -> None:
        """Show the state after a round: *kinds* has one member for each alarm that stands."""
        counts: dict[str, int] = dict.fromkeys(self._kinds, 0)
        for kind in kinds:
            counts[kind] = counts.get(kind, 0) + 1
        self._kinds |= counts.keys()
        for kind, count in counts.items():
            self._alarms.labels(kind).set(count)
        for follower in followers:
            self._entries.labels(follower.source).set(follower.size)
            self._answered.labels(follower.source).set(follower.answered_ms)
            self._grown.labels(follower.source).set(follower.grown_ms)
        self._rounds.inc()
