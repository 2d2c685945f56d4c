"""What sites book, activity by activity: the honest, and the cheats of the corpus, all worlds at once.

Each function here is the twin of a strategy in :mod:`brakeline.explorer.evasion`, which says in words what it does;
:mod:`brakeline.explorer.model.exact` plays the strategies themselves and holds the two against each other. Strategies
that are decided without chance by one rule (two versions, books that never come) need no arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from brakeline.explorer.model.habits import Habits, RuleBook
from brakeline.explorer.model.sample import Array, Sample
from numpy.typing import NDArray

WAYS: dict[str, tuple[str, ...]] = {
    "unsaid": ("evenly", "in a week", "late"),
    "as-idle": ("joules as measured", "joules as allowed"),
    "as-maintenance": ("joules as measured", "joules as allowed"),
    "as-inference": ("figures as measured", "FLOP as allowed", "FLOP and joules as allowed"),
    "as-evaluation": ("figures as measured", "FLOP as allowed", "FLOP and joules as allowed"),
    "as-other": ("figures as measured", "FLOP as allowed", "FLOP and joules as allowed"),
    "thinned": ("figures as measured", "FLOP as allowed", "FLOP and joules as allowed"),
    "tokens-inflated": ("as it is",),
    "throttled": ("as it is",),
    "unattributed": ("as it is",),
    "replayed": ("as it is",),
    "undeclared": ("as it is",),
    "small-plan": ("as it is",),
    "two-versions": ("as it is",),
    "dropped": ("every period",),
    "ghost-chips": ("out of sight", "in sight of inspectors"),
    "secretly-through-the-pause": ("as it is",),
    "other-hall": ("as it is",),
}
"""The strategies, and their ways, that the fast model knows."""


_MOST_KEPT = 8


@dataclass(frozen=True, slots=True)
class Line:
    """What is booked as one activity: shares of chip time, FLOP, joules (the units of the package)."""

    share: Array
    flop: Array
    joules: Array


@dataclass(frozen=True, slots=True)
class Books:
    """What is booked, and what is true of it.

    Attributes:
        train: the declared run; *hardware*: its FLOP by the hardware method.
        serve, check, other: inference, evaluation, other work (None where there is no such line).
        lost: unattributed: share and joules.
        rest: joules of idle and maintenance lines.
        boards: joules that the site's meter sees, before it errs.
        quiet: False where idle or maintenance lines draw more than they may.
        feasible: by world, whether the chips can do it.
    """

    train: Line
    hardware: Array
    serve: Line
    check: Line
    other: Line | None
    lost: Array
    lost_joules: Array
    rest: Array
    boards: Array
    quiet: bool
    feasible: NDArray[np.bool_]

    @property
    def attested(self) -> Array:
        """Joules that the books claim."""
        work = self.train.joules + self.serve.joules + self.check.joules + self.lost_joules + self.rest
        return work if self.other is None else work + self.other.joules


_kept: dict[int, tuple[Sample, Habits, Books]] = {}


def honest(habits: Habits, sample: Sample) -> Books:
    """Return what honest sites book: the truth. The same sample and habits, the same object."""
    known = _kept.get(id(sample))
    if known is not None and known[0] is sample and known[1] == habits:
        return known[2]
    books = _honest(habits, sample)
    while len(_kept) >= _MOST_KEPT:
        del _kept[next(iter(_kept))]
    _kept[id(sample)] = sample, habits, books
    return books


def _honest(habits: Habits, sample: Sample) -> Books:
    train = Line(sample.train, sample.train_flop, sample.train_joules)
    serve = Line(sample.serve, sample.serve_flop, sample.serve_joules)
    check = Line(sample.check, sample.check_flop, sample.check_joules)
    rest = habits.rest * (sample.waiting + sample.repair + sample.idle)
    boards = train.joules + serve.joules + check.joules + sample.lost_joules + rest
    everyone = np.ones(sample.train.shape[1], dtype=np.bool_)
    hardware = sample.train_hardware
    return Books(train, hardware, serve, check, None, sample.lost, sample.lost_joules, rest, boards, True, everyone)


@dataclass(frozen=True, slots=True)
class Pace:
    """How hard chips train: of the dense peak, and of the way from idle to full power."""

    utilisation: float
    power: float


@dataclass(frozen=True, slots=True)
class Hidden:
    """Hidden training.

    Attributes:
        span: first period and the one after the last.
        share, flop, joules: by period of the span, and by world where the chips' room differs; as in arrays.
        truth: books in which the hidden run is left out and what gave way to it is gone: its joules are in ``boards``.
    """

    span: slice
    share: Array
    flop: Array
    joules: Array
    truth: Books


def span_of(habits: Habits, way: str) -> slice:
    """Return the periods in which a cheat trains: all but a day at either end, or what its *way* says."""
    begins, ends = habits.day, habits.periods - habits.day
    if way == "in a week":
        return slice(begins, begins + max(1, (ends - begins) // 4))
    if way == "late":
        return slice(ends - max(1, (ends - begins) // 2), ends)
    return slice(begins, ends)


def hide(
    habits: Habits, sample: Sample, flop: float, span: slice, paused: bool = False, pace: Pace | None = None
) -> Hidden:
    """Let *flop* (FLOP) be trained over *span* on chips that idle, serve or evaluate, in this order.

    The same in every period, but where less room is left: then more in the others. With *paused* the declared run has
    stopped, and its chips idle. *pace* is how hard chips train, by default as the habits say.
    """
    plain, pace = honest(habits, sample), pace or Pace(habits.hide_utilisation, habits.hide_power)
    inside = np.zeros((habits.periods, 1))
    inside[span] = 1.0
    stopped = inside * plain.train.share if paused else np.zeros_like(sample.train)
    keep = 1.0 - inside if paused else np.ones_like(inside)
    train = plain.train
    if paused:
        train = Line(train.share * keep, train.flop * keep, train.joules * keep)
    room = (sample.idle + stopped + plain.serve.share + plain.check.share)[span] * pace.utilisation
    each, feasible = _spread(room, flop / habits.capacity)
    share = each / pace.utilisation
    wanted = np.zeros_like(sample.train)
    wanted[span] = share
    from_idle = np.minimum(wanted, sample.idle + stopped)
    wanted = np.maximum(wanted - from_idle, 0.0)
    serve, wanted = _give(plain.serve, wanted)
    check, wanted = _give(plain.check, wanted)
    rest = plain.rest + habits.rest * (stopped - from_idle)
    joules = share * habits.joules(pace.power)
    boards = train.joules + serve.joules + check.joules + plain.lost_joules + rest
    boards[span] += joules
    hardware = plain.hardware * keep if paused else plain.hardware
    left = replace(plain, train=train, hardware=hardware, serve=serve, check=check, rest=rest)
    return Hidden(span, share, each, joules, replace(left, boards=boards, feasible=feasible))


def _spread(room: Array, whole: float) -> tuple[Array, NDArray[np.bool_]]:
    """Return what is computed by period, none beyond its *room* (periods x worlds), so that it sums to *whole*.

    And in which worlds there is room for all of it. One column serves all worlds where no period is short of room.
    """
    periods, worlds = room.shape
    feasible = np.asarray(room.sum(axis=0) >= whole)
    if whole / periods <= room.min():
        return np.full((periods, 1), whole / periods), feasible
    ordered = np.sort(room, axis=0)
    below = np.cumsum(ordered, axis=0) - ordered
    left = np.arange(periods, 0, -1, dtype=np.float64).reshape(-1, 1)
    levels: Array = (whole - below) / left
    first = np.argmax(levels <= ordered, axis=0)
    level = np.where(feasible, levels[first, np.arange(worlds)], np.inf)
    return np.minimum(level, room), feasible


def _give(line: Line, wanted: Array) -> tuple[Line, Array]:
    if not (wanted > 0.0).any():
        return line, wanted
    taken = np.minimum(wanted, line.share)
    keep = 1.0 - np.divide(taken, line.share, out=np.zeros_like(taken), where=line.share > 0.0)
    return Line(line.share * keep, line.flop * keep, line.joules * keep), wanted - taken


def cheat(habits: Habits, rules: RuleBook, sample: Sample, strategy: str, way: str, flop: float) -> Books:
    """Return what a cheat books who hides *flop* (FLOP), and what its meter sees (``KeyError``: not in ``WAYS``)."""
    if way not in WAYS[strategy]:
        raise KeyError(way)
    plain = honest(habits, sample)
    if strategy == "ghost-chips":
        return _ghosts(habits, plain, flop)
    paused = strategy == "secretly-through-the-pause"
    pace = _throttle(habits, rules) if strategy == "throttled" else None
    hidden = hide(habits, sample, flop, span_of(habits, way), paused, pace)
    truth = hidden.truth
    if paused:
        idle = np.zeros_like(sample.train)
        idle[hidden.span] = habits.rest * plain.train.share[hidden.span]
        train = truth.train
        said = replace(plain, train=train, hardware=truth.hardware, rest=plain.rest + idle)
        return replace(said, boards=truth.boards, feasible=truth.feasible)
    if strategy == "unsaid":
        return replace(plain, boards=truth.boards, feasible=truth.feasible)
    if strategy == "replayed":
        return replace(_replayed(plain, hidden.span), boards=truth.boards, feasible=truth.feasible)
    return _labelled(habits, rules, hidden, strategy, way)


def _ghosts(habits: Habits, plain: Books, flop: float) -> Books:
    span = span_of(habits, "")
    share = flop / (span.stop - span.start) / habits.capacity / habits.hide_utilisation
    boards = plain.boards.copy()
    boards[span] += share * habits.joules(habits.hide_power)
    return replace(plain, boards=boards)


def _replayed(plain: Books, span: slice) -> Books:
    """Say the books of the period in which least was computed, in every period of the run."""
    done = (plain.train.flop + plain.serve.flop + plain.check.flop)[span]
    quiet = np.argmin(done, axis=0) + span.start

    def again(figures: Array) -> Array:
        said = figures.copy()
        said[span] = figures[quiet, np.arange(figures.shape[1])]
        return said

    def line(item: Line) -> Line:
        return Line(again(item.share), again(item.flop), again(item.joules))

    said = replace(plain, train=line(plain.train), serve=line(plain.serve), check=line(plain.check))
    lost, joules, rest = again(plain.lost), again(plain.lost_joules), again(plain.rest)
    return replace(said, hardware=again(plain.hardware), lost=lost, lost_joules=joules, rest=rest)


def _labelled(habits: Habits, rules: RuleBook, hidden: Hidden, strategy: str, way: str) -> Books:
    """Book the hidden run's chip time under another name, with the figures that its way tells."""
    truth, span = hidden.truth, hidden.span
    share, flop, joules = hidden.share, hidden.flop, hidden.joules
    if strategy in ("as-idle", "as-maintenance"):
        limit = rules.idle_limit if strategy == "as-idle" else rules.maintenance_limit
        allowed = share * habits.rest * limit
        told = joules if way == "joules as measured" else allowed
        rest = truth.rest.copy()
        rest[span] += told
        return replace(truth, rest=rest, quiet=bool((told <= allowed * (1 + 1e-9)).all()))
    if strategy == "unattributed":
        lost, lost_joules = truth.lost.copy(), truth.lost_joules.copy()
        lost[span] += share
        lost_joules[span] += joules
        return replace(truth, lost=lost, lost_joules=lost_joules)
    if strategy in ("dropped", "other-hall"):
        return truth
    if strategy in ("undeclared", "small-plan", "two-versions"):  # booked as what it is
        hardware = truth.hardware.copy()
        hardware[span] += flop
        return replace(truth, train=_more(truth.train, span, share, flop, joules), hardware=hardware)
    shaped = "activity-shape" in rules.rules
    if strategy == "thinned":
        serve = _more(truth.serve, span, share, flop, joules)
        if shaped and way != "figures as measured":
            serve = replace(serve, flop=_capped(serve.flop, serve.share * rules.work_flop, span))
        if shaped and way == "FLOP and joules as allowed":
            serve = replace(serve, joules=_capped(serve.joules, serve.share * rules.work_joules, span))
        return replace(truth, serve=serve)
    if shaped and (strategy == "tokens-inflated" or "allowed" in way):
        flop = np.minimum(flop, share * rules.work_flop)
    if shaped and way == "FLOP and joules as allowed":
        joules = np.minimum(joules, share * rules.work_joules)
    if strategy in ("as-inference", "tokens-inflated", "throttled"):
        return replace(truth, serve=_more(truth.serve, span, share, flop, joules))
    if strategy == "as-evaluation":
        return replace(truth, check=_more(truth.check, span, share, flop, joules))
    none = np.zeros_like(truth.boards)
    return replace(truth, other=_more(Line(none, none, none), span, share, flop, joules))


def _capped(figures: Array, most: Array, span: slice) -> Array:
    said = figures.copy()
    said[span] = np.minimum(figures, most)[span]
    return said


def _throttle(habits: Habits, rules: RuleBook) -> Pace:
    """Return the pace at which training computes and draws just what services may, in whole thousandths."""
    room = habits.board_watts - habits.idle_watts
    allowed = rules.work_joules * habits.board_watts - habits.idle_watts
    return Pace(rules.work_flop, max(1, int(1000 * allowed / room) - 1) / 1000)


def _more(line: Line, span: slice, share: Array, flop: Array, joules: Array) -> Line:
    figures = [figure.copy() for figure in (line.share, line.flop, line.joules)]
    for figure, more in zip(figures, (share, flop, joules), strict=True):
        figure[span] += more
    return Line(*figures)
