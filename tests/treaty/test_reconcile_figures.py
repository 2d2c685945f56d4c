"""What the reconcile rules say in figures: disclosures, challenges, acknowledgements, and the conduct of verifiers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from brakeline.treaty.claims import Claim, Seen
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.opinion_log import SealedStatement
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.reconcile import logs as seen
from brakeline.treaty.reconcile.braking import acknowledgements_due
from brakeline.treaty.reconcile.challenges import challenges_due, unopened
from brakeline.treaty.reconcile.conduct import Dishonoured, History, Misjudged, conduct
from brakeline.treaty.reconcile.disclosures import Disclosed, disclosures_due, undisclosed
from brakeline.treaty.reconcile.reporting import Reported, due_periods, reported_by, reporting, together
from brakeline.treaty.replay import Facts, OutOfTime, RootAt
from brakeline.treaty.spotcheck.challenge import Drawn
from brakeline.treaty.strictjson import JsonObject, JsonValue
from brakeline.treaty.succession import Reign
from brakeline.treaty.tape import Arrivals

from tests.support import cast, sealing
from tests.support import facts as several
from tests.support.judging import digest

AT = cast.START + 1_000
OPEN_MS = 9_000


def document(*rules: str, holders: int = 3) -> TreatyDocument:
    """Return the tests' treaty with *rules* in force; every verifier has a disclosure key."""
    parameters: dict[str, JsonObject] = {"unopened-challenge": {"open_ms": OPEN_MS}}
    fields: list[JsonValue] = [*sealing.FIGURES]
    rows: list[JsonValue] = [
        {"rule": rule, "severity": "discrepancy", "article": f"Art. {rule}", "parameters": parameters.get(rule, {})}
        for rule in rules
    ]
    return TreatyDocument.from_json(
        {**sealing.terms(), "sealing": {"fields": fields, "holders": holders}, "rule": rows}
    )


DOC = document("undisclosed", "verifier-conduct")
LATE = AT + DOC.deadlines.disclosure_ms.value
"""When what was sealed in books that came at AT has to be disclosed."""
ORIGINS = [item.origin for item in DOC.verifiers]


def parts(newest_ms: int = LATE + 1, treaty: TreatyDocument = DOC) -> list[Facts]:
    return [Facts(item.origin, newest_ms) for item in treaty.verifiers]


# reporting ------------------------------------------------------------------------------------------------------------


def test_only_the_periods_of_a_version_count_under_it() -> None:
    logs = parts(cast.START + 99 * cast.PERIOD)
    for facts in logs:
        facts.enrolled[cast.SITE] = 0
    under = seen.Logs(DOC, logs)
    ten = DOC.grid.end_of(9).value + DOC.deadlines.report_ms.value + 1
    told = reported_by(under, ten, Reign(DOC, 3, 8))
    assert (told.periods, told.held, told.unknown) == (5, 0, 0)
    assert [(item.site, item.period, item.due_ms) for item in told.late] == [
        (cast.SITE, period, DOC.grid.end_of(period).value + DOC.deadlines.report_ms.value) for period in range(3, 8)
    ]
    whole = reported_by(under, ten)
    assert (whole.periods, len(whole.late)) == (10, 10)
    assert together([told, whole]) == Reported(15, 0, 0, [*told.late, *whole.late])
    logs[0].newest_ms = logs[1].newest_ms = logs[2].newest_ms = 0
    undecided = reported_by(seen.Logs(DOC, logs), ten)
    assert (undecided.unknown, undecided.late) == (10, [])


def test_books_that_came_in_time_hide_none_that_did_not() -> None:
    site = several.Site(logs := several.Logs())
    logs.bring(site.books(0), several.due(0))
    logs.read_until(several.due(2) + 1)
    under = seen.Logs(several.DOC, logs.parts)
    found = list(reporting(under, due_periods(under, several.due(2) + 1)))
    assert [(item.rule, item.period) for item in found] == [("missing-period", 1), ("missing-period", 2)]
    figures = {"due_ms": str(several.due(1)), "logs": "0", "needed": "2"}
    assert (found[0].about, found[0].statements, found[0].figures) == (cast.SITE, (), figures)


