"""Holdings: what chips a site says it holds in a period, by the inventories it signed.

Of several inventories the one in effect counts: the latest effective period that is not after the period asked for; of
equals the one furthest down the chain; of equals (two branches) the one with the largest digest.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from typing import NamedTuple

from brakeline.treaty.rules.board import tally
from brakeline.treaty.statements import Inventory


class Held(NamedTuple):
    """One inventory: from when on, its place in the chain, its digest, chips by class."""

    effective_period: int
    sequence: int
    digest: str
    chips: Counter[str]


class Holdings:
    """The inventories of all sites."""

    def __init__(self) -> None:
        """Start with none."""
        self._of_site: dict[str, list[Held]] = {}

    def add(self, inventory: Inventory, digest: str) -> None:
        """Take an inventory in."""
        chips = tally((item.chip_class, item.count) for item in inventory.chips)
        held = Held(inventory.effective_period, inventory.sequence, digest, chips)
        insort(self._of_site.setdefault(inventory.author, []), held)  # no two have one digest

    def at(self, site: str, period: int) -> Held | None:
        """Return the inventory of *site* in effect in *period*, None when there is none."""
        held = self._of_site.get(site, [])
        place = bisect_right(held, period, key=lambda item: item.effective_period)
        return held[place - 1] if place else None
