"""The reconcile rules over several logs: deadlines to the millisecond, and nobody accused on one verifier's word."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from brakeline.treaty.claims import Claim, Seen
from brakeline.treaty.findings import Finding
from brakeline.treaty.orders import binding
from brakeline.treaty.reconcile.conduct import History, Misjudged
from brakeline.treaty.sentences import sentence
from brakeline.treaty.statements import Order, Statement
from brakeline.treaty.verdict import verdict
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast
from tests.support.facts import DAY, DOC, TIMES, Logs, Site, due, end_of, say, start_of


@pytest.fixture
def logs() -> Logs:
    return Logs()


def rules(findings: Sequence[Finding]) -> list[tuple[str, str, int | None]]:
    return [(item.rule, item.about, item.period) for item in findings]


# missing-period and late ----------------------------------------------------------------------------------------------


def test_books_at_the_deadline_are_in_time_and_a_millisecond_later_late(logs: Logs) -> None:
    site = Site(logs)
    logs.bring(site.books(0), due(0))
    logs.bring(site.books(1), due(1) + 1)
    logs.read_until(due(1) + 2)
    (finding,) = logs.found()
    assert (finding.rule, finding.about, finding.period) == ("late", cast.SITE, 1)
    assert finding.figures == {"arrived_ms": str(due(1) + 1), "due_ms": str(due(1)), "logs": "4", "needed": "2"}


def test_books_that_never_came_are_missing_once_the_logs_reach_past_the_deadline(logs: Logs) -> None:
    Site(logs)
    logs.read_until(due(0))
    assert logs.found(DAY + cast.START) == []
    logs.read_until(due(0) + 1)
    assert rules(logs.found(due(0) + 1)) == [("missing-period", cast.SITE, 0)]


def test_f_plus_1_logs_in_time_suffice_whatever_the_others_say(logs: Logs) -> None:
    site = Site(logs)
    logs.bring(site.books(0), due(0), due(0), None, due(0) + DAY)
    logs.read_until(due(0) + 1)
    assert logs.found() == []


def test_one_log_in_time_is_not_enough(logs: Logs) -> None:
    site = Site(logs)
    logs.bring(site.books(0), due(0), None, None, None)
    logs.read_until(due(0) + 1)
    (finding,) = logs.found()
    assert (finding.rule, finding.figures["logs"], len(finding.statements)) == ("missing-period", "1", 1)


@pytest.mark.parametrize(("holders", "read", "accused"), [(0, 3, True), (0, 2, False), (1, 3, False), (1, 4, True)])
def test_unread_logs_get_the_benefit(logs: Logs, holders: int, read: int, accused: bool) -> None:
    site = Site(logs)
    statement = site.books(0)
    logs.bring(statement, *[due(0) if number < holders else None for number in range(4)])
    logs.read_until(due(0) + 1)
    judged = logs.verdict(read=range(read))
    assert bool(judged.findings) is accused
    assert ("arrival-undecided" in {gap.code for gap in judged.open}) is not accused


def test_a_log_that_ends_before_the_deadline_is_unknown_from_there(logs: Logs) -> None:
    Site(logs)
    logs.read_until(due(0) + 1, due(0) + 1, due(0), due(0))
    judged = logs.verdict()
    assert judged.findings == ()
    assert "arrival-undecided" in {gap.code for gap in judged.open}


def test_books_are_owed_from_where_key_and_inventory_take_effect(logs: Logs) -> None:
    Site(logs, enrolled=1, holding=3)
    Site(logs, "lab-1.party-a.example/site-2", enrolled=2, holding=-1)
    logs.read_until(due(3) + 1)
    assert rules(logs.found()) == [
        ("missing-period", cast.SITE, 3),
        ("missing-period", "lab-1.party-a.example/site-2", 2),
        ("missing-period", "lab-1.party-a.example/site-2", 3),
    ]


def test_any_version_of_the_books_counts_as_reported(logs: Logs) -> None:
    site = Site(logs)
    logs.bring(site.books(0, 1), due(0), None, None, None)
    logs.bring(site.books(0, 2), None, due(0), None, None)
    logs.read_until(due(0) + 1)
    assert "missing-period" not in {item.rule for item in logs.found()}


@given(st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=4, max_size=4), st.integers(0, 3))
def test_one_liar_can_neither_accuse_nor_excuse(arrivals: list[int | None], liar: int) -> None:
    """Whatever f logs say, what is certain without them stays as it is."""
    logs, lying = Logs(), Logs()
    for world in (logs, lying):
        site = Site(world)
        instants = [None if step is None else due(0) - 1 + step for step in arrivals]
        if world is lying:
            instants[liar] = None if instants[liar] is not None else due(0) - 1
        world.bring(site.books(0), *instants)
        world.read_until(due(0) + 10)
    others = [number for number in range(4) if number != liar]
    certain = logs.found(read=others)
    accused = {item.rule for item in certain}
    assert accused <= {item.rule for item in lying.found()} | {"late", "missing-period"}
    honest_in_time = sum(1 for n in others if arrivals[n] is not None and (arrivals[n] or 0) <= 1)
    if honest_in_time >= 2:
        assert lying.found() == []
    if honest_in_time == 0:
        assert lying.found() != []


# the brake ------------------------------------------------------------------------------------------------------------


def order(**changes: object) -> Statement:
    """Return a pause of everyone's training in [5, 50), with *changes*."""
    base: dict[str, object] = {
        "treaty": DOC.digest,
        "kind": "pause",
        "scope": {"who": ("everyone",), "activities": ("training",)},
        "effective_period": 5,
        "expiry_period": 50,
        "reason": "tests",
        "exercise": False,
        "lifts": (),
        "nonce": "0" * 32,
    }
    return say(Order.model_validate({**base, **changes}))