def test_an_acknowledgement_is_due_under_the_version_of_the_period_of_its_deadline() -> None:
    several.Site(logs := several.Logs())
    pause = cast.read(cast.order(several.DOC))
    logs.bring(pause, several.start_of(4))
    times = several.DOC.deadlines
    due = several.start_of(5) + times.notice_ms.value + times.acknowledge_ms.value
    period = several.DOC.grid.period_of(InstantMs(due))
    under = seen.Logs(several.DOC, logs.parts)
    asked = [(pause.digest, cast.SITE, due)]
    for reign, expected in (
        (None, asked),
        (Reign(DOC, period, None), asked),
        (Reign(DOC, period + 1, None), []),
        (Reign(DOC, 0, period), []),
        (Reign(DOC, 0, period + 1), asked),
    ):
        assert list(acknowledgements_due(under, due + 1, reign)) == expected
    assert list(acknowledgements_due(under, due)) == []


@pytest.mark.parametrize("late", [0, 1])
def test_an_acknowledgement_that_is_not_due_yet_hides_none_that_is(late: int) -> None:
    several.Site(logs := several.Logs())
    orders = [cast.read(cast.order(several.DOC, effective=effective)) for effective in (5, 6, 7, 8)]
    for order in orders:
        logs.bring(order, several.start_of(4))
    times = several.DOC.deadlines
    due = [several.start_of(n) + times.notice_ms.value + times.acknowledge_ms.value for n in (5, 6, 7, 8)]
    under = seen.Logs(several.DOC, logs.parts)
    for number, at_ms in enumerate(due):
        asked = {digest for digest, _, _ in acknowledgements_due(under, at_ms + late)}
        assert asked == {order.digest for order in orders[: number + late]}


@pytest.mark.parametrize("periods", [(3, 5), (5, 3)])
def test_a_site_owes_books_from_the_earliest_period_that_any_log_shows(periods: tuple[int, int]) -> None:
    logs = parts()
    for facts, period in zip(logs, periods, strict=False):
        facts.enrolled[cast.SITE] = period
        facts.holding[cast.SITE] = period + 1
    under = seen.Logs(DOC, logs)
    assert (under.enrolled, under.owing) == ({cast.SITE: 3}, {cast.SITE: 4})


# undisclosed ----------------------------------------------------------------------------------------------------------

BOOKS = digest("sealed books")


def sealed(found: Sequence[Facts], *, came: Sequence[int | None] = (AT, AT, AT, AT), period: int = 7) -> None:
    """Let sealed books arrive at each of the logs *found*."""
    for facts, at_ms in zip(found, came, strict=True):
        if at_ms is not None:
            facts.sealed[BOOKS] = SealedStatement(cast.SITE, period, 5, digest("commitments"), at_ms)
            facts.arrivals.add(bytes.fromhex(BOOKS), at_ms, 3)


def accused(found: Sequence[Facts], as_of_ms: int = LATE + 1, treaty: TreatyDocument = DOC) -> list[Finding]:
    return list(undisclosed(seen.Logs(treaty, found), as_of_ms))


def test_what_too_few_verifiers_hold_by_the_deadline_is_named_with_its_figures() -> None:
    logs = parts()
    sealed(logs)
    logs[0].held[BOOKS], logs[1].held[BOOKS], logs[2].held[BOOKS] = AT, LATE, LATE + 1
    (finding,) = accused(logs)
    assert (finding.rule, finding.about, finding.period) == ("undisclosed", cast.SITE, 7)
    assert (finding.article, finding.severity.value) == ("Art. undisclosed", "discrepancy")
    assert finding.statements == (BOOKS,)
    assert finding.figures == {"leaves": "5", "holders": "2", "needed": "3", "due_ms": str(LATE)}
    logs[2].held[BOOKS] = LATE
    assert accused(logs) == []


def test_what_is_sealed_outside_of_books_has_no_period() -> None:
    logs = parts()
    sealed(logs, period=-1)
    (finding,) = accused(logs)
    assert finding.period is None
    sealed(logs, period=0)
    (finding,) = accused(logs)
    assert finding.period == 0


def test_a_disclosure_is_due_a_millisecond_before_it_can_be_too_late() -> None:
    logs = parts()
    sealed(logs)
    assert accused(logs, LATE) == []
    assert len(accused(logs, LATE + 1)) == 1


