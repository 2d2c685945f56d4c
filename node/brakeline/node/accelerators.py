"""Reads the boards' counters while the node runs, and keeps every reading. What they amount to is not decided here.

A meter that cannot be opened or read, or whose reading the disk does not take, is tried again at the next turn;
meanwhile the time is unknown, which the books say (:mod:`brakeline.node.boards`). Drivers and exporters may block, so
they are read on a thread of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import structlog
from brakeline.node.config import AcceleratorsPart
from brakeline.node.meters.available import nvml, text_of
from brakeline.node.meters.dcgm import DcgmMeter
from brakeline.node.meters.kept import Kept
from brakeline.node.meters.protocol import Meter, MeterError, Reading

APART_S = 0.2
"""Least time between two readings: counters of tensor activity need some to say anything."""
_log = structlog.get_logger(__name__)


def meters_of(settings: AcceleratorsPart) -> list[Callable[[], Meter]]:
    """Return what opens each meter that ``[accelerators]`` names (MeterError ``meter-unavailable`` when called)."""
    if settings.meter == "nvml":
        return [nvml]
    return [partial(DcgmMeter, partial(text_of, source)) for source in settings.sources]


class Accelerators:
    """The meters of one node's boards. One reading at a time."""

    def __init__(
        self,
        settings: AcceleratorsPart,
        counters: Path,
        now_ms: Callable[[], int],
        makers: list[Callable[[], Meter]] | None = None,
    ) -> None:
        """Keep readings below *counters*; *makers*: of other meters than *settings* name."""
        self._every_s = settings.every_ms / 1000
        self._now_ms = now_ms
        self._kept = Kept(counters)
        self._makers = meters_of(settings) if makers is None else makers
        self._open: dict[int, Meter] = {}
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="boards")
        self._newest = 0
        self._said: dict[int, str] = {}

    async def run(self) -> None:
        """Read again and again, until cancelled."""
        try:
            while True:
                await self._read()
                await asyncio.sleep(self._every_s)
        finally:
            # behind a reading that may still be under way, on the same thread: meters are not made for two
            self._thread.submit(self._close)
            self._thread.shutdown(wait=False)

    async def beyond(self, instant: int) -> None:
        """Return when everything was read at or after *instant* (Unix ms), which has come."""
        if self._newest < instant:
            await self._read()

    async def _read(self) -> None:
        async with self._turn:
            at = self._now_ms()
            for number, make in enumerate(self._makers):
                await self._one(number, make, at)
            self._newest = at
            await asyncio.sleep(APART_S)

    async def _one(self, number: int, make: Callable[[], Meter], at: int) -> None:
        try:
            loop = asyncio.get_running_loop()
            self._kept.keep(await loop.run_in_executor(self._thread, self._take, number, make, at))
        except MeterError as error:
            self._not_read(number, error.code, error.as_dict())
        except OSError as error:  # a reading that is not on disk was never made
            self._not_read(number, "meter-not-kept", {"found": str(error)})
        else:
            if self._said.pop(number, ""):
                _log.info("boards-read-again")

    def _not_read(self, number: int, code: str, why: Mapping[str, object]) -> None:
        """Say once that a meter gives nothing, until it does again or for another reason."""
        if self._said.get(number) != code:
            _log.warning("boards-not-read", **{"code": code, **why})
        self._said[number] = code

    def _take(self, number: int, make: Callable[[], Meter], at: int) -> Reading:
        meter = self._open.get(number)
        if meter is None:
            meter = self._open[number] = make()
        return meter.read(at)

    def _close(self) -> None:
        for meter in self._open.values():
            meter.close()
