"""What a run measured, as JSON for programs and as a Markdown table for people; ratios first, seconds beside them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.payloads import Payload

GOALS: Mapping[tuple[str, Payload], str] = {
    ("ingest", Payload.S): "0.50",
    ("ingest", Payload.F): "0.33",
    ("replay", Payload.S): "0.65",
    ("replay", Payload.F): "0.50",
    ("proofs", Payload.S): "8",
    ("proofs", Payload.F): "8",
    ("disk", Payload.S): "1.20",
    ("disk", Payload.F): "1.20",
}
"""What this project wants to reach, on two cores."""


class Measured(Protocol):
    """One round: its ratio, and all that led to it."""

    @property
    def ratio(self) -> float:
        """The figure over its denominator."""
        ...

    def to_json(self) -> dict[str, float]:
        """What was measured."""
        ...


@dataclass(frozen=True)
class Share:
    """One count over another, where no time is involved: bytes on disk over bytes of envelopes."""

    count: int
    of: int

    @property
    def ratio(self) -> float:
        """One over the other."""
        return self.count / self.of

    def to_json(self) -> dict[str, float]:
        """Both counts."""
        return {"count": self.count, "of": self.of, "ratio": round(self.ratio, 4)}


@dataclass(frozen=True)
class Figure:
    """All rounds of one figure; *at* says of what size, where that varies."""

    name: str
    payload: Payload
    rounds: Sequence[Measured]
    at: str = ""

    @property
    def median(self) -> float:
        """The ratio that is quoted."""
        return statistics.median(item.ratio for item in self.rounds)

    def to_json(self) -> dict[str, object]:
        """Return every round, so that nothing hides behind a median."""
        return {
            "figure": self.name,
            "payload": self.payload.value,
            "at": self.at,
            "ratio": round(self.median, 4),
            "goal": GOALS.get((self.name, self.payload), ""),
            "rounds": [item.to_json() for item in self.rounds],
        }

    def row(self) -> str:
        """Return a row of the Markdown table."""
        ratios = sorted(item.ratio for item in self.rounds)
        return (
            f"| {self.name}{', ' * bool(self.at)}{self.at} | {self.payload} | {self.median:.3f} "
            f"| {ratios[0]:.3f} to {ratios[-1]:.3f} | {len(ratios)} | {GOALS.get((self.name, self.payload), '')} |"
        )


def write(out: Path, figures: Sequence[Figure]) -> str:
    """Write ``bench.json`` and ``bench.md`` below *out*; return the table."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(json.dumps([figure.to_json() for figure in figures], indent=2) + "\n", "utf-8")
    head = "| figure | payload | median ratio | range | rounds | goal |\n|---|---|---|---|---|---|"
    table = "\n".join([head, *(figure.row() for figure in figures)]) + "\n"
    (out / "bench.md").write_text(table, "utf-8")
    return table
