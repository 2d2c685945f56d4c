"""The rules that read plans, third parties and evaluators: what makes each fire, to the unit, and what does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from brakeline.ledger.entry import Kind
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.statements import Statement
from brakeline.treaty.strictjson import JsonValue
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast
from tests.support.cast import CHIPS, LABS, OTHER_SITE, SITE, UNDECLARED, line
from tests.support.judging import FULL, books, digest
from tests.support.scenes import (
    COMMIT,
    EVALUATOR,
    FAST,
    FLOOR,
    INSPECTOR,
    LINE,
    PROVIDER,
    SERVED,
    VENDOR,
    Scene,
    authorised,
    declared,
    evaluated,
    hold,
    moved,
    only,
    ratio,
    run,
    serve,
    span,
)

# undeclared-run -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flop", "fires"), [(FLOOR, False), (FLOOR + 1, True)])
def test_a_run_above_the_floor_has_to_be_declared(flop: int, fires: bool) -> None:
    scene = Scene(only("undeclared-run"))
    first, last = scene.book(0, run(1)), scene.book(4, run(flop - 1))
    found = scene.found()
    assert bool(found) is fires
    if fires:
        assert found[0].figures == {
            "reason": "undeclared",
            "workload": "job",
            "total_flop": str(flop),
            "floor_flop": str(FLOOR),
        }
        assert (found[0].about, found[0].period) == (SITE, 4)
        assert set(found[0].statements) == {first.digest, last.digest}


def test_a_run_declared_before_it_began_is_left_alone_up_to_its_plan_and_the_margin() -> None:
    scene = Scene(only("undeclared-run"))
    plan = declared(scene, 10 * FLOOR)
    margin = scene.document.counting.margin
    limit = 10 * FLOOR * (margin.denominator + margin.numerator) // margin.denominator
    scene.book(0, run(limit))
    assert scene.found() == []
    more = scene.book(1, run(1))
    (finding,) = scene.found()
    assert finding.figures["reason"] == "beyond-plan"
    assert finding.figures["planned_flop"] == str(10 * FLOOR)
    assert {plan.digest, more.digest} <= set(finding.statements)


def test_a_plan_made_after_the_run_began_declares_nothing() -> None:
    scene = Scene(only("undeclared-run"))
    scene.book(0, run(1))
    declared(scene, 10 * FLOOR)
    scene.book(1, run(FLOOR))
    assert scene.reasons() == ["undeclared"]


@pytest.mark.parametrize("changes", [{"workload": "other"}, {"activity": "inference"}, {"begins_period": 1}])
def test_a_plan_for_something_else_declares_nothing(changes: dict[str, JsonValue]) -> None:
    scene = Scene(only("undeclared-run"))
    declared(scene, 10 * FLOOR, **changes)
    scene.book(0, run(FLOOR + 1))
    assert scene.reasons() == ["undeclared"]


def test_many_small_undeclared_runs_add_up() -> None:
    document = only("undeclared-run", k_permille=0, h_flop=str(3 * FLOOR))
    scene = Scene(document)
    for period in range(4):
        scene.book(period, run(FLOOR, workload=f"run-{period}"))
        assert scene.reasons() == (["scattered"] if period == 3 else [])
    (finding,) = scene.found()
    assert finding.figures["sum_flop"] == str(4 * FLOOR)


def test_what_a_site_may_leave_undeclared_is_forgiven_every_period() -> None:
    document = only("undeclared-run", k_permille=1, h_flop="1")
    scene = Scene(document)
    share = int(FAST) * FULL // 1000 // 1000
    scene.book(0, *(run(FLOOR, workload=f"run-{n}") for n in range(5)))
    assert share > 5 * FLOOR
    assert scene.found() == []


# threshold and authorisation ------------------------------------------------------------------------------------------


@pytest.fixture
def gate() -> Scene:
    """A scene with the threshold alone: "line" at 10^15 FLOP of training."""
    return Scene(only("threshold"))


@pytest.mark.parametrize(("flop", "fires"), [(10 * LINE, False), (10 * LINE + 1, True)])
def test_an_authorised_run_may_go_as_far_as_it_is_authorised(gate: Scene, flop: int, fires: bool) -> None:
    authorised(gate)
    gate.book(3, run(flop))
    assert [item.period for item in gate.found()] == [3] * fires


@pytest.mark.parametrize(
    "changes",
    [{"workload": "other"}, {"lab": LABS[1]}, {"effective_period": 4}, {"expiry_period": 3}, {"threshold": "other"}],
)
def test_a_permission_for_something_else_permits_nothing(gate: Scene, changes: dict[str, JsonValue]) -> None:
    authorised(gate, **changes)
    gate.book(3, run(2 * LINE))
    assert [item.rule for item in gate.found()] == ["threshold"]


def test_a_run_that_descends_from_an_authorised_one_may_have_used_its_permission(gate: Scene) -> None:
    base = digest("base")
    authorised(gate, expiry_period=2)
    gate.book(0, run(9 * LINE, model_out=base))
    gate.book(5, run(LINE, workload="tune", parents=[base]))
    assert gate.found() == []
    gate.book(6, run(1, workload="tune"))
    assert [item.figures["workload"] for item in gate.found()] == ["tune"]


# unlinked-runs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def guild() -> Scene:
    """A scene in which all training has to belong to something authorised, but for 10^15 FLOP."""
    return Scene(only("unlinked-runs", k_permille=0, h_flop=str(LINE)))


@pytest.mark.parametrize(("flop", "fires"), [(LINE // 2, False), (LINE // 2 + 1, True)])
def test_runs_that_belong_to_nothing_add_up(guild: Scene, flop: int, fires: bool) -> None:
    declared(guild, LINE)
    guild.book(0, run(LINE // 2, code=digest("c1"), data=digest("d1")))
    guild.book(3, run(flop, workload="another", code=digest("c2"), data=digest("d2")))
    found = guild.found()
    assert [item.period for item in found] == [3] * fires
    if fires:
        assert found[0].figures["sum_flop"] == str(LINE + 1)
        assert found[0].figures["unlinked_flop"] == str(flop)


def test_what_an_authorised_run_makes_is_linked_as_far_as_it_is_handed_on(guild: Scene) -> None:
    made = [digest(f"model {n}") for n in range(3)]
    guild.book(0, run(LINE, workload="tune-2", parents=[made[1]], model_out=made[2]))
    guild.book(1, run(LINE, workload="tune-1", parents=[made[0]], model_out=made[1]))
    guild.book(2, run(LINE, workload="job", model_out=made[0]))
    assert [item.period for item in guild.found()] == [1]
    authorised(guild)
    assert guild.found() == []
    guild.book(3, run(LINE + 1, workload="stranger", parents=[digest("nobody's")]))
    assert [item.period for item in guild.found()] == [3]


def test_a_permission_of_another_lab_or_run_links_nothing(guild: Scene) -> None:
    authorised(guild, lab=LABS[1])
    authorised(guild, workload="other")
    guild.book(0, run(LINE + 1))
    assert [item.rule for item in guild.found()] == ["unlinked-runs"]


def test_a_share_of_the_chips_is_left_to_work_without_permission() -> None:
    scene = Scene(only("unlinked-runs", k_permille=1, h_flop="1"))
    scene.book(0, run(int(FAST) * FULL // 1000 // 1000))
    assert scene.found() == []
    scene.book(1, run(int(FAST) * FULL // 1000 // 1000 + 2))
    assert [item.period for item in scene.found()] == [1]


# inventory-continuity -------------------------------------------------------------------------------------------------


@pytest.fixture
def hall() -> Scene:
    """A scene with the continuity of inventories alone."""
    return Scene(only("inventory-continuity"))


@pytest.mark.parametrize(("closing", "fires"), [(CHIPS + 2, False), (CHIPS + 3, True), (CHIPS + 1, True)])
def test_opening_and_movements_make_closing(hall: Scene, closing: int, fires: bool) -> None:
    movements = (moved("acquired", 5, VENDOR), moved("retired", 3))
    after = hold(hall, closing, *movements, follows=hall.inventory.digest)
    found = hall.found()
    assert bool(found) is fires
    if fires:
        assert found[0].figures == {
            "reason": "unbalanced",
            "class": "cpu-core",
            "opening": str(CHIPS),
            "in": "5",
            "out": "3",
            "closing": str(closing),
        }
        assert set(found[0].statements) == {hall.inventory.digest, after.digest}


def test_an_inventory_follows_one_of_its_own_site(hall: Scene) -> None:
    hold(hall, CHIPS, follows=None)
    assert hall.reasons() == ["unlinked"]
    hold(hall, CHIPS, follows=digest("nothing"))
    assert sorted(hall.reasons()) == ["unknown", "unlinked"]
    theirs = hall.other(OTHER_SITE).hold()
    hall.said.append(theirs)
    hold(hall, CHIPS, follows=theirs.digest)
    assert sorted(hall.reasons()) == ["another-site", "unknown", "unlinked"]


def test_a_shipment_that_nobody_booked_is_named_once_its_time_is_over(hall: Scene) -> None:
    shipped = hall.say("evidence:shipment", VENDOR, **span(1))
    hall.book(2)
    assert hall.found() == []
    hall.book(3)
    (finding,) = hall.found()
    assert finding.figures == {
        "reason": "not-booked",
        "class": "cpu-core",
        "from": VENDOR,
        "to": SITE,
        "attested": "2",
        "booked": "0",
    }
    assert finding.statements == (shipped.digest,)
    hold(hall, CHIPS + 2, moved("acquired", 2, VENDOR), follows=hall.inventory.digest, period=9)
    assert hall.found() == []


def test_a_transfer_is_booked_at_both_ends(hall: Scene) -> None:
    there = Scene(hall.document, OTHER_SITE)
    hold(hall, CHIPS - 1, moved("sent", 1, OTHER_SITE), follows=hall.inventory.digest)
    hall.said += there.said
    hall.book(9)
    assert hall.found() == [], "the other site's books have not come so far"
    hall.said.append(books(there.site, there.inventory, 9))
    assert [(item.about, item.figures["reason"]) for item in hall.found()] == [(OTHER_SITE, "not-received")]
    took = Scene(hall.document, OTHER_SITE)
    took.site.sequence, took.site.previous = there.site.sequence, there.site.previous
    hold(took, CHIPS + 1, moved("received", 1, SITE), follows=there.inventory.digest, period=2)
    hall.said.append(took.said[-1])
    assert hall.found() == []


def test_the_same_batch_in_two_inventories_counts_once(hall: Scene) -> None:
    for period in (1, 2):  # said again, in a second inventory
        hall.say("evidence:shipment", VENDOR, **span(period), serials={"root": digest(f"s{period}"), "count": 2})
    first = hold(hall, CHIPS + 2, moved("acquired", 2, VENDOR), follows=hall.inventory.digest)
    hold(hall, CHIPS + 2, moved("acquired", 2, VENDOR), moved("retired", 2), follows=first.digest, period=2)
    hall.book(9)
    assert hall.reasons() == ["not-booked"]


def test_one_chip_stands_at_one_site(hall: Scene) -> None:
    hall.say("opening")
    assert hall.found() == []
    hall.say("opening", OTHER_SITE)
    (finding,) = hall.found()
    assert (finding.about, finding.figures["reason"]) == (SITE, "two-sites")
    assert (finding.figures["chip"], finding.figures["other_site"]) == ("cpu-0", OTHER_SITE)
    hold(hall, CHIPS - 1, moved("sent", 1, OTHER_SITE), follows=hall.inventory.digest, period=9)
    assert hall.found() == []


# contradiction --------------------------------------------------------------------------------------------------------


@pytest.fixture
def court() -> Scene:
    """A scene with contradictions alone; 50 thousandths are forgiven."""
    return Scene(only("contradiction"))


@pytest.mark.parametrize(
    ("kind", "who", "count", "fires"),
    [
        ("capacity", PROVIDER, CHIPS, False),
        ("capacity", PROVIDER, CHIPS - 1, False),
        ("capacity", PROVIDER, CHIPS + 1, True),
        ("inspection", INSPECTOR, CHIPS, False),
        ("inspection", INSPECTOR, CHIPS - 1, True),
        ("inspection", INSPECTOR, CHIPS + 1, True),
    ],
)
def test_chips_that_others_saw_are_those_declared(court: Scene, kind: str, who: str, count: int, fires: bool) -> None:
    seen: dict[str, object] = {"chips": [{"class": "cpu-core", "count": count}]}
    more: dict[str, object] = {"joules": None} if kind == "inspection" else {}
    evidence = court.say(f"evidence:{kind}", who, **seen, **more)
    found = court.found()
    assert bool(found) is fires
    if fires:
        assert found[0].figures == {
            "kind": kind,
            "class": "cpu-core",
            "counted": str(count),
            "declared": str(CHIPS),
            "by": who,
        }
        assert set(found[0].statements) == {evidence.digest, court.inventory.digest}


def test_an_inventory_of_later_says_nothing_of_before(court: Scene) -> None:
    court.say("evidence:inspection", INSPECTOR, **span(3), joules=None)
    assert court.found() == []
    hold(court, CHIPS + 1, follows=court.inventory.digest, period=4)
    assert court.found() == []
    hold(court, CHIPS + 1, follows=court.inventory.digest, period=3)
    assert court.reasons("declared") == [str(CHIPS + 1)]


@pytest.mark.parametrize(("joules", "fires"), [(1050, False), (1051, True)])
def test_books_that_attest_more_than_the_meter_read_are_of_chips_on_paper(
    court: Scene, joules: int, fires: bool
) -> None:
    court.book(3, line("training", 1_000, joules=str(joules)))
    court.say("evidence:energy", cast.METER, **span(3), joules="1000")
    assert court.reasons("kind") == ["phantom"] * fires


def test_an_inspectors_instrument_reads_no_more_than_the_books_explain(court: Scene) -> None:
    pue = court.document.counting.pue
    explained = 1_000_000 * pue.numerator * 1050 // (pue.denominator * 1000)
    court.book(3, line("training", 1_000, joules="1000000"))
    court.say("evidence:inspection", INSPECTOR, **span(3), joules=str(explained))
    assert court.found() == []
    court.say("evidence:inspection", INSPECTOR, **span(3), joules=str(explained + 1))
    assert court.reasons("kind") == ["instrument"]


def test_books_that_leave_energy_out_contradict_no_meter(court: Scene) -> None:
    court.book(3, line("training", 1_000, joules="9999"), line("inference", 1_000))
    court.say("evidence:energy", cast.METER, **span(3), joules="1")
    assert court.found() == []


# sandbagging-order ----------------------------------------------------------------------------------------------------


@pytest.fixture
def stage() -> Scene:
    """A scene with the order of evaluations alone; what serves more than 10^13 FLOP has a period to be evaluated."""
    return Scene(evaluated())


def test_a_result_after_its_commitment_is_in_order(stage: Scene) -> None:
    before = stage.say("evaluation", EVALUATOR, **COMMIT)
    stage.say("evaluation", EVALUATOR, commitment=before.digest)
    assert stage.found() == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"model": digest("m2")}, "another-model"), ({"protocol": digest("p2")}, "another-protocol")],
)
def test_a_commitment_to_something_else_does_not_count(
    stage: Scene, changed: dict[str, JsonValue], reason: str
) -> None:
    before = stage.say("evaluation", EVALUATOR, **COMMIT)
    stage.say("evaluation", EVALUATOR, commitment=before.digest, **changed)
    (finding,) = stage.found()
    assert (finding.about, finding.figures["reason"]) == (EVALUATOR, reason)


def test_a_result_without_a_commitment_of_its_author_before_it_does_not_count(stage: Scene) -> None:
    stage.say("evaluation", EVALUATOR, commitment=None)
    stage.say("evaluation", EVALUATOR, commitment=digest("nothing"))
    theirs = stage.say("evaluation", "evaluator-2.example", **COMMIT)
    stage.say("evaluation", EVALUATOR, commitment=theirs.digest)
    result = stage.say("evaluation", EVALUATOR, commitment=digest("nothing"))
    stage.say("evaluation", EVALUATOR, commitment=result.digest)
    assert sorted(stage.reasons()) == ["another-author", "no-commitment", "not-before", "unknown", "unknown"]


@pytest.mark.parametrize(("flop", "due", "fires"), [(SERVED, 9, False), (SERVED + 1, 3, False), (SERVED + 1, 4, True)])
def test_what_serves_is_evaluated_in_time(stage: Scene, flop: int, due: int, fires: bool) -> None:
    serve(stage, 3, flop)
    if due > 3:
        stage.book(due)
    found = stage.found()
    assert [item.figures["reason"] for item in found] == ["never-evaluated"] * fires
    assert [(item.about, item.period) for item in found] == [(SITE, 3)] * fires


def test_a_treaty_without_evaluators_asks_for_no_evaluation() -> None:
    scene = Scene(only("sandbagging-order"))
    serve(scene, 3, SERVED + 1)
    scene.book(9)
    assert scene.found() == []


def test_a_valid_result_clears_the_model_and_no_other(stage: Scene) -> None:
    for model in ("model", "model two"):
        serve(stage, 3, SERVED + 1, model)
        stage.book(4 if model == "model" else 5)
    before = stage.say("evaluation", EVALUATOR, **COMMIT)
    stage.say("evaluation", EVALUATOR, commitment=before.digest)
    assert [item.figures["model"] for item in stage.found()] == [digest("model two")]


# autonomy-tripwire ----------------------------------------------------------------------------------------------------


@pytest.fixture
def wire() -> Scene:
    """A scene with the tripwire alone: 80 % written, 50 % reviewed, an hour, twice."""
    return Scene(only("autonomy-tripwire"))


@pytest.mark.parametrize(
    ("figure", "kept", "passed"),
    [
        ("written_by_models", ratio(800), ratio(801)),
        ("reviewed_by_people", ratio(500), ratio(499)),
        ("longest_unattended_ms", 3_600_000, 3_600_001),
        ("speed_up", ratio(2000), ratio(2001)),
    ],
)
def test_a_figure_may_reach_its_line_and_not_pass_it(
    wire: Scene, figure: str, kept: JsonValue, passed: JsonValue
) -> None:
    wire.say("autonomy", LABS[0], **{figure: kept})
    assert wire.found() == []
    wire.say("autonomy", LABS[0], **{figure: passed, "period": 7})
    (finding,) = wire.found()
    assert (finding.about, finding.period, finding.figures["figure"]) == (LABS[0], 7, figure)
    assert (finding.figures["reason"], finding.figures["source"]) == ("passes", "self-declared")


def test_a_share_above_one_cannot_be() -> None:
    scene = Scene(only("autonomy-tripwire"))
    scene.say("autonomy", LABS[0], reviewed_by_people=ratio(1001))
    assert scene.reasons() == ["impossible"]


def test_two_declarations_for_a_period_say_the_same(wire: Scene) -> None:
    wire.say("autonomy", LABS[0])
    wire.say("autonomy", LABS[0], written_by_models=ratio(500))  # as a fraction it is the same
    assert wire.found() == []
    wire.say("autonomy", LABS[0], written_by_models=ratio(501))
    (finding,) = wire.found()
    assert finding.figures["reason"] == "contradicts"
    assert (finding.figures["declared"], finding.figures["declarations"]) == ("1/2 and 501/1000", "3")


# together -------------------------------------------------------------------------------------------------------------


def _document() -> TreatyDocument:
    """Return the tests' treaty with all its rules, chips that can do anything, and no undeclared work forgiven."""
    rules = cast.json_lines(cast.terms()["rule"])
    changed: dict[str, JsonValue] = {
        RUNS: {**UNDECLARED, "k_permille": 0},
        "unlinked-runs": {"k_permille": 0, "h_flop": str(FLOOR)},
    }
    strict: list[JsonValue] = [
        {**row, "parameters": changed.get(str(row["rule"])) or row["parameters"]} for row in rules
    ]
    classes = cast.json_lines(cast.terms()["chip_class"])
    return cast.document(rule=strict, chip_class=[{**classes[0], "peak_flop_per_s": FAST}])


