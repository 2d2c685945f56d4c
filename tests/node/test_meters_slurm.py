"""Slurm's accounting is read exactly: allocations, types of chips, times; anything else is an error with its line."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from brakeline.node.meters.protocol import Counter, MeterError, Quantity
from brakeline.node.meters.slurm import FIELDS, SlurmMeter, command, parse, run_sacct
from hypothesis import given
from hypothesis import strategies as st

HEADER = "|".join(FIELDS)
JOBS = f"""\
{HEADER}
4711|COMPLETED|1767225600|1767229201|3601|billing=96,cpu=96,gres/gpu:h100=8,gres/gpu=8,mem=1500G,node=1|4-00:16:00.250|9876543
4711.batch|COMPLETED|1767225600|1767229201|3601|cpu=96,gres/gpu:h100=8,gres/gpu=8,mem=1500G,node=1|4-00:16:00.250|9876543
4712|RUNNING|1767230000|Unknown|120|billing=2,cpu=2,gres/gpu=1,mem=8G,node=1|00:00:00|
4713|CANCELLED by 1000|1767230000|1767230005|5|cpu=4,mem=8G,node=1|01:02.5|18446744073709551614
4714|PENDING|Unknown|Unknown|0||00:00:00|0
4715|NODE_FAIL|1767230000|1767230100|100|cpu=1,gres/gpu:a100=1,gres/gpu:h100=2,node=2|00:01:40|4294967294
4715|COMPLETED|1767240000|1767240010|10|cpu=1,gres/gpu:a100=1,gres/gpu:h100=2,node=2|00:00:10|0
"""


def row(**columns: str) -> str:
    base = dict(zip(FIELDS, ("1", "COMPLETED", "100", "110", "10", "gres/gpu=1", "00:00:01", "5"), strict=True))
    return f"{HEADER}\n{'|'.join((base | columns).values())}\n"


def test_every_allocation_is_read_to_the_unit() -> None:
    full, running, cancelled, pending, failed, again = parse(JOBS)
    assert (full.id, full.started_s, full.ended_s, full.elapsed_s) == ("4711", 1767225600, 1767229201, 3601)
    assert (full.chips, full.energy_j) == ({"h100": 8}, 9_876_543)
    assert full.cpu_us == ((4 * 24 * 60 + 16) * 60) * 1_000_000 + 250_000
    assert (running.ended_s, running.chips, running.energy_j) == (None, {"": 1}, None)
    assert (cancelled.state, cancelled.cpu_us, cancelled.chips) == ("CANCELLED by 1000", 62_500_000, {})
    assert pending.started_s is None
    assert (failed.chips, failed.energy_j, again.energy_j) == ({"a100": 1, "h100": 2}, None, 0)
    assert failed.source != again.source  # a job that was requeued held chips twice


def test_the_meter_gives_chip_time_by_type_and_says_where_energy_is_unknown() -> None:
    read = SlurmMeter(lambda: JOBS).read(5)
    first = "job 4711 started 1767225600"
    assert Counter(f"{first} chips h100", Quantity.CHIP_MS, 8 * 3_601_000) in read.counters
    assert Counter(first, Quantity.ENERGY_MJ, 9_876_543_000) in read.counters
    assert Counter("job 4712 started 1767230000 chips", Quantity.CHIP_MS, 120_000) in read.counters
    assert [gap.source for gap in read.gaps] == [
        "job 4712 started 1767230000",
        "job 4713 started 1767230000",
        "job 4715 started 1767230000",
    ]
    assert not [c for c in read.counters if "4714" in c.source]


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("JobIDRaw", "4711; rm -rf"),
        ("JobIDRaw", ""),
        ("Start", "2026-01-01T00:00:00"),
        ("End", "1767225600.5"),
        ("ElapsedRaw", "-1"),
        ("ElapsedRaw", "007"),
        ("ElapsedRaw", "1_000"),
        ("ElapsedRaw", "\u0661"),
        ("AllocTRES", "gres/gpu"),
        ("AllocTRES", "gres/gpu=1K"),
        ("AllocTRES", "gres/gpu=4,gres/gpu:h100=8"),
        ("TotalCPU", "1:2:3"),
        ("TotalCPU", "00:61"),
        ("TotalCPU", ""),
        ("ConsumedEnergyRaw", "1.2M"),
    ],
)
def test_a_column_that_is_anything_else_is_refused_with_its_line(column: str, text: str) -> None:
    with pytest.raises(MeterError, match=f"line 2 of sacct's text, column {column}"):
        parse(row(**{column: text}))


@pytest.mark.parametrize(
    "text",
    ["", "\n", HEADER, f"{HEADER}|\n", HEADER.replace("Raw", "") + "\n", f"{HEADER}\n1|COMPLETED\n", f"{HEADER}\n\n"],
)
def test_text_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(MeterError, match="meter-malformed"):
        parse(text)


def test_no_jobs_are_no_jobs() -> None:
    assert parse(f"{HEADER}\n") == []


@given(st.integers(0, 10**5), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999_999))
def test_processor_time_is_exact_in_every_form(days: int, hours: int, minutes: int, seconds: int, micro: int) -> None:
    exact = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000_000 + micro
    text = f"{days}-{hours:02}:{minutes:02}:{seconds:02}.{micro:06}"
    assert parse(row(TotalCPU=text))[0].cpu_us == exact


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    for whole in (text, f"{HEADER}\n{text}\n"):
        try:
            parse(whole)
        except MeterError:
            continue


def test_sacct_is_run_with_the_form_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in sacct's place that checks how it is called, and answers as a cluster did."""
    place = tmp_path / "sacct"
    place.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        f"assert sys.argv[1:] == {command(24)[1:]!r}, sys.argv\n"
        "assert os.environ['SLURM_TIME_FORMAT'] == '%s'\n"
        f"sys.stdout.write({JOBS!r})\n"
    )
    place.chmod(place.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert len(parse(run_sacct(24))) == 6
    place.write_text("#!/bin/sh\necho 'slurm_persist_conn_open: Connection refused' >&2\nexit 1\n")
    with pytest.raises(MeterError, match="Connection refused"):
        SlurmMeter(lambda: run_sacct(24)).read(1)
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(MeterError, match="meter-unavailable"):
        SlurmMeter(lambda: run_sacct(24)).read(1)
