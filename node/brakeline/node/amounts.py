"""What a period's chip time was used for, by label, while books are being made; and how boards' counters divide. Pure.

Shares are cumulative and rounded down, so that the parts of a whole add up to it exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from brakeline.treaty.quantities import Flop, Rational
from brakeline.treaty.statements import Activity

Label: TypeAlias = tuple[str, Activity]
IDLE: Label = ("idle", Activity.IDLE)
UNATTRIBUTED: Label = ("unattributed", Activity.UNATTRIBUTED)
_PPM_S = 1_000 * 1_000_000
"""Parts per million x milliseconds in a second at the whole."""


@dataclass(frozen=True, slots=True)
class ChipBook:
    """The chips of one class a site holds, and the treaty's figures for it.

    Attributes:
        serials: one per chip.
        peak_flop_per_s: dense peak of one chip.
        utilisation: measured share of the peak while busy, None when it is not known.
    """

    chip_class: str
    serials: tuple[str, ...]
    peak_flop_per_s: int
    board_watts: int
    idle_watts: int
    utilisation: Rational | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """What the boards of the metered class say of a period (:mod:`brakeline.node.boards`).

    Attributes:
        meter: its name.
        chips: how many it told of.
        busy, unknown: chip-ms by slot: with a kernel running; that nobody knows.
        work: by slot, parts per million of tensor activity x ms, summed over chips; None where some of it is unknown.
        tensor: whether the boards have such a counter at all.
        energy_mj: of all boards in the period; None where not known.
        lines: the readings that this comes from, one canonical line each.
    """

    meter: str
    chips: int
    busy: tuple[int, ...]
    unknown: tuple[int, ...]
    work: tuple[int | None, ...]
    tensor: bool
    energy_mj: int | None
    lines: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Amount:
    """Of one label: chip-ms by slot of the metered class, and what else is known of it.

    Attributes:
        busy: chip-ms by slot.
        flop, tokens: where a program reported them.
        unknown: whether a program computed and could not say how much: then what others said is not all of it.
        weight: processor time by slot, by which the boards' busy time is shared out.
        work: share of the boards' tensor work (ppm x ms); None where some of it is unknown.
        lost: whether boards were unread while it ran.
    """

    busy: list[int]
    flop: int | None = None
    tokens: int | None = None
    unknown: bool = False
    weight: list[int] = field(default_factory=list[int])
    work: int | None = 0
    lost: bool = False

    @classmethod
    def nothing(cls, slots: int) -> Amount:
        """Return no amount, of so many slots."""
        return cls([0] * slots, weight=[0] * slots)

    def add(self, other: Amount) -> None:
        """Take *other* in."""
        self.unknown |= other.unknown
        self.lost |= other.lost
        self.busy = [a + b for a, b in zip(self.busy, other.busy, strict=True)]
        self.flop = plus(self.flop, other.flop)
        self.tokens = plus(self.tokens, other.tokens)
        self.work = None if self.work is None or other.work is None else self.work + other.work


def plus(a: int | None, b: int | None) -> int | None:
    """Return the sum of what is known, None where neither is."""
    return None if a is None and b is None else (a or 0) + (b or 0)


def spread(amounts: dict[Label, Amount], counted: Counted, room: list[int]) -> None:
    """Give the boards' busy and unknown time to labels; what is left of *room* (chip-ms by slot) stays in it."""
    slots = len(room)
    for slot, size in enumerate(room):
        unknown = min(size, counted.unknown[slot])
        busy = min(size - unknown, counted.busy[slot])
        room[slot] = size - unknown - busy
        ran = [label for label, amount in amounts.items() if amount.weight[slot]]
        if unknown:
            dark = amounts.setdefault(UNATTRIBUTED, Amount.nothing(slots))
            dark.busy[slot] += unknown
            for amount in (dark, *(amounts[label] for label in ran)):
                amount.lost, amount.work = True, None
        takers = ran or ([UNATTRIBUTED] if busy else [])
        weights = [amounts[label].weight[slot] for label in ran] or [1]
        work = counted.work[slot]
        for label, ms, part in zip(takers, divided(busy, weights), divided(work or 0, weights), strict=False):
            amount = amounts.setdefault(label, Amount.nothing(slots))
            amount.busy[slot] += ms
            amount.work = None if amount.work is None or work is None else amount.work + part


def divided(whole: int, weights: Iterable[int]) -> Iterator[int]:
    """Yield *whole* in parts as *weights* (not all 0), which add up to it.

    >>> list(divided(10, [1, 1, 1]))
    [3, 3, 4]
    """
    given = list(weights)
    total, so_far = sum(given), 0
    for weight in given:
        yield whole * (so_far + weight) // total - whole * so_far // total
        so_far += weight


def hardware(label: Label, amount: Amount, chips: ChipBook, counted: Counted | None) -> Flop | None:
    """Return FLOP by the hardware method, rounded down; None where it is not known, and of what is idle.

    By the boards' tensor activity where they have it; else chip time x dense peak x the declared utilisation.
    """
    if label[1] is Activity.IDLE:
        return None
    if counted is not None and (counted.tensor or amount.lost):
        return None if amount.work is None else Flop(amount.work * chips.peak_flop_per_s // _PPM_S)
    if label[1] is Activity.UNATTRIBUTED or chips.utilisation is None:
        return None
    u = chips.utilisation
    return Flop(sum(amount.busy) * chips.peak_flop_per_s * u.numerator // (1000 * u.denominator))


def energy(amounts: Mapping[Label, Amount], chips: ChipBook, counted: Counted | None) -> dict[Label, int] | None:
    """Return millijoules by label; None where the boards have a meter and their energy is not known.

    Without a meter by the treaty's watts. With one: idle time takes its idle watts, as far as there is so much energy,
    the others share the rest by chip time; where all is idle, idle takes all.
    """
    times = {label: sum(amount.busy) for label, amount in amounts.items()}
    if counted is None:
        rest = (Activity.IDLE, Activity.UNATTRIBUTED)
        return {k: ms * (chips.idle_watts if k[1] in rest else chips.board_watts) for k, ms in times.items()}
    if counted.energy_mj is None:
        return None
    used = {label: ms for label, ms in times.items() if label != IDLE and ms}
    at_rest = min(counted.energy_mj, times.get(IDLE, 0) * chips.idle_watts) if used else counted.energy_mj
    shares = divided(counted.energy_mj - at_rest, used.values()) if used else iter(())
    return {**dict.fromkeys(times, 0), IDLE: at_rest, **dict(zip(used, shares, strict=True))}
