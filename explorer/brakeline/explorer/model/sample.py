"""Draws honest worlds: a row a period, a column a world. The same seed gives the same worlds, whatever the habits.

All randomness is drawn once, as uniform and normal numbers, and habits shape it afterwards: two designs, or two values
of an assumption, are compared in the same worlds (common random numbers), so that what differs is their doing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from brakeline.explorer.model.habits import Habits
from numpy.typing import NDArray

Array = NDArray[np.float64]
_MOST_INTERRUPTIONS = 200


@dataclass(frozen=True, slots=True)
class Noise:
    """Raw random numbers. In [-1, 1]: by period and world (first six), by world (*site_*); normal: *meter*, *bias*; in
    [0, 1): *breaks*, *visit* by period and world, *metered* by world.
    """

    train_utilisation: Array
    train_power: Array
    methods: Array
    serve_share: Array
    serve_utilisation: Array
    serve_power: Array
    meter: Array
    breaks: Array
    visit: Array
    site_training: Array
    site_utilisation: Array
    site_serving: Array
    bias: Array
    metered: Array


_BY_WORLD = ("site_training", "site_utilisation", "site_serving", "bias", "metered")
_NORMAL = ("meter", "bias")
_SHARES = ("breaks", "visit", "metered")


@lru_cache(maxsize=4)
def noise(seed: int, periods: int, trials: int) -> Noise:
    """Return the random numbers of *trials* worlds; each kind has its own stream, so that none shifts another."""
    names = [item.name for item in fields(Noise)]
    streams = np.random.SeedSequence(seed).spawn(len(names))
    drawn: dict[str, Array] = {}
    for name, stream in zip(names, streams, strict=True):
        chance = np.random.default_rng(stream)
        size = (trials,) if name in _BY_WORLD else (periods, trials)
        if name in _NORMAL:
            drawn[name] = chance.standard_normal(size)
        else:
            drawn[name] = chance.random(size) if name in _SHARES else chance.uniform(-1.0, 1.0, size)
        drawn[name].setflags(write=False)
    return Noise(**drawn)


@dataclass(frozen=True, slots=True)
class Sample:
    """Honest worlds: shares of chip time, FLOP and joules of every activity (the units of the package).

    Attributes:
        train, train_flop, train_hardware, train_joules: the declared run, by both methods of counting.
        waiting, lost, lost_joules: its time that an interruption cost, booked as maintenance and as unattributed.
        serve, serve_flop, serve_joules; check, check_flop, check_joules: serving and evaluation.
        repair, idle: shares; both draw idle watts.
        reading: what the meter reads, over what it should.
        visited: whether an inspector counts in this period.
        metered: by world, whether there is a meter.
    """

    train: Array
    train_flop: Array
    train_hardware: Array
    train_joules: Array
    waiting: Array
    lost: Array
    lost_joules: Array
    serve: Array
    serve_flop: Array
    serve_joules: Array
    check: Array
    check_flop: Array
    check_joules: Array
    repair: Array
    idle: Array
    reading: Array
    visited: NDArray[np.bool_]
    metered: NDArray[np.bool_]


@lru_cache(maxsize=8)
def draw(habits: Habits, seed: int, trials: int) -> Sample:
    """Return *trials* worlds of sites with *habits*."""
    raw = noise(seed, habits.periods, trials)
    h, shape = habits, (habits.periods, trials)
    begun = np.ones(shape)
    begun[0] = 0.0  # the run is declared in the first period and begins in the second
    training = h.training * (1.0 + h.site_spread * raw.site_training) * begun
    cost = np.minimum(_breaks(h, raw.breaks) * h.interruption_hours * 3600.0 / h.period_s, 0.9) * training
    train = training - cost
    lost = cost * h.unplaced
    level = h.training_utilisation * (1.0 + h.site_spread * raw.site_utilisation)
    train_flop = train * np.minimum(level * (1.0 + h.spread * raw.train_utilisation), 0.95)
    power = np.minimum(h.training_power * (1.0 + h.spread * raw.train_power), 1.0)
    swing = 1.0 - h.serving_swing * np.cos(2.0 * math.pi * (np.arange(h.periods) % h.day + 0.5) / h.day)
    serve = h.serving * (1.0 + h.site_spread * raw.site_serving) * swing[:, None] * (1.0 + h.spread * raw.serve_share)
    serve_power = np.minimum(h.serving_power * (1.0 + h.spread * raw.serve_power), 1.0)
    serve_flop = serve * np.minimum(h.serving_utilisation * (1.0 + h.spread * raw.serve_utilisation), 0.95)
    check, repair = np.full(shape, h.evaluation), np.full(shape, h.repair)
    drift = math.sqrt(h.correlation) * raw.bias + math.sqrt(1.0 - h.correlation) * raw.meter
    return Sample(
        train=train,
        train_flop=train_flop,
        train_hardware=train_flop * (1.0 + h.method_noise * raw.methods),
        train_joules=train * (h.rest + power * (1.0 - h.rest)),
        waiting=cost - lost,
        lost=lost,
        lost_joules=lost * h.joules(h.serving_power),
        serve=serve,
        serve_flop=serve_flop,
        serve_joules=serve * (h.rest + serve_power * (1.0 - h.rest)),
        check=check,
        check_flop=check * h.serving_utilisation,
        check_joules=check * h.joules(h.serving_power),
        repair=repair,
        idle=1.0 - training - serve - check - repair,
        reading=np.round(1000.0 * (1.0 + h.error * drift)) / 1000.0,
        visited=raw.visit < 1.0 - math.exp(-h.visits * h.period_s / 31_557_600.0),
        metered=raw.metered < h.metered,
    )


def _breaks(habits: Habits, uniform: Array) -> Array:
    """Return how many interruptions fall into a period: Poisson, by inversion, so that the draw is the same for all."""
    mean = habits.interruptions / habits.day
    terms, total = [math.exp(-mean)], math.exp(-mean)
    while total < 1.0 - 1e-12 and len(terms) < _MOST_INTERRUPTIONS:
        terms.append(terms[-1] * mean / len(terms))
        total += terms[-1]
    return np.searchsorted(np.cumsum(terms), uniform).astype(np.float64)
