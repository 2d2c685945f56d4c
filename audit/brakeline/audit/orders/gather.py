"""From addresses of logs and a pinned treaty to the report of one order. Everything is recomputed first.

The exit code sums up what concerns the order, by the table of :mod:`brakeline.audit.report`: findings that do not rest
on it do not count here, and a site that was not heard in time, or whose books are not all there, is *open*.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from brakeline.audit.pinned import load_pinned
from brakeline.audit.reading.one import Progress, Reading
from brakeline.audit.replay import largest, read_sources, weigh
from brakeline.audit.report import AuditReport, Exit, FindingReport, LogState, Problem
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.opinion_log import Disclosures
from brakeline.treaty.order_report import Kept, OrderReport, SiteReport, report

SHORTEST = 8
"""Hex digits by which an order may be named, if they are one order's only."""


@dataclass(frozen=True, slots=True)
class OrderAudit:
    """What was found about one order.

    Attributes:
        document: the pinned treaty.
        audit: the whole audit of the same logs.
        order: the figures of the order.
    """

    document: TreatyDocument
    audit: AuditReport
    order: OrderReport

    @property
    def findings(self) -> tuple[FindingReport, ...]:
        """The audit's findings that rest on the order, gravest first; then those over values that were opened."""
        mine = {finding.digest for finding in self.order.findings}
        return tuple(item for item in (*self.audit.findings, *self.audit.opened) if item.digest in mine)

    @property
    def open(self) -> tuple[Problem, ...]:
        """What could not be checked of the order, or of the logs at all."""
        return (*_open(self.order), *self.audit.unchecked)

    @property
    def exit(self) -> Exit:
        """The exit code."""
        states = {log.state for log in self.audit.logs}
        if LogState.UNREADABLE in states or self.audit.problems:
            return Exit.UNREADABLE
        if LogState.MISCONDUCT in states or any(item.misconduct for item in self.audit.findings):
            return Exit.MISCONDUCT
        if self.findings:
            return Exit.FINDINGS
        return Exit.OPEN if self.open else Exit.REPRODUCED


def audit_order(
    sources: Sequence[str],
    treaty: Path,
    pin: str,
    digest: str,
    *,
    as_of_ms: int | None = None,
    progress: Progress | None = None,
    disclosures: Disclosures | None = None,
) -> OrderAudit:
    """Audit the logs at *sources* and report on the order *digest* (or the first digits of it, at least SHORTEST).

    Args:
        sources: directories or http(s) addresses.
        treaty: TOML, or the signed envelope.
        pin: 64 lowercase hex digits.
        digest: lowercase hex.
        as_of_ms: as :func:`brakeline.audit.replay.audit_sources`.
        progress: told after every bundle of entries.
        disclosures: opens sealed books, so that they say whether their sites stopped.

    Raises:
        BrakelineError: ``order-digest``, ``order-not-logged``, ``order-ambiguous``; those of reading the treaty.
    """
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST},64}}", digest, re.ASCII):
        raise BrakelineError(
            code="order-digest",
            message="this does not name an order",
            expected=f"its digest: 64 hex digits, or the first {SHORTEST} or more of them",
            found=digest[:80],
            fix="`brakeline brake status FILE` prints the digest of an order",
        )
    pinned = load_pinned(treaty, pin)
    document = pinned.root
    with ExitStack() as stack:
        copies = read_sources(stack, sources, pinned, progress=progress, how=Reading(disclosures=disclosures))
        audit, judged = weigh(copies, document, pin, as_of_ms=as_of_ms)
        parts = list(largest(copies).values())
        named = _named({name for facts in parts for name in facts.orders}, digest)
        made = report(document, parts, named, (*judged.findings, *judged.opened), audit.as_of_ms or 0)
        if made is None:  # the digest is one of theirs
            raise AssertionError("an order of the logs has no report")
    return OrderAudit(document, audit, made)


def _named(orders: set[str], digest: str) -> str:
    """Return the one of *orders* that *digest* begins."""
    found = sorted(name for name in orders if name.startswith(digest))
    if len(found) == 1:
        return found[0]
    known = ", ".join(name[:16] for name in sorted(orders)[:8])
    if found:
        raise BrakelineError(
            code="order-ambiguous",
            message="several orders begin with these digits",
            expected="more digits of one digest",
            found=", ".join(name[:16] for name in found[:8]),
        )
    raise BrakelineError(
        code="order-not-logged",
        message="none of the logs read holds this order",
        expected=f"an order that a log holds: {known}" if known else "an order; these logs hold none",
        found=digest[:80],
        fix="give further logs, or submit the order: brakeline node submit FILE",
    )


def _open(order: OrderReport) -> Iterator[Problem]:
    if order.held_ms is None:
        yield Problem(
            "order-not-held",
            "too few of the logs read hold the order for it to bind anybody",
            fix="read further logs; submit the order to them",
        )
    waiting = [site.site for site in order.sites if site.seen_at is None]
    if waiting and not order.findings:
        yield Problem("sites-not-heard", "sites in the order's scope have not acknowledged it", found=_some(waiting))
    unknown = [site.site for site in order.sites if site.kept is Kept.OPEN]
    if unknown:
        yield Problem(
            "books-not-there",
            "whether sites stopped cannot be told yet: books of periods that the order binds are not in enough logs",
            found=_some(unknown),
        )
    shut = [site.site for site in order.sites if _sealed(site, order)]
    if shut:
        yield Problem(
            "books-sealed",
            "whether sites stopped cannot be told from books with sealed lines",
            found=_some(shut),
            fix="ask the sites, or the verifiers that hold them, for the disclosures: what is opened says it",
        )
    beyond = [site.site for site in order.sites if site.within_bound is False]
    if beyond:
        yield Problem(
            "leak-above-bound",
            "sites booked more after quorum than they can have done before they say they ceased",
            found=_some(beyond),
            fix="ask them: the instants, the books or the utilisation before are not as stated",
        )


def _sealed(site: SiteReport, order: OrderReport) -> bool:
    """Say whether lines of the books keep from view whether *site* kept the order while it bound."""
    first = order.binding
    return first is not None and any(item.sealed and first <= item.period < order.until for item in site.periods)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
