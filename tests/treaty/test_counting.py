"""Counting training compute, under each legal text, and the table of chips."""

from __future__ import annotations

from fractions import Fraction
from typing import get_args

import pytest
from brakeline.treaty.chips import CHIPS, REFERENCE, h100_equivalents
from brakeline.treaty.counting import (
    FORWARD,
    PROFILES,
    CountingError,
    Precision,
    ProfileName,
    Purpose,
    Stretch,
    Work,
    at_most,
    count,
    fp16_equivalent,
    hardware_flop,
    may_pass,
    methods_differ,
    model_flop,
    passes_flop,
    passes_share,
    utilisation,
)
from brakeline.treaty.quantities import ChipMs, Flop, Rational, Tokens
from brakeline.treaty.terms import CountingProfile
from hypothesis import given
from hypothesis import strategies as st

flops = st.integers(0, 10**27).map(Flop)
works = st.builds(Work, st.sampled_from(Purpose), st.sampled_from(Precision), flops)
ratios = st.builds(Rational, st.integers(0, 100), st.just(100))
stretches = st.builds(Stretch, st.integers(0, 10**15).map(ChipMs), st.integers(0, 10**16).map(Flop), ratios)
THIRTY = Rational(30, 100)


# Methods -------------------------------------------------------------------------------------------------------------


def test_the_hardware_method_is_chips_times_seconds_times_peak_times_utilisation() -> None:
    stretch = Stretch(ChipMs(16 * 1000), Flop(989 * 10**12), Rational(1, 2))
    assert hardware_flop([stretch]) == Flop(16 * 989 * 10**12 // 2)
    assert hardware_flop([]) == Flop(0)


@given(st.lists(stretches, max_size=4))
def test_the_hardware_method_rounds_up_once(parts: list[Stretch]) -> None:
    exact = sum(
        (Fraction(p.chip_ms.value * p.peak_flop_per_s.value * p.utilisation.numerator, 1000 * 100) for p in parts),
        Fraction(0),
    )
    assert 0 <= hardware_flop(parts).value - exact < 1


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**6), st.integers(1, 100))
def test_splitting_a_run_in_time_changes_nothing_that_counts(first: int, second: int, peak: int, used: int) -> None:
    def of(chip_ms: int) -> Stretch:
        return Stretch(ChipMs(chip_ms), Flop(peak), Rational(used, 100))

    assert hardware_flop([of(first), of(second)]) == hardware_flop([of(first + second)])


def test_more_than_the_peak_is_refused() -> None:
    with pytest.raises(CountingError) as caught:
        hardware_flop([Stretch(ChipMs(1), Flop(1), Rational(3, 2))])
    assert caught.value.code == "counting-utilisation"


def test_the_model_method() -> None:
    assert model_flop(175 * 10**9, Tokens(300 * 10**9)) == Flop(315 * 10**21)
    assert model_flop(7, Tokens(5), FORWARD) == Flop(70)
    assert passes_flop(3, Flop(10)) == Flop(30)
    assert model_flop(0, Tokens(5)) == model_flop(7, Tokens(5), 0) == passes_flop(0, Flop(1)) == Flop(0)
    with pytest.raises(CountingError, match="counting-parameters"):
        model_flop(-1, Tokens(1))
    with pytest.raises(CountingError, match="counting-parameters"):
        model_flop(1, Tokens(1), -1)
    with pytest.raises(CountingError, match="counting-parameters"):
        passes_flop(-1, Flop(1))


def test_implied_utilisation() -> None:
    assert utilisation(Flop(400), ChipMs(1000), Flop(1000)) == Fraction(2, 5)
    assert utilisation(Flop(400), ChipMs(0), Flop(1000)) is None


# Margins -------------------------------------------------------------------------------------------------------------


@given(flops, flops)
def test_methods_that_differ_do_so_either_way_round(a: Flop, b: Flop) -> None:
    assert methods_differ(a, b, THIRTY) == methods_differ(b, a, THIRTY)
    assert not methods_differ(a, a, Rational(0, 1))


def test_a_margin_is_reached_and_not_passed_exactly() -> None:
    assert not methods_differ(Flop(100), Flop(70), THIRTY)
    assert methods_differ(Flop(100), Flop(69), THIRTY)
    assert at_most(Flop(10), THIRTY) == Flop(13)
    assert at_most(Flop(11), THIRTY) == Flop(15)
    assert not may_pass(Flop(10), THIRTY, Flop(13))
    assert may_pass(Flop(10), THIRTY, Flop(12))


def test_a_modification_beyond_a_third_makes_a_new_model() -> None:
    part = PROFILES["eu-gpai"].modification
    assert part is not None
    assert not passes_share(Flop(10**24), Flop(3 * 10**24), part)
    assert passes_share(Flop(10**24 + 1), Flop(3 * 10**24), part)


# Profiles ------------------------------------------------------------------------------------------------------------


