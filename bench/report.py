"""What a run measured, as JSON for programs and as a Markdown table for people; ratios first, seconds beside them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.ingest import Round
from bench.payloads import Payload

GOALS: Mapping[tuple[str, Payload], str] = {
    ("ingest", Payload.S): "0.50",
    ("ingest", Payload.F): "0.33",
    ("replay", Payload.S): "0.65",
    ("replay", Payload.F): "0.50",
}
"""What this project wants to reach, on two cores."""


@dataclass(frozen=True)
class Figure:
    """All rounds of one figure."""

    name: str
    payload: Payload
    rounds: Sequence[Round]

    @property
    def median(self) -> float:
        """The ratio that is quoted."""
        return statistics.median(item.ratio for item in self.rounds)

    def to_json(self) -> dict[str, object]:
        """Return every round, so that nothing hides behind a median."""
        return {
            "figure": self.name,
            "payload": self.payload.value,
            "ratio": round(self.median, 4),
            "goal": GOALS[self.name, self.payload],
            "rounds": [
                {
                    "entries": item.entries,
                    "seconds": round(item.seconds, 4),
                    "verifications_per_s_before": round(item.beside.before),
                    "verifications_per_s_after": round(item.beside.after),
                    "ratio": round(item.ratio, 4),
                }
                for item in self.rounds
            ],
        }

    def row(self) -> str:
        """Return a row of the Markdown table."""
        ratios = sorted(item.ratio for item in self.rounds)
        return (
            f"| {self.name} | {self.payload} | {self.median:.3f} | {ratios[0]:.3f} to {ratios[-1]:.3f} "
            f"| {len(ratios)} | {GOALS[self.name, self.payload]} |"
        )


def write(out: Path, figures: Sequence[Figure]) -> str:
    """Write ``bench.json`` and ``bench.md`` below *out*; return the table."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(json.dumps([figure.to_json() for figure in figures], indent=2) + "\n", "utf-8")
    head = "| figure | payload | median ratio | range | rounds | goal |\n|---|---|---|---|---|---|"
    table = "\n".join([head, *(figure.row() for figure in figures)]) + "\n"
    (out / "bench.md").write_text(table, "utf-8")
    return table
