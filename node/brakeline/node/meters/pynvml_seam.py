"""The real NVML, through ``nvidia-ml-py``: the only module that imports it. Reads; switches nothing on or off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from brakeline.node.meters.nvml import Accounted, Device, NvmlFault
from brakeline.node.meters.protocol import unavailable

_T = TypeVar("_T")


class PyNvml:
    """:class:`~brakeline.node.meters.nvml.Nvml` over the driver of this machine."""

    def __init__(self) -> None:
        """Begin to use the library.

        Raises:
            MeterError: ``meter-unavailable``: the extra is not installed, or no NVIDIA driver is.
        """
        try:
            import pynvml  # pyright: ignore[reportMissingImports]  # an extra: absent where there is no such chip
        except ModuleNotFoundError:
            raise unavailable(
                "NVML cannot be called from here", "no module pynvml", "pip install 'brakeline[nvml]'"
            ) from None
        self._nvml: Any = cast("Any", pynvml)  # it carries no types
        self._names: dict[int, str] = {
            value: name.removeprefix("NVML_ERROR_").lower().replace("_", "-")
            for name, value in cast("dict[str, object]", vars(self._nvml)).items()
            if name.startswith("NVML_ERROR_") and isinstance(value, int)
        }
        try:
            self._call(self._nvml.nvmlInit)
        except NvmlFault as fault:
            raise unavailable(
                "no NVIDIA driver answers on this machine", fault.code, "nothing to do where there is no such chip"
            ) from None

    def devices(self) -> Sequence[Device]:
        """Return the chips of this machine."""
        return [self._device(index) for index in range(self._call(self._nvml.nvmlDeviceGetCount))]

    def energy_mj(self, device: Device) -> int:
        """Return millijoules since the driver was loaded."""
        return int(self._call(self._nvml.nvmlDeviceGetTotalEnergyConsumption, device.handle))

    def power_mw(self, device: Device) -> int:
        """Return the power draw in milliwatts."""
        return int(self._call(self._nvml.nvmlDeviceGetPowerUsage, device.handle))

    def busy_percent(self, device: Device) -> int:
        """Return the share of the last sampling interval in which a kernel ran."""
        return int(self._call(self._nvml.nvmlDeviceGetUtilizationRates, device.handle).gpu)

    def accounted(self, device: Device) -> Sequence[Accounted]:
        """Return the processes that ended, by the driver's account."""
        nvml = self._nvml
        if self._call(nvml.nvmlDeviceGetAccountingMode, device.handle) != nvml.NVML_FEATURE_ENABLED:
            raise NvmlFault("accounting-disabled")
        found: list[Accounted] = []
        for pid in self._call(nvml.nvmlDeviceGetAccountingPids, device.handle):
            try:
                stats = self._call(nvml.nvmlDeviceGetAccountingStats, device.handle, pid)
            except NvmlFault:  # its place in the driver's ring went to another meanwhile
                continue
            if not stats.isRunning:
                found.append(Accounted(int(pid), int(stats.startTime), int(stats.time), int(stats.gpuUtilization)))
        return found

    def sample(self, device: Device) -> object:
        """Take a GPM sample."""
        nvml = self._nvml
        if not self._call(nvml.nvmlGpmQueryDeviceSupport, device.handle).isSupportedDevice:
            raise NvmlFault("not-supported")
        sample = self._call(nvml.nvmlGpmSampleAlloc)
        try:
            self._call(nvml.nvmlGpmSampleGet, device.handle, sample)
        except NvmlFault:
            self.release(sample)
            raise
        return sample

    def tensor_percent(self, before: object, after: object) -> float:
        """Return the share of cycles with tensor instructions between two samples."""
        nvml = self._nvml
        asked = nvml.c_nvmlGpmMetricsGet_t()
        asked.version, asked.numMetrics = nvml.NVML_GPM_METRICS_GET_VERSION, 1
        asked.sample1, asked.sample2 = before, after
        asked.metrics[0].metricId = nvml.NVML_GPM_METRIC_ANY_TENSOR_UTIL
        self._call(nvml.nvmlGpmMetricsGet, asked)
        if asked.metrics[0].nvmlReturn != nvml.NVML_SUCCESS:
            raise NvmlFault(self._name(int(asked.metrics[0].nvmlReturn)))
        return float(asked.metrics[0].value)

    def release(self, sample: object) -> None:
        """Give a sample back."""
        self._call(self._nvml.nvmlGpmSampleFree, sample)

    def close(self) -> None:
        """End the use of the library."""
        self._call(self._nvml.nvmlShutdown)

    def _device(self, index: int) -> Device:
        nvml = self._nvml
        handle = self._call(nvml.nvmlDeviceGetHandleByIndex, index)
        try:
            current, _ = self._call(nvml.nvmlDeviceGetMigMode, handle)
            mig = bool(current == nvml.NVML_DEVICE_MIG_ENABLE)
        except NvmlFault:  # a chip that cannot be cut
            mig = False
        uuid, name = (self._call(read, handle) for read in (nvml.nvmlDeviceGetUUID, nvml.nvmlDeviceGetName))
        return Device(handle, _text(uuid), _text(name), mig)

    def _call(self, function: Callable[..., _T], *arguments: object) -> _T:
        try:
            return function(*arguments)
        except self._nvml.NVMLError as error:
            raise NvmlFault(self._name(int(error.value))) from None

    def _name(self, value: int) -> str:
        return self._names.get(value, f"error-{value}")


def _text(value: object) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
