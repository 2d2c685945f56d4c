"""The file of a sweep: what is swept, then what is done, so that a sweep that was ended goes on where it was.

JSON, a line at a time: first what is swept (and a fingerprint of scenario, treaty, axes, worlds), then a line a chunk
of designs, in any order. Begun again with the same file, a sweep does what is missing; with another fingerprint it
refuses. A line cut short by a crash is dropped and done again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Generic, TypeVar, cast

from brakeline.explorer.scenario.load import ScenarioError

Progress = Callable[[int, int], None]
T = TypeVar("T")
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Job(Generic[T, Row]):
    """What is to be done.

    Attributes:
        head: what is swept, for the first line; its member ``sweep`` is the fingerprint.
        work: called with the task, the first design of a chunk and the first beyond it, returns a row a design; a
            function that other processes can import.
        task: what every process needs.
        count: how many designs there are; *chunk*: how many of them a line holds.
    """

    head: Mapping[str, object]
    work: Callable[[T, int, int], list[Row]]
    task: T
    count: int
    chunk: int


def rows(out: Path, job: Job[T, Row], jobs: int, progress: Progress | None) -> list[Row]:
    """Return the rows of all designs, in order: those that *out* has, and what is worked out now, in *jobs* processes.

    *progress* is told how many chunks are done, of how many.

    Raises:
        ScenarioError: ``sweep-file``: *out* holds another sweep.
    """
    done = _resume(out, job)
    starts = range(0, job.count, job.chunk)
    with out.open("a", encoding="utf-8") as file:
        for start, found in _worked(job, [start for start in starts if start not in done], jobs):
            file.write(json.dumps({"start": start, "rows": found}) + "\n")
            file.flush()
            done[start] = found
            if progress is not None:
                progress(len(done), len(starts))
    return [row for start in sorted(done) for row in done[start]]


def _resume(out: Path, job: Job[T, Row]) -> dict[int, list[Row]]:
    """Return what *out* already has, without a line cut short; begin it where there is none."""
    if not out.exists():
        out.write_text(json.dumps(job.head) + "\n", "utf-8")
        return {}
    whole = out.read_text("utf-8")
    kept = whole[: whole.rfind("\n") + 1]
    first, *lines = kept.splitlines() or [""]
    try:
        other = cast("dict[str, object]", json.loads(first))["sweep"]
    except (ValueError, KeyError, TypeError):
        other = "no sweep"
    if other != job.head["sweep"]:
        raise ScenarioError(
            code="sweep-file",
            message=f"{out} holds another sweep",
            expected=str(job.head["sweep"]),
            found=str(other)[:60],
            fix="give another file, or the same scenario, axes and trials",
        )
    if kept != whole:
        out.write_text(kept, "utf-8")
    done: dict[int, list[Row]] = {}
    for line in lines:
        item = cast("dict[str, object]", json.loads(line))
        done[cast("int", item["start"])] = cast("list[Row]", item["rows"])
    return done


def _worked(job: Job[T, Row], starts: Sequence[int], jobs: int) -> Iterator[tuple[int, list[Row]]]:
    def end(start: int) -> int:
        return min(job.count, start + job.chunk)

    if jobs == 1 or len(starts) < 2:
        for start in starts:
            yield start, job.work(job.task, start, end(start))
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        waiting = {pool.submit(job.work, job.task, start, end(start)): start for start in starts}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:  # told to stop: what has not begun is not done, and no process is left behind
            pool.shutdown(wait=False, cancel_futures=True)
            raise
