"""Replay: what an auditor's machine recomputes of a log, in two processes, from a directory to a verdict.

The log that ingest made is exported as an auditor would get it. Two processes each audit it whole, at the same time,
with the code of ``brakeline audit replay``: every hash, link and root, every signature and admission, every rule, the
findings and the verdict. The figure is the sum of both processes' entries over the seconds of the slower one; the
denominator is verifications in two processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from brakeline.audit.replay import audit_sources
from brakeline.audit.report import LogState
from brakeline.ledger import collector

from bench import denominator
from bench.denominator import Beside
from bench.house import LABS, House
from bench.ingest import Round
from bench.payloads import Payload, SiteChain, samples

SAMPLES = 256


def measure(house: House, payload: Payload, rounds: int, progress: Callable[[str], None]) -> list[Round]:
    """Return *rounds* rounds over the exported log of *house*."""
    log = house.export(house.folder / "log")
    chain = SiteChain(LABS[0], house.document)
    chain.opening()
    signed = samples(list(chain.books(payload, SAMPLES)), chain.site)
    done: list[Round] = []
    for number in range(-1, rounds):  # the first one warms the file cache and is not counted
        before = denominator.in_processes(signed)
        entries, seconds = _both(log, house)
        done.append(Round(entries, seconds, Beside(before, denominator.in_processes(signed))))
        if number >= 0:
            progress(f"replay {payload}: round {number + 1} of {rounds}, ratio {done[-1].ratio:.3f}")
    return done[1:]


def _both(log: Path, house: House) -> tuple[int, float]:
    taken = denominator.at_once(_audit, (str(log), house.treaty, house.document.digest))
    return sum(entries for entries, _ in taken), max(seconds for _, seconds in taken)


def _audit(what: tuple[str, Path, str]) -> tuple[int, float]:
    log, treaty, pin = what
    collector.settle()  # as the command does
    began = time.perf_counter()
    report = audit_sources([log], treaty, pin, as_of_ms=None, paranoid=False)
    seconds = time.perf_counter() - began
    (only,) = report.logs
    if only.state is not LogState.REPRODUCED:
        raise RuntimeError(f"the log that the benchmark made does not replay: {report.reasons()}")
    return only.size, seconds