def _crowd() -> list[Statement]:
    """Plans, permissions, movements, evidence and evaluations of two sites, some of them false."""
    scene, there = Scene(STRICT), Scene(STRICT, OTHER_SITE)
    declared(scene, 5 * FLOOR)
    authorised(scene)
    for number, here in enumerate((scene, there)):
        serve(here, 0, SERVED + 1)
        for period in range(1, 5):
            small = run(FLOOR // 2, workload=f"small-{period}")
            here.book(period, run(3 * FLOOR), small, advance=period != 3)
        gone = moved("sent", 1, (OTHER_SITE, SITE)[number])
        hold(here, CHIPS + 1 - 2 * number, gone, follows=here.inventory.digest, period=2)
        here.say("opening")
        scene.say("evidence:inspection", INSPECTOR, **span(3), site=here.site.name, joules="9")
        scene.say("evidence:energy", cast.METER, **span(2), site=here.site.name, joules="1")
    scene.say("evidence:shipment", VENDOR, **span(1))
    before = scene.say("evaluation", EVALUATOR, **COMMIT)
    scene.say("evaluation", EVALUATOR, commitment=before.digest)
    scene.say("evaluation", EVALUATOR, commitment=before.digest, model=digest("m2"))
    scene.say("autonomy", LABS[0], speed_up=ratio(9000))
    scene.say("autonomy", LABS[0])
    scene.say("correction", corrects=scene.said[4].digest, period=1)
    return [cast.read(item) for item in (*scene.said, *there.said)]


RUNS = "undeclared-run"
FIRED = {
    RUNS,
    "unlinked-runs",
    "threshold",
    "inventory-continuity",
    "contradiction",
    "sandbagging-order",
    "autonomy-tripwire",
    "false-opening",
}
"""What the crowd makes fire."""
STRICT = _document()
CROWD = _crowd()


def judged(order: Iterable[int], beats: Sequence[int] = ()) -> list[Finding]:
    judge = LogJudge(STRICT)
    for index, number in enumerate(order):
        judge.add(index, Kind.STATEMENT, CROWD[number])
        if index in beats:
            judge.heartbeat()
    return list(judge.standing().values())


def test_the_crowd_makes_all_of_these_rules_fire() -> None:
    assert {item.rule for item in judged(range(len(CROWD)))} >= FIRED


@given(st.permutations(range(len(CROWD))), st.lists(st.integers(0, len(CROWD)), max_size=5))
def test_findings_depend_on_the_set_alone(order: list[int], beats: list[int]) -> None:
    assert judged(order, beats) == judged(range(len(CROWD)))


@given(st.sets(st.integers(0, len(CROWD) - 1)))
def test_findings_of_a_part_depend_on_the_part_alone(chosen: set[int]) -> None:
    part = sorted(chosen)
    assert judged(reversed(part)) == judged(part)
