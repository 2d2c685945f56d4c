"""DCGM's exporter: both spellings, marks that mean nothing, chips that vanish; a gap is never a zero."""

from __future__ import annotations

import pytest
from brakeline.node.meters.dcgm import BLANK_32, BLANK_64, BLANK_FP64, DcgmMeter, parse
from brakeline.node.meters.protocol import Counter, MeterError, Quantity
from hypothesis import given
from hypothesis import strategies as st

ONE, TWO = "GPU-0a1b2c3d-1111-2222-3333-444455556666", "GPU-ffffffff-1111-2222-3333-444455556666"
NEW = f"""\
# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{{gpu="0",UUID="{ONE}",device="nvidia0",modelName="NVIDIA H100",Hostname="n1"}} 98
DCGM_FI_DEV_GPU_UTIL{{gpu="1",UUID="{TWO}",device="nvidia1",modelName="NVIDIA H100",Hostname="n1"}} 0
# HELP DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION Total energy consumption since boot (in mJ).
# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{gpu="0",UUID="{ONE}",device="nvidia0",Hostname="n1"}} 123456789012
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{gpu="1",UUID="{TWO}",device="nvidia1",Hostname="n1"}} 7.824041e+06
# HELP DCGM_FI_PROF_PIPE_TENSOR_ACTIVE Ratio of cycles the tensor (HMMA) pipe is active.
# TYPE DCGM_FI_PROF_PIPE_TENSOR_ACTIVE gauge
DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{{gpu="0",UUID="{ONE}",device="nvidia0",Hostname="n1",pod="train-0"}} 0.617283
# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{{gpu="0",UUID="{ONE}",device="nvidia0",Hostname="n1"}} 612.34
DCGM_FI_DEV_SM_CLOCK{{gpu="0",UUID="{ONE}"}} 1980
"""
OLD = f"""\
# TYPE dcgm_gpu_utilization gauge
dcgm_gpu_utilization{{gpu="0",uuid="{ONE}"}} 98
# TYPE dcgm_total_energy_consumption counter
dcgm_total_energy_consumption{{gpu="0",uuid="{ONE}"}} 123456789012
# TYPE dcgm_fi_prof_pipe_tensor_active gauge
dcgm_fi_prof_pipe_tensor_active{{gpu="0",uuid="{ONE}"}} 0.617283
dcgm_power_usage{{gpu="0",uuid="{ONE}"}} 612.34
"""
FIRST = {
    (ONE, Quantity.BUSY_PPM): 980_000,
    (ONE, Quantity.ENERGY_MJ): 123_456_789_012,
    (ONE, Quantity.TENSOR_PPM): 617_283,
    (ONE, Quantity.POWER_MW): 612_340,
}


def test_both_spellings_of_names_and_labels_say_the_same() -> None:
    second = {(TWO, Quantity.BUSY_PPM): 0, (TWO, Quantity.ENERGY_MJ): 7_824_041}
    assert parse(NEW).values == FIRST | second
    assert parse(OLD).values == FIRST
    assert parse(NEW + OLD).values == FIRST | second


def test_two_values_that_differ_for_one_chip_are_a_gap_whichever_came_first() -> None:
    odd = f'dcgm_gpu_utilization{{gpu="0",uuid="{ONE}"}} 3\n'
    for text in (NEW + odd, odd + NEW, odd + NEW + odd):
        found = parse(text)
        assert found.blank == {(ONE, Quantity.BUSY_PPM): "dcgm-ambiguous"}
        assert (ONE, Quantity.BUSY_PPM) not in found.values


@pytest.mark.parametrize(
    "value", ["NaN", "+Inf", *(str(mark + n) for mark in (BLANK_32, BLANK_FP64) for n in range(4)), str(BLANK_64 + 2)]
)
def test_marks_for_nothing_are_gaps_and_no_numbers(value: str) -> None:
    found = parse(f'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{gpu="0",UUID="{ONE}"}} {value}\n')
    assert (found.values, found.blank) == ({}, {(ONE, Quantity.ENERGY_MJ): "dcgm-blank"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DCGM_FI_DEV_GPU_UTIL", "101"),
        ("DCGM_FI_DEV_GPU_UTIL", "-1"),
        ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "61.7"),
        ("DCGM_FI_DEV_POWER_USAGE", "-0.1"),
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "1e17"),
    ],
)
def test_numbers_that_no_chip_has_are_gaps(name: str, value: str) -> None:
    found = parse(f'{name}{{UUID="{ONE}"}} {value}\n')
    assert found.values == {}
    assert list(found.blank.values()) == ["dcgm-not-a-number"]


def test_instances_of_a_chip_and_chips_without_a_uuid_keep_apart() -> None:
    text = (
        f'DCGM_FI_DEV_GPU_UTIL{{gpu="0",UUID="{ONE}",GPU_I_PROFILE="1g.10gb",GPU_I_ID="7"}} 5\n'
        f'DCGM_FI_DEV_GPU_UTIL{{gpu="0",UUID="{ONE}",GPU_I_PROFILE="1g.10gb",GPU_I_ID="8"}} 6\n'
        'DCGM_FI_DEV_GPU_UTIL{gpu="0",Hostname="n1"} 7\n'
        'DCGM_FI_DEV_GPU_UTIL{gpu="0",hostname="n2"} 8\n'
    )
    assert {key[0]: value for key, value in parse(text).values.items()} == {
        f"{ONE} instance 7": 50_000,
        f"{ONE} instance 8": 60_000,
        "gpu 0 of n1": 70_000,
        "gpu 0 of n2": 80_000,
    }


class Exporter:
    def __init__(self) -> None:
        self.text = NEW

    def fetch(self) -> str:
        if not self.text:
            raise OSError("connection refused")
        return self.text


def test_what_was_there_and_is_not_is_a_gap_until_it_is_back() -> None:
    exporter = Exporter()
    meter = DcgmMeter(exporter.fetch)
    assert meter.read(1).gaps == ()
    exporter.text = OLD
    read = meter.read(2)
    assert {(gap.source, gap.quantity, gap.code) for gap in read.gaps} == {
        (TWO, Quantity.BUSY_PPM, "dcgm-missing"),
        (TWO, Quantity.ENERGY_MJ, "dcgm-missing"),
    }
    exporter.text = ""
    read = meter.read(3)
    assert read.counters == ()
    assert {gap.code for gap in read.gaps} == {"dcgm-unreachable"}
    assert len(read.gaps) == 6
    exporter.text = NEW
    read = meter.read(4)
    assert read.gaps == ()
    assert Counter(TWO, Quantity.BUSY_PPM, 0) in read.counters  # an honest zero


def test_an_exporter_that_never_answered_or_speaks_otherwise_is_said_to() -> None:
    exporter = Exporter()
    exporter.text = ""
    with pytest.raises(MeterError, match="meter-unavailable"):
        DcgmMeter(exporter.fetch).read(1)
    for text in ("<html>not metrics</html>", 'DCGM_FI_DEV_GPU_UTIL{gpu="0" 5\n', "x" * 17_000_000):
        with pytest.raises(MeterError, match="meter-malformed"):
            parse(text)


@given(st.text(max_size=200) | st.text(alphabet='DCGM_FI_GPUTILuid{}="0.9,\n# \\', max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except MeterError:
        return
    assert all(value >= 0 for value in found.values.values())
