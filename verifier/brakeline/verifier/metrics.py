"""What ``/metrics`` shows, in Prometheus' text format. A registry of its own, so that two verifiers fit one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Every figure this verifier counts; names are part of the public interface."""

    def __init__(self) -> None:
        """Register all figures at zero."""
        registry = CollectorRegistry()
        self.registry = registry
        self.results = Counter(
            "brakeline_submit_results", "What became of submitted attestations", ["outcome"], registry=registry
        )
        self.calls = Counter("brakeline_calls", "RPCs by method and stable code", ["method", "code"], registry=registry)
        self.streams = Gauge("brakeline_watch_streams", "Open Watch streams", registry=registry)
        self.entries = Gauge("brakeline_log_entries", "Entries durable in the log", registry=registry)
        self.published = Gauge(
            "brakeline_published_entries", "Entries under the published checkpoint", registry=registry
        )
        self.published_at = Gauge("brakeline_published_ms", "When that was published, Unix ms", registry=registry)
        self.findings = Counter(
            "brakeline_findings", "Finding entries written, withdrawals included", registry=registry
        )
        self.commits = Histogram("brakeline_commit_seconds", "Time of one group commit", registry=registry)
        self.commit_failures = Counter("brakeline_commit_failures", "Group commits that failed", registry=registry)
        self.cosignatures = Counter(
            "brakeline_cosignatures", "Answers of witnesses", ["witness", "outcome"], registry=registry
        )
        self.witnessed = Counter("brakeline_add_checkpoint", "Answers as a witness", ["status"], registry=registry)
        self.mirrored = Gauge("brakeline_mirrored_entries", "Entries mirrored of a peer", ["peer"], registry=registry)
        self.taken_over = Counter(
            "brakeline_taken_over", "Statements taken over from a peer", ["peer"], registry=registry
        )
        self.peer_failures = Counter("brakeline_peer_failures", "Failed looks at a peer", ["peer"], registry=registry)
        self.clock_ahead = Gauge(
            "brakeline_clock_ahead_ms",
            "How far our clock is ahead of a witness's, to half a second or the time of its answer",
            ["witness"],
            registry=registry,
        )
        self.clock_stopped = Gauge(
            "brakeline_clock_stopped",
            "1 while the clock is outside its bracket and nothing is appended",
            registry=registry,
        )
        self.certificate_days = Gauge(
            "brakeline_certificate_days", "Days until the server certificate expires", registry=registry
        )

    def render(self) -> bytes:
        """Return the text a scrape answers."""
        return generate_latest(self.registry)
