"""Slurm's accounting: ``sacct``'s text, read exactly or refused.

What Slurm gives is allocation: which job held how many chips for how many seconds. That is the honest figure for "who
could use it", whatever the job then did. Only rows of allocations count (a step's resources are its job's again). Text
is read by its header, in one form only: ``--parsable2`` with :data:`FIELDS`, times as Unix seconds
(``SLURM_TIME_FORMAT=%s``: sacct's own form has no time zone). Anything else is an error with its line, never a guess.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from brakeline.node.meters.protocol import (
    Counter,
    Gap,
    MeterError,
    Quantity,
    Reading,
    Sight,
    malformed,
    unavailable,
)

FIELDS = ("JobIDRaw", "State", "Start", "End", "ElapsedRaw", "AllocTRES", "TotalCPU", "ConsumedEnergyRaw")
MAX_TEXT = 256 * 1024 * 1024
_TIMEOUT_S = 60
_JOB = re.compile(r"[0-9]{1,18}(?:\.[A-Za-z0-9_+-]{1,64})?", re.ASCII)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_CPU = re.compile(
    r"(?:(?:(?P<days>[0-9]{1,6})-)?(?P<hours>[0-9]{1,2}):)?(?P<minutes>[0-5][0-9]):(?P<seconds>[0-5][0-9])"
    r"(?:\.(?P<fraction>[0-9]{1,6}))?",
    re.ASCII,
)
_NO_ENERGY = frozenset({"", str(2**64 - 2), str(2**32 - 2)})
"""Slurm's NO_VAL, and nothing at all: no plugin measures energy there."""


@dataclass(frozen=True, slots=True)
class Job:
    """One allocation of a job (a job that was requeued has several).

    Attributes:
        started_s: Unix seconds, None before it began.
        ended_s: None while it runs.
        elapsed_s: how long it held what it held; a suspended job's pauses are not in it.
        chips: accelerators by type ("" where Slurm does not name one).
        cpu_us: processor time of its steps that ended.
        energy_j: None where no plugin measures it.
    """

    id: str
    state: str
    started_s: int | None
    ended_s: int | None
    elapsed_s: int
    chips: Mapping[str, int]
    cpu_us: int
    energy_j: int | None

    @property
    def source(self) -> str:
        """What its counters are of."""
        return f"job {self.id} started {self.started_s}"


class SlurmMeter:
    """The jobs that ``sacct`` tells of."""

    name = "slurm"
    sight = Sight(
        sees=(
            "chips allocated to each job, by type, and for how many whole seconds",
            "processor time of a job's steps that ended, and energy where a plugin of Slurm measures it",
        ),
        misses=(
            "whether an allocated chip did anything, and what",
            "work outside Slurm, and on machines that Slurm does not manage",
            "less than a second, and processor time of steps that still run",
            "what an administrator of the accounting database changed or deleted",
        ),
    )

    def __init__(self, run: Callable[[], str]) -> None:
        """Read the text that *run* returns (OSError: there is no Slurm)."""
        self._run = run

    def read(self, at_ms: int) -> Reading:
        """Read once (see :class:`~brakeline.node.meters.protocol.Meter`)."""
        try:
            text = self._run()
        except OSError as error:
            raise unavailable("sacct cannot be run", str(error)[:120], "install Slurm's client, or leave it") from None
        counters: list[Counter] = []
        gaps: list[Gap] = []
        for job in parse(text):
            if job.started_s is None:
                continue
            counters.append(Counter(job.source, Quantity.CPU_US, job.cpu_us))
            for kind, number in job.chips.items():
                source = f"{job.source} chips {kind}".rstrip()
                counters.append(Counter(source, Quantity.CHIP_MS, number * job.elapsed_s * 1000))
            if job.energy_j is None:
                why = "no plugin of Slurm measures energy here (AcctGatherEnergyType)"
                gaps.append(Gap(job.source, Quantity.ENERGY_MJ, "slurm-no-energy", why))
            else:
                counters.append(Counter(job.source, Quantity.ENERGY_MJ, job.energy_j * 1000))
        return Reading(self.name, at_ms, tuple(counters), tuple(gaps))

    def close(self) -> None:
        """Do nothing."""


def command(hours: int) -> list[str]:
    """Return the sacct command for jobs that held anything in the last *hours*."""
    return [
        "sacct",
        "--allusers",
        "--allocations",
        "--duplicates",
        "--parsable2",
        f"--format={','.join(FIELDS)}",
        f"--starttime=now-{hours}hours",
        "--endtime=now",
    ]


