"""The report of one order: four latencies apart, what leaked and its bound, who was not heard, what the books show."""

from __future__ import annotations

from fractions import Fraction

import pytest
from brakeline.treaty.order_report import Bound, Kept, Latencies, OrderReport, Range, SiteReport, report
from brakeline.treaty.statements import Acknowledgement, Order, Statement, StoppedWorkload
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast
from tests.support.cast import line
from tests.support.facts import DOC, FULL, Logs, Site, due, end_of, say, start_of

PEAK = 100_000_000_000
"""FLOP per second of a chip of the tests' treaty."""
CAPACITY = FULL * PEAK // 1000
"""FLOP of a site in a period, at the dense peak."""
FROZEN = "ab" * 32


def order(kind: str = "pause", effective: int = 5, expiry: int = 50, **changes: object) -> Statement:
    found = cast.read(cast.order(DOC, kind=kind, effective=effective, expiry=expiry)).predicate
    assert isinstance(found, Order)
    return say(Order.model_validate({**found.model_dump(), **changes}))


def stop(workload: str = "job", step: int = 7, **members: object) -> StoppedWorkload:
    return StoppedWorkload.model_validate({"workload": workload, "step": step, **members})


def acknowledgement(site: Site, of: Statement, seen: int, stopped: int, *works: StoppedWorkload) -> Statement:
    position = site.author.position()
    members = {"order": of.digest, "seen_at": seen, "stopped_at": stopped, "workloads": works}
    statement = say(Acknowledgement.model_validate({**position, **members}))
    site.author.sequence, site.author.previous = site.author.sequence + 1, statement.digest
    return statement


def made(logs: Logs, of: Statement, as_of: int | None = None) -> OrderReport:
    until = max(facts.newest_ms for facts in logs.parts) if as_of is None else as_of
    found = report(logs.document, logs.parts, of.digest, logs.found(until), until)
    assert found is not None
    return found


def one(logs: Logs, of: Statement, as_of: int | None = None, site: str = cast.SITE) -> SiteReport:
    return next(item for item in made(logs, of, as_of).sites if item.site == site)


def test_an_order_that_no_log_holds_has_no_report() -> None:
    assert report(DOC, Logs().parts, "0" * 64, (), 0) is None


def test_four_latencies_are_counted_from_quorum_each_by_the_slowest_workload() -> None:
    logs, pause = Logs(), order()
    site = Site(logs)
    logs.bring(pause, start_of(6), start_of(6) + 70, start_of(6) + 90, None)
    q = start_of(6)
    first = stop("a", agreed_at=q + 200, ceased_at=q + 300, durable_at=q + 9_000, freeze=FROZEN)
    second = stop("b", agreed_at=q + 150, ceased_at=q + 450)
    logs.bring(acknowledgement(site, pause, q + 100, q + 450, first, second), q + 500)
    found = made(logs, pause)
    assert (found.first_ms, found.held_ms, found.binding) == (q, q + 70, 8)
    (found_site,) = found.sites
    assert found_site.latencies == Latencies(seen=100, agreed=200, ceased=450, durable=9_000)
    assert [item.workload for item in found_site.workloads] == ["a", "b"]
    assert found_site.heard_ms == q + 500


def test_quorum_is_no_earlier_than_the_effective_period_and_a_node_may_be_first() -> None:
    logs, early = Logs(), order()
    site = Site(logs)
    logs.bring(early, start_of(2))
    logs.bring(acknowledgement(site, early, start_of(2) + 5, start_of(5)), start_of(5))
    assert one(logs, early).quorum_ms == start_of(5)
    assert one(logs, early).latencies == Latencies(seen=0, agreed=None, ceased=0, durable=None)
    late = order(effective=1, nonce="1" * 32)
    logs.bring(late, start_of(6) + 900)
    logs.bring(acknowledgement(site, late, start_of(6) + 100, start_of(6) + 300), start_of(7))
    assert one(logs, late).quorum_ms == start_of(6) + 100


def test_a_later_acknowledgement_adds_what_the_first_did_not_know() -> None:
    logs, pause = Logs(), order()
    site = Site(logs)
    logs.bring(pause, start_of(4))
    q = start_of(5)
    logs.bring(acknowledgement(site, pause, q, q + 10, stop(ceased_at=q + 10)), q + 20)
    assert one(logs, pause).latencies.durable is None
    whole = stop(ceased_at=q + 10, durable_at=q + 700, freeze=FROZEN)
    logs.bring(acknowledgement(site, pause, q, q + 10, whole), None, None, q + 800, None)
    found = one(logs, pause)
    assert found.latencies == Latencies(seen=0, agreed=None, ceased=10, durable=700)
    assert found.heard_ms == q + 20
    resume = order("resume", effective=8, expiry=9, lifts=(pause.digest,))
    logs.bring(resume, start_of(7))
    logs.bring(acknowledgement(site, resume, start_of(8), start_of(8), stop(resumed=FROZEN)), start_of(8))
    assert [item.resumed for item in one(logs, pause).workloads] == [FROZEN]