def paused(logs: Logs, statement: Statement, at: int | None = None) -> None:
    logs.bring(statement, start_of(4) if at is None else at)


def test_training_is_a_breach_from_the_first_whole_period_after_the_notice(logs: Logs) -> None:
    site = Site(logs)
    pause = order()
    paused(logs, pause)
    for period in range(8):
        logs.bring(site.books(period, training=10), end_of(period))
    logs.read_until(end_of(8))
    # in force from 5; the notice of one period ends when 6 starts
    assert rules(logs.found()) == [("brake-breach", cast.SITE, 6), ("brake-breach", cast.SITE, 7)]
    finding = logs.found()[0]
    assert finding.figures == {"binding_period": "6", "chip_ms": "10", "flop": "0"}
    assert pause.digest in finding.statements


def test_the_notice_runs_from_when_f_plus_1_logs_hold_the_order(logs: Logs) -> None:
    site = Site(logs)
    logs.bring(order(), start_of(1), start_of(7) + 1, start_of(9), None)
    for period in range(5, 12):
        logs.bring(site.books(period, training=10), end_of(period))
    logs.read_until(end_of(12))
    # the second log has it a millisecond after 7 began: notice until 8 + 1 ms, so 9 is the first whole period
    breaches = [item.period for item in logs.found() if item.rule == "brake-breach"]
    assert breaches == [9, 10, 11]


def test_an_order_in_fewer_than_f_plus_1_logs_binds_nobody(logs: Logs) -> None:
    site = Site(logs)
    logs.bring(order(), start_of(1), None, None, None)
    logs.bring(site.books(9, training=10), end_of(9))
    assert "brake-breach" not in {item.rule for item in logs.found()}


@pytest.mark.parametrize(
    "changes",
    [
        {"exercise": True},
        {"kind": "resume"},
        {"kind": "slow", "ceiling": {"numerator": 1, "denominator": 2}},
        {"scope": {"who": ("party-b.example",), "activities": ("training",)}},
        {"scope": {"who": ("everyone",), "activities": ("inference",)}},
        {"expiry_period": 9},
    ],
)
def test_orders_that_do_not_make_this_training_a_breach(logs: Logs, changes: dict[str, object]) -> None:
    site = Site(logs)
    paused(logs, order(**changes))
    logs.bring(site.books(9, training=10), end_of(9))
    assert "brake-breach" not in {item.rule for item in logs.found()}


@pytest.mark.parametrize("who", ["everyone", "party-a.example", "lab-1.party-a.example", cast.SITE])
def test_a_site_is_named_by_itself_its_lab_its_party_or_everyone(logs: Logs, who: str) -> None:
    site = Site(logs)
    pause = order(scope={"who": (who,), "activities": ("training",)})
    paused(logs, pause)
    logs.bring(site.books(9, training=10), end_of(9))
    assert "brake-breach" in {item.rule for item in logs.found()}
    assert isinstance(pause.predicate, Order)
    assert binding({pause.digest: pause.predicate}, cast.SITE, 9, DOC)


