"""Which orders are in force, whom they bind, and what results where several do. Pure; node, rules and reports ask here.

An order is in force in period p when ``effective_period <= p < expiry_period`` and no admitted order whose own
effective period has come (``<= p``) lifts its digest; an exercise lifts exercises only. A resume order binds nobody: it
works by what it lifts. An order binds a site when its scope names ``everyone``, the site, its lab, or the party under
whose jurisdiction the lab is. An exercise walks the whole path and stops nothing: it is in force like any other, and
never binds.

Every order that binds is to be obeyed, so the most restrictive one decides: :func:`limit` says what a site may do of an
activity in a period. A pause leaves nothing; a slow order leaves a share of the chip time of each class of chip, for
everything in its scope together. docs/spec/orders.md has the table of what overlapping orders come to; a test reads it.

The functions take orders that were *admitted* (:mod:`brakeline.treaty.admission`): nothing here verifies a signature.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.errors import StatementError
from brakeline.treaty.names import NameKind, is_name, lab_of
from brakeline.treaty.quantities import DurationMs
from brakeline.treaty.statements import Activity, Order, Scope

EVERYONE = "everyone"


class Standing(StrEnum):
    """Whether an order binds a site in a period, or why it does not; the codes are stable (docs/spec/orders.md)."""

    BINDS = "order-binds"
    NOT_YET = "order-not-yet"
    EXPIRED = "order-expired"
    LIFTED = "order-lifted"
    RELEASES = "order-releases"
    EXERCISE = "order-exercise"
    ELSEWHERE = "order-elsewhere"


class Limit(NamedTuple):
    """What orders leave a site of an activity in a period: the most restrictive one, and the share that it leaves.

    Attributes:
        order: its statement digest; of several that leave the same share, the smallest.
        share: of the chip time of each class; 0 for a pause.
    """

    order: str
    share: Fraction

    @property
    def stops(self) -> bool:
        """Whether nothing may be done at all."""
        return self.share == 0

    def chip_ms(self, chips: int, length: DurationMs) -> int:
        """Return the chip-milliseconds that *chips* of one class may be used for in a period of *length*."""
        return int(self.share * chips * length.value)


def lifted(orders: Mapping[str, Order], period: int) -> set[str]:
    """Return the digests that are lifted in *period*; what was lifted stays so. An exercise lifts exercises only."""
    return {
        digest
        for order in orders.values()
        if order.effective_period <= period
        for digest in order.lifts
        if not order.exercise or (digest in orders and orders[digest].exercise)
    }


def in_force(orders: Mapping[str, Order], period: int) -> dict[str, Order]:
    """Return the orders (by statement digest) that are in force in *period*, in the order of *orders*."""
    gone = lifted(orders, period)
    return {
        digest: order
        for digest, order in orders.items()
        if order.effective_period <= period < order.expiry_period and digest not in gone
    }


def names_site(order: Order, site: str, document: TreatyDocument) -> bool:
    """Say whether the scope of *order* names *site*: itself, its lab, its lab's party, or everyone."""
    lab = document.lab(lab_of(site))
    return not {EVERYONE, site, lab_of(site), lab.party if lab else EVERYONE}.isdisjoint(order.scope.who)


def standing(orders: Mapping[str, Order], digest: str, site: str, period: int, document: TreatyDocument) -> Standing:
    """Return whether the order *digest*, one of *orders*, binds *site* in *period*, or the first reason why not."""
    order = orders[digest]
    if digest in lifted(orders, period):
        return Standing.LIFTED
    if period >= order.expiry_period:
        return Standing.EXPIRED
    if period < order.effective_period:
        return Standing.NOT_YET
    if not names_site(order, site, document):
        return Standing.ELSEWHERE
    if order.exercise:
        return Standing.EXERCISE
    return Standing.RELEASES if order.kind == "resume" else Standing.BINDS


def binding(orders: Mapping[str, Order], site: str, period: int, document: TreatyDocument) -> dict[str, Order]:
    """Return the orders in force in *period* that make *site* stop or slow down (neither resumes nor exercises)."""
    return {
        digest: order
        for digest, order in in_force(orders, period).items()
        if order.kind != "resume" and not order.exercise and names_site(order, site, document)
    }


def covers(order: Order, activity: Activity, above: Container[str] | None = None) -> bool:
    """Say whether *order* speaks of *activity* of a run.

    Args:
        order: any.
        activity: what is done.
        above: the thresholds that the run's lineage has passed; None when that is not known. An order on runs above a
            line covers a run of which it is not known.
    """
    line = order.scope.above
    return activity in order.scope.activities and (line is None or above is None or line in above)


def limit(
    orders: Mapping[str, Order],
    site: str,
    period: int,
    activity: Activity,
    document: TreatyDocument,
    above: Container[str] | None = None,
) -> Limit | None:
    """Return what the orders leave *site* of *activity* in *period*; None where none binds it.

    A share is for all that the order covers together: a site that does several things under one ceiling divides it.

    Args:
        orders: every admitted order by statement digest.
        site: whom to ask for.
        period: on the treaty's grid.
        activity: what would be done.
        document: the treaty.
        above: as in :func:`covers`.
    """
    binds = binding(orders, site, period, document)
    limits = [Limit(digest, share(order)) for digest, order in binds.items() if covers(order, activity, above)]
    return min(limits, key=lambda item: (item.share, item.order), default=None)


def share(order: Order) -> Fraction:
    """Return the share of chip time that *order* leaves of what it covers: 0 for a pause, 1 for a resume."""
    if order.kind == "resume":
        return Fraction(1)
    if order.kind == "pause" or order.ceiling is None:
        return Fraction(0)
    return Fraction(order.ceiling.numerator, order.ceiling.denominator)


def check_order(document: TreatyDocument, order: Order) -> None:
    """Check what bytes and treaty alone decide: whether *order* could be obeyed at all. Who signed it is not looked at.

    Which sites a lab has is not in the treaty: any well-formed name of a site of a lab is known.

    Raises:
        StatementError: ``order-periods``, ``order-ceiling``, ``order-scope``.
    """
    if not order.effective_period < order.expiry_period:
        raise StatementError(
            code="order-periods",
            message="an order must expire after it takes effect",
            expected="effective_period < expiry_period",
            found=f"{order.effective_period}, {order.expiry_period}",
            fix="an order that would never be in force orders nothing",
        )
    ceiling = order.ceiling
    if (order.kind == "slow") != (ceiling is not None) or not (ceiling is None or 0 < share(order) < 1):
        raise StatementError(
            code="order-ceiling",
            message="an order to slow down, and no other, has a ceiling",
            expected="kind slow with a share between 0 and 1, both excluded",
            found=f"{order.kind} with {'none' if ceiling is None else f'{ceiling.numerator}/{ceiling.denominator}'}",
            fix="a ceiling of 0 is a pause",
        )
    unknown = sorted(_unknown(order.scope, document))
    if unknown:
        raise StatementError(
            code="order-scope",
            message="the scope of the order names what the treaty does not know",
            expected="everyone, parties, labs, sites of labs; above: a threshold, with the rule threshold in force",
            found=", ".join(unknown)[:200],
        )


def _unknown(scope: Scope, document: TreatyDocument) -> Iterator[str]:
    """Yield what *scope* names and *document* does not know."""
    for name in scope.who:
        site = is_name(name, NameKind.SITE) and document.lab(lab_of(name)) is not None
        if not (name == EVERYONE or site or document.party(name) or document.lab(name)):
            yield name
    if scope.above is not None:
        judged = document.rule("threshold") is not None
        if not judged or all(item.name != scope.above for item in document.thresholds):
            yield scope.above
