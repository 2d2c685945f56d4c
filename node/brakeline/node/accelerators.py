"""Reads the boards' counters while the node runs, and keeps every reading. What they amount to is not decided here.

A meter that cannot be opened or read is tried again at the next turn; meanwhile the time is unknown, which the books
say (:mod:`brakeline.node.boards`). Drivers and exporters may block, so they are read on a thread of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
        self._newest = 0
        self._said: dict[int, str] = {}

    async def run(self) -> None:
        """Read again and again, until cancelled."""
        try:
            while True:
                await self._read()
                await asyncio.sleep(self._every_s)
        finally:
            for meter in self._open.values():
                meter.close()

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
            reading = await asyncio.to_thread(self._take, number, make, at)
        except MeterError as error:
            if self._said.get(number) != error.code:
                _log.warning("boards-not-read", **error.as_dict())
            self._said[number] = error.code
            return
        self._kept.keep(reading)
        if self._said.pop(number, ""):
            _log.info("boards-read-again", meter=reading.meter)

    def _take(self, number: int, make: Callable[[], Meter], at: int) -> Reading:
        meter = self._open.get(number)
        if meter is None:
            meter = self._open[number] = make()
        return meter.read(at)
