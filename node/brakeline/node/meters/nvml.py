"""NVIDIA's management library: energy, power, busy time, finished processes and, from Hopper on, tensor activity.

*Energy* is the board's own counter in millijoules since the driver was loaded; it begins anew with the driver. *Busy*
is the share of the driver's last sampling interval (a second or less, it does not say) in which any kernel ran.
*Tensor activity* is of GPM, which counts on chip between two samples: the share of cycles with tensor instructions over
the whole chip, between this reading and the one before, so the first reading has none. It is the figure that the
hardware method of counting FLOP multiplies by. *Accounting* gives, of processes that ended, how long they had a context
and how busy the chip was meanwhile; the driver keeps it only where its administrator switched it on.

Nothing is switched on here, no setting is changed. The library's functions stand behind :class:`Nvml`, a seam of plain
integers, so that a recorded machine can be metered in a test; :class:`PyNvml` is the real one (``nvidia-ml-py``, extra
``brakeline[nvml]``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from brakeline.node.meters.protocol import Counter, Gap, Quantity, Reading, Sight, unavailable

PPM_OF_PERCENT = 10_000
GPM_LEAST_MS = 100
"""Two GPM samples closer than this say nothing (NVIDIA: at least 100 ms)."""

_WHY = {
    "nvml-not-supported": "this chip, or its driver, does not have it",
    "nvml-no-permission": "the driver gives it to root only (NVreg_RestrictProfilingToAdminUsers, or run as root)",
    "nvml-gpu-is-lost": "the chip fell off the bus; the machine has to be rebooted",
    "nvml-function-not-found": "the driver is older than this figure",
    "nvml-mig": "the chip is cut into instances (MIG), whose tensor activity this meter does not read",
    "nvml-first-sample": "a share needs the reading before it",
    "nvml-too-soon": f"two readings were less than {GPM_LEAST_MS} ms apart",
    "nvml-accounting-disabled": "the driver keeps no account of processes; an administrator may: nvidia-smi -am 1",
    "nvml-not-a-share": "the driver gave a number that is no percentage",
}


class NvmlFault(Exception):
    """A call of the library failed, with NVML's own error in kebab case: ``not-supported``, ``gpu-is-lost``."""

    def __init__(self, code: str) -> None:
        """Name the error."""
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Device:
    """A chip: its UUID (the source of its counters), what it is, and whether it is cut into MIG instances."""

    handle: object
    uuid: str
    name: str
    mig: bool


@dataclass(frozen=True, slots=True)
class Accounted:
    """A process that ended, by the driver's account: when it began (Unix us) and for how long it had a context (ms)."""

    pid: int
    started_us: int
    context_ms: int
    busy_percent: int


class Nvml(Protocol):
    """The functions of NVML that are used, in integers. Every one may raise :class:`NvmlFault`."""

    def devices(self) -> Sequence[Device]:
        """Return the chips of this machine."""
        ...

    def energy_mj(self, device: Device) -> int:
        """Return millijoules since the driver was loaded."""
        ...

    def power_mw(self, device: Device) -> int:
        """Return the power draw in milliwatts."""
        ...

    def busy_percent(self, device: Device) -> int:
        """Return the share of the last sampling interval in which a kernel ran."""
        ...

    def accounted(self, device: Device) -> Sequence[Accounted]:
        """Return the processes that ended (fault ``accounting-disabled`` where none are kept)."""
        ...

    def sample(self, device: Device) -> object:
        """Take a GPM sample, to be given back with :meth:`release`."""
        ...

    def tensor_percent(self, before: object, after: object) -> float:
        """Return the share of cycles with tensor instructions between two samples of one chip."""
        ...

    def release(self, sample: object) -> None:
        """Give a sample back."""
        ...

    def close(self) -> None:
        """End the use of the library."""
        ...


@dataclass(frozen=True, slots=True)
class _Sample:
    taken: object
    at: float


