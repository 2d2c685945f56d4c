"""The judge alone, over the books of 200 sites: statements a second, and memory, as the log grows.

Per site and hour a usage statement of six lines and a meter's reading, as an honest world of the explorer says them
(:mod:`brakeline.explorer.worlds`), under the example treaty with all its rules. Each site repeats the first days of
its world, moved on in time, and each lab's code, data and models are its own; a statement is made by copying, with a
digest of its own, outside the clock. A heartbeat
ends every period. The denominator is strict verifications a second on one core.

Each size runs in a process of its own, so that its memory is its own: resident set after the last heartbeat, less what
the process had before the first statement. *Archive* is the scratch file beside it.
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from brakeline.explorer.worlds.honest import honest
from brakeline.explorer.worlds.voices import statements
from brakeline.ledger.entry import Kind
from brakeline.ledger.spill import Spill
from brakeline.treaty.document import TreatyDocument, load_toml
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.statements import Evidence, Inventory, Statement, Usage, UsageLine

from bench import denominator
from bench.house import LABS
from bench.payloads import Payload, SiteChain, samples

SITES = 200
SIZES = (30_000, 100_000, 300_000, 1_000_000, 3_500_000)
"""Statements. The last is a year of 200 sites with meters."""
TREATY = Path(__file__).parents[1] / "examples" / "treaty.toml"
_DAYS = 4
_SITES_OF_LAB = 4
STEP = 100_000
"""Statements between two lines of progress on standard error."""


@dataclass(frozen=True)
class Measured:
    """One size: statements judged, seconds, findings that stood, bytes of memory and of the archive."""

    statements: int
    seconds: float
    findings: int
    memory: int
    archive: int

    @property
    def rate(self) -> float:
        """Statements a second."""
        return self.statements / self.seconds


def treaty() -> TreatyDocument:
    """Return the example treaty."""
    document = load_toml(TREATY.read_text("utf-8")).document
    if document is None:
        raise RuntimeError("the example treaty has mistakes")
    return document


def said(document: TreatyDocument) -> Iterator[list[Statement]]:
    """Yield what is new in every period, for ever."""
    patterns = [item.statement for item in statements(honest(document, 1, _DAYS, 1))]
    (inventory,) = [item for item in patterns if isinstance(item.predicate, Inventory)]
    pattern = next(item for item in patterns if isinstance(item.predicate, Usage))
    books = [item.predicate for item in patterns if isinstance(item.predicate, Usage)]
    read = [item for item in patterns if isinstance(item.predicate, Evidence)]
    labs = [f"lab-{number}.example" for number in range(SITES // _SITES_OF_LAB)]
    sites = [f"{lab}/site-{number}" for lab in labs for number in range(_SITES_OF_LAB)]
    own = {lab: [tuple(_of_lab(line, lab) for line in usage.lines) for usage in books] for lab in labs}
    held = {name: _like(inventory, author=name, digest=("inventory", name)) for name in sites}
    yield list(held.values())
    before = {name: item.digest for name, item in held.items()}
    period = place = 0
    while True:
        start = document.grid.start_of(period)
        span: dict[str, object] = {"start": start, "end": InstantMs(start.value + document.grid.period.value)}
        now: list[Statement] = []
        for name in sites:
            lines, reading = own[name.split("/")[0]][period % len(books)], read[period % len(read)]
            position = {"sequence": period + 1, "previous": before[name], "inventory": held[name].digest}
            now.append(_like(pattern, digest=("books", name, period), **span, **position, author=name, lines=lines))
            before[name] = now[-1].digest
            now.append(_like(reading, digest=("meter", place), **span, **_chained("meter", place), site=name))
            place += 1
        yield now
        period += 1


def _of_lab(line: UsageLine, lab: str) -> UsageLine:
    """Return *line* with code, data and models that are *lab*'s own."""
    own = {name: _of(lab, getattr(line, name)) for name in ("code", "data", "model_out")}
    parents = None if line.parents is None else tuple(_of(lab, parent) for parent in line.parents)
    return line.model_copy(update={**own, "parents": parents})


def _of(lab: str, digest: str | None) -> str | None:
    return None if digest is None else _digest(lab, digest)


def _chained(name: str, place: int) -> dict[str, object]:
    """Return the position of the statement at *place* of a chain whose digests are made of name and place."""
    return {"sequence": place, "previous": _digest(name, place - 1) if place else "0" * 64}


def _digest(*words: object) -> str:
    return hashlib.sha256(repr(words).encode()).hexdigest()


def _like(pattern: Statement, *, digest: tuple[object, ...], **changes: object) -> Statement:
    predicate = pattern.predicate.model_copy(update=changes)
    return Statement(_digest(*digest), pattern.name, predicate, pattern.subject)


def judge(size: int) -> Measured:
    """Judge *size* statements in this process."""
    document = treaty()
    spill = Spill()
    machine = LogJudge(document, spill)
    source = said(document)
    first = next(source)
    before = _resident()
    taken, index, findings = 0.0, 0, 0
    waiting = first
    told = 0
    while index < size:
        if index >= told:
            print(f"judge: {index} of {size} statements, {spill.bytes_used >> 20} MiB of archive", file=sys.stderr)
            told += STEP
        began = time.perf_counter()
        for statement in waiting:
            index += 1
            machine.add(index, Kind.STATEMENT, statement)
        findings += len(machine.heartbeat())
        taken += time.perf_counter() - began
        waiting = next(source)
    return Measured(index, taken, findings, _resident() - before, spill.bytes_used)


def _resident() -> int:
    """Return the largest resident set so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(
    sizes: Sequence[int], document: TreatyDocument, progress: Callable[[str], None]
) -> list[tuple[Measured, float]]:
    """Return for each of *sizes* what was measured, and the rate over verifications a second beside it."""
    chain = SiteChain(LABS[0], document)
    chain.opening()
    signed = samples(list(chain.books(Payload.S, 256)), chain.site)
    found: list[tuple[Measured, float]] = []
    for size in sizes:
        before = denominator.in_processes(signed) / 2
        told = subprocess.run(
            [sys.executable, "-m", "bench.judge", str(size)], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        measured = Measured(**json.loads(told))
        after = denominator.in_processes(signed) / 2
        found.append((measured, measured.rate / ((before + after) / 2)))
        progress(f"judge: {size} statements, ratio {found[-1][1]:.3f}, {measured.memory / 2**20:.0f} MiB")
    return found


def table(found: Sequence[tuple[Measured, float]]) -> str:
    """Return a line for each size."""
    heads = ("statements", "over a verification", "findings", "memory, MiB", "bytes a statement", "archive, MiB")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for item, ratio in found:
        each = item.memory / item.statements
        sizes = f"{item.memory / 2**20:.0f} | {each:.0f} | {item.archive / 2**20:.0f}"
        lines.append(f"| {item.statements} | {ratio:.2f} | {item.findings} | {sizes} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(json.dumps(judge(int(sys.argv[1])).__dict__))
