"""A world: sites with what their chips really did (truth) and what they say of it (books), period by period.

In an honest world both are equal but for the noise of meters. A strategy changes one or the other. Integers, as on the
wire: chip-milliseconds, FLOP, joules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import TypeAlias

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.statements import Activity
from brakeline.treaty.strictjson import JsonObject
from brakeline.treaty.terms import ChipClass


@dataclass(frozen=True, slots=True)
class Work:
    """What chips did in one period for one workload.

    Attributes:
        workload, activity: as they would be booked.
        chip_ms: chip-milliseconds.
        flop: by the model method; *hardware* by the hardware method, None where nobody counted that way.
        joules: of the boards.
        parents, model_out, code, data: digests, as in a usage line.
    """

    workload: str
    activity: Activity
    chip_ms: int
    flop: int = 0
    hardware: int | None = None
    tokens: int = 0
    joules: int = 0
    parents: tuple[str, ...] = ()
    model_out: str | None = None
    code: str | None = None
    data: str | None = None


Books: TypeAlias = dict[int, list[Work]]


@dataclass(frozen=True, slots=True)
class Extra:
    """Something said besides books: in which period, by whom, what (a predicate, of evidence with its kind)."""

    period: int
    author: str
    says: str
    members: JsonObject


@dataclass(slots=True)
class Site:
    """One site.

    Attributes:
        name: ``<lab>/<label>``.
        chips: how many it declares, all of class *chip*; *present* is how many an inspector would count.
        inspected: periods in which an inspector counts.
        truth: what its chips did.
        said: what its books say; in an honest world the same works.
        elsewhere: joules (of boards) that its meter sees beside the truth: chips that nobody declared, by period.
        silent: periods whose books never come.
        late: periods whose books come so many milliseconds after their deadline.
        twice: periods of which the site signs a second version, with these works.
        mistaken: periods whose books first say these works, and are corrected two periods later.
        renewed: periods from which so many chips are new, and as many retired.
        favoured: periods whose books only f logs ever hold: those of verifiers that help the site.
        fabricated: periods of which rows that were never committed to are opened.
        unopened: periods of which no drawn row is opened, though all logs drew.
        own_clock: periods of which the site's books are off the treaty's grid by so many milliseconds.
    """

    name: str
    chip: ChipClass
    chips: int
    present: int
    inspected: set[int] = field(default_factory=set[int])
    truth: Books = field(default_factory=dict[int, list[Work]])
    said: Books = field(default_factory=dict[int, list[Work]])
    elsewhere: dict[int, int] = field(default_factory=dict[int, int])
    silent: set[int] = field(default_factory=set[int])
    late: dict[int, int] = field(default_factory=dict[int, int])
    twice: Books = field(default_factory=dict[int, list[Work]])
    mistaken: Books = field(default_factory=dict[int, list[Work]])
    renewed: dict[int, int] = field(default_factory=dict[int, int])
    favoured: set[int] = field(default_factory=set[int])
    fabricated: set[int] = field(default_factory=set[int])
    unopened: set[int] = field(default_factory=set[int])
    own_clock: dict[int, int] = field(default_factory=dict[int, int])

    @property
    def lab(self) -> str:
        """Whose site it is."""
        return self.name.partition("/")[0]

    def due(self, period_ms: int) -> int:
        """Return the chip-milliseconds that the books of a period have to account for."""
        return self.chips * period_ms

    def joules(self, work: Work, power_permille: int) -> int:
        """Return what *work* draws when boards run at *power_permille* of the way from idle to full power."""
        watts_milli = 1000 * self.chip.idle_watts + power_permille * (self.chip.board_watts - self.chip.idle_watts)
        return work.chip_ms * watts_milli // 1_000_000

    def flop(self, chip_ms: int, utilisation_permille: int) -> int:
        """Return what *chip_ms* compute at *utilisation_permille* of the dense peak."""
        return chip_ms * self.chip.peak_flop_per_s.value * utilisation_permille // 1_000_000


@dataclass(slots=True)
class World:
    """Sites, what is said besides their books, and how meters err.

    Attributes:
        document: the treaty in force.
        periods: how many periods are played, from period 0.
        sites: by name; the first is the one that strategies use.
        extras: declarations, permissions and the like.
        pue: facility energy over board energy by period, in thousandths of the treaty's own figure.
        chance: the world's own random numbers, seeded.
        began: the first period in which something is hidden, None in an honest world.
    """

    document: TreatyDocument
    periods: int
    chance: Random
    sites: dict[str, Site] = field(default_factory=dict[str, Site])
    extras: list[Extra] = field(default_factory=list[Extra])
    pue: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    began: int | None = None

    @property
    def period_ms(self) -> int:
        """Length of a period."""
        return self.document.grid.period.value

    @property
    def first(self) -> Site:
        """The site whose lab may cheat."""
        return next(iter(self.sites.values()))

    def of_lab(self, lab: str) -> Iterator[Site]:
        """Yield the sites of a lab."""
        return (site for site in self.sites.values() if site.lab == lab)

    def third_party(self, kind: str) -> str | None:
        """Return the name of the treaty's first third party of *kind*, None without one."""
        return next((item.name for item in self.document.third_parties if item.kind == kind), None)

    def trained(self, lab: str) -> int:
        """Return the FLOP that *lab* really trained."""
        works = (work for site in self.of_lab(lab) for done in site.truth.values() for work in done)
        return sum(work.flop for work in works if work.activity is Activity.TRAINING)


def take(works: Iterable[Work], activity: Activity, chip_ms: int) -> tuple[list[Work], int]:
    """Take up to *chip_ms* from the works of *activity*, in proportion; return what is left and how much was taken."""
    kept: list[Work] = []
    taken = 0
    for work in works:
        cut = min(work.chip_ms, chip_ms - taken) if work.activity is activity else 0
        if cut:
            taken += cut
            left = work.chip_ms - cut
            scaled = {name: getattr(work, name) * left // work.chip_ms for name in ("flop", "tokens", "joules")}
            hardware = None if work.hardware is None else work.hardware * left // work.chip_ms
            work = replace(work, chip_ms=left, hardware=hardware, **scaled)
        if work.chip_ms:
            kept.append(work)
    return kept, taken