class NvmlMeter:
    """All NVIDIA chips of this machine."""

    name = "nvml"
    sight = Sight(
        sees=(
            "energy of each board, by its own counter, whoever uses it",
            "the share of time in which any kernel ran",
            "Hopper and later: the share of cycles in which tensor cores worked",
            "where accounting is on: processes that ended, and for how long they had a context",
        ),
        misses=(
            "which program, workload or model a chip worked for, while it runs",
            "energy of processors, memory, network and cooling",
            "what was computed: a busy chip may compute nothing of use",
            "what happened between a reading and a driver that was loaded anew",
            "tensor activity of MIG instances, and of chips before Hopper (DCGM's profiling has it)",
        ),
    )

    def __init__(self, nvml: Nvml, monotonic: Callable[[], float], epoch: str = "") -> None:
        """Meter through *nvml*.

        Args:
            nvml: the library.
            monotonic: seconds, for the length of a share's interval.
            epoch: of this boot: energy counters of another boot have begun anew, whatever they say.
        """
        self._nvml = nvml
        self._monotonic = monotonic
        self._epoch = epoch
        self._samples: dict[str, _Sample] = {}

    def read(self, at_ms: int) -> Reading:
        """Read once (see :class:`~brakeline.node.meters.protocol.Meter`)."""
        try:
            devices = self._nvml.devices()
        except NvmlFault as fault:
            raise unavailable("the driver's library does not answer", fault.code, _why(f"nvml-{fault.code}")) from None
        counters: list[Counter] = []
        gaps: list[Gap] = []
        for device in devices:
            for quantity, read in self._figures():
                try:
                    counters.append(read(device))
                except NvmlFault as fault:
                    gaps.append(_gap(device, quantity, fault))
            self._processes(device, counters, gaps)
        return Reading(self.name, at_ms, tuple(counters), tuple(gaps))

    def close(self) -> None:
        """Give samples and library back."""
        for sample in self._samples.values():
            with suppress(NvmlFault):
                self._nvml.release(sample.taken)
        self._samples.clear()
        with suppress(NvmlFault):
            self._nvml.close()

    def _figures(self) -> list[tuple[Quantity, Callable[[Device], Counter]]]:
        return [
            (Quantity.ENERGY_MJ, self._energy),
            (Quantity.POWER_MW, lambda d: Counter(d.uuid, Quantity.POWER_MW, self._nvml.power_mw(d))),
            (
                Quantity.BUSY_PPM,
                lambda d: Counter(d.uuid, Quantity.BUSY_PPM, _ppm(self._nvml.busy_percent(d))),
            ),
            (Quantity.TENSOR_PPM, self._tensor),
        ]

    def _energy(self, device: Device) -> Counter:
        return Counter(device.uuid, Quantity.ENERGY_MJ, self._nvml.energy_mj(device), self._epoch)

    def _tensor(self, device: Device) -> Counter:
        """Return tensor activity since the reading before; a sample that is too soon leaves the older one standing."""
        if device.mig:
            raise NvmlFault("mig")
        before, at = self._samples.get(device.uuid), self._monotonic()
        over_ms = 0 if before is None else int((at - before.at) * 1000)
        if before is not None and over_ms < GPM_LEAST_MS:
            raise NvmlFault("too-soon")
        after = _Sample(self._nvml.sample(device), at)
        self._samples[device.uuid] = after
        if before is None:
            raise NvmlFault("first-sample")
        try:
            percent = self._nvml.tensor_percent(before.taken, after.taken)
        finally:
            self._nvml.release(before.taken)
        return Counter(device.uuid, Quantity.TENSOR_PPM, _ppm(percent), over_ms=over_ms)

    def _processes(self, device: Device, counters: list[Counter], gaps: list[Gap]) -> None:
        try:
            for item in self._nvml.accounted(device):
                source = f"{device.uuid} pid {item.pid} started {item.started_us}"
                counters.append(Counter(source, Quantity.CONTEXT_MS, item.context_ms))
                counters.append(Counter(source, Quantity.BUSY_PPM, _ppm(item.busy_percent), over_ms=item.context_ms))
        except NvmlFault as fault:
            gaps.append(_gap(device, Quantity.CONTEXT_MS, fault))


def _ppm(percent: float) -> int:
    if not 0 <= percent <= 100:  # NaN is neither
        raise NvmlFault("not-a-share")
    return round(percent * PPM_OF_PERCENT)


def _gap(device: Device, quantity: Quantity, fault: NvmlFault) -> Gap:
    code = f"nvml-{fault.code}"
    return Gap(device.uuid, quantity, code, _why(code))


def _why(code: str) -> str:
    return _WHY.get(code, "see the driver's log")
