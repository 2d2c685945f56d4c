"""What every meter gives: raw counters as integers, gaps by name, and a plain statement of what it cannot see.

A counter that cannot be read is a :class:`Gap`. It is never a zero, and never left out in silence once it was there:
unknown is a value that the books and every rule handle. Shares and levels that a source gives as fractions become
integers here (parts per million, milliwatts) and stay integers. No meter keeps time: the instant is its caller's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Annotated, Protocol

from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.errors import JsonError
from brakeline.treaty.strictjson import JsonObject, canonical, parse_object
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError


class MeterError(BrakelineError):
    """A meter that cannot be read at all, or a source that does not write what it should (codes ``meter-*``)."""


class Kind(Enum):
    """How a quantity is to be understood."""

    TOTAL = "total"
    """Grows from some beginning on; only differences mean something."""
    SHARE = "share"
    """Parts per million of an interval that ends at the reading."""
    LEVEL = "level"
    """What it was at that instant."""


class Quantity(StrEnum):
    """What a counter counts, with its unit."""

    CPU_US = "cpu-us"
    """Processor time, microseconds."""
    ENERGY_MJ = "energy-mj"
    """Energy of a board, millijoules."""
    CHIP_MS = "chip-ms"
    """Chips allocated times how long, milliseconds."""
    CONTEXT_MS = "context-ms"
    """How long a finished process had a context on a chip, milliseconds."""
    BUSY_PPM = "busy-ppm"
    """Share of time in which any kernel ran: one small kernel makes a chip as busy as a full one."""
    TENSOR_PPM = "tensor-ppm"
    """Share of cycles in which the tensor cores worked, over all of the chip."""
    POWER_MW = "power-mw"
    """Power draw, milliwatts."""

    @property
    def kind(self) -> Kind:
        """How it is to be understood."""
        return _KINDS.get(self, Kind.TOTAL)


_KINDS = {Quantity.BUSY_PPM: Kind.SHARE, Quantity.TENSOR_PPM: Kind.SHARE, Quantity.POWER_MW: Kind.LEVEL}


@dataclass(frozen=True, slots=True)
class Counter:
    """One value as it was read.

    Attributes:
        source: what it is of: a chip's UUID, a job, a cgroup, a process.
        value: in the quantity's unit, 0 or more.
        epoch: changes when a total begins anew for a reason that the meter knows (a reboot, a new cgroup).
        over_ms: of a share, the length of the interval that it is of; None when the source does not say.
    """

    source: str
    quantity: Quantity
    value: int
    epoch: str = ""
    over_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """What could not be read.

    Attributes:
        code: stable, kebab-case: ``nvml-not-supported``, ``dcgm-missing``.
        why: for a person, with what to do where something can be done.
    """

    source: str
    quantity: Quantity
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Reading:
    """All that a meter read at one instant (Unix ms)."""

    meter: str
    at_ms: int
    counters: tuple[Counter, ...]
    gaps: tuple[Gap, ...] = ()

    def line(self) -> bytes:
        """Return the canonical JSON that is kept and committed to, with its newline. A gap's reason is not part."""
        counters: list[JsonObject] = []
        for item in self.counters:
            entry: JsonObject = {"of": item.source, "q": item.quantity.value, "v": str(item.value)}
            if item.epoch:
                entry["epoch"] = item.epoch
            if item.over_ms is not None:
                entry["over_ms"] = item.over_ms
            counters.append(entry)
        gaps: list[JsonObject] = [{"code": g.code, "of": g.source, "q": g.quantity.value} for g in self.gaps]
        return canonical({"at": self.at_ms, "counters": [*counters], "gaps": [*gaps], "meter": self.meter}) + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> Reading:
        """Return the reading that a kept *line* holds; reasons of gaps are not kept.

        Raises:
            MeterError: ``meter-malformed``: it is no such line.
        """
        try:
            value = _Line.model_validate(parse_object(line.removesuffix(b"\n"), max_bytes=MAX_LINE))
        except (JsonError, ValidationError):
            raise malformed("a kept reading was changed", "a line as it was kept", repr(line[:60])) from None
        counters = tuple(Counter(c.of, c.q, int(c.v), c.epoch, c.over_ms) for c in value.counters)
        return cls(value.meter, value.at, counters, tuple(Gap(g.of, g.q, g.code, "") for g in value.gaps))


MAX_LINE = 16 * 1024 * 1024
"""Bytes of one reading: a scheduler's of a hundred thousand jobs."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _KeptCounter(_Part):
    of: StrictStr
    q: Quantity
    v: Annotated[StrictStr, Field(pattern=r"^(0|[1-9][0-9]{0,29})$")]
    epoch: StrictStr = ""
    over_ms: StrictInt | None = None


class _KeptGap(_Part):
    code: StrictStr
    of: StrictStr
    q: Quantity


class _Line(_Part):
    at: StrictInt
    counters: tuple[_KeptCounter, ...]
    gaps: tuple[_KeptGap, ...]
    meter: StrictStr


def commitment(lines: Iterable[bytes]) -> str:
    """Return the SHA-256 (hex) over kept lines: what a usage line's ``meter.digest`` commits to."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Sight:
    """What a meter can and cannot see, for whoever relies on it."""

    sees: tuple[str, ...]
    misses: tuple[str, ...]


class Meter(Protocol):
    """One source of counters. Not thread-safe; :meth:`read` may block for as long as its source takes."""

    @property
    def name(self) -> str:
        """Its name in the books."""
        ...

    @property
    def sight(self) -> Sight:
        """What it can and cannot see."""
        ...

    def read(self, at_ms: int) -> Reading:
        """Read everything once; *at_ms* is the instant (Unix ms) that the reading bears.

        Raises:
            MeterError: ``meter-unavailable`` (nothing can be read), ``meter-malformed`` (the source writes nonsense).
        """
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...


def unavailable(message: str, found: str, fix: str) -> MeterError:
    """Return the error for a source that is not there."""
    return MeterError(code="meter-unavailable", message=message, expected="a source of counters", found=found, fix=fix)


def malformed(message: str, expected: str, found: str) -> MeterError:
    """Return the error for a source that writes what no such source writes."""
    return MeterError(
        code="meter-malformed",
        message=message,
        expected=expected,
        found=found[:120],
        fix="check the version of the source; keep its output and report it",
    )