def test_a_lifted_order_binds_no_more(logs: Logs) -> None:
    site = Site(logs)
    pause = order()
    paused(logs, pause)
    resume = order(effective_period=8, kind="resume", lifts=(pause.digest,))
    logs.bring(resume, start_of(7))
    for period in (7, 8):
        logs.bring(site.books(period, training=10), end_of(period))
    assert [item.period for item in logs.found() if item.rule == "brake-breach"] == [7]


def test_idle_books_and_other_activities_obey(logs: Logs) -> None:
    site = Site(logs)
    paused(logs, order())
    logs.bring(site.books(9), end_of(9))
    logs.bring(site.books(10, training=10, activity="inference"), end_of(10))
    assert "brake-breach" not in {item.rule for item in logs.found()}


def acknowledged_by(effective: int) -> int:
    return start_of(effective) + TIMES.notice_ms.value + TIMES.acknowledge_ms.value


def test_an_acknowledgement_at_the_deadline_is_in_time(logs: Logs) -> None:
    good, bad = Site(logs), Site(logs, cast.OTHER_SITE)
    pause = order()
    paused(logs, pause)
    deadline = acknowledged_by(5)
    logs.bring(good.acknowledge(pause, start_of(5)), deadline)
    logs.bring(bad.acknowledge(pause, start_of(5)), deadline + 1)
    logs.read_until(deadline + 2)
    found = [item for item in logs.found() if item.rule == "unacknowledged-order"]
    assert rules(found) == [("unacknowledged-order", cast.OTHER_SITE, None)]
    assert found[0].figures == {"due_ms": str(deadline), "logs": "4", "needed": "2"}
    assert found[0].statements == (pause.digest,)


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, True),
        ({"exercise": True}, True),
        ({"expiry_period": 9}, False),
        ({"scope": {"who": ("party-b.example",), "activities": ("training",)}}, False),
    ],
)
def test_who_must_acknowledge(logs: Logs, changes: dict[str, object], asked: bool) -> None:
    Site(logs)
    paused(logs, order(**changes))
    logs.read_until(acknowledged_by(5) + 1)
    assert ("unacknowledged-order" in {item.rule for item in logs.found()}) is asked


def test_a_site_that_begins_later_is_not_asked(logs: Logs) -> None:
    Site(logs, enrolled=8)
    paused(logs, order())
    logs.read_until(acknowledged_by(5) + 1)
    assert "unacknowledged-order" not in {item.rule for item in logs.found()}


def test_acknowledgements_that_unread_logs_may_hold_are_undecided(logs: Logs) -> None:
    Site(logs)
    paused(logs, order())
    logs.read_until(acknowledged_by(5) + 1)
    judged = logs.verdict(read=(0, 1))
    assert "unacknowledged-order" not in {item.rule for item in judged.findings}
    assert "acknowledgement-undecided" in {gap.code for gap in judged.open}


# verifiers' conduct ---------------------------------------------------------------------------------------------------

FORKER = DOC.verifiers[0].origin


def test_a_fork_is_found_against_the_logs_own_history(logs: Logs) -> None:
    for size, root in ((3, b"a"), (5, b"x"), (9, b"y")):
        logs.parts[1].claims.add(Claim(FORKER, size, root * 32), Seen(7, 0))
    history = {FORKER: History(9, {3: b"a" * 32, 5: b"b" * 32, 9: b"y" * 32}.__getitem__)}
    (finding,) = verdict(DOC, logs.parts, as_of_ms=0, histories=history).findings
    assert (finding.rule, finding.about) == ("verifier-conduct", FORKER)
    assert finding.figures == {
        "act": "fork",
        "size": "5",
        "root": (b"b" * 32).hex(),
        "other_root": (b"x" * 32).hex(),
        "seen_in": logs.parts[1].origin,
    }


def test_a_fork_is_found_though_the_forking_log_itself_was_not_read(logs: Logs) -> None:
    logs.parts[1].claims.add(Claim(FORKER, 5, b"a" * 32), Seen(7, 0))
    logs.parts[2].claims.add(Claim(FORKER, 5, b"b" * 32), Seen(9, 0))
    (finding,) = verdict(DOC, logs.parts[1:], as_of_ms=0).findings
    assert (finding.about, finding.figures["act"]) == (FORKER, "fork")


