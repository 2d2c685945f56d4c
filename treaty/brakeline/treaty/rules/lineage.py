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
from collections.abc import Iterable, Iterator, Set
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
    """What is known of a run: its lab, its first workload name in sorted order, the models it takes and makes, and all
    its names.
    """

    lab: str
    workload: str
    parents: set[str] = field(default_factory=set[str])
    models: set[str] = field(default_factory=set[str])
    names: set[str] = field(default_factory=set[str])


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
_KEPT = 1 << 18
"""Members of lineages that are remembered, all together."""
_Node: TypeAlias = "int | tuple[str, str]"
"""A run, or a model as a lab sees it."""
_Named: TypeAlias = tuple[str | None, str | None, tuple[str, ...] | None, str | None]
"""Code, data, parents and model that a line names."""


class _Shape:
    """What was found out about the graph of runs as it is: forgotten when it changes, or grows beyond a bound."""

    def __init__(self) -> None:
        self.circles: dict[int, frozenset[int]] = {}
        self.ancestry: dict[int, frozenset[int]] = {}
        self.descendants: dict[int, frozenset[int]] = {}
        self.below: dict[int, frozenset[int]] = {}
        self.above: dict[int, frozenset[int]] = {}
        self._kept = 0

    def keep_ancestry(self, run: int, found: frozenset[int]) -> frozenset[int]:
        """Keep what *run* descends from, for its whole circle where that is known; return it."""
        self._make_room(found)
        for item in self.circles.get(run, (run,)):
            self.ancestry[item] = found
        return found

    def keep_descendants(self, run: int, found: frozenset[int]) -> frozenset[int]:
        """Keep what descends from *run*, for its whole circle where that is known; return it."""
        self._make_room(found)
        for item in self.circles.get(run, (run,)):
            self.descendants[item] = found
        return found

    def keep_below(self, run: int, found: frozenset[int]) -> frozenset[int]:
        """Keep what descends from *run*, or would if others did not claim its models; return it."""
        self._make_room(found)
        self.below[run] = found
        return found

    def forget_leaf(self, run: int) -> None:
        """Note that *run*, from which nothing descends, takes or makes other models than before."""
        for kept in (self.circles, self.ancestry, self.above):
            kept.pop(run, None)
        self.descendants.clear()
        self.below.clear()

    def _make_room(self, found: frozenset[int]) -> None:
        self._kept += len(found)
        if self._kept > _KEPT:
            for kept in (self.ancestry, self.descendants, self.below):
                kept.clear()
            self._kept = len(found)


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
        self._shape = _Shape()

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
        kept.names.add(line.workload)
        parents = set(line.parents or ()) - kept.parents
        models = {line.model_out} - kept.models if line.model_out is not None else set[str]()
        kept.parents |= parents
        kept.models |= models
        for model in parents:
            self._takers[model].add(run)
        for model in models:
            self._makers[model].add(run)
        if same[1:] or self._is_taken(run):
            self._shape = _Shape()
        elif parents or models:
            self._shape.forget_leaf(run)
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

    def names(self, run: int) -> Iterator[tuple[str, str]]:
        """Yield the names (lab, workload) that *run* goes by."""
        kept = self._runs[run]
        return ((kept.lab, workload) for workload in kept.names)

    def parents(self, run: int) -> set[int]:
        """Return the runs that *run* descends from directly."""
        lab = self._runs[run].lab
        return {maker for model in self._runs[run].parents for maker in self._makers_for(lab, model)}

    def ancestry(self, run: int) -> frozenset[int]:
        """Return *run* and every run it descends from."""
        known = self._shape.ancestry.get(run)
        if known is None:
            reached: set[_Node] = {run}
            edge: list[_Node] = [run]
            while edge:
                fresh = {*self._above_of(edge.pop())} - reached
                reached |= fresh
                edge.extend(fresh)
            known = self._shape.keep_ancestry(run, frozenset(node for node in reached if isinstance(node, int)))
        return known

    def descendants(self, run: int) -> frozenset[int]:
        """Return *run* and every run that descends from it."""
        known = self._shape.descendants.get(run)
        if known is None:
            known = self._shape.keep_descendants(run, frozenset(self._down({run}, claimed=True)))
        return known

    def with_descendants(self, runs: Iterable[int]) -> set[int]:
        """Return *runs* and every run that descends from one of them, or would if others did not claim its parents."""
        return set[int]().union(*(self._below(run) for run in runs))

    def _below(self, run: int) -> frozenset[int]:
        known = self._shape.below.get(run)
        return self._shape.keep_below(run, frozenset(self._down({run}, claimed=False))) if known is None else known

    def ancestors_first(self, runs: Set[int]) -> list[int]:
        """Return *runs* so that each stands after those of them that it descends from, but for those in its circle.

        Along :meth:`above` there are no circles, so that each may follow what was walked before it.
        """
        order: list[int] = []
        seen: set[int] = set()
        for run in runs if len(runs) > 1 else ():
            stack = [(run, False)]
            while stack:
                node, done = stack.pop()
                if done:
                    order.append(node)
                elif node not in seen:
                    seen.add(node)
                    stack.append((node, True))
                    stack += [(above, False) for above in self.above(node) & runs if above not in seen]
        return order or list(runs)

    def circle(self, run: int) -> frozenset[int]:
        """Return *run* and every run that descends from it and from which it descends."""
        known = self._shape.circles.get(run)
        if known is None and not self._is_taken(run):
            known = self._shape.circles[run] = frozenset((run,))
        if known is None:
            self._find_circles(run)
            known = self._shape.circles[run]
        return known

    def above(self, run: int) -> frozenset[int]:
        """Return the nearest runs outside the circle of *run* that it, or one in the circle, descends from."""
        known = self._shape.above.get(run)
        if known is None:
            circle = self.circle(run)
            models = {(self._runs[item].lab, model) for item in circle for model in self._runs[item].parents}
            known = frozenset(maker for lab, model in models for maker in self._makers_for(lab, model)) - circle
            self._shape.above.update(dict.fromkeys(circle, known))
        return known

    def _is_taken(self, run: int) -> bool:
        """Say whether a run names a model of *run* as its parent."""
        return any(self._takers.get(model) for model in self._runs[run].models)

    def _find_circles(self, run: int) -> None:
        """Find the circles of *run* and of all that it descends from, in one walk (Tarjan's, SIAM J. Comput. 1, 1972).

        The walk goes over runs and models, so that many runs that take a model of many makers cost their sum.
        """
        circles = self._shape.circles
        number: dict[_Node, int] = {}
        lowest: dict[_Node, int] = {}
        path: list[_Node] = []
        on_path: set[_Node] = set()
        stack: list[tuple[_Node, Iterator[_Node]]] = []

        def enter(node: _Node) -> None:
            number[node] = lowest[node] = len(number)
            path.append(node)
            on_path.add(node)
            stack.append((node, iter(self._above_of(node))))

        enter(run)
        while stack:
            node, above = stack[-1]
            for item in above:
                if item not in number and item not in circles:
                    enter(item)
                    break
                if item in on_path:
                    lowest[node] = min(lowest[node], number[item])
            else:
                stack.pop()
                if stack:
                    lowest[stack[-1][0]] = min(lowest[stack[-1][0]], lowest[node])
                if lowest[node] == number[node]:
                    members = [path.pop()]
                    while members[-1] != node:
                        members.append(path.pop())
                    on_path.difference_update(members)
                    found = frozenset(item for item in members if isinstance(item, int))
                    circles.update(dict.fromkeys(found, found))

    def _above_of(self, node: _Node) -> Iterable[_Node]:
        """Return the models that a run takes, as its lab sees them; or the makers of a model, as a lab sees them."""
        if isinstance(node, int):
            run = self._runs[node]
            return [(run.lab, model) for model in run.parents]
        return self._makers_for(*node)

    def _makers_for(self, lab: str, model: str) -> set[int]:
        """Return the runs that make *model* for a run of *lab*: the lab's own, else all."""
        makers = {self.find(maker) for maker in self._makers.get(model, ())}
        return {maker for maker in makers if self._runs[maker].lab == lab} or makers

    def _down(self, start: set[int], *, claimed: bool) -> set[int]:
        """Return *start* and what descends from it: also what others claim, unless *claimed* matters."""
        reached, edge = set(start), list(start)
        seen: set[tuple[str, str]] = set()
        while edge:
            run = self._runs[edge.pop()]
            for model in run.models:
                if (run.lab, model) not in seen:
                    seen.add((run.lab, model))
                    fresh = self._takers_of(run.lab, model, claimed=claimed) - reached
                    reached |= fresh
                    edge.extend(fresh)
        return reached

    def _takers_of(self, lab: str, model: str, *, claimed: bool) -> set[int]:
        """Return the runs that take *model* from a maker of *lab*: those of labs that make it themselves do not."""
        takers = {self.find(taker) for taker in self._takers.get(model, ())}
        if not claimed or not takers:
            return takers
        making = {self._runs[self.find(maker)].lab for maker in self._makers.get(model, ())} - {lab}
        return {taker for taker in takers if self._runs[taker].lab not in making}

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
        kept.names |= gone.names
