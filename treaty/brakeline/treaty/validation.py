"""Published figures that every release reproduces: each a row with its formula, inputs, result and tolerance.

What it is: the proof that the formulas here are the ones that others use, with their biases shown.
``docs/validation.md`` is these rows, written by ``brakeline treaty validate``; a test holds each row to its tolerance
and the file to the rows. What it is not: part of any judgement. It is the one module here that reads the exploring
(floating-point) statistics; their results enter as exact fractions and are compared as such.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction

from brakeline.treaty.counting import FORWARD, TRAINING, Stretch, hardware_flop, model_flop, utilisation
from brakeline.treaty.quantities import ChipMs, DurationMs, Flop, Rational, Tokens
from brakeline.treaty.statistics.attribute import approximate_sample, miss_probability, smallest_sample
from brakeline.treaty.statistics.chip_sampling import guilty_chips, looks_needed
from brakeline.treaty.statistics.committee import captured, split_view_seen
from brakeline.treaty.statistics.exploring.muf import loss_seen, smallest_loss_seen
from brakeline.treaty.statistics.exploring.run_length import average_run_length
from brakeline.treaty.statistics.segments import segments_needed
from brakeline.treaty.statistics.timeliness import chips_below, time_to_quantity

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
H100 = Flop(989 * 10**12)
"""Dense BF16 peak as these texts round it (``chips.py`` has NVIDIA's 989.4)."""
A100 = Flop(312 * 10**12)
BILLION, TRILLION = 10**9, 10**12
COMMAND = "brakeline treaty validate --out docs/validation.md"
SIGNIFICANT = 4
SHORT = 10**7
"""Below this an integer is shown whole."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Attributes:
        section: what it is about.
        check: what is computed.
        formula: how.
        inputs: from what.
        computed: our result, as text.
        expected: the published figure, as published.
        tolerance: how far apart they may be.
        inside: whether they are.
        source: who published it.
    """

    section: str
    check: str
    formula: str
    inputs: str
    computed: str
    expected: str
    tolerance: str
    inside: bool
    source: str

    def as_dict(self) -> dict[str, str | bool]:
        """Return the row for ``--format json``."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Section:
    """Makes the rows of one section; *source* unless a row names its own."""

    title: str
    source: str

    def within(
        self, check: str, how: tuple[str, str], computed: Fraction | int, expected: str, percent: str, source: str = ""
    ) -> Row:
        """Expect *computed* within *percent* of *expected*."""
        published = Fraction(expected)
        inside = abs(computed - published) * 100 <= published * Fraction(percent)
        return self._row(check, how, computed, expected, f"{percent} %", inside, source)

    def near(
        self, check: str, how: tuple[str, str], computed: Fraction | int, expected: str, distance: str, source: str = ""
    ) -> Row:
        """Expect *computed* within *distance* of *expected*."""
        inside = abs(computed - Fraction(expected)) <= Fraction(distance)
        return self._row(check, how, computed, expected, f"+- {distance}", inside, source)

    def printed(
        self, check: str, how: tuple[str, str], computed: Fraction | int, expected: str, source: str = ""
    ) -> Row:
        """Expect *computed*, rounded to the digits of *expected*, to be *expected*."""
        digits, _, exponent = expected.partition("e")
        decimals = len(digits.partition(".")[2]) - int(exponent or 0)
        inside = abs(computed - Fraction(expected)) * 2 <= Fraction(10) ** -decimals
        return self._row(check, how, computed, expected, "all digits", inside, source)

    def exact(self, check: str, how: tuple[str, str], computed: int, expected: int, source: str = "") -> Row:
        """Expect the very number."""
        return self._row(check, how, computed, str(expected), "exact", computed == expected, source)

    def _row(
        self,
        check: str,
        how: tuple[str, str],
        computed: Fraction | int,
        expected: str,
        tolerance: str,
        inside: bool,
        source: str,
    ) -> Row:
        shown = str(computed) if isinstance(computed, int) and computed < SHORT else figure(Fraction(computed))
        return Row(self.title, check, *how, shown, expected, tolerance, inside, source or self.source)


def figure(value: Fraction, significant: int = SIGNIFICANT) -> str:
    """Return *value* with four significant digits, rounded half to even: ``3.150e23``, ``0.8571``, ``-12.50``.

    >>> figure(Fraction(6, 7)), figure(Fraction(315 * 10**21)), figure(Fraction(-25, 2)), figure(Fraction(99999))
    ('0.8571', '3.150e23', '-12.50', '1.000e5')
    """
    if value == 0:
        return "0"
    sign, size = ("-" if value < 0 else ""), abs(value)
    exponent = len(str(size.numerator)) - len(str(size.denominator))
    if Fraction(10) ** exponent > size:
        exponent -= 1
    digits = round(size * Fraction(10) ** (significant - 1 - exponent))
    if digits == 10**significant:
        digits, exponent = digits // 10, exponent + 1
    text = str(digits)
    if not -4 <= exponent < significant:
        return f"{sign}{text[0]}.{text[1:]}e{exponent}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{text}"
    whole, rest = text[: exponent + 1], text[exponent + 1 :]
    return f"{sign}{whole}.{rest}" if rest else f"{sign}{whole}"


def rows() -> tuple[Row, ...]:
    """Compute every row; some tenths of a second."""
    sections = (_models(), _guideline(), _capacity(), _sampling(), _sequential(), _committees())
    return tuple(row for section in sections for row in section)


_SIX = f"{TRAINING} P D"


def _models() -> Iterator[Row]:
    s = _Section("Training compute, energy and utilisation of published models", "")
    bloom, llama = ChipMs(1_082_990 * HOUR_MS), ChipMs(30_840_000 * HOUR_MS)
    yield s.within("GPT-3", (_SIX, "175e9, 300e9"), _train(175, 300), "3.14e23", "0.5", "Brown et al. 2020, table D.1")
    yield s.within("Chinchilla", (_SIX, "70e9, 1.4e12"), _train(70, 1400), "5.76e23", "2.5", "Hoffmann et al. 2022")
    yield s.printed("Gopher", (_SIX, "280e9, 300e9"), _train(280, 300), "5.04e23", "Rae et al. 2021 (P, D)")
    bias = Fraction(_train(280, 300) * 100, 576 * 10**21) - 100
    how = (f"{_SIX} / published - 1", "5.04e23, 5.76e23")
    yield s.printed("Gopher: the known bias of 6 P D, percent", how, bias, "-12.5", "Hoffmann et al. 2022, table 3")
    yield s.within("PaLM", (_SIX, "540e9, 780e9"), _train(540, 780), "2.53e24", "0.5", "Chowdhery et al. 2022 (P, D)")
    source = "Llama 3.1 405B: Dubey et al. 2024, model card"
    done = _train(405, 15_600)
    yield s.within("Llama 3.1 405B", (_SIX, "405e9, 15.6e12"), done, "3.8e25", "1", source)
    part = utilisation(Flop(done), llama, H100) or Fraction(0)
    how = (f"{_SIX} / (N L H)", "30.84e6 H100-hours, 989e12")
    yield s.within("Llama 3.1 405B: utilisation", how, part, "0.346", "1", source)
    energy = 30_840_000 * 700 // 10**6
    yield s.within("Llama 3.1 405B: MWh", ("hours x watts", "30.84e6, 700"), energy, "21588", "1", source)
    source = "BLOOM: Luccioni et al. 2022"
    energy = 1_082_990 * 400 // 10**3
    yield s.within("BLOOM: kWh", ("hours x watts", "1,082,990, 400"), energy, "433196", "1", source)
    part = utilisation(Flop(_train(176, 366)), bloom, A100) or Fraction(0)
    how = (f"{_SIX} / (N L H)", "176e9, 366e9; 1,082,990 A100-hours, 312e12")
    yield s.within("BLOOM: utilisation", how, part, "0.318", "1", source)


def _train(billions: int, billion_tokens: int) -> int:
    return model_flop(billions * BILLION, Tokens(billion_tokens * BILLION)).value


def _guideline() -> Iterator[Row]:
    s = _Section("The European Commission's worked examples", "Guidelines C(2025) 5045, Annex A.3")
    language = (
        ("A", 3_800, 3_300 * BILLION, "3.8e9, 3.3e12", "0.752e23", "7.5e22"),
        ("C", 600, 36 * TRILLION, "0.6e9, 36e12", "1.296e23", "1.3e23"),
        ("D", 1_540, 18 * TRILLION, "1.54e9, 18e12", "1.663e23", "1.6e23"),
        ("E", 1_700, 36 * TRILLION, "1.7e9, 36e12", "3.672e23", "3.7e23"),
        ("F", 2_500, 12 * TRILLION, "2.5e9, 12e12", "1.80e23", "1.8e23"),
        ("G", 2_600, 61 * BILLION * 164, "2.6e9, 61e9 x 164 epochs", "1.561e23", "1.5e23"),
    )
    hardware = (
        ("B", 200_000, Flop(300 * 10**12), "200,000 h, 300e12, 0.5", "1.08e23", "1e23"),
        ("H", 370_000, H100, "370,000 h, 989e12, 0.5", "6.587e23", "6.5e23"),
    )
    examples = [
        (name, _SIX, inputs, model_flop(millions * 10**6, Tokens(tokens)), formula, published)
        for name, millions, tokens, inputs, formula, published in language
    ]
    for name, hours, peak, inputs, formula, published in hardware:
        work = hardware_flop([Stretch(ChipMs(hours * HOUR_MS), peak, Rational(1, 2))])
        examples.append((name, "N L H U", inputs, work, formula, published))
    for name, how, inputs, work, formula, published in sorted(examples, key=lambda example: example[0]):
        yield s.within(f"Model {name}: formula", (how, inputs), work.value, formula, "0.1")
        yield s.within(f"Model {name}: as published", (how, inputs), work.value, published, "8.1")


def _capacity() -> Iterator[Row]:
    s = _Section("Capacity and time", "arithmetic on a peak of 989e12 FLOP/s")
    whole = Fraction(1)
    how = ("SQ / (N H U)", "16, 989e12, 1; 1e22")
    days = Fraction(time_to_quantity(Flop(10**22), 16, H100, whole), DAY_MS)
    yield s.printed("16 H100-equivalents at FP16 peak: days to 1e22", how, days, "7.31")
    years = Fraction(time_to_quantity(Flop(10**24), 16, H100, whole) * 4, DAY_MS * 1461)
    how = ("SQ / (N H U)", "16, 989e12, 1; 1e24; 365.25 days")
    yield s.printed("16 H100-equivalents at FP16 peak: years to 1e24", how, years, "2.00")
    days = Fraction(time_to_quantity(Flop(10**24), 1000, H100, Fraction(4, 10)), DAY_MS)
    yield s.printed("1,000 H100 at 40 %: days to 1e24", ("SQ / (N H U)", "1000, 989e12, 0.4"), days, "29.3")
    how = ("line / H", "1e20, 989e12")
    line = chips_below(Flop(10**20), H100)
    yield s.within("Cluster line 1e20 op/s: H100 below it", how, line, "101112", "0.1", "Executive Order 14110, 4.2(b)")
    month = hardware_flop([Stretch(ChipMs(16_384 * 30 * DAY_MS), H100, Rational(1, 1))])
    yield s.printed("16,384 H100 for 30 days: FLOP", ("N L H", "16384, 30 days, 989e12"), month.value, "4.2e25")
    blind = Fraction(smallest_loss_seen(Flop(month.value // 100).value, Fraction(5, 100), Fraction(95, 100)))
    how = ("(z_.95 + z_.95) sigma", "sigma 1 % of that, alpha .05, P .95")
    yield s.printed("Least FLOP that a balance of it sees", how, blind, "1.4e24", "Avenhaus and Canty 1996, ch. 5")


def _sampling() -> Iterator[Row]:
    s = _Section("Sampling", "IAEA attribute sampling; Jaech and Russell 1991")
    rule, exact = "ceil(N (1 - beta^(1/d)))", "least n: C(N-d,n)/C(N,n) <= beta"
    plans = ((100, 10, "1/10", 21, 20), (200, 5, "1/20", 91, 90), (1000, 968, "1/1000", 8, 2))
    for population, false, beta, by_hand, least in plans:
        inputs, miss = f"N={population}, d={false}, beta={beta}", Fraction(beta)
        yield s.exact(
            f"Sample of {population} by hand", (rule, inputs), approximate_sample(population, false, miss), by_hand
        )
        yield s.exact(
            f"Sample of {population}, exact", (exact, inputs), smallest_sample(population, false, miss), least
        )
    source, fleet, miss = "Shavit 2023, sec. 4", 10**6, Fraction(1, 10)
    run, month = Flop(10**25), DurationMs(30 * DAY_MS)
    guilty = guilty_chips(run, H100, Fraction(4, 10), month)
    how = ("T / (H U t)", "1e25, 989e12, 0.4, 30 days")
    yield s.near("Chips that a run of 1e25 needs", how, guilty, "9752", "1", source)
    inputs = f"N=1e6, d={guilty}, beta=1/10, rho=1"
    by_hand = approximate_sample(fleet, guilty, miss)
    yield s.near("Chips to visit, by hand", (rule, inputs), by_hand, "237", "1", source)
    yield s.near("Chips to visit, exact", (exact, inputs), smallest_sample(fleet, guilty, miss), "235", "1", source)
    looks = looks_needed(guilty, fleet, Fraction(1), miss)
    how = ("least s: (1 - rho k/C)^s <= beta", inputs)
    yield s.near("Chips to visit, drawn with replacement", how, looks, "235", "1", source)
    how = ("least s: (1 - f q)^s <= beta", "f=0.01, q=1, beta=0.05")
    needed = segments_needed(Fraction(1, 100), Fraction(1), Fraction(5, 100))
    yield s.exact("Training segments to run again", how, needed, 299, "Choi et al. 2023")
    how = ("sum of Hyp(j) (1-q)^j", "N=100, d=10, n=100, q=0.5")
    seen = miss_probability(100, 10, 100, Fraction(1, 2)) * 1024
    yield s.exact("Miss by a check that sees half, x 2^10, all items drawn", how, int(seen), 1, "arithmetic")


def _sequential() -> Iterator[Row]:
    s = _Section("Sequential and balance tests", "Page 1954; Montgomery, Statistical Quality Control")
    for interval, honest, shifted in ((4, "335", "8.38"), (5, "931", "10.4")):
        inputs = f"k=0.5, h={interval}"
        how = ("Page's integral equation", inputs)
        yield s.within(f"One-sided CUSUM, h={interval}: ARL0", how, _arl(interval, 0), honest, "1")
        yield s.within(f"One-sided CUSUM, h={interval}: ARL at 1 sigma", how, _arl(interval, 1), shifted, "1")
    for loss, seen in (("1", "0.260"), ("2", "0.639"), ("3", "0.912"), ("3.29", "0.950")):
        power = Fraction(loss_seen(Fraction(loss), Fraction(1), Fraction(5, 100)))
        how = ("Phi(M/sigma - z)", f"alpha=.05, M={loss} sigma")
        yield s.near(f"MUF test, M = {loss} sigma: P", how, power, seen, "0.001", "Avenhaus and Canty 1996, ch. 5")


def _arl(interval: int, shift: int) -> Fraction:
    return Fraction(average_run_length(Fraction(1, 2), interval, shift))


def _committees() -> Iterator[Row]:
    s = _Section("Committees and split views", "hypergeometric distribution")
    how = ("1 - sum C(side,a)/C(n,a)", "n=7 split 3/4, a=3")
    yield s.printed("Equivocation seen by an auditor of 3 logs", how, split_view_seen([3, 4], 3), "0.857")
    how = ("sum over j>=3 of C(4,j) C(11,5-j)/C(15,5)", "n=15, bad 4, drawn 5")
    yield s.printed("Committee of 5 with 3 bad members or more", how, captured(15, 4, 5, 3), "0.0769")


# The page -----------------------------------------------------------------------------------------------------------

_HEAD = f"""# Published figures, reproduced

Written by `{COMMAND}`; do not edit. A test recomputes every row, holds it to its
tolerance, and compares this page.

Rows that a finding could rest on are computed in integers and fractions; the sections with CUSUM and MUF use floating
point, which only explores: no rule imports it. P are parameters, D tokens, N chips, L seconds, H dense peak FLOP per
second, U utilisation. *All digits* means: equal to the published figure in every digit it prints.
"""

_TAIL = f"""
## What the figures say

- {_SIX} leaves out attention and overhead: against the published total of Gopher it is 12.5 % low. A rule that compares
  it with the hardware method needs a margin wider than that. A forward pass alone is {FORWARD} P D.
- Bulk accounting cannot guard low thresholds: with 16,384 H100 for 30 days and a measurement error of 1 % of their
  capacity, less than 1.4e24 FLOP is not seen with 95 %. Below that, items must be counted and contained.
- The sample size worked out by hand is never too small, and can be far too large when most items are false.
- The H100's peak is printed as 989.4 TFLOP/s by NVIDIA and rounded to 989 in the texts that these figures come from;
  the two differ by 0.04 %.
"""


def render(table: Sequence[Row]) -> str:
    """Return the page ``docs/validation.md``."""
    parts = [_HEAD]
    for section in dict.fromkeys(row.section for row in table):
        parts.append(
            f"\n## {section}\n\n| check | formula | inputs | computed | expected | tolerance | inside | source |"
        )
        parts.append("\n|---|---|---|---|---|---|---|---|\n")
        parts += [_line(row) for row in table if row.section == section]
    return "".join([*parts, _TAIL])


def _line(row: Row) -> str:
    cells = (row.check, row.formula, row.inputs, row.computed, row.expected, row.tolerance, _yes(row), row.source)
    return f"| {' | '.join(cells)} |\n"


def _yes(row: Row) -> str:
    return "yes" if row.inside else "**no**"
