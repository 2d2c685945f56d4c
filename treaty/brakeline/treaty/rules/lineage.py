"""Lineages: which lines of the books belong to one training run, and which runs a model descends from.

A *run* is the smallest set of lines such that, within a lab, lines of one workload name belong together, and lines with
the same code and data belong together, whatever the site, the period or the activity. A run *descends* from the runs
whose books name one of its parents as their ``model_out``. Where runs of several labs claim one model, those of the
run's own lab count; only when there are none, all of them.

What belongs together depends on the set of lines alone: joining is a union, descent is looked up when it is asked for.
Not judgement: no figures here (:mod:`brakeline.treaty.rules.threshold` has them). Chains of parents may be circular.

Keeps: the names, code and data, parents and models of every run, however many lines it has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias


class Named(Protocol):
    """What a line of the books names."""

    @property
    def workload(self) -> str:
        """As booked."""
        ...

    @property
    def code(self) -> str | None:
        """Digest of the code."""
        ...

    @property
    def data(self) -> str | None:
        """Digest of the data."""
        ...

    @property
    def parents(self) -> tuple[str, ...] | None:
        """Digests of the models it began from."""
        ...

    @property
    def model_out(self) -> str | None:
        """Digest of the model it made."""
        ...


@dataclass(slots=True)
class Run:
    """What is known of a run: its lab, its first workload name in sorted order, the models it takes and makes."""

    lab: str
    workload: str
    parents: set[str] = field(default_factory=set[str])
    models: set[str] = field(default_factory=set[str])


class Shown(NamedTuple):
    """A run as reports show it, by names instead of numbers.

    Attributes:
        lab, workload: whose, and the first of its names.
        names: every workload name that belongs to it, sorted.
        parents: (lab, workload) of the runs that it descends from directly, sorted.
        strangers: how many of the models it takes no books name as made.
    """

    lab: str
    workload: str
    names: tuple[str, ...]
    parents: tuple[tuple[str, str], ...]
    strangers: int


class Placed(NamedTuple):
    """Where a line belongs: its run, the runs found to be the same (their numbers end), whether its name or descent may
    have changed.
    """

    run: int
    joined: Set[int]
    restructured: bool


_NONE: frozenset[int] = frozenset()
_Named: TypeAlias = tuple[str | None, str | None, tuple[str, ...] | None, str | None]
"""Code, data, parents and model that a line names."""


class Lineages:
    """Runs by number. A number is only a handle: it depends on arrival and never enters a finding."""

    def __init__(self) -> None:
        """Start with no run."""
        self._above: list[int] = []
        self._runs: dict[int, Run] = {}
        self._by_key: dict[tuple[str, ...], int] = {}
        self._makers: defaultdict[str, set[int]] = defaultdict(set)
        self._takers: defaultdict[str, set[int]] = defaultdict(set)
        self._last: dict[tuple[str, str], _Named] = {}

    def __getitem__(self, run: int) -> Run:
        """Return what is known of *run*, which must not have been joined to another."""
        return self._runs[run]

    def find(self, run: int) -> int:
        """Return the number under which *run* goes now."""
        while self._above[run] != run:
            self._above[run] = self._above[self._above[run]]
            run = self._above[run]
        return run

    def place(self, lab: str, line: Named) -> Placed:
        """Return the run of *line*, made or joined as the line says."""
        named: _Named = line.code, line.data, line.parents, line.model_out
        if self._last.get((lab, line.workload)) == named:  # most lines: they add nothing to what is known
            return Placed(self.find(self._by_key[lab, line.workload]), _NONE, restructured=False)
        self._last[lab, line.workload] = named
        keys: list[tuple[str, ...]] = [(lab, line.workload)]
        if line.code is not None and line.data is not None:
            keys.append((lab, line.code, line.data))
        same = sorted({self.find(self._by_key[key]) for key in keys if key in self._by_key})
        run = same[0] if same else self._new(lab, line.workload)
        for other in same[1:]:
            self._join(run, other)
        known = {key for key in keys if key in self._by_key}
        for key in keys:
            self._by_key[key] = run
        kept = self._runs[run]
        renamed = bool(same) and (line.workload < kept.workload or (lab, line.workload) not in known)
        kept.workload = min(kept.workload, line.workload)
        parents = set(line.parents or ()) - kept.parents
        models = {line.model_out} - kept.models if line.model_out is not None else set[str]()
        kept.parents |= parents
        kept.models |= models
        for model in parents:
            self._takers[model].add(run)
        for model in models:
            self._makers[model].add(run)
        return Placed(run, set(same[1:]), bool(same[1:] or renamed or parents or models))

    def known(self, lab: str, workload: str) -> int | None:
        """Return the run of a workload's name, None while no books name it."""
        run = self._by_key.get((lab, workload))
        return None if run is None else self.find(run)

    def named(self) -> Iterator[tuple[str, str, int]]:
        """Yield (lab, workload, run) for every name of a workload."""
        for key, run in self._by_key.items():
            if len(key) == 2:
                yield key[0], key[1], self.find(run)

    def shown(self) -> tuple[Shown, ...]:
        """Return every run for a report, by lab and workload."""
        names: defaultdict[int, list[str]] = defaultdict(list)
        for _, workload, run in self.named():
            names[run].append(workload)
        return tuple(sorted(self._shown(run, names[run]) for run in self._runs))

    def _shown(self, run: int, names: Iterable[str]) -> Shown:
        kept = self._runs[run]
        above = {(self._runs[parent].lab, self._runs[parent].workload) for parent in self.parents(run) - {run}}
        strangers = sum(1 for model in kept.parents if not self._makers.get(model))
        return Shown(kept.lab, kept.workload, tuple(sorted(names)), tuple(sorted(above)), strangers)

    def parents(self, run: int) -> set[int]:
        """Return the runs that *run* descends from directly."""
        found: set[int] = set()
        for model in self._runs[run].parents:
            makers = {self.find(maker) for maker in self._makers.get(model, ())}
            own = {maker for maker in makers if self._runs[maker].lab == self._runs[run].lab}
            found |= own or makers
        return found

    def ancestry(self, run: int) -> set[int]:
        """Return *run* and every run it descends from."""
        return self._reach({run}, self.parents)

    def descendants(self, run: int) -> set[int]:
        """Return *run* and every run that descends from it."""
        return self._reach({run}, lambda item: {child for child in self._children(item) if item in self.parents(child)})

    def with_descendants(self, runs: Iterable[int]) -> set[int]:
        """Return *runs* and every run that descends from one of them, or would if others did not claim its parents."""
        return self._reach(set(runs), self._children)

    def ancestors_first(self, runs: Set[int]) -> list[int]:
        """Return *runs* so that each stands after those of them that it descends from, as far as no circle forbids."""
        order: list[int] = []
        seen: set[int] = set()
        for run in runs if len(runs) > 1 else ():
            stack = [(run, False)]
            while stack:
                item, done = stack.pop()
                if done:
                    order.append(item)
                elif item not in seen:
                    seen.add(item)
                    stack.append((item, True))
                    stack += [(parent, False) for parent in self.parents(item) & runs if parent not in seen]
        return order or list(runs)

    def circle(self, run: int) -> set[int]:
        """Return *run* and every run that descends from it and from which it descends."""
        return self.descendants(run) & self.ancestry(run) if self._children(run) else {run}

    def _children(self, run: int) -> set[int]:
        models = self._runs[run].models
        return {self.find(taker) for model in models for taker in self._takers.get(model, ())} if models else set()

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