def test_claims_beyond_what_was_read_of_a_log_prove_nothing(logs: Logs) -> None:
    logs.parts[1].claims.add(Claim(FORKER, 5, b"a" * 32), Seen(7, 0))
    history = {FORKER: History(4, lambda size: bytes(32))}
    assert verdict(DOC, logs.parts, as_of_ms=0, histories=history).findings == ()


def test_misjudging_is_a_finding_about_the_verifier(logs: Logs) -> None:
    acts = [Misjudged(FORKER, "replay-judgement", 12)]
    (finding,) = verdict(DOC, logs.parts, as_of_ms=0, misjudged=acts).findings
    assert finding.figures == {"act": "misjudging", "code": "replay-judgement", "entry": "12"}


# the verdict ----------------------------------------------------------------------------------------------------------


def test_what_is_open_is_listed(logs: Logs) -> None:
    site = Site(logs)
    logs.bring(site.books(0), end_of(0), end_of(0), end_of(0), None)
    logs.read_until(end_of(0) + TIMES.takeover_ms.value + 1)
    codes = [gap.code for gap in logs.verdict(as_of=end_of(0) + DAY, read=(2, 3)).open]
    assert codes.count("log-not-read") == 2
    assert {"audit-quorum", "log-stale", "statements-lacking", "arrival-undecided"} <= set(codes)
    assert logs.verdict(as_of=end_of(0) + TIMES.takeover_ms.value + 1, read=(0, 1, 2)).open[0].code == "log-not-read"


def test_nothing_is_open_where_every_log_is_fresh_and_alike(logs: Logs) -> None:
    site = Site(logs)
    logs.bring(site.books(0), end_of(0))
    logs.read_until(due(0) + 1)
    judged = logs.verdict()
    assert judged.open == ()
    assert [(level.name, level.state) for level in judged.levels] == [
        ("run-correct", "not contradicted"),
        ("run-complete", "complete"),
        ("fleet-complete", "outside evidence only"),
    ]


def test_the_levels_are_kept_apart(logs: Logs) -> None:
    Site(logs)
    logs.read_until(due(0) + 1)
    correct, complete, _ = logs.verdict().levels
    assert (correct.state, complete.state) == ("not contradicted", "incomplete")


def test_what_no_rule_could_judge_is_counted_once_however_many_logs_hold_it(logs: Logs) -> None:
    site = Site(logs)
    logs.bring(site.books(0), end_of(0), end_of(0), end_of(0), None)  # an idle line without joules, training without
    logs.read_until(due(0) + 1)
    counts = [sum(facts.unverifiable.values()) for facts in logs.parts]
    assert counts[0] == counts[1] > counts[3] == 0
    assert logs.verdict().levels[0].figures == {"findings": 0, "unverifiable": counts[0]}


def test_findings_stand_gravest_first(logs: Logs) -> None:
    site = Site(logs)
    paused(logs, order(), at=start_of(0))
    logs.bring(site.books(0), due(0) + 1)
    logs.bring(site.books(7, training=1), end_of(7))
    logs.read_until(due(1) + 1)
    severities = [item.severity.value for item in logs.found()]
    assert severities == sorted(severities, key=["referral", "discrepancy", "note"].index)
    assert len(set(severities)) == 3


def test_every_finding_has_a_sentence_that_names_whom_and_the_article(logs: Logs) -> None:
    site = Site(logs)
    paused(logs, order(), at=start_of(0))
    logs.bring(site.books(0), due(0) + 1)
    logs.bring(site.books(7, training=1), end_of(7))
    logs.read_until(acknowledged_by(5) + DAY)
    found = logs.found()
    assert {item.rule for item in found} == {"late", "missing-period", "brake-breach", "unacknowledged-order"}
    for finding in found:
        text = sentence(finding)
        assert finding.about in text
        assert finding.article in text
        assert "?" not in text


def test_two_parts_of_one_log_are_a_mistake_of_the_caller(logs: Logs) -> None:
    with pytest.raises(ValueError, match="two parts"):
        verdict(DOC, [logs.parts[0], logs.parts[0]], as_of_ms=0)