def test_the_time_to_disclose_runs_from_when_f_plus_1_logs_hold_the_statement() -> None:
    logs = parts(LATE + 99)
    sealed(logs, came=(AT - 500, AT + 10, AT + 20, None))
    assert [item.due_ms for item in disclosures_due(seen.Logs(DOC, logs), LATE + 99)] == [LATE + 10]
    lonely = parts()
    sealed(lonely, came=(AT, None, None, None))
    assert accused(lonely) == []


def test_what_one_log_alone_holds_hides_nothing_else() -> None:
    logs = parts()
    sealed(logs)
    for name in ("0" * 64, "f" * 64):
        logs[0].sealed[name] = logs[0].sealed[BOOKS]
        logs[0].arrivals.add(bytes.fromhex(name), AT, 4)
    assert [item.digest for item in disclosures_due(seen.Logs(DOC, logs), LATE + 1)] == [BOOKS]


def test_logs_that_end_before_the_deadline_or_were_not_read_may_hold_it_yet() -> None:
    logs = parts()
    sealed(logs)
    logs[3].newest_ms = LATE
    logs[0].held[BOOKS] = logs[1].held[BOOKS] = AT
    assert list(disclosures_due(seen.Logs(DOC, logs), LATE + 1)) == [
        Disclosed(BOOKS, logs[0].sealed[BOOKS], LATE, holders=2, unknown=1)
    ]
    assert accused(logs) == accused(logs[:3]) == []
    assert [item.unknown for item in disclosures_due(seen.Logs(DOC, logs[:2]), LATE + 1)] == [2]
    logs[3].newest_ms = LATE + 1
    assert [item.figures["holders"] for item in accused(logs)] == ["2"]


def test_a_verifier_without_a_disclosure_key_holds_nothing() -> None:
    value = document("undisclosed", holders=2).to_json()
    verifiers = cast.json_lines(value["verifier"])
    del verifiers[0]["disclosure_key"]
    treaty = TreatyDocument.from_json({**value, "verifier": [*verifiers]})
    logs = parts(treaty=treaty)
    sealed(logs)
    for facts in logs[:3]:
        facts.held[BOOKS] = AT
    (due,) = disclosures_due(seen.Logs(treaty, logs), LATE + 1)
    assert (due.holders, due.unknown) == (2, 0)


def test_a_treaty_without_the_rule_accuses_nobody_of_keeping_something_sealed() -> None:
    logs = parts()
    sealed(logs)
    assert accused(logs, treaty=document("verifier-conduct")) == []


# unopened-challenge ---------------------------------------------------------------------------------------------------

CHALLENGES = document("unopened-challenge", "verifier-conduct")
DUE = AT + OPEN_MS


def challenged(found: Sequence[Facts], *, usage: str = BOOKS, at_ms: int = AT) -> list[Drawn]:
    """Let each of the logs *found* draw three of eight rows, a millisecond after one another."""
    made = [
        Drawn(
            digest(f"{usage} {number}"),
            cast.SITE,
            7,
            usage,
            8,
            3,
            bytes.fromhex(digest(f"seed {number}")),
            at_ms + number,
        )
        for number, _ in enumerate(found)
    ]
    for facts, challenge in zip(found, made, strict=True):
        facts.challenges.append(challenge)
    return made


def opens(found: Sequence[Facts], challenge: Drawn, rows: Sequence[int], at_ms: int = DUE) -> None:
    for facts in found:
        facts.opened.add(cast.SITE, challenge.usage, challenge.digest, rows, at_ms, period=7)


def shut(found: Sequence[Facts], as_of_ms: int = DUE + 99) -> list[Finding]:
    return list(unopened(seen.Logs(CHALLENGES, found), as_of_ms))


def test_rows_that_two_logs_drew_and_nobody_opened_are_counted() -> None:
    logs = parts(DUE + 99, CHALLENGES)
    first, second = challenged(logs[:2])
    opens(logs[:2], first, first.drawn[:1])  # f + 1 logs have one of its three rows
    opens(logs[:1], second, second.drawn)  # one log is not enough
    (finding,) = shut(logs)
    assert (finding.rule, finding.about, finding.period) == ("unopened-challenge", cast.SITE, 7)
    assert finding.statements == (BOOKS,)
    assert finding.figures == {
        "usage": BOOKS,
        "challenges": "2",
        "drawn": "6",
        "unopened": "5",
        "due_ms": str(DUE),
    }


