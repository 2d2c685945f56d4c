"""Which orders are in force, and whom they bind. Pure; node, rules and reports ask here, so that all read alike.

An order is in force in period p when ``effective_period <= p < expiry_period`` and no admitted order whose own
effective period has come (``<= p``) lifts its digest. A resume order binds nobody: it works by what it lifts. An order
binds a site when its scope names ``everyone``, the site, its lab, or the party under whose jurisdiction the lab is.
An exercise walks the whole path and stops nothing: it is in force like any other, and never binds.

The functions take orders that were *admitted* (:mod:`brakeline.treaty.admission`): nothing here verifies a signature.
"""

from __future__ import annotations

from collections.abc import Mapping

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.names import lab_of
from brakeline.treaty.statements import Activity, Order

EVERYONE = "everyone"


def in_force(orders: Mapping[str, Order], period: int) -> dict[str, Order]:
    """Return the orders (by statement digest) that are in force in *period*, in the order of *orders*."""
    lifted = {digest for order in orders.values() if order.effective_period <= period for digest in order.lifts}
    return {
        digest: order
        for digest, order in orders.items()
        if order.effective_period <= period < order.expiry_period and digest not in lifted
    }


def names_site(order: Order, site: str, document: TreatyDocument) -> bool:
    """Say whether the scope of *order* names *site*: itself, its lab, its lab's party, or everyone."""
    lab = document.lab(lab_of(site))
    return not {EVERYONE, site, lab_of(site), lab.party if lab else EVERYONE}.isdisjoint(order.scope.who)


def binding(orders: Mapping[str, Order], site: str, period: int, document: TreatyDocument) -> dict[str, Order]:
    """Return the orders in force in *period* that make *site* stop or slow down (neither resumes nor exercises)."""
    return {
        digest: order
        for digest, order in in_force(orders, period).items()
        if order.kind != "resume" and not order.exercise and names_site(order, site, document)
    }


def covers(order: Order, activity: Activity) -> bool:
    """Say whether *order* speaks of *activity*."""
    return activity in order.scope.activities
