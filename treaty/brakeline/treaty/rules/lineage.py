"""Lineages: which lines of the books belong to one training run, and which runs a model descends from.

A *run* is the smallest set of lines such that, within a lab, lines of one workload name belong together, and lines with
the same code and data belong together, whatever the site, the period or the activity. A run *descends* from the runs
whose books name one of its parents as their ``model_out``. Where runs of several labs claim one model, those of the
run's own lab count; only when there are none, all of them.

What belongs together depends on the set of lines alone: joining is a union, descent is looked up when it is asked for.
Not judgement: no figures here (:mod:`brakeline.treaty.rules.threshold` has them). Chains of parents may be circular.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from brakeline.treaty.statements import UsageLine


@dataclass(slots=True)
class Run:
    """What is known of a run: its lab, its first workload name in sorted order, the models it takes and makes."""

    lab: str
    workload: str
    parents: set[str] = field(default_factory=set[str])
    models: set[str] = field(default_factory=set[str])


class Placed(NamedTuple):
    """Where a line belongs: its run, the runs found to be the same (their numbers end), whether descent may change."""

    run: int
    joined: Set[int]
    restructured: bool


_NONE: frozenset[int] = frozenset()


class Lineages:
    """Runs by number. A number is only a handle: it depends on arrival and never enters a finding."""

    def __init__(self) -> None:
        """Start with no run."""
        self._above: list[int] = []
        self._runs: dict[int, Run] = {}
        self._by_key: dict[tuple[str, ...], int] = {}
        self._makers: defaultdict[str, set[int]] = defaultdict(set)
        self._takers: defaultdict[str, set[int]] = defaultdict(set)

    def __getitem__(self, run: int) -> Run:
        """Return what is known of *run*, which must not have been joined to another."""
        return self._runs[run]

    def find(self, run: int) -> int:
        """Return the number under which *run* goes now."""
        while self._above[run] != run:
            self._above[run] = self._above[self._above[run]]
            run = self._above[run]
        return run

    def place(self, lab: str, line: UsageLine) -> Placed:
        """Return the run of *line*, made or joined as the line says."""
        known = self._by_key.get((lab, line.workload))
        if known is not None and line.code is None and line.parents is None and line.model_out is None:
            return Placed(self.find(known), _NONE, restructured=False)  # most lines: they add nothing to what is known
        keys: list[tuple[str, ...]] = [(lab, line.workload)]
        if line.code is not None and line.data is not None:
            keys.append((lab, line.code, line.data))
        same = sorted({self.find(self._by_key[key]) for key in keys if key in self._by_key})
        run = same[0] if same else self._new(lab, line.workload)
        for other in same[1:]:
            self._join(run, other)
        for key in keys:
            self._by_key[key] = run
        kept = self._runs[run]
        kept.workload = min(kept.workload, line.workload)
        parents = set(line.parents or ()) - kept.parents
        models = {line.model_out} - kept.models if line.model_out is not None else set[str]()
        kept.parents |= parents
        kept.models |= models
        for model in parents:
            self._takers[model].add(run)
        for model in models:
            self._makers[model].add(run)
        return Placed(run, set(same[1:]), bool(same[1:] or parents or models))

    def named(self) -> Iterator[tuple[str, str, int]]:
        """Yield (lab, workload, run) for every name of a workload."""
        for key, run in self._by_key.items():
            if len(key) == 2:
                yield key[0], key[1], self.find(run)

    def ancestry(self, run: int) -> set[int]:
        """Return *run* and every run it descends from."""
        return self._reach({run}, self._parents)

    def with_descendants(self, runs: Iterable[int]) -> set[int]:
        """Return *runs* and every run that may descend from one of them."""
        return self._reach(set(runs), self._children)

    def _parents(self, run: int) -> set[int]:
        found: set[int] = set()
        for model in self._runs[run].parents:
            makers = {self.find(maker) for maker in self._makers.get(model, ())}
            own = {maker for maker in makers if self._runs[maker].lab == self._runs[run].lab}
            found |= own or makers
        return found

    def _children(self, run: int) -> set[int]:
        return {self.find(taker) for model in self._runs[run].models for taker in self._takers.get(model, ())}

    @staticmethod
    def _reach(start: set[int], step: Callable[[int], set[int]]) -> set[int]:
        reached, edge = set(start), list(start)
        while edge:
            fresh = step(edge.pop()) - reached
            reached |= fresh
            edge.extend(fresh)
        return reached

    def _new(self, lab: str, workload: str) -> int:
        run = len(self._above)
        self._above.append(run)
        self._runs[run] = Run(lab, workload)
        return run

    def _join(self, run: int, other: int) -> None:
        self._above[other] = run
        gone = self._runs.pop(other)
        kept = self._runs[run]
        kept.workload = min(kept.workload, gone.workload)
        kept.parents |= gone.parents
        kept.models |= gone.models
