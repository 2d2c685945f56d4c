"""Which meters work on this machine: each is tried, and one that does not work says why.

A process tree and a cgroup need nothing but Linux; NVML needs an NVIDIA driver and the extra ``nvml``; an exporter and
a scheduler are asked for by the operator, because looking for them would mean to call strangers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from brakeline.node.meters.dcgm import MAX_TEXT, DcgmMeter
from brakeline.node.meters.nvml import NvmlMeter
from brakeline.node.meters.processes import CgroupMeter, ProcessTreeMeter, own_cgroup
from brakeline.node.meters.protocol import Meter, MeterError, Reading, Sight
from brakeline.node.meters.slurm import SlurmMeter, run_sacct

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an operator asks for.

    Attributes:
        pid: whose process tree (default: this process's).
        cgroup: a cgroup's directory (default: this process's own).
        dcgm: an exporter's address, or a file with its text; "" for none.
        slurm_hours: jobs of the last so many hours, by ``sacct``; 0 for none.
        sacct: a file with sacct's text instead; "" for none.
    """

    pid: int = 0
    cgroup: str = ""
    dcgm: str = ""
    slurm_hours: int = 0
    sacct: str = ""


@dataclass(frozen=True, slots=True)
class Tried:
    """A meter that was tried: what it read, or why it cannot be read here."""

    name: str
    sight: Sight
    reading: Reading | None = None
    problem: MeterError | None = None


def try_all(wanted: Wanted, *, now_ms: Callable[[], int], between_s: float) -> list[Tried]:
    """Open every meter, read it, wait *between_s* seconds (shares need two readings), read it again and close it."""
    opened: list[tuple[str, Sight, Meter | MeterError]] = []
    for name, sight, make in _makers(wanted):
        try:
            opened.append((name, sight, make()))
        except MeterError as error:
            opened.append((name, sight, error))
    first = [_read(name, sight, meter, now_ms) for name, sight, meter in opened]
    time.sleep(between_s if any(item.reading for item in first) else 0)
    try:
        return [_read(name, sight, meter, now_ms) for name, sight, meter in opened]
    finally:
        for _, _, meter in opened:
            if not isinstance(meter, MeterError):
                meter.close()


def _read(name: str, sight: Sight, meter: Meter | MeterError, now_ms: Callable[[], int]) -> Tried:
    if isinstance(meter, MeterError):
        return Tried(name, sight, problem=meter)
    try:
        return Tried(name, sight, reading=meter.read(now_ms()))
    except MeterError as error:
        return Tried(name, sight, problem=error)


def _makers(wanted: Wanted) -> list[tuple[str, Sight, Callable[[], Meter]]]:
    found: list[tuple[str, Sight, Callable[[], Meter]]] = [
        (ProcessTreeMeter.name, ProcessTreeMeter.sight, lambda: ProcessTreeMeter(wanted.pid or os.getpid())),
        (CgroupMeter.name, CgroupMeter.sight, lambda: CgroupMeter(Path(wanted.cgroup or own_cgroup()))),
        (NvmlMeter.name, NvmlMeter.sight, nvml),
    ]
    if wanted.dcgm:
        found.append((DcgmMeter.name, DcgmMeter.sight, lambda: DcgmMeter(lambda: text_of(wanted.dcgm))))
    if wanted.sacct:
        found.append((SlurmMeter.name, SlurmMeter.sight, lambda: SlurmMeter(lambda: text_of(wanted.sacct))))
    elif wanted.slurm_hours:
        found.append((SlurmMeter.name, SlurmMeter.sight, lambda: SlurmMeter(lambda: run_sacct(wanted.slurm_hours))))
    return found


def nvml() -> NvmlMeter:
    """Return the meter of this machine's NVIDIA chips (MeterError ``meter-unavailable``)."""
    from brakeline.node.meters.pynvml_seam import PyNvml

    epoch = f"boot {_BOOT_ID.read_text('ascii').strip()}" if _BOOT_ID.exists() else ""
    return NvmlMeter(PyNvml(), time.monotonic, epoch)


def text_of(source: str) -> str:
    """Return the text at an http(s) address or in a file (OSError)."""
    if not source.startswith(("http://", "https://")):
        with Path(source).open("rb") as file:
            return file.read(MAX_TEXT + 1).decode("utf-8", "replace")
    import httpx

    try:
        with httpx.stream("GET", source, timeout=_TIMEOUT_S, trust_env=False, follow_redirects=False) as response:
            data = bytearray()
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > MAX_TEXT:
                    break
            if response.status_code != 200:
                raise OSError(f"{source} answered {response.status_code}")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(f"{source}: {error or type(error).__name__}") from None
    return data.decode("utf-8", "replace")
