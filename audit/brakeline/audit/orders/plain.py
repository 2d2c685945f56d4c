"""The report of an order as JSON: restricted, stable within its format (docs/spec/report.md)."""

from __future__ import annotations

from fractions import Fraction

from brakeline.audit.orders.gather import OrderAudit
from brakeline.treaty.order_report import Booked, Bound, Range, SiteReport, Stopped
from brakeline.treaty.statements import to_json
from brakeline.treaty.strictjson import JsonObject

FORMAT = "brakeline-order/v1"


def to_plain(found: OrderAudit) -> JsonObject:
    """Return the JSON object of the report; members that are not known are absent."""
    order, audit = found.order, found.audit
    value: JsonObject = {
        "format": FORMAT,
        "pin": audit.pin,
        "treaty": {"name": audit.treaty[0], "version": audit.treaty[1]},
        "digest": order.digest,
        "order": to_json(order.order),
        "until_period": order.until,
        "lifted_by": list(order.lifted_by),
        "sites": [_site(site) for site in order.sites],
        "not_heard": list(order.not_heard),
        "stopped": list(order.stopped),
        "leaked_flop": _range(order.leaked),
        "findings": [item.to_json() for item in found.findings],
        "open": [problem.to_json() for problem in found.open],
        "logs": [log.to_json() for log in audit.logs],
        "exit": int(found.exit),
    }
    value |= _known(first_ms=order.first_ms, held_ms=order.held_ms, due_ms=order.due_ms, binding_period=order.binding)
    if order.bound_flop is not None:
        value["bound_flop"] = str(order.bound_flop)
    if audit.as_of_ms is not None:
        value["as_of"] = {"instant_ms": audit.as_of_ms, "given": audit.as_of_given}
    return value


def _site(site: SiteReport) -> JsonObject:
    value: JsonObject = {
        "site": site.site,
        "latencies_ms": _known(**site.latencies._asdict()),
        "workloads": [_workload(item) for item in site.workloads],
        "books": site.kept.value,
        "leaked_flop": _range(site.leaked),
        "periods": [_period(item) for item in site.periods],
        "findings": list(site.findings),
    }
    value |= _known(
        quorum_ms=site.quorum_ms,
        seen_at=site.seen_at,
        stopped_at=site.stopped_at,
        heard_ms=site.heard_ms,
        kept_until=site.kept_until,
    )
    if site.bound is not None:
        value["bound"] = _bound(site.bound)
    if site.within_bound is not None:
        value["within_bound"] = site.within_bound
    return value


def _workload(item: Stopped) -> JsonObject:
    value: JsonObject = {"workload": item.workload, "step": item.step}
    value |= _known(agreed_at=item.agreed_at, ceased_at=item.ceased_at, durable_at=item.durable_at)
    value |= {name: text for name, text in (("freeze", item.freeze), ("resumed", item.resumed)) if text is not None}
    return value


def _period(item: Booked) -> JsonObject:
    flop, leaked = _range(item.flop), _range(item.leaked)
    value: JsonObject = {"period": item.period, "used": _ratio(item.used), "flop": flop, "leaked_flop": leaked}
    return value | {"logs": item.logs} | ({"sealed": item.sealed} if item.sealed else {})


def _bound(bound: Bound) -> JsonObject:
    return {
        "capacity_flop_per_s": str(bound.capacity_flop_per_s),
        "utilisation": _ratio(bound.utilisation),
        "time_ms": bound.time_ms,
        "flop": str(bound.flop),
        "step_flop": str(bound.step_flop),
    }


def _range(item: Range) -> JsonObject:
    return {"at_least": str(item.at_least), "at_most": str(item.at_most)}


def _ratio(value: Fraction) -> JsonObject:
    """Return a ratio of chip time or FLOP, which may be beyond the integers of JSON, as decimal strings."""
    return {"numerator": str(value.numerator), "denominator": str(value.denominator)}


def _known(**members: int | None) -> JsonObject:
    return {name: number for name, number in members.items() if number is not None}
