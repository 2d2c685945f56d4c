"""The command's loop: signals, the pause between rounds, and how events are printed."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from threading import Event as Signal

from brakeline.audit.pinned import load_pinned
from brakeline.audit.text import instant
from brakeline.audit.watch.alarms import Event
from brakeline.audit.watch.follow import Progress
from brakeline.audit.watch.rounds import Watch, locked
from brakeline.ledger.output import progress_bar


def run(
    sources: Sequence[str],
    treaty: Path,
    pin: str,
    state: Path,
    *,
    every_s: float,
    once: bool,
    metrics_port: int,
    as_json: bool,
    disclosures: Path | None = None,
) -> int:
    """Watch until a signal (or for one round) and return the exit code of the last round's report.

    Raises:
        BrakelineError: the treaty is not the pinned one; ``watch-locked``, ``watch-state``,
            ``disclosures-unreadable``.
    """
    pinned = load_pinned(treaty, pin)
    with locked(state):
        watch = Watch(sources, pinned, state, _now_ms, disclosures)
        shown = _metrics(metrics_port)
        ended = Signal()

        def end(_number: int, _frame: object) -> None:
            ended.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        tell = _as_json if as_json else _as_text
        first = True
        while not ended.is_set():
            with progress_bar("reading") if first else nullcontext() as bar:
                watch.round(tell, _named(bar))
            if shown is not None:
                shown(watch)
            if first and not as_json:
                _greet(watch)
            first = False
            if once:
                break
            ended.wait(every_s)
        return 0 if watch.report is None else int(watch.report.exit)


def _metrics(port: int) -> Callable[[Watch], None] | None:
    """Return what shows a round to Prometheus; None when no port was asked for."""
    if not port:
        return None
    from brakeline.audit.watch.metrics import WatchMetrics

    metrics = WatchMetrics(port)
    return lambda watch: metrics.show(watch.followers, [alarm.kind for alarm in watch.standing])


def _named(bar: Callable[[int, int], None] | None) -> Progress | None:
    return None if bar is None else lambda _source, done, size: bar(done, size)


def _greet(watch: Watch) -> None:
    entries = sum(follower.size for follower in watch.followers)
    print(
        f"{instant(_now_ms())}  watching {len(watch.followers)} logs, {entries} entries read, "
        f"{len(watch.standing)} things to know",
        flush=True,
    )


def _as_text(event: Event) -> None:
    word = event.level.upper() if event.event == "raised" else "cleared"
    about = f"{event.about}: " if event.about and not event.sentence.startswith(event.about) else ""
    print(f"{instant(event.at_ms)}  {word:<7}  {event.kind}: {about}{event.sentence}", flush=True)


def _as_json(event: Event) -> None:
    print(json.dumps(event.to_json(), sort_keys=True, ensure_ascii=False), flush=True)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
