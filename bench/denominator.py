"""The denominator: strict Ed25519 verifications per second of PyNaCl, on two threads or in two processes.

PyNaCl releases the interpreter's lock while it verifies, so two threads keep two cores busy. Each verification is the
one that admission does: guard, then libsodium, over the PAE of a statement of the payload that is measured.
"""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from brakeline.ledger import ed25519

SECONDS = 1.5
"""How long one measurement lasts."""
WORKERS = 2
BATCH = 64
"""Verifications between two looks at the clock."""

T = TypeVar("T")
R = TypeVar("R")
Signed: TypeAlias = tuple[bytes, bytes, bytes]
"""(public key, message, signature)."""


@dataclass(frozen=True)
class Beside:
    """The denominator before and after a round, verifications per second."""

    before: float
    after: float

    @property
    def mean(self) -> float:
        """What a round's figure is divided by."""
        return statistics.mean((self.before, self.after))


def on_threads(samples: Sequence[Signed]) -> float:
    """Return verifications per second of two threads of this process, each over *samples* again and again."""
    start = threading.Barrier(WORKERS)
    rates: list[float] = []

    def work() -> None:
        start.wait()
        rates.append(_rate(samples))

    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


def in_processes(samples: Sequence[Signed]) -> float:
    """Return verifications per second of two processes."""
    return sum(at_once(_rate, samples))


def at_once(function: Callable[[T], R], argument: T) -> list[R]:
    """Return what *function* of *argument* gave in each of two fresh processes, which begin together."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(WORKERS)
    with ProcessPoolExecutor(WORKERS, mp_context=context, initializer=barrier.wait) as pool:
        return [future.result() for future in [pool.submit(function, argument) for _ in range(WORKERS)]]


def _rate(samples: Sequence[Signed]) -> float:
    count, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < SECONDS:
        for i in range(count, count + BATCH):
            key, message, signature = samples[i % len(samples)]
            if not ed25519.verify(key, message, signature):
                raise ValueError("a signature of the benchmark's own making does not verify")
        count += BATCH
    return count / elapsed
