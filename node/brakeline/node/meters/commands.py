"""``brakeline node meters``: which meters work on this machine, what each sees, what they read. Imports stay light."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from brakeline.ledger.output import Format, FormatOption, emit

if TYPE_CHECKING:
    from brakeline.node.meters.available import Tried

app = typer.Typer(rich_markup_mode=None)


@app.command(
    epilog="Example: brakeline node meters --dcgm http://localhost:9400/metrics --slurm-hours 24 --format json"
)
def meters(
    pid: Annotated[int, typer.Option(help="Whose process tree; default: this command's.", min=0)] = 0,
    cgroup: Annotated[str, typer.Option(help="A cgroup's directory; default: the one this command is in.")] = "",
    dcgm: Annotated[str, typer.Option(help="DCGM exporter: its address, or a file with its text.")] = "",
    slurm_hours: Annotated[int, typer.Option(help="Run sacct for jobs of the last so many hours.", min=0)] = 0,
    sacct: Annotated[str, typer.Option(help="A file with sacct's text instead (see docs/operators.md).")] = "",
    between: Annotated[
        float, typer.Option("--for", help="Seconds between two readings: shares are of this time.", min=0, max=600)
    ] = 1.0,
    keep: Annotated[Path | None, typer.Option(help="Keep the readings here, as a node does.")] = None,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """List the meters, say what each can and cannot see, and read each once (twice where a share needs it).

    Reads only: no setting of a driver, a scheduler or a chip is changed. A figure that cannot be read is named with its
    reason; it is unknown, never zero.
    """
    import time

    from brakeline.node.meters.available import Wanted, try_all
    from brakeline.node.meters.kept import Kept

    tried = try_all(
        Wanted(pid, cgroup, dcgm, slurm_hours, sacct), now_ms=lambda: time.time_ns() // 1_000_000, between_s=between
    )
    if keep is not None:
        kept = Kept(keep)
        for item in tried:
            if item.reading is not None:
                kept.keep(item.reading)
    emit(format, {"meters": [_json(item) for item in tried]}, "\n".join(line for item in tried for line in _text(item)))


def _json(item: Tried) -> dict[str, object]:
    from brakeline.node.meters.protocol import commitment

    value: dict[str, object] = {"name": item.name, "sees": item.sight.sees, "misses": item.sight.misses}
    if item.problem is not None:
        return value | {"problem": item.problem.as_dict()}
    if item.reading is None:
        return value
    return value | {
        "at_ms": item.reading.at_ms,
        "counters": [
            {"of": c.source, "quantity": c.quantity.value, "value": str(c.value)}
            | ({"over_ms": c.over_ms} if c.over_ms is not None else {})
            | ({"epoch": c.epoch} if c.epoch else {})
            for c in item.reading.counters
        ],
        "gaps": [
            {"of": g.source, "quantity": g.quantity.value, "code": g.code, "why": g.why} for g in item.reading.gaps
        ],
        "commitment": commitment([item.reading.line()]),
    }


def _text(item: Tried) -> list[str]:
    lines = [item.name]
    lines += [f"  sees    {text}" for text in item.sight.sees]
    lines += [f"  misses  {text}" for text in item.sight.misses]
    if item.problem is not None:
        lines.append(f"  not here: {item.problem}")
    if item.reading is not None:
        for c in item.reading.counters:
            over = f" over {c.over_ms} ms" if c.over_ms is not None else ""
            lines.append(f"  {c.quantity.value:<12} {c.value:>20}{over}  {c.source}")
        lines += [f"  {g.quantity.value:<12} {'unknown':>20}  {g.source}: {g.code}, {g.why}" for g in item.reading.gaps]
    return [*lines, ""]
