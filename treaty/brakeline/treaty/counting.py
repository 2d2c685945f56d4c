"""Counting training compute: two methods, and what each legal text counts.

What it is: exact integer arithmetic, and the counting profiles as data. One run then has several legal totals, one per
profile, from the same books. What it is not: a rule. Nothing here decides that a line was passed; the ``threshold``
rule does, under the treaty's own thresholds. The lines preloaded here are those of the texts, for negotiators to start
from.

*Hardware method*: C = N x L x H x U, summed over stretches of constant N (chips, seconds, dense peak FLOP per second,
utilisation). *Model method*: C = passes x operations per pass; about 6 P D for a dense transformer, with the active
parameters for a mixture of experts. Both are those of the Annex, A.2, to the European Commission's *Guidelines on the
scope of the obligations for general-purpose AI models*, C(2025) 5045, 18 July 2025.

>>> model_flop(3_800_000_000, Tokens(3_300_000_000_000))
Flop(75240000000000000000000)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Literal, TypeAlias

from brakeline.treaty.errors import TreatyError
from brakeline.treaty.quantities import ChipMs, Flop, Rational, Tokens

ProfileName: TypeAlias = Literal["free", "eu-gpai", "miri", "us-eo14110", "sb53"]

MS_PER_S = 1000
FORWARD = 2
"""Operations per parameter and token of a forward pass: one multiplication, one addition."""
TRAINING = 6
"""Operations per parameter and token of a forward and a backward pass (J. Kaplan et al., arXiv:2001.08361, 2020)."""


class CountingError(TreatyError):
    """Figures that cannot be counted (codes ``counting-*``)."""


# Methods -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which the number of chips did not change.

    Attributes:
        chip_ms: N x L, chip-milliseconds.
        peak_flop_per_s: H, dense peak of one chip in the precision used, FLOP per second.
        utilisation: U, operations done over operations at peak, 0 to 1.
    """

    chip_ms: ChipMs
    peak_flop_per_s: Flop
    utilisation: Rational


def hardware_flop(stretches: Iterable[Stretch]) -> Flop:
    """Return C = sum of N x L x H x U, rounded up once, at the end: a fraction of an operation is an operation.

    Raises:
        CountingError: ``counting-utilisation`` when a utilisation is above 1.

    >>> hardware_flop([Stretch(ChipMs(370_000 * 3_600_000), Flop(989 * 10**12), Rational(1, 2))])
    Flop(658674000000000000000000)
    """
    total = Fraction(0)
    for stretch in stretches:
        if stretch.utilisation.numerator > stretch.utilisation.denominator:
            raise CountingError(
                code="counting-utilisation",
                message="chips cannot do more than their dense peak",
                expected="a utilisation from 0 to 1",
                found=f"{stretch.utilisation.numerator}/{stretch.utilisation.denominator}",
                fix="state the peak of the precision that was used, without sparsity",
            )
        work = stretch.chip_ms.value * stretch.peak_flop_per_s.value
        total += Fraction(work * stretch.utilisation.numerator, MS_PER_S * stretch.utilisation.denominator)
    return Flop(_ceiling(total))


def model_flop(parameters: int, tokens: Tokens, per_parameter_token: int = TRAINING) -> Flop:
    """Return 6 P D, or 2 P D for forward passes alone (``per_parameter_token=FORWARD``).

    Its known bias: it leaves out attention over the context, and counts embeddings that are only looked up. Published
    totals lie from 12.5 % above it (Gopher) to equal; ``docs/validation.md`` shows each.

    Args:
        parameters: P; of a mixture of experts the active ones.
        tokens: D, tokens seen, every epoch counted.
        per_parameter_token: operations per parameter and token.

    Raises:
        CountingError: ``counting-parameters`` when a number is below 0.
    """
    if parameters < 0 or per_parameter_token < 0:
        raise CountingError(
            code="counting-parameters",
            message="a model cannot have fewer than no parameters",
            expected="0 or more",
            found=f"{parameters} parameters, {per_parameter_token} operations for each and token",
        )
    return Flop(per_parameter_token * parameters * tokens.value)


def passes_flop(passes: int, operations_per_pass: Flop) -> Flop:
    """Return C = passes x operations per pass, for models that 6 P D does not fit (``counting-parameters`` below 0)."""
    if passes < 0:
        raise CountingError(
            code="counting-parameters", message="fewer than no passes", expected="0 or more", found=str(passes)
        )
    return operations_per_pass * passes


def utilisation(done: Flop, chip_ms: ChipMs, peak_flop_per_s: Flop) -> Fraction | None:
    """Return the utilisation that *done* implies, done / (N x L x H); above 1 is impossible. None without chip time."""
    capacity = chip_ms.value * peak_flop_per_s.value
    return Fraction(done.value * MS_PER_S, capacity) if capacity else None