def test_sites_that_were_not_heard_and_sites_that_stopped_are_named() -> None:
    logs, pause = Logs(), order()
    good, silent, liar = Site(logs), Site(logs, cast.OTHER_SITE), Site(logs, "lab-1.party-a.example/site-2")
    logs.bring(pause, start_of(4))
    for site in (good, liar):
        logs.bring(acknowledgement(site, pause, start_of(5), start_of(5)), start_of(5) + 1)
    for period in range(6, 9):
        for site in (good, silent, liar):
            training = 10 if site is liar and period == 8 else 0
            logs.bring(site.books(period, training), end_of(period))
    logs.read_until(due(8) + 1)
    found = made(logs, pause)
    assert found.not_heard == (cast.OTHER_SITE,)
    assert found.stopped == (cast.SITE, cast.OTHER_SITE)
    assert {item.site: item.kept for item in found.sites}["lab-1.party-a.example/site-2"] is Kept.BROKEN
    rules = {item.rule for item in found.findings}
    assert rules == {"brake-breach", "unacknowledged-order"}
    assert one(logs, pause, site="lab-1.party-a.example/site-2").findings


def test_idle_books_in_enough_logs_prove_a_stop_up_to_the_first_gap() -> None:
    logs, pause = Logs(), order()
    site = Site(logs)
    logs.bring(pause, start_of(4))
    logs.bring(site.books(6), end_of(6))
    logs.bring(site.books(7), end_of(7), None, None, None)
    logs.bring(site.books(8), end_of(8))
    logs.read_until(due(7))
    assert (one(logs, pause).kept, one(logs, pause).kept_until) == (Kept.KEPT, 6)
    logs.read_until(due(7) + 1)
    assert (one(logs, pause).kept, one(logs, pause).kept_until) == (Kept.OPEN, 6)


@pytest.mark.parametrize("changes", [{"exercise": True}, {"kind": "resume"}])
def test_what_binds_nobody_leaks_nothing(changes: dict[str, object]) -> None:
    logs, drill = Logs(), order(**{"kind": "pause", **changes})  # type: ignore[arg-type]
    site = Site(logs)
    logs.bring(drill, start_of(4))
    logs.bring(site.books(7, 100, flop_model="5"), end_of(7))
    found = one(logs, drill)
    assert (found.kept, found.leaked) == (Kept.NOT_BOUND, Range(0, 0))


def test_what_leaked_is_counted_from_quorum_on_notice_or_not() -> None:
    logs, pause = Logs(), order()
    site = Site(logs)
    logs.bring(pause, start_of(5) + 1_000)  # a second into its first period
    for period, flop in ((4, "1000"), (5, "700"), (6, "40"), (7, "0")):
        logs.bring(site.books(period, 10, flop_model=flop), end_of(period))
    found = one(logs, pause)
    assert found.leaked == Range(40, 740)  # of period 5, nobody can say what came after the order
    assert [(item.period, item.leaked.at_most) for item in found.periods] == [(4, 0), (5, 700), (6, 40), (7, 0)]
    assert made(logs, pause).leaked == found.leaked