@pytest.mark.parametrize(("late", "fires"), [(0, False), (1, True)])
def test_rows_may_be_opened_until_the_last_millisecond(late: int, fires: bool) -> None:
    logs = parts(DUE + 99, CHALLENGES)
    for challenge in challenged(logs[:2]):
        opens(logs, challenge, challenge.drawn, challenge.at_ms + OPEN_MS + late)
    assert bool(shut(logs)) is fires


def test_one_logs_challenge_accuses_nobody_and_books_are_told_apart() -> None:
    logs = parts(DUE + 99, CHALLENGES)
    challenged(logs[:1])
    challenged(logs[:1], usage=digest("other books"))
    assert shut(logs) == []


def test_a_challenge_is_due_after_its_last_millisecond() -> None:
    logs = parts(DUE + 99, CHALLENGES)
    challenged(logs[:2])
    due = [[at_ms for _, at_ms in challenges_due(seen.Logs(CHALLENGES, logs), as_of)] for as_of in (DUE, DUE + 1)]
    assert due == [[], [DUE]]
    assert list(challenges_due(seen.Logs(DOC, logs), DUE + 99)) == []
    assert list(unopened(seen.Logs(DOC, logs), DUE + 99)) == []


def test_books_that_were_challenged_are_named_in_order() -> None:
    logs = parts(DUE + 99, CHALLENGES)
    usages = sorted(digest(f"books {number}") for number in range(3))
    for usage in reversed(usages):
        challenged(logs[:2], usage=usage)
    challenged(logs[:1], usage="0" * 64)  # of one log alone, and before the others
    assert [item.figures["usage"] for item in shut(logs)] == usages


# verifier-conduct -----------------------------------------------------------------------------------------------------


def rooted(byte: bytes) -> RootAt:
    """Return a history whose root is *byte* 32 times, whatever its size."""

    def root_at(size: int) -> bytes:
        assert size >= 0
        return byte * 32

    return root_at


def acts(
    found: Sequence[Facts],
    histories: dict[str, History] | None = None,
    misjudged: Sequence[Misjudged] = (),
    dishonoured: Sequence[Dishonoured] = (),
    treaty: TreatyDocument = DOC,
) -> list[Finding]:
    return list(conduct(seen.Logs(treaty, found), histories or {}, misjudged, treaty, dishonoured))


def test_an_entry_out_of_time_is_named_with_its_bound() -> None:
    logs = parts()
    logs[2].out_of_time = OutOfTime(entry=4, received_at_ms=5, bound_ms=6, heartbeat=7)
    (finding,) = acts(logs)
    assert (finding.rule, finding.about, finding.period, finding.statements) == (
        "verifier-conduct", ORIGINS[2], None, (),
    )  # fmt: skip
    assert finding.figures == {"act": "backdating", "entry": "4", "received_at_ms": "5", "bound_ms": "6"}


def test_misjudging_is_named_log_by_log_and_entry_by_entry() -> None:
    told = [Misjudged(ORIGINS[1], "replay-judgement", 12), Misjudged(ORIGINS[0], "replay-kind", 3)]
    found = acts(parts(), misjudged=told)
    assert [(item.about, item.statements, dict(item.figures)) for item in found] == [
        (ORIGINS[0], (), {"act": "misjudging", "code": "replay-kind", "entry": "3"}),
        (ORIGINS[1], (), {"act": "misjudging", "code": "replay-judgement", "entry": "12"}),
    ]


def test_a_receipt_that_the_history_does_not_contain_is_named_once() -> None:
    given = Dishonoured(ORIGINS[1], 3, 9, b"a" * 32, b"b" * 32, BOOKS)
    own = Dishonoured(ORIGINS[1], 4, 9, b"a" * 32, b"b" * 32)
    first, second = acts(parts(), dishonoured=[own, given, given])
    assert (first.about, first.statements, second.statements) == (ORIGINS[1], (BOOKS,), ())
    assert first.figures == {
        "act": "dishonoured-receipt",
        "entry": "3",
        "size": "9",
        "root": (b"a" * 32).hex(),
        "other_root": (b"b" * 32).hex(),
    }
    assert second.figures["entry"] == "4"


