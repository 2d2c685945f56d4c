"""What a line counts for under the treaty's counting profile: whether at all, and how many FLOP.

What it is: the small functions that profiles need where the books are judged; the profiles themselves, with their
sources, are data (:mod:`brakeline.treaty.counting`). What it is not: a rule.

*Whether.* A line that states its ``purpose`` counts unless the profile leaves that purpose out, if its activity is one
that the threshold counts or the profile names the purpose as counted. A line that states none counts by its activity.
*How much.* The larger of both methods; of a profile that says so, the larger of that and its FP16 equivalent, where the
line states its precision; and no less than the share of peak that the treaty presumes.
"""

from __future__ import annotations

from collections.abc import Collection

from brakeline.treaty.counting import PROFILES, Profile, fp16_equivalent
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.quantities import Flop
from brakeline.treaty.rules.books import MILLI, PERMILLE, BookLine


class Counted:
    """Counts lines as one treaty does."""

    def __init__(self, document: TreatyDocument) -> None:
        """Count by the profile of *document*; the share of peak it presumes is its rule ``threshold``'s, or none."""
        self.profile: Profile = PROFILES[document.counting.profile]
        terms = document.rule("threshold")
        self._presumed = 0 if terms is None else terms.integer("presumed_permille")

    def counts(self, line: BookLine, activities: Collection[str]) -> bool:
        """Say whether *line* counts under a threshold on *activities*."""
        purpose, active = line.purpose, line.activity in activities
        if purpose is None:
            return active
        return purpose not in self.profile.leaves_out and (active or purpose in self.profile.counts)

    def flop(self, line: BookLine) -> int | None:
        """Return what *line* counts for; None when it states no FLOP and nothing is presumed."""
        if line.flop is None and not self._presumed:
            return None
        flop, precision = line.flop or 0, line.precision
        if self.profile.larger_of_fp16 and precision is not None:
            flop = max(flop, fp16_equivalent(Flop(flop), precision).value)
        return max(flop, line.peak_mflop * self._presumed // (MILLI * PERMILLE))