def test_every_profile_a_treaty_can_name_is_here() -> None:
    assert set(PROFILES) == set(get_args(ProfileName))
    assert set(get_args(CountingProfile)) <= set(PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_does_not_contradict_itself(name: ProfileName) -> None:
    profile = PROFILES[name]
    assert profile.name == name
    assert not profile.counts & profile.leaves_out
    assert profile.counts | profile.leaves_out | profile.silent == set(Purpose)
    assert Purpose.UPDATES in profile.counts
    assert [line.flop for line in profile.lines] == sorted(line.flop for line in profile.lines)
    assert profile.source


def test_the_preloaded_lines() -> None:
    lines = {name: {line.name: line.flop.value for line in profile.lines} for name, profile in PROFILES.items()}
    assert lines["eu-gpai"] == {"general-purpose": 10**23, "systemic-risk": 10**25}
    assert lines["miri"] == {"watched": 10**22, "post-training": 10**23, "prohibited": 10**24}
    assert lines["us-eo14110"] == {"biology": 10**23, "dual-use": 10**26}
    assert lines["sb53"] == {"frontier": 10**26}
    assert lines["free"] == {}
    assert PROFILES["miri"].chip_floor == 16
    assert PROFILES["eu-gpai"].margin == THIRTY
    cluster = PROFILES["us-eo14110"].cluster
    assert cluster is not None
    assert cluster.flop == Flop(10**20)


def test_the_european_profile_counts_what_its_annex_names() -> None:
    eu = PROFILES["eu-gpai"]
    assert eu.counts == {Purpose.UPDATES, Purpose.PRIVATE_SYNTHETIC, Purpose.MERGED, Purpose.INITIAL}
    assert eu.silent == set()


@given(st.lists(works, max_size=8), st.sampled_from(list(PROFILES)))
def test_nothing_is_lost_between_counted_and_left_out(work: list[Work], name: ProfileName) -> None:
    result = count(PROFILES[name], work)
    assert result.total == Flop.total(result.counted.values())
    assert result.total.value + Flop.total(result.left_out.values()).value >= sum(w.operations.value for w in work)
    assert set(result.left_out) <= PROFILES[name].leaves_out


@given(st.lists(works, max_size=6), works)
def test_more_work_never_counts_less(work: list[Work], more: Work) -> None:
    for profile in PROFILES.values():
        assert count(profile, work).total.value <= count(profile, [*work, more]).total.value


@pytest.mark.parametrize(
    ("precision", "equivalent"),
    [
        (Precision.FP8, 50),
        (Precision.INT8, 50),
        (Precision.FP64, 400),
        (Precision.BF16, 100),
        (Precision.TF32, 200),
        (Precision.FP32, 200),
        (Precision.FP4, 25),
    ],
)
def test_the_equivalent_in_fp16_goes_by_bits(precision: Precision, equivalent: int) -> None:
    assert fp16_equivalent(Flop(100), precision) == Flop(equivalent)
    counted = count(PROFILES["miri"], [Work(Purpose.UPDATES, precision, Flop(100))]).total
    assert counted == Flop(max(100, equivalent))
    assert count(PROFILES["eu-gpai"], [Work(Purpose.UPDATES, precision, Flop(100))]).total == Flop(100)


# Chips ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "precision", "peak", "watts"),
    [
        ("v100-sxm2", Precision.FP16, 125 * 10**12, 300),
        ("a100-sxm-80gb", Precision.BF16, 312 * 10**12, 400),
        ("h100-sxm", Precision.BF16, 9894 * 10**11, 700),
        ("h100-sxm", Precision.FP8, 19789 * 10**11, 700),
        ("h100-pcie", Precision.BF16, 756 * 10**12, 350),
        ("h200-sxm", Precision.BF16, 9894 * 10**11, 700),
        ("b200-hgx", Precision.BF16, 2250 * 10**12, 1000),
        ("mi300x", Precision.BF16, 13074 * 10**11, 750),
        ("tpu-v4", Precision.BF16, 275 * 10**12, None),
        ("tpu-v5p", Precision.BF16, 459 * 10**12, None),
        ("trainium2", Precision.BF16, 667 * 10**12, None),
    ],
)
def test_published_peaks_and_watts(name: str, precision: Precision, peak: int, watts: int | None) -> None:
    chip = CHIPS[name]
    assert chip.peak(precision) == Flop(peak)
    assert chip.board_watts == watts


@pytest.mark.parametrize("name", CHIPS)
def test_a_chip_is_consistent_and_cites_its_vendor(name: str) -> None:
    chip = CHIPS[name]
    assert chip.source
    assert chip.half
    assert chip.half.value <= chip.fastest.value
    wide = [
        chip.peaks[p]
        for p in (Precision.FP4, Precision.FP8, Precision.FP16, Precision.TF32, Precision.FP32)
        if p in chip.peaks
    ]
    assert wide == sorted(wide, reverse=True), "a narrower format is never slower"
    equivalent = chip.h100_equivalent
    assert Fraction(equivalent.numerator, equivalent.denominator) == h100_equivalents({name: 1})


def test_h100_equivalents_add_up() -> None:
    assert h100_equivalents({REFERENCE: 16}) == 16
    assert h100_equivalents({REFERENCE: 1, "a100-sxm-80gb": 2}) == 1 + 2 * Fraction(3120, 9894)
    assert h100_equivalents({}) == 0


def test_what_the_table_does_not_have_is_refused_with_a_code() -> None:
    for bad in ({"h9000": 1}, {REFERENCE: -1}):
        with pytest.raises(CountingError) as caught:
            h100_equivalents(bad)
        assert caught.value.code == "counting-chip"
    with pytest.raises(CountingError) as caught:
        CHIPS["v100-sxm2"].peak(Precision.FP8)
    assert caught.value.code == "counting-precision"