def run_sacct(hours: int) -> str:
    """Run sacct for the last *hours* and return its text (OSError when it cannot be run, or says that it failed)."""
    environment = {**os.environ, "SLURM_TIME_FORMAT": "%s", "LC_ALL": "C"}
    try:
        done = subprocess.run(command(hours), env=environment, capture_output=True, timeout=_TIMEOUT_S, check=True)
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", None) or b""
        raise OSError(bytes(said).decode("utf-8", "replace").strip()[:200] or type(error).__name__) from None
    return done.stdout.decode("utf-8", "replace")


def parse(text: str) -> list[Job]:
    """Return the allocations in *text*.

    Raises:
        MeterError: ``meter-malformed``, with the line.
    """
    if len(text) > MAX_TEXT:
        raise malformed("sacct wrote too much", f"at most {MAX_TEXT} characters", str(len(text)))
    lines = text.split("\n")
    if lines.pop() or not lines or lines[0] != "|".join(FIELDS):
        raise malformed("this is not sacct's text", f"a first line {'|'.join(FIELDS)}", repr(lines[:1])[:100])
    jobs: list[Job] = []
    for number, line in enumerate(lines[1:], start=2):
        values = line.split("|")
        if len(values) != len(FIELDS):
            raise malformed(f"line {number} of sacct's text", f"{len(FIELDS)} columns", f"{len(values)}: {line}")
        try:
            job = _job(dict(zip(FIELDS, values, strict=True)))
        except _Odd as odd:
            raise _at(number, odd) from None
        if job is not None:
            jobs.append(job)
    return jobs


class _Odd(Exception):
    """A column that is not what it must be."""

    def __init__(self, column: str, expected: str, found: str) -> None:
        super().__init__(column)
        self.column, self.expected, self.found = column, expected, found


def _at(number: int, odd: _Odd) -> MeterError:
    return malformed(f"line {number} of sacct's text, column {odd.column}", odd.expected, odd.found)


def _job(row: Mapping[str, str]) -> Job | None:
    if not _JOB.fullmatch(row["JobIDRaw"]):
        raise _Odd("JobIDRaw", "a job, or a job and its step", row["JobIDRaw"])
    if "." in row["JobIDRaw"]:
        return None
    return Job(
        row["JobIDRaw"],
        row["State"],
        _instant("Start", row["Start"]),
        _instant("End", row["End"]),
        _count("ElapsedRaw", row["ElapsedRaw"]),
        _chips(row["AllocTRES"]),
        _cpu_us(row["TotalCPU"]),
        None if row["ConsumedEnergyRaw"] in _NO_ENERGY else _count("ConsumedEnergyRaw", row["ConsumedEnergyRaw"]),
    )


def _instant(column: str, text: str) -> int | None:
    if text in ("Unknown", "None", ""):
        return None
    if not _NUMBER.fullmatch(text):
        raise _Odd(column, "Unix seconds (set SLURM_TIME_FORMAT=%s)", text)
    return int(text)


def _count(column: str, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise _Odd(column, "a whole number", text)
    return int(text)


def _chips(text: str) -> dict[str, int]:
    """Return accelerators by type; Slurm gives the sum and, where types are configured, each type besides."""
    total: int | None = None
    typed: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise _Odd("AllocTRES", "name=count, separated by commas", text)
        if name == "gres/gpu":
            total = _count("AllocTRES", value)
        elif name.startswith("gres/gpu:"):
            typed[name.removeprefix("gres/gpu:")] = _count("AllocTRES", value)
    if typed and total not in (None, sum(typed.values())):
        raise _Odd("AllocTRES", "types that sum to gres/gpu", text)
    return typed or ({"": total} if total else {})


def _cpu_us(text: str) -> int:
    """Return ``[[days-]hours:]minutes:seconds[.fraction]`` in microseconds."""
    match = _CPU.fullmatch(text)
    if match is None:
        raise _Odd("TotalCPU", "[[days-]hours:]minutes:seconds[.fraction]", text)
    days, hours, minutes, seconds = (int(match[name] or 0) for name in ("days", "hours", "minutes", "seconds"))
    whole = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return whole * 1_000_000 + int((match["fraction"] or "").ljust(6, "0"))
