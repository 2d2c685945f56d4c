"""DCGM's exporter: the text that Prometheus scrapes, for clusters where nothing else may run on the machines.

Two spellings of names exist (``DCGM_FI_DEV_GPU_UTIL``, and ``dcgm_gpu_utilization`` of the first versions), and of
labels (``UUID`` and ``uuid``). Both are read, in any case; where one chip has both, they must agree. A chip or figure
that was there before and is not there now is a gap, as are NaN and DCGM's own marks for "blank", "not found", "not
supported" and "not permitted": read as numbers they would be the largest ever seen, or, left out, a zero.

The text is parsed by ``prometheus_client``, whose values are floating-point numbers: totals are exact up to 2^53 (a
chip at 1 kW reaches that after 285 years), shares are rounded to a millionth. Text is bounded. What an exporter serves
is not authenticated: who can answer at its address can lie.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from brakeline.node.meters.protocol import Counter, Gap, Quantity, Reading, Sight, malformed, unavailable

MAX_TEXT = 16 * 1024 * 1024
NAMES: Mapping[str, tuple[Quantity, int]] = {
    "dcgm_fi_dev_total_energy_consumption": (Quantity.ENERGY_MJ, 1),
    "dcgm_total_energy_consumption": (Quantity.ENERGY_MJ, 1),
    "dcgm_fi_dev_power_usage": (Quantity.POWER_MW, 1000),
    "dcgm_power_usage": (Quantity.POWER_MW, 1000),
    "dcgm_fi_dev_gpu_util": (Quantity.BUSY_PPM, 10_000),
    "dcgm_gpu_utilization": (Quantity.BUSY_PPM, 10_000),
    "dcgm_fi_prof_pipe_tensor_active": (Quantity.TENSOR_PPM, 1_000_000),
}
"""Name in lower case -> quantity, and how many of its units one of the exporter's is (mJ, W, percent, ratio)."""

BLANK_64 = 0x7FFF_FFFF_FFFF_FFF0
"""DCGM's 64-bit marks: this and the 15 integers above it."""
BLANK_32 = 0x7FFF_FFF0
BLANK_FP64 = 2**47
"""DCGM's floating-point marks: this and the 15 above it."""
_SHARE = 1_000_000

Key = tuple[str, Quantity]


@dataclass(slots=True)
class _Found:
    """What one scrape says, by chip and quantity."""

    values: dict[Key, int] = field(default_factory=dict[Key, int])
    blank: dict[Key, str] = field(default_factory=dict[Key, str])


class DcgmMeter:
    """The chips that one exporter tells of."""

    name = "dcgm"
    sight = Sight(
        sees=(
            "energy and power of each board, by its own counter",
            "the share of time in which any kernel ran, and in which tensor cores worked, at the exporter's last look",
        ),
        misses=(
            "what happened between two looks of the exporter: a share is a sample, it does not say of which interval",
            "which program a chip worked for, what was computed, and energy of anything but the boards",
            "whether the text is the exporter's: it is not authenticated",
        ),
    )

    def __init__(self, fetch: Callable[[], str]) -> None:
        """Read the text that *fetch* returns (OSError: the exporter does not answer)."""
        self._fetch = fetch
        self._known: dict[Key, None] = {}

    def read(self, at_ms: int) -> Reading:
        """Read once (see :class:`~brakeline.node.meters.protocol.Meter`)."""
        try:
            text = self._fetch()
        except OSError as error:
            if not self._known:
                raise unavailable("the exporter does not answer", str(error)[:120], "check its address") from None
            gaps = [Gap(*key, "dcgm-unreachable", f"no answer: {error}"[:120]) for key in self._known]
            return Reading(self.name, at_ms, (), tuple(gaps))
        found = parse(text)
        self._known |= dict.fromkeys([*found.values, *found.blank])
        counters = [Counter(*key, value) for key, value in found.values.items()]
        gaps = [Gap(*key, code, _WHY[code]) for key, code in found.blank.items()]
        gone = [key for key in self._known if key not in found.values and key not in found.blank]
        gaps += [Gap(*key, "dcgm-missing", _WHY["dcgm-missing"]) for key in gone]
        return Reading(self.name, at_ms, tuple(counters), tuple(gaps))

    def close(self) -> None:
        """Do nothing."""


_WHY = {
    "dcgm-blank": "the exporter says that it has no value (blank, not found, not supported, or not permitted)",
    "dcgm-not-a-number": "the exporter gives something that is no such number",
    "dcgm-ambiguous": "the exporter gives two values that differ for one chip",
    "dcgm-missing": "the exporter told of it before and does not now",
}


def parse(text: str) -> _Found:
    """Return what an exporter's text says of chips.

    Raises:
        MeterError: ``meter-malformed``: not Prometheus' text format, or too much of it.
    """
    from prometheus_client.parser import text_string_to_metric_families

    if len(text) > MAX_TEXT:
        raise malformed("the exporter's answer is too large", f"at most {MAX_TEXT} characters", str(len(text)))
    found = _Found()
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                known = NAMES.get(sample.name.lower().removesuffix("_total"))  # the parser adds it to counters
                if known is not None:
                    _take(found, (_chip(sample.labels), known[0]), float(sample.value), known[1])
    except ValueError as error:
        raise malformed("this is not an exporter's text", "Prometheus' text format", str(error)) from None
    return found


def _take(found: _Found, key: Key, value: float, scale: int) -> None:
    number = _number(key[1], value, scale)
    if isinstance(number, int) and found.values.get(key, number) != number:
        number = "dcgm-ambiguous"
    if isinstance(number, int):
        if key not in found.blank:
            found.values[key] = number
    else:
        found.values.pop(key, None)
        found.blank[key] = number


def _number(quantity: Quantity, value: float, scale: int) -> int | str:
    """Return the value in the quantity's unit, or the code of a gap."""
    if not math.isfinite(value):
        return "dcgm-blank"
    if any(mark <= value < mark + 16 for mark in (BLANK_32, BLANK_64, BLANK_FP64)) or value >= BLANK_64:
        return "dcgm-blank"
    number = round(value * scale)
    share = quantity in (Quantity.BUSY_PPM, Quantity.TENSOR_PPM)
    if number < 0 or (share and number > _SHARE) or number > 2**53:
        return "dcgm-not-a-number"
    return number


def _chip(labels: Mapping[str, str]) -> str:
    """Return the chip's UUID (and its MIG instance), or its number and host where there is none."""
    lower = {name.lower(): value for name, value in labels.items()}
    chip = lower.get("uuid") or f"gpu {lower.get('gpu', '?')} of {lower.get('hostname', '?')}"
    instance = lower.get("gpu_i_id")
    return f"{chip} instance {instance}" if instance else chip