def test_a_fork_is_shown_at_its_smallest_size_and_sizes_that_agree_show_none() -> None:
    logs = parts()
    for size, one, other in ((2, b"a", b"a"), (4, b"b", b"c"), (6, b"d", b"e")):
        logs[1].claims.add(Claim(ORIGINS[0], size, one * 32), Seen(1, 0))
        logs[2].claims.add(Claim(ORIGINS[0], size, other * 32), Seen(1, 0))
    (finding,) = acts(logs)
    assert (finding.about, finding.statements) == (ORIGINS[0], ())
    assert finding.figures == {
        "act": "fork",
        "size": "4",
        "root": (b"b" * 32).hex(),
        "other_root": (b"c" * 32).hex(),
        "seen_in": ORIGINS[2],
    }


@pytest.mark.parametrize(("size", "fires"), [(5, True), (4, False)])
def test_a_claim_is_held_against_what_was_read_of_the_log_to_its_last_entry(size: int, fires: bool) -> None:
    logs = parts()
    logs[1].claims.add(Claim(ORIGINS[0], 5, b"x" * 32), Seen(1, 0))
    assert bool(acts(logs, {ORIGINS[0]: History(size, rooted(b"y"))})) is fires


TOLD = AT
"""When a heartbeat says that a peer's log was mirrored."""
TAKEN_OVER = TOLD + DOC.deadlines.takeover_ms.value


def mirrored(newest_ms: int = TAKEN_OVER + 1, size: int = 3) -> tuple[list[Facts], dict[str, History]]:
    """Return logs of which the second says that it mirrored *size* entries of the first, which holds four."""
    logs = parts(newest_ms)
    logs[0].arrivals = Arrivals()
    for entry in range(4):
        logs[0].arrivals.add(bytes.fromhex(digest(f"statement {entry}")), AT, entry)
    logs[1].claims.add(Claim(ORIGINS[0], size, b"r" * 32), Seen(6, TOLD))
    return logs, {ORIGINS[0]: History(4, rooted(b"r"))}


def test_what_a_log_says_that_it_mirrored_and_lacks_is_omitted() -> None:
    logs, histories = mirrored()
    logs[1].arrivals.add(bytes.fromhex(digest("statement 1")), AT, 0)
    (finding,) = acts(logs, histories)
    assert (finding.about, finding.period) == (ORIGINS[1], None)
    assert finding.statements == tuple(sorted(digest(f"statement {entry}") for entry in (0, 2)))
    assert finding.figures == {
        "act": "omission",
        "seen_in": ORIGINS[0],
        "size": "3",
        "heartbeat": "6",
        "omitted": "2",
    }


def test_a_log_has_the_time_that_the_treaty_gives_it_to_take_over() -> None:
    assert acts(*mirrored(TAKEN_OVER)) == []
    assert len(acts(*mirrored(TAKEN_OVER + 1))) == 1


def test_the_largest_size_that_was_mirrored_in_time_counts() -> None:
    logs, histories = mirrored(size=1)
    logs[1].claims.add(Claim(ORIGINS[0], 2, b"r" * 32), Seen(7, TOLD))
    logs[1].claims.add(Claim(ORIGINS[0], 4, b"r" * 32), Seen(8, TOLD + 1))  # its time is not over
    logs[1].claims.add(Claim(ORIGINS[2], 9, b"r" * 32), Seen(9, 0))
    (finding,) = acts(logs, histories)
    assert (finding.figures["size"], finding.figures["heartbeat"], finding.figures["omitted"]) == ("2", "7", "2")


@pytest.mark.parametrize(
    "history", [None, History(2, rooted(b"r")), History(4, rooted(b"f"))], ids=["unread", "part", "fork"]
)
def test_a_history_that_was_not_read_shows_no_omission(history: History | None) -> None:
    logs, _ = mirrored()
    histories = {} if history is None else {ORIGINS[0]: history}
    assert [item.figures["act"] for item in acts(logs, histories) if item.figures["act"] == "omission"] == []


def test_a_treaty_without_the_rule_judges_no_verifier() -> None:
    logs, histories = mirrored()
    assert acts(logs, histories, [Misjudged(ORIGINS[0], "replay-kind", 3)], treaty=document("undisclosed")) == []