def test_flop_that_nobody_states_are_none_at_least_and_chip_time_at_peak_at_most() -> None:
    logs, pause = Logs(), order()
    site = Site(logs)
    logs.bring(pause, start_of(4))
    logs.bring(site.books(5, 10), end_of(5))
    assert one(logs, pause).leaked == Range(0, 10 * PEAK // 1000)


def test_under_a_ceiling_only_the_excess_leaks() -> None:
    logs = Logs()
    slow = order("slow", ceiling={"numerator": 1, "denominator": 4})
    site = Site(logs)
    logs.bring(slow, start_of(4))
    logs.bring(site.books(5, FULL // 4, flop_model="1000"), end_of(5))
    logs.bring(site.books(6, FULL // 2, flop_model="1000"), end_of(6))
    found = one(logs, slow)
    assert [item.leaked for item in found.periods] == [Range(0, 0), Range(500, 500)]
    assert [item.used for item in found.periods] == [Fraction(1, 4), Fraction(1, 2)]
    assert found.kept is Kept.BROKEN


def test_the_bound_is_chips_at_peak_at_the_utilisation_before_for_the_time_until_it_ceased() -> None:
    """Half of the chips ran at two fifths of their peak: after quorum all of them may have."""
    logs, pause = Logs(), order()
    site = Site(logs)
    for period, flop in ((3, CAPACITY // 10), (4, CAPACITY // 5)):
        logs.bring(site.books(period, FULL // 2, flop_model=str(flop)), end_of(period))
    logs.bring(pause, start_of(4))
    q = start_of(5)
    logs.bring(acknowledgement(site, pause, q, q + 400, stop(ceased_at=q + 400)), q + 500)
    used, step = (CAPACITY * ms // cast.PERIOD * 2 // 5 for ms in (400, logs.document.deadlines.stop_ms.value))
    logs.bring(site.books(5, FULL // 20, flop_model=str(used)), end_of(5))
    found = one(logs, pause)
    assert found.bound == Bound(CAPACITY * 1000 // cast.PERIOD, Fraction(2, 5), 400, used, step)
    assert found.within_bound is True
    logs.bring(site.books(6, 1, flop_model="1"), end_of(6))
    assert one(logs, pause).within_bound is None, "a step that was under way would explain it"
    logs.bring(site.books(7, 1, flop_model=str(step - 1)), end_of(7))
    assert one(logs, pause).within_bound is None
    logs.bring(site.books(8, 1, flop_model="1"), end_of(8))
    assert one(logs, pause).within_bound is False
    assert made(logs, pause).bound_flop == used


def test_a_training_in_bursts_is_held_to_the_speed_of_its_bursts() -> None:
    """A hundredth of the chip time at a third of the peak: what it does in a moment is no hundredth of that."""
    logs, pause = Logs(), order()
    site = Site(logs)
    logs.bring(site.books(4, FULL // 100, flop_model=str(CAPACITY // 300)), end_of(4))
    logs.bring(pause, start_of(4))
    q = start_of(5)
    logs.bring(acknowledgement(site, pause, q, q + 5, stop(ceased_at=q + 5)), q + 500)
    logs.bring(site.books(5, 5, flop_model=str(CAPACITY * 5 // FULL // 3)), end_of(5))
    assert one(logs, pause).within_bound is True


def test_without_books_before_the_bound_is_the_peak() -> None:
    logs, pause = Logs(), order(effective=0)
    site = Site(logs)
    logs.bring(pause, cast.START)
    logs.bring(acknowledgement(site, pause, start_of(0), start_of(0) + 4_000), start_of(1))
    logs.bring(site.books(0, 1), end_of(0))
    bound = one(logs, pause).bound
    assert bound is not None
    assert (bound.utilisation, bound.flop) == (Fraction(1), CAPACITY)


def test_a_site_that_says_nothing_has_no_bound() -> None:
    logs, pause = Logs(), order()
    Site(logs)
    logs.bring(pause, start_of(4))
    found = made(logs, pause)
    assert (found.sites[0].bound, found.sites[0].within_bound, found.bound_flop) == (None, None, None)


def test_an_order_ends_where_it_expires_or_is_lifted() -> None:
    logs, pause = Logs(), order()
    site = Site(logs)
    resume = order("resume", effective=8, expiry=9, lifts=(pause.digest,))
    logs.bring(pause, start_of(4))
    logs.bring(resume, start_of(7))
    for period in range(5, 10):
        logs.bring(site.books(period, 10 if period >= 8 else 0, flop_model="9"), end_of(period))
    found = made(logs, pause)
    assert (found.until, found.lifted_by) == (8, (resume.digest,))
    assert (found.sites[0].kept, found.sites[0].leaked) == (Kept.KEPT, Range(0, 0))
    drill = order("resume", effective=6, expiry=9, lifts=(pause.digest,), exercise=True)
    logs.bring(drill, start_of(5))
    assert made(logs, pause).until == 8


def test_only_enrolled_sites_in_scope_stand_in_it() -> None:
    logs = Logs()
    pause = order(scope={"who": (cast.PARTIES[0],), "activities": ("training",)})
    Site(logs)
    Site(logs, cast.OTHER_SITE)
    Site(logs, "lab-1.party-a.example/site-9", enrolled=60)
    logs.bring(pause, start_of(4))
    assert [item.site for item in made(logs, pause).sites] == [cast.SITE]


@given(st.lists(st.tuples(st.integers(0, FULL), st.integers(0, 10**12)), min_size=1, max_size=6), st.integers(0, 3_999))
def test_what_leaks_lies_between_its_ends_and_never_above_what_was_booked(
    booked: list[tuple[int, int]], late_ms: int
) -> None:
    logs, pause = Logs(), order("slow", ceiling={"numerator": 2, "denominator": 7})
    site = Site(logs)
    logs.bring(pause, start_of(5) + late_ms)
    for place, (chip_ms, flop) in enumerate(booked):
        works = (line("training", chip_ms, flop_model=str(flop)),) if chip_ms else ()
        logs.bring(site.book(5 + place, *works), end_of(5 + place))
    found = one(logs, pause)
    assert 0 <= found.leaked.at_least <= found.leaked.at_most <= sum(flop for chip_ms, flop in booked if chip_ms)
    assert (found.leaked.at_most == 0) is all(chip_ms * 7 <= 2 * FULL or not flop for chip_ms, flop in booked)