# Margins -------------------------------------------------------------------------------------------------------------


def methods_differ(hardware: Flop, model: Flop, margin: Rational) -> bool:
    """Say whether the two methods differ by more than *margin* of the larger one, exactly."""
    low, high = sorted((hardware.value, model.value))
    return margin.exceeds(high - low, high)


def at_most(reported: Flop, margin: Rational) -> Flop:
    """Return the largest true figure that a report within *margin* of itself allows, rounded up."""
    return Flop(_ceiling(reported.value * (1 + Fraction(margin.numerator, margin.denominator))))


def may_pass(reported: Flop, margin: Rational, line: Flop) -> bool:
    """Say whether the true figure behind *reported* may lie above *line*."""
    return at_most(reported, margin) > line


def passes_share(spent: Flop, original: Flop, part: Rational) -> bool:
    """Say whether a modification spent more than *part* of the original model's compute, exactly."""
    return part.exceeds(spent.value, original.value)


def _ceiling(value: Fraction) -> int:
    return -((-value.numerator) // value.denominator)


# What compute was spent on -------------------------------------------------------------------------------------------


class Purpose(StrEnum):
    """What compute around a model was spent on: the distinctions that at least one of the texts makes."""

    UPDATES = "parameter-updates"
    """Forward and backward passes that update the model: pre-training, fine-tuning, reinforcement learning."""
    PRIVATE_SYNTHETIC = "private-synthetic-data"
    """Forward passes that made training data nobody else can read, discarded samples included."""
    PUBLIC_SYNTHETIC = "public-synthetic-data"
    """Forward passes that made training data which is publicly accessible."""
    MERGED = "merged-weights"
    """Training of weights that were merged into the model or averaged with it."""
    INITIAL = "initial-weights"
    """Training of the weights the model began from."""
    DIAGNOSTIC = "diagnostic-evaluation"
    """Evaluations and red-teaming that improve nothing."""
    EXPLORATION = "failed-exploration"
    """Experiments that helped only by what people learnt from them."""
    DISTILLED = "distillation-parent"
    """Training of a model that this one was distilled from."""
    AUXILIARY = "auxiliary-model"
    """Training of value functions and reward models."""
    RECOMPUTED = "recomputed-activations"
    """Activations computed again to save memory."""


class Precision(StrEnum):
    """Formats of a multiplication's inputs."""

    FP4 = "fp4"
    FP8 = "fp8"
    INT8 = "int8"
    FP16 = "fp16"
    BF16 = "bf16"
    TF32 = "tf32"
    FP32 = "fp32"
    FP64 = "fp64"


_BITS = {
    Precision.FP4: 4,
    Precision.FP8: 8,
    Precision.INT8: 8,
    Precision.FP16: 16,
    Precision.BF16: 16,
    Precision.TF32: 32,
    Precision.FP32: 32,
    Precision.FP64: 64,
}
"""Length of an input as it is stored; TF32 is stored in 32 bits."""


def fp16_equivalent(operations: Flop, precision: Precision) -> Flop:
    """Return *operations* x bits / 16, rounded up: one FP32 operation is two of FP16, one of FP8 is half."""
    return Flop(_ceiling(Fraction(operations.value * _BITS[precision], _BITS[Precision.FP16])))


# Profiles ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """A line that a text draws: its name, the FLOP (or FLOP per second) it lies at, and what passing it means."""

    name: str
    flop: Flop
    meaning: str


@dataclass(frozen=True, slots=True)
class Profile:
    """How one text counts.

    Attributes:
        name: as a treaty's ``[counting] profile`` writes it.
        title: the text.
        source: where it says so.
        counts: purposes that the text counts.
        leaves_out: purposes that the text leaves out.
        larger_of_fp16: count the larger of the operations done and their FP16 equivalent; else all precisions alike.
        margin: how far an estimate may be off, where the text says.
        lines: lines on compute accumulated over a model, lowest first.
        modification: a modification beyond this part of the original's compute makes a new model, where the text says.
        chip_floor: H100-equivalents above which chips must be declared, where the text says.
        cluster: line on a cluster's operations per second, where the text draws one.

    A purpose in neither set is one the text is silent on. It is counted: leaving compute out needs a reason.
    """

    name: ProfileName
    title: str
    source: str
    counts: frozenset[Purpose]
    leaves_out: frozenset[Purpose] = frozenset()
    larger_of_fp16: bool = False
    margin: Rational | None = None
    lines: tuple[Line, ...] = ()
    modification: Rational | None = None
    chip_floor: int | None = None
    cluster: Line | None = None

    @property
    def silent(self) -> frozenset[Purpose]:
        """The purposes that the text does not speak of."""
        return frozenset(Purpose) - self.counts - self.leaves_out


@dataclass(frozen=True, slots=True)
class Work:
    """Operations done, in one precision, for one purpose."""

    purpose: Purpose
    precision: Precision
    operations: Flop


@dataclass(frozen=True, slots=True)
class Count:
    """The legal total under one profile, by purpose, and what it left out."""

    total: Flop
    counted: Mapping[Purpose, Flop]
    left_out: Mapping[Purpose, Flop]


def count(profile: Profile, work: Iterable[Work]) -> Count:
    """Return the total of *work* under *profile*; counted and left-out sums are kept, so that the difference shows.

    >>> done = [Work(Purpose.UPDATES, Precision.FP8, Flop(8)), Work(Purpose.DIAGNOSTIC, Precision.FP16, Flop(5))]
    >>> count(PROFILES["eu-gpai"], done).total, count(PROFILES["free"], done).total
    (Flop(8), Flop(13))
    """
    counted: dict[Purpose, Flop] = {}
    left_out: dict[Purpose, Flop] = {}
    for item in work:
        flop = item.operations
        if profile.larger_of_fp16:
            flop = max(flop, fp16_equivalent(flop, item.precision))
        sums = left_out if item.purpose in profile.leaves_out else counted
        sums[item.purpose] = sums.get(item.purpose, Flop(0)) + flop
    return Count(Flop.total(counted.values()), counted, left_out)


def _power(exponent: int) -> Flop:
    return Flop(10**exponent)


_ROWS = (
    Profile(
        name="free",
        title="No text: everything reported counts",
        source="the treaty itself; its own margin and thresholds hold",
        counts=frozenset(Purpose),
    ),
    Profile(
        name="eu-gpai",
        title="European Union, Artificial Intelligence Act: general-purpose AI models",
        source="Regulation (EU) 2024/1689, Art. 51(2), recital 111; Commission Guidelines C(2025) 5045, Annex A.1, A.2",
        counts=frozenset({Purpose.UPDATES, Purpose.PRIVATE_SYNTHETIC, Purpose.MERGED, Purpose.INITIAL}),
        leaves_out=frozenset(
            {
                Purpose.PUBLIC_SYNTHETIC,
                Purpose.DIAGNOSTIC,
                Purpose.EXPLORATION,
                Purpose.DISTILLED,
                Purpose.AUXILIARY,
                Purpose.RECOMPUTED,
            }
        ),
        margin=Rational(30, 100),
        lines=(
            Line("general-purpose", _power(23), "with language or image generation: a general-purpose AI model"),
            Line("systemic-risk", _power(25), "presumed to have high-impact capabilities: systemic risk"),
        ),
        modification=Rational(1, 3),
    ),
    Profile(
        name="miri",
        title="MIRI, An International Agreement to Prevent the Premature Creation of Artificial Superintelligence",
        source="arXiv:2511.10783, 2025, Articles II (FLOP, training run), IV and V",
        counts=frozenset({Purpose.UPDATES, Purpose.INITIAL}),
        larger_of_fp16=True,
        lines=(
            Line("watched", _power(22), "training is declared and monitored"),
            Line("post-training", _power(23), "post-training of an existing model is prohibited above this"),
            Line("prohibited", _power(24), "training is prohibited above this"),
        ),
        chip_floor=16,
    ),
    Profile(
        name="us-eo14110",
        title="United States, Executive Order 14110 (2023; revoked in January 2025)",
        source="88 Fed. Reg. 75191, sec. 4.2(b)",
        counts=frozenset({Purpose.UPDATES}),
        lines=(
            Line("biology", _power(23), "trained mainly on biological sequence data: reporting"),
            Line("dual-use", _power(26), "dual-use foundation model: reporting"),
        ),
        cluster=Line("cluster", _power(20), "co-located, above 100 Gbit/s between machines: reporting; per second"),
    ),
    Profile(
        name="sb53",
        title="California, Transparency in Frontier Artificial Intelligence Act (SB 53, 2025)",
        source="Business and Professions Code, sec. 22757.11(i): original run and any material modification",
        counts=frozenset({Purpose.UPDATES, Purpose.INITIAL}),
        lines=(Line("frontier", _power(26), "frontier model: transparency report, framework"),),
    ),
)

PROFILES: Mapping[ProfileName, Profile] = {profile.name: profile for profile in _ROWS}
"""Every counting profile, by the name that a treaty's ``[counting]`` table gives it."""
