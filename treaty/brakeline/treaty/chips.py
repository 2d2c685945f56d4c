"""Chip classes: dense peaks by precision, watts of a board, H100-equivalents, each row with the vendor's own document.

What it is: a table for negotiators to copy from, and the arithmetic of H100-equivalents. What it is not: the terms. A
treaty names its own chip classes and their figures, and only those are judged by; a class may be copied from here with
the parties' own measurement of idle watts, which no vendor publishes.

*Dense* means without structured sparsity, which doubles what vendors print first. Peaks are FLOP per second of one chip
as it is counted (one accelerator package). A precision that the chip or its document does not have is absent, not zero;
watts that the vendor does not publish are None. Rows are left out where no vendor document says the number.

The H100 SXM stands here with the 989.4 TFLOP/s of NVIDIA's white paper. Texts round it to 989, the European guidelines
among them; published figures are therefore reproduced with 989 (``docs/validation.md``).

>>> CHIPS["a100-sxm-80gb"].peak(Precision.BF16)
Flop(312000000000000)
>>> round_down(h100_equivalents({"h100-sxm": 8, "a100-sxm-80gb": 8}))
10
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from brakeline.treaty.counting import CountingError, Precision
from brakeline.treaty.quantities import Flop, Rational

REFERENCE = "h100-sxm"
"""What one H100-equivalent is: the dense FP16 peak of an H100 in the SXM form."""

_TERA = 10**12


@dataclass(frozen=True, slots=True)
class Chip:
    """One class of chip.

    Attributes:
        name: as a treaty may name the class.
        vendor: who makes it.
        peaks: dense peak by precision, FLOP per second (operations per second for INT8).
        board_watts: most that the board draws, where the document says.
        idle_watts: what it draws idle, where the document says.
        source: title of the vendor's document.
    """

    name: str
    vendor: str
    peaks: Mapping[Precision, Flop]
    board_watts: int | None
    idle_watts: int | None
    source: str

    def peak(self, precision: Precision) -> Flop:
        """Return the dense peak in *precision* (``counting-precision`` where the document has none)."""
        found = self.peaks.get(precision)
        if found is None:
            raise CountingError(
                code="counting-precision",
                message=f"{self.source} gives no dense peak of {self.name} in this precision",
                expected=", ".join(self.peaks),
                found=str(precision),
                fix="name a precision of the table, or give the treaty's chip class its own figure and source",
            )
        return found

    @property
    def half(self) -> Flop:
        """The dense peak in 16 bits: FP16, or BF16 where that is all there is."""
        return self.peaks.get(Precision.FP16) or self.peak(Precision.BF16)

    @property
    def fastest(self) -> Flop:
        """The largest dense peak of any floating-point precision: no booked FLOP can be above it."""
        return max(flop for precision, flop in self.peaks.items() if precision is not Precision.INT8)

    @property
    def h100_equivalent(self) -> Rational:
        """Peak in 16 bits over that of an H100 SXM, in lowest terms."""
        ratio = Fraction(self.half.value, CHIPS[REFERENCE].half.value)
        return Rational(ratio.numerator, ratio.denominator)


def h100_equivalents(chips: Mapping[str, int]) -> Fraction:
    """Return the H100-equivalents of so many chips of each class (``counting-chip`` for a class or number unknown)."""
    total = Fraction(0)
    for name, number in chips.items():
        chip = CHIPS.get(name)
        if chip is None or number < 0:
            raise CountingError(
                code="counting-chip",
                message="no such chips",
                expected=f"0 or more of: {', '.join(CHIPS)}",
                found=f"{number} of {name!r}"[:80],
                fix="use the H100-equivalents that the treaty gives its own classes",
            )
        total += number * Fraction(chip.half.value, CHIPS[REFERENCE].half.value)
    return total


def round_down(value: Fraction) -> int:
    """Return the whole part of *value*."""
    return value.numerator // value.denominator


def _chip(name: str, vendor: str, watts: int | None, peaks: str, source: str) -> Chip:
    """Read a row; *peaks* are in TFLOP/s, digit for digit as the document prints them."""
    pairs = (pair.split("=") for pair in peaks.split())
    exact = {Precision(precision): Flop(int(Fraction(number) * _TERA)) for precision, number in pairs}
    return Chip(name, vendor, exact, watts, None, source)


_V100 = "NVIDIA V100 Tensor Core GPU (data sheet)"
_A100 = "NVIDIA A100 Tensor Core GPU (data sheet)"
_A100_PEAKS = "fp16=312 bf16=312 tf32=156 fp32=19.5 int8=624"
_HOPPER = "NVIDIA H100 Tensor Core GPU Architecture (white paper), table of H100 and A100"
_HOPPER_SXM = "fp8=1978.9 fp16=989.4 bf16=989.4 tf32=494.7 fp32=66.9 int8=1978.9"
_HOPPER_PCIE = "fp8=1513 fp16=756 bf16=756 tf32=378 fp32=51.2 int8=1513"
_H200 = "NVIDIA H200 Tensor Core GPU (data sheet), SXM: the dense peaks of the H100 SXM"
_B200_PEAKS = "fp4=9000 fp8=4500 fp16=2250 bf16=2250 tf32=1100 fp32=75"
_B200 = "NVIDIA Blackwell (data sheet), HGX B200, each GPU; printed with sparsity, halved here"
_L40S_PEAKS = "fp8=733 fp16=362.05 bf16=362.05 tf32=183 fp32=91.6"
_CDNA3 = "fp8=2614.9 fp16=1307.4 bf16=1307.4 tf32=653.7 fp32=163.4"
_TPU = "Google Cloud documentation, TPU {}: peak compute per chip"
_NEURON = "AWS Neuron documentation, {} architecture"

_ROWS = (
    _chip("v100-sxm2", "NVIDIA", 300, "fp16=125 fp32=15.7", _V100),
    _chip("v100-pcie", "NVIDIA", 250, "fp16=112 fp32=14", _V100),
    _chip("a100-sxm-40gb", "NVIDIA", 400, _A100_PEAKS, _A100),
    _chip("a100-sxm-80gb", "NVIDIA", 400, _A100_PEAKS, _A100),
    _chip("a100-pcie-40gb", "NVIDIA", 250, _A100_PEAKS, _A100),
    _chip("a100-pcie-80gb", "NVIDIA", 300, _A100_PEAKS, _A100),
    _chip("h100-sxm", "NVIDIA", 700, _HOPPER_SXM, _HOPPER),
    _chip("h100-pcie", "NVIDIA", 350, _HOPPER_PCIE, _HOPPER),
    _chip("h200-sxm", "NVIDIA", 700, _HOPPER_SXM, _H200),
    _chip("b200-hgx", "NVIDIA", 1000, _B200_PEAKS, _B200),
    _chip("l40s", "NVIDIA", 350, _L40S_PEAKS, "NVIDIA L40S (data sheet)"),
    _chip("mi250x", "AMD", 560, "fp16=383 bf16=383", "AMD Instinct MI250X (data sheet), peak board power"),
    _chip("mi300x", "AMD", 750, _CDNA3, "AMD Instinct MI300X (data sheet)"),
    _chip("mi325x", "AMD", 1000, _CDNA3, "AMD Instinct MI325X (data sheet)"),
    _chip("tpu-v4", "Google", None, "bf16=275 int8=275", _TPU.format("v4")),
    _chip("tpu-v5e", "Google", None, "bf16=197", _TPU.format("v5e")),
    _chip("tpu-v5p", "Google", None, "bf16=459 int8=918", _TPU.format("v5p")),
    _chip("tpu-v6e", "Google", None, "bf16=918", _TPU.format("v6e")),
    _chip("trainium", "Amazon", None, "fp16=190 bf16=190 tf32=190 fp32=47.5", _NEURON.format("Trainium")),
    _chip("trainium2", "Amazon", None, "fp8=1299 fp16=667 bf16=667 tf32=667 fp32=181", _NEURON.format("Trainium2")),
    _chip("trainium3", "Amazon", None, "fp8=2517 fp16=671 bf16=671 tf32=671 fp32=183", _NEURON.format("Trainium3")),
)

CHIPS: Mapping[str, Chip] = {chip.name: chip for chip in _ROWS}
"""Every class, by name."""
