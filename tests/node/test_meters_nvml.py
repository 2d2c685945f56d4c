"""NVML on recorded machines: a seam of integers, and the library's own calls as a module that plays them back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar

import pytest
from brakeline.node.meters.nvml import Accounted, Device, NvmlFault, NvmlMeter
from brakeline.node.meters.protocol import Counter, MeterError, Quantity, Reading
from brakeline.node.meters.pynvml_seam import PyNvml

_T = TypeVar("_T")
UUID = "GPU-5d8f1c22-0b7e-4a41-9a3e-6f0c2d91b7aa"


@dataclass
class Machine:
    """A machine whose figures a test sets; a figure that is a string is the fault that reading it raises."""

    energy: int | str = 1_000_000
    power: int | str = 412_345
    busy: int | str = 97
    tensor: float | str = 61.5
    accounts: Sequence[Accounted] | str = "accounting-disabled"
    mig: bool = False
    gone: str = ""
    seconds: float = 100.0
    live: set[int] = field(default_factory=set[int])
    taken: int = 0
    closed: bool = False

    def devices(self) -> Sequence[Device]:
        found: Sequence[Device] | str = [Device("handle", UUID, "NVIDIA H200", self.mig)]
        return self._say(self.gone or found)

    def energy_mj(self, device: Device) -> int:
        return self._say(self.energy)

    def power_mw(self, device: Device) -> int:
        return self._say(self.power)

    def busy_percent(self, device: Device) -> int:
        return self._say(self.busy)

    def accounted(self, device: Device) -> Sequence[Accounted]:
        return self._say(self.accounts)

    def sample(self, device: Device) -> object:
        self._say(self.tensor)
        self.taken += 1
        self.live.add(self.taken)
        return self.taken

    def tensor_percent(self, before: object, after: object) -> float:
        assert {before, after} <= self.live
        assert before != after
        return self._say(self.tensor)

    def release(self, sample: object) -> None:
        assert isinstance(sample, int)
        self.live.remove(sample)

    def close(self) -> None:
        self.closed = True

    def _say(self, value: _T | str) -> _T:
        if isinstance(value, str):
            raise NvmlFault(value)
        return value


def meter(machine: Machine) -> NvmlMeter:
    return NvmlMeter(machine, lambda: machine.seconds, "boot 1")


def value(reading: Reading, quantity: Quantity, source: str = UUID) -> Counter | None:
    return next((c for c in reading.counters if (c.source, c.quantity) == (source, quantity)), None)


def gaps(reading: Reading) -> dict[Quantity, str]:
    return {gap.quantity: gap.code for gap in reading.gaps}


def test_a_chip_is_read_in_integers_and_its_tensor_share_from_the_second_reading_on() -> None:
    machine = Machine()
    metered = meter(machine)
    first = metered.read(1)
    assert value(first, Quantity.ENERGY_MJ) == Counter(UUID, Quantity.ENERGY_MJ, 1_000_000, "boot 1")
    assert value(first, Quantity.POWER_MW) == Counter(UUID, Quantity.POWER_MW, 412_345)
    assert value(first, Quantity.BUSY_PPM) == Counter(UUID, Quantity.BUSY_PPM, 970_000)
    assert value(first, Quantity.TENSOR_PPM) is None
    assert gaps(first) == {
        Quantity.TENSOR_PPM: "nvml-first-sample",
        Quantity.CONTEXT_MS: "nvml-accounting-disabled",
    }
    machine.seconds += 2.5
    second = metered.read(2)
    assert value(second, Quantity.TENSOR_PPM) == Counter(UUID, Quantity.TENSOR_PPM, 615_000, over_ms=2_500)
    assert len(machine.live) == 1
    metered.close()
    assert (machine.live, machine.closed) == (set(), True)


def test_two_readings_too_close_say_nothing_and_lose_nothing() -> None:
    machine = Machine()
    metered = meter(machine)
    metered.read(1)
    machine.seconds += 0.05
    assert gaps(metered.read(2))[Quantity.TENSOR_PPM] == "nvml-too-soon"
    machine.seconds += 0.95
    shared = value(metered.read(3), Quantity.TENSOR_PPM)
    assert shared is not None
    assert shared.over_ms == 1_000


@pytest.mark.parametrize("figure", ["energy", "power", "busy", "tensor"])
def test_a_figure_that_cannot_be_read_is_a_gap_and_the_others_are_read(figure: str) -> None:
    machine = Machine()
    metered = meter(machine)
    metered.read(1)
    machine.seconds += 1
    setattr(machine, figure, "not-supported")
    read = metered.read(2)
    quantity = {
        "energy": Quantity.ENERGY_MJ,
        "power": Quantity.POWER_MW,
        "busy": Quantity.BUSY_PPM,
        "tensor": Quantity.TENSOR_PPM,
    }[figure]
    assert value(read, quantity) is None
    assert gaps(read)[quantity] == "nvml-not-supported"
    assert all(gap.why for gap in read.gaps)
    assert len(read.counters) == 3
    metered.close()
    assert machine.live == set()


def test_a_tensor_share_that_fails_gives_its_sample_back_and_begins_again() -> None:
    machine = Machine()
    metered = meter(machine)
    metered.read(1)
    machine.seconds += 1
    machine.tensor = float("nan")
    assert gaps(metered.read(2))[Quantity.TENSOR_PPM] == "nvml-not-a-share"
    assert len(machine.live) == 1
    machine.seconds, machine.tensor = machine.seconds + 1, 12.0
    shared = value(metered.read(3), Quantity.TENSOR_PPM)
    assert shared is not None
    assert (shared.value, shared.over_ms) == (120_000, 1_000)


@pytest.mark.parametrize("percent", [101, -1])
def test_a_percentage_outside_a_hundred_is_a_gap(percent: int) -> None:
    assert gaps(meter(Machine(busy=percent)).read(1))[Quantity.BUSY_PPM] == "nvml-not-a-share"


def test_instances_of_a_cut_chip_are_said_not_to_be_read() -> None:
    machine = Machine(mig=True)
    metered = meter(machine)
    assert gaps(metered.read(1))[Quantity.TENSOR_PPM] == "nvml-mig"
    assert machine.taken == 0


def test_processes_that_ended_are_told_apart_by_when_they_began() -> None:
    machine = Machine(accounts=[Accounted(77, 1_767_225_600_000_123, 9_000, 50), Accounted(77, 5, 1, 100)])
    read = meter(machine).read(1)
    assert value(read, Quantity.CONTEXT_MS, f"{UUID} pid 77 started 1767225600000123") is not None
    second = f"{UUID} pid 77 started 5"
    assert value(read, Quantity.BUSY_PPM, second) == Counter(second, Quantity.BUSY_PPM, 1_000_000, over_ms=1)


def test_a_driver_that_does_not_answer_makes_no_reading() -> None:
    with pytest.raises(MeterError, match="meter-unavailable") as caught:
        meter(Machine(gone="gpu-is-lost")).read(1)
    assert "rebooted" in caught.value.fix


# the library's own calls ----------------------------------------------------------------------------------------------


class Library(ModuleType):
    """``pynvml`` as a recording: what it calls, with the shapes and constants of the real one."""

    def __init__(self, **recorded: object) -> None:
        super().__init__("pynvml")
        self.calls: list[str] = []
        self.NVML_SUCCESS = 0
        self.NVML_FEATURE_ENABLED = 1
        self.NVML_DEVICE_MIG_ENABLE = 1
        self.NVML_GPM_METRICS_GET_VERSION = 1
        self.NVML_GPM_METRIC_ANY_TENSOR_UTIL = 5
        self.NVML_ERROR_NOT_SUPPORTED = 3
        self.NVML_ERROR_DRIVER_NOT_LOADED = 9
        self.NVML_ERROR_NO_PERMISSION = 4

        class NVMLError(Exception):
            def __init__(self, value: int) -> None:
                super().__init__(value)
                self.value = value

        self.NVMLError = NVMLError
        self.c_nvmlGpmMetricsGet_t = lambda: SimpleNamespace(metrics=[SimpleNamespace(nvmlReturn=0, value=0.0)])
        answers: dict[str, object] = {
            "nvmlInit": None,
            "nvmlShutdown": None,
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetMigMode": NVMLError(3),
            "nvmlDeviceGetUUID": UUID.encode(),
            "nvmlDeviceGetName": "NVIDIA H200",
            "nvmlDeviceGetTotalEnergyConsumption": 2**40,
            "nvmlDeviceGetPowerUsage": 700_000,
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=42, memory=7),
            "nvmlDeviceGetAccountingMode": 1,
            "nvmlDeviceGetAccountingPids": [10, 11, 12],
            "nvmlDeviceGetAccountingStats": self._stats,
            "nvmlGpmQueryDeviceSupport": SimpleNamespace(isSupportedDevice=1),
            "nvmlGpmSampleAlloc": lambda: object(),
            "nvmlGpmSampleGet": lambda handle, sample: sample,
            "nvmlGpmSampleFree": None,
            "nvmlGpmMetricsGet": self._metrics,
        }
        for name, answer in (answers | recorded).items():
            setattr(self, name, self._play(name, answer))

    def _play(self, name: str, answer: object) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            self.calls.append(name)
            if isinstance(answer, Exception):
                raise answer
            return answer(*arguments) if callable(answer) else answer

        return call

    def _stats(self, handle: object, pid: int) -> object:
        if pid == 11:
            raise self.NVMLError(6)  # it was pushed out of the driver's ring meanwhile
        running = int(pid == 12)
        return SimpleNamespace(startTime=1_000 * pid, time=5_000, gpuUtilization=80, isRunning=running)

    def _metrics(self, asked: Any) -> object:
        assert (asked.version, asked.numMetrics, asked.metrics[0].metricId) == (1, 1, 5)
        assert asked.sample1 is not asked.sample2
        asked.metrics[0].value = 33.25
        return asked


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Library]:
    def playing(**recorded: object) -> Library:
        library = Library(**recorded)
        monkeypatch.setitem(sys.modules, "pynvml", library)
        return library

    return playing


def test_the_real_calls_give_what_the_seam_promises(play: Callable[..., Library]) -> None:
    library = play()
    seconds = [5.0]
    metered = NvmlMeter(PyNvml(), lambda: seconds[0])
    metered.read(1)
    seconds[0] += 1
    read = metered.read(2)
    assert value(read, Quantity.ENERGY_MJ) == Counter(UUID, Quantity.ENERGY_MJ, 2**40)
    assert value(read, Quantity.BUSY_PPM) == Counter(UUID, Quantity.BUSY_PPM, 420_000)
    assert value(read, Quantity.TENSOR_PPM) == Counter(UUID, Quantity.TENSOR_PPM, 332_500, over_ms=1_000)
    assert [c.source for c in read.counters if c.quantity is Quantity.CONTEXT_MS] == [f"{UUID} pid 10 started 10000"]
    metered.close()
    assert library.calls.count("nvmlGpmSampleAlloc") == library.calls.count("nvmlGpmSampleFree") == 2
    assert library.calls[-1] == "nvmlShutdown"
    assert not [name for name in library.calls if "Set" in name or "Clear" in name]


def test_errors_of_the_library_keep_their_names(play: Callable[..., Library]) -> None:
    library = play()
    setattr(library, "nvmlDeviceGetPowerUsage", library._play("power", library.NVMLError(4)))
    setattr(library, "nvmlDeviceGetTotalEnergyConsumption", library._play("energy", library.NVMLError(12_345)))
    setattr(library, "nvmlGpmQueryDeviceSupport", lambda handle: SimpleNamespace(isSupportedDevice=0))
    read = NvmlMeter(PyNvml(), lambda: 0.0).read(1)
    assert gaps(read) == {
        Quantity.POWER_MW: "nvml-no-permission",
        Quantity.ENERGY_MJ: "nvml-error-12345",
        Quantity.TENSOR_PPM: "nvml-not-supported",
    }


def test_a_sample_that_cannot_be_filled_is_given_back(play: Callable[..., Library]) -> None:
    library = play()
    setattr(library, "nvmlGpmSampleGet", library._play("fill", library.NVMLError(4)))
    read = NvmlMeter(PyNvml(), lambda: 0.0).read(1)
    assert gaps(read)[Quantity.TENSOR_PPM] == "nvml-no-permission"
    assert library.calls.count("nvmlGpmSampleFree") == 1


def test_without_driver_or_binding_the_meter_says_what_to_do(
    play: Callable[..., Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = play()
    setattr(library, "nvmlInit", library._play("init", library.NVMLError(9)))
    with pytest.raises(MeterError, match="driver-not-loaded"):
        PyNvml()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MeterError, match=r"brakeline\[nvml\]"):
        PyNvml()


def test_what_the_recording_plays_the_real_binding_has() -> None:
    real = pytest.importorskip("pynvml")
    for name, recorded in vars(Library()).items():
        if name.startswith(("nvml", "c_nvml")):
            assert callable(getattr(real, name)), name
        elif name.startswith("NVML_"):
            assert getattr(real, name) == recorded, name
    fields = {name for name, *_ in real.c_nvmlAccountingStats_t._fields_}
    assert fields >= {"startTime", "time", "gpuUtilization", "isRunning"}
    asked = real.c_nvmlGpmMetricsGet_t()
    asked.metrics[0].metricId = 5
    assert asked.metrics[0].nvmlReturn == 0
