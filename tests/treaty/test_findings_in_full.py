"""What findings say in full, one of each kind: of whom, when, by which article, on which statements and figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.findings import Finding
from brakeline.treaty.rules.board import MAX_CITED
from brakeline.treaty.strictjson import JsonObject, JsonValue

from tests.support import cast
from tests.support.cast import CHIPS, LABS, METER, OTHER_SITE, SITE, Author, line
from tests.support.judging import FULL, books, digest, judge_of
from tests.support.scenes import (
    COMMIT,
    EVALUATOR,
    FLOOR,
    INSPECTOR,
    LINE,
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
)  # fmt: skip


def one(found: Sequence[Finding], about: str, period: int | None, cited: Iterable[Envelope], **figures: object) -> None:
    """Assert that there is one finding, and all that it says; severity and article are those of the tests' treaty."""
    (item,) = found
    terms = {str(row["rule"]): row for row in cast.json_lines(cast.terms()["rule"])}[item.rule]
    article = "Art. 4" if item.rule == "threshold" else terms["article"]
    assert (item.severity.value, item.article) == (terms["severity"], article)
    assert (item.about, item.period) == (about, period)
    assert item.statements == tuple(sorted(envelope.digest for envelope in cited))
    assert item.figures == {name: str(figure) for name, figure in figures.items()}


def those(found: Sequence[Finding], **figures: str) -> list[Finding]:
    return [item for item in found if all(item.figures.get(name) == value for name, value in figures.items())]


# plans ----------------------------------------------------------------------------------------------------------------


def test_undeclared() -> None:
    scene = Scene(only("undeclared-run"))
    first, second = scene.book(2, run(FLOOR)), scene.book(5, run(1))
    scene.book(6, run(9))
    figures = {"reason": "undeclared", "workload": "job", "total_flop": FLOOR + 1, "floor_flop": FLOOR}
    one(scene.found(), SITE, 5, [first, second], **figures)


def test_beyond_plan() -> None:
    scene = Scene(only("undeclared-run"))
    declared(scene, FLOOR)
    plan = declared(scene, 2 * FLOOR)
    first, second = scene.book(2, run(2 * FLOOR)), scene.book(5, run(FLOOR))
    figures = {"reason": "beyond-plan", "workload": "job", "total_flop": 3 * FLOOR, "planned_flop": 2 * FLOOR}
    one(scene.found(), SITE, 5, [plan, first, second], **figures)


def test_a_plan_below_the_floor_leaves_the_floor() -> None:
    scene = Scene(only("undeclared-run"))
    declared(scene, 1)
    scene.book(0, run(FLOOR))
    assert scene.found() == []


def test_scattered() -> None:
    scene = Scene(only("undeclared-run", k_permille=0, h_flop=str(FLOOR)))
    cited = [scene.book(period, run(FLOOR // 2 + 1, workload=f"w{period}")) for period in (1, 2)]
    capacity = 10**30 * FULL // 1000
    figures: dict[str, object] = {"reason": "scattered", "undeclared_flop": FLOOR // 2 + 1, "capacity_flop": capacity}
    one(scene.found(), SITE, 2, cited, **figures, sum_flop=FLOOR + 2, k_permille=0, h_flop=FLOOR)


def test_books_that_a_late_plan_does_not_cover_leave_the_pool_when_an_earlier_plan_comes() -> None:
    document = only("undeclared-run", k_permille=0, h_flop=str(FLOOR))
    scene = Scene(document)
    declared(scene, 9 * FLOOR)
    scene.book(1, run(FLOOR))
    scene.book(2, run(FLOOR, workload="another"))
    scene.book(3, run(FLOOR))
    assert scene.found() == []


def test_unlinked() -> None:
    scene = Scene(only("unlinked-runs", k_permille=0, h_flop=str(LINE)))
    scene.book(0, line("inference", 1_000, flop_model=str(LINE)))
    first, second = scene.book(1, run(LINE)), scene.book(4, run(7, workload="b"))
    capacity = 10**30 * FULL // 1000
    figures = {"unlinked_flop": 7, "capacity_flop": capacity, "sum_flop": LINE + 7, "k_permille": 0, "h_flop": LINE}
    one(scene.found(), SITE, 4, [first, second], **figures)


# thresholds -----------------------------------------------------------------------------------------------------------


def test_threshold() -> None:
    scene = Scene(only("threshold"))
    first = scene.book(1, run(LINE, workload="b", code=digest("c"), data=digest("d")))
    second = scene.book(4, run(1, workload="a", code=digest("c"), data=digest("d")))
    scene.book(5, run(9, workload="a"))
    figures = {"threshold": "line", "profile": "free", "line_flop": LINE, "total_flop": LINE + 1, "workload": "a"}
    one(scene.found(), LABS[0], 4, [first, second], **figures, lineage_statements=2)


def test_a_lineage_cites_the_newest_books_and_counts_all() -> None:
    scene = Scene(only("threshold"))
    said = [scene.book(period, run(LINE // MAX_CITED, workload="job")) for period in range(MAX_CITED + 2)]
    (finding,) = scene.found()
    assert finding.period == MAX_CITED
    assert finding.figures["lineage_statements"] == str(MAX_CITED + 1)
    assert finding.statements == tuple(sorted(item.digest for item in said[1:-1]))


def test_of_two_versions_the_larger_is_cited() -> None:
    scene = Scene(only("threshold"))
    larger = scene.book(0, run(LINE + 5), advance=False)
    scene.book(0, run(LINE + 4))
    (finding,) = scene.found()
    assert (finding.statements, finding.figures["total_flop"]) == ((larger.digest,), str(LINE + 5))


def test_a_run_goes_beyond_what_was_authorised_in_the_first_period_at_whose_end_it_has_more() -> None:
    scene = Scene(only("threshold"))
    authorised(scene, 3 * LINE, effective_period=0, expiry_period=5)
    said = [scene.book(period, run(LINE)) for period in range(8)]
    (finding,) = scene.found()
    assert (finding.period, finding.figures["total_flop"]) == (3, str(4 * LINE))
    assert finding.statements == tuple(sorted(item.digest for item in said[:4]))
    authorised(scene, 5 * LINE, effective_period=0, expiry_period=9)
    (finding,) = scene.found()
    assert (finding.period, finding.figures["total_flop"]) == (5, str(6 * LINE))
    authorised(scene, 8 * LINE, effective_period=6, expiry_period=9)
    assert [item.period for item in scene.found()] == [5], "a permission raises the line in its own periods"


def test_a_model_that_another_lab_made_with_no_flop_is_no_original_to_modify() -> None:
    counting: JsonObject = {"profile": "eu-gpai", "margin": ratio(300), "pue": ratio(1, 1)}
    document = TreatyDocument.from_json({**only("threshold").to_json(), "counting": counting})
    scene, there = Scene(document), Scene(document, OTHER_SITE)
    there.book(0, line("inference", 10, workload="serve", model_out=digest("m")))
    scene.said += there.said
    scene.book(1, run(LINE + 1, parents=[digest("m")]))
    assert [item.about for item in scene.found()] == [LABS[0]]


# inventories ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hall() -> Scene:
    """A scene with the continuity of inventories alone."""
    return Scene(only("inventory-continuity"))


def test_unlinked_unknown_and_another_sites(hall: Scene) -> None:
    second = hold(hall, CHIPS, follows=None)
    third = hold(hall, CHIPS, follows=digest("nothing"))
    hall.said.append(theirs := hall.other(OTHER_SITE).hold())
    fourth = hold(hall, CHIPS, follows=theirs.digest)
    for reason, item in (("unlinked", second), ("unknown", third), ("another-site", fourth)):
        one(those(hall.found(), reason=reason), SITE, None, [item], reason=reason, inventory=item.digest)


def test_unbalanced_class_by_class(hall: Scene) -> None:
    gpu: JsonObject = {**moved("received", 4, OTHER_SITE), "class": "gpu"}
    after = hold(hall, CHIPS, gpu, moved("sent", 1, OTHER_SITE, "s"), follows=hall.inventory.digest)
    balances = those(hall.found(), reason="unbalanced")
    figures = {"cpu-core": (CHIPS, 0, 1, CHIPS), "gpu": (0, 4, 0, 0)}
    for name, (opening, came, went, closing) in figures.items():
        shown = {"reason": "unbalanced", "class": name, "opening": opening, "in": came, "out": went, "closing": closing}
        one(those(balances, **{"class": name}), SITE, None, [hall.inventory, after], **shown)
    assert len(balances) == 2


def test_not_booked(hall: Scene) -> None:
    shipped = [
        hall.say("evidence:shipment", VENDOR, **span(period), serials={"root": digest(f"s{period}"), "count": 2})
        for period in (1, 2)
    ]
    bought = hold(hall, CHIPS + 1, moved("acquired", 1, VENDOR, "s1"), follows=hall.inventory.digest)
    hall.book(4)
    figures = {"reason": "not-booked", "class": "cpu-core", "from": VENDOR, "to": SITE, "attested": 4, "booked": 1}
    one(hall.found(), SITE, None, [*shipped, bought], **figures)


@pytest.mark.parametrize(("newest", "attested"), [(2, None), (3, "2"), (4, "4")])
def test_a_shipment_is_weighed_when_its_grace_is_over_and_one_by_one(hall: Scene, newest: int, attested: str) -> None:
    for period in (1, 2):
        hall.say("evidence:shipment", VENDOR, **span(period), serials={"root": digest(f"s{period}"), "count": 2})
    hall.book(newest)
    assert [item.figures["attested"] for item in hall.found()] == ([] if attested is None else [attested])


@pytest.mark.parametrize(
    ("kind", "reason", "about"), [("sent", "not-received", OTHER_SITE), ("received", "not-sent", OTHER_SITE)]
)
def test_not_received_and_not_sent(hall: Scene, kind: str, reason: str, about: str) -> None:
    closing = CHIPS - 1 if kind == "sent" else CHIPS + 1
    told = hold(hall, closing, moved(kind, 1, OTHER_SITE), follows=hall.inventory.digest, period=3)
    there = Scene(hall.document, OTHER_SITE)
    hall.said += there.said
    ends = {"from": SITE, "to": OTHER_SITE} if kind == "sent" else {"from": OTHER_SITE, "to": SITE}
    for here, yonder, fires in ((5, 4, False), (4, 5, False), (5, 5, True)):
        late = [books(hall.site, hall.inventory, here), books(there.site, there.inventory, yonder)]
        found = list(judge_of([*hall.said, *late], hall.document).standing().values())
        assert bool(found) is fires
    figures = {"reason": reason, "class": "cpu-core", **ends, "attested": 1, "booked": 0}
    one(found, about, None, [told], **figures)


def test_the_earliest_and_largest_statement_of_a_batch_counts(hall: Scene) -> None:
    batch = {"root": digest("batch"), "count": 9}
    for period, count in ((5, 3), (1, 2)):
        chips: list[JsonValue] = [{"class": "cpu-core", "count": count}]
        hall.say("evidence:shipment", VENDOR, **span(period), chips=chips, serials=batch)
    hall.book(2)
    assert hall.found() == []
    hall.book(3)
    assert [item.figures["attested"] for item in hall.found()] == ["3"]


def test_a_movement_with_nobody_at_its_other_end_hides_none_of_the_others(hall: Scene) -> None:
    hall.say("evidence:shipment", VENDOR, **span(1), serials={"root": digest("batch"), "count": 2})
    retired = moved("retired", 1, serials="old")
    hold(hall, CHIPS + 1, retired, moved("acquired", 2, VENDOR), follows=hall.inventory.digest)
    hall.book(9)
    assert hall.found() == []


def test_two_sites(hall: Scene) -> None:
    one_opening, again, other = hall.say("opening"), hall.say("opening"), hall.say("opening", OTHER_SITE)
    first = min(one_opening, again, key=lambda item: item.digest)
    one(hall.found(), SITE, None, [first, other], reason="two-sites", chip="cpu-0", other_site=OTHER_SITE)


# third parties --------------------------------------------------------------------------------------------------------


def test_a_class_that_was_never_declared_is_counted_against_nothing() -> None:
    court = Scene(only("contradiction"))
    court.said.remove(court.inventory)
    seen: list[JsonValue] = [{"class": "cpu-core", "count": 1}, {"class": "cpu-core", "count": 2}]
    evidence = court.say("evidence:inspection", INSPECTOR, **span(3), chips=seen, joules=None)
    figures = {"kind": "inspection", "class": "cpu-core", "counted": 3, "declared": 0, "by": INSPECTOR}
    one(court.found(), SITE, 3, [evidence], **figures)


@pytest.mark.parametrize("kind", ["phantom", "instrument"])
def test_phantom_and_instrument(kind: str) -> None:
    court = Scene(only("contradiction"))
    said = [court.book(3, line("training", 1_000, joules=joules), advance=False) for joules in ("2000", "3000")]
    if kind == "phantom":  # the smallest of the books, the largest of the meter
        readings = [court.say("evidence:energy", METER, **span(3), joules=joules) for joules in ("900", "1000")]
        attested, metered, cited = 2_000, 1_000, [said[0], readings[1]]
    else:  # the largest of the books, the largest of the instrument
        readings = [
            court.say(
                "evidence:inspection",
                INSPECTOR,
                **span(3),
                joules=joules,
                chips=[{"class": "cpu-core", "count": CHIPS}],
            )
            for joules in ("9000", "8000")
        ]
        attested, metered, cited = 3_000, 9_000, [said[1], readings[0]]
    figures = {"kind": kind, "attested_joules": attested, "metered_joules": metered, "tolerance_permille": 50}
    one(court.found(), SITE, 3, cited, **figures)


def test_the_tolerance_is_reached_and_not_passed_whichever_version_is_looked_at() -> None:
    court = Scene(only("contradiction"))
    for joules in ("1060", "1050"):
        court.book(3, line("training", 1_000, joules=joules), advance=False)
    court.say("evidence:energy", METER, **span(3), joules="1000")
    assert court.found() == []


def test_books_with_a_sealed_or_a_corrected_version_contradict_no_meter() -> None:
    court = Scene(only("contradiction"))
    false = court.book(3, line("training", 1_000, joules="2000"))
    court.say("evidence:energy", METER, **span(3), joules="1")
    assert len(court.found()) == 1
    court.say("correction", corrects=false.digest, period=3, replacement=None)
    assert court.found() == []


# evaluations ----------------------------------------------------------------------------------------------------------


def test_every_reason_for_which_a_result_does_not_count() -> None:
    stage = Scene(evaluated())
    before = stage.say("evaluation", EVALUATOR, **COMMIT)
    theirs = stage.say("evaluation", "evaluator-2.example", **COMMIT)
    cases: list[tuple[str, str | None, list[Envelope], JsonObject]] = [
        ("no-commitment", None, [], {}),
        ("unknown", digest("nothing"), [], {}),
        ("another-author", theirs.digest, [theirs], {}),
        ("another-model", before.digest, [before], {"model": digest("m2")}),
        ("another-protocol", before.digest, [before], {"protocol": digest("p2")}),
    ]
    for reason, commitment, cited, changes in cases:
        result = stage.say("evaluation", EVALUATOR, commitment=commitment, **changes)
        found = those(stage.found(), evaluation=result.digest)
        shown = {"reason": reason, "evaluation": result.digest, "commitment": commitment or "none"}
        one(found, EVALUATOR, None, [result, *cited], **shown)


def test_never_evaluated() -> None:
    stage = Scene(evaluated())
    serve(stage, 1, SERVED - 1)
    serve(stage, 2, 1)
    serve(stage, 3, 5)
    serve(stage, 4, 7)
    said = stage.said[1:4]
    figures = {"reason": "never-evaluated", "model": digest("model"), "served_flop": SERVED + 5, "floor_flop": SERVED}
    one(stage.found(), SITE, 3, said, **figures)


def test_service_that_was_corrected_away_was_none() -> None:
    stage = Scene(evaluated())
    serve(stage, 3, SERVED + 1)
    stage.book(9)
    assert len(stage.found()) == 1
    stage.say("correction", corrects=stage.said[1].digest, period=3, replacement=None)
    assert stage.found() == []
    serve(stage, 10, SERVED)
    stage.book(19)
    assert stage.found() == []


# autonomy -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "declared_as", "drawn_at"),
    [
        ("written_by_models", ratio(801), "801/1000", 800),
        ("reviewed_by_people", ratio(2, 5), "2/5", 500),
        ("longest_unattended_ms", 3_600_001, "3600001", 3_600_000),
        ("speed_up", ratio(5, 2), "5/2", 2_000),
    ],
)
def test_passes(name: str, value: JsonValue, declared_as: str, drawn_at: int) -> None:
    wire = Scene(only("autonomy-tripwire"))
    said = wire.say("autonomy", LABS[0], period=7, **{name: value})
    figures = {"reason": "passes", "figure": name, "declared": declared_as, "line": drawn_at, "source": "self-declared"}
    one(wire.found(), LABS[0], 7, [said], **figures)


@pytest.mark.parametrize(("name", "line"), [("written_by_models", 800), ("reviewed_by_people", 500)])
def test_impossible(name: str, line: int) -> None:
    wire = Scene(only("autonomy-tripwire"))
    said = wire.say("autonomy", LABS[0], **{name: ratio(1001)})
    figures = {"reason": "impossible", "figure": name, "declared": "1001/1000", "line": line}
    one(wire.found(), LABS[0], 0, [said], **figures, source="self-declared")


def test_contradicts() -> None:
    wire = Scene(only("autonomy-tripwire"))
    said = [wire.say("autonomy", LABS[0], period=2, speed_up=ratio(n)) for n in (1_500, 1_250, 1_400)]
    wire.say("autonomy", LABS[0], period=3, speed_up=ratio(1_100))
    wire.say("autonomy", LABS[1], period=2, speed_up=ratio(1_100))
    figures = {"reason": "contradicts", "figure": "speed_up", "declared": "5/4 and 3/2", "declarations": 3}
    one(wire.found(), LABS[0], 2, said, **figures, source="self-declared")


# books ----------------------------------------------------------------------------------------------------------------


def alone(rule: str, **changes: JsonValue) -> TreatyDocument:
    """Return the tests' treaty with *rule* alone, its chips as they are."""
    rows: list[JsonValue] = [row for row in cast.json_lines(cast.terms()["rule"]) if row["rule"] == rule]
    return cast.document(rule=rows, **changes)


def test_imbalance_says_why() -> None:
    scene, there = Scene(alone("imbalance")), Scene(alone("imbalance"), OTHER_SITE)
    hall, theirs = scene.site, there.inventory
    late = hall.hold(period=6)
    scene.said += [theirs, late]
    idle = (line("idle", FULL),)
    nowhere = cast.envelope(b"nowhere", cast.signer(SITE))
    for period, inventory, reason in (
        (5, late, "not-yet-effective"),
        (4, theirs, "another-site"),
        (3, nowhere, "unknown"),
    ):
        scene.said.append(made := hall.use(period, inventory.digest, idle))
        found = those(scene.found(), reason=reason)
        one(found, SITE, period, [made], inventory=inventory.digest, reason=reason)
    scene.said.append(hall.use(6, late.digest, idle))
    assert len(scene.found()) == 3, "an inventory may be cited from the period in which it takes effect"


def test_imbalance_names_each_class_and_both_sides() -> None:
    scene = Scene(alone("imbalance"))
    made = scene.site.use(2, scene.inventory.digest, (line("idle", 5), line("training", FULL)))
    scene.said.append(made)
    figures = {"class": "cpu-core", "booked_chip_ms": FULL + 5, "due_chip_ms": FULL}
    one(scene.found(), SITE, 2, [made, scene.inventory], **figures)


def test_a_period_that_is_left_without_books_is_named_until_others_come() -> None:
    scene = Scene(alone("imbalance"))
    first = scene.book(2)
    scene.say("correction", corrects=first.digest, period=2, replacement=None)
    one(scene.found(), SITE, 2, [first], reason="withdrawn")
    scene.book(2, line("inference", 5))
    assert scene.found() == []


def test_peak_exceeded_and_idle_compute() -> None:
    scene = Scene(alone("peak-exceeded"))
    made = scene.book(4, line("idle", 10), line("training", 1_000, workload="w", flop_hardware=str(10**11 + 1)))
    figures = {"line": 1, "workload": "w", "flop": 10**11 + 1, "peak_flop": 10**11}
    one(scene.found(), SITE, 4, [made], **figures)
    scene = Scene(alone("idle-compute"))
    made = scene.book(4, line("training", 10), line("maintenance", 1_001, workload="w", joules="16"))
    figures = {"line": 1, "workload": "w", "activity": "maintenance", "flop": 0, "tokens": 0, "joules": 16}
    one(scene.found(), SITE, 4, [made], **figures, allowed_joules=15)


def test_energy_gap() -> None:
    scene = Scene(alone("energy-gap", counting={"profile": "free", "margin": ratio(300), "pue": ratio(3, 2)}))
    said: list[Envelope] = []
    for period, attested, metered in ((0, 100, 100), (1, 100, 400), (3, 10, 400)):
        said.append(scene.book(period, line("training", 10, joules=str(attested))))
        said.append(scene.say("evidence:energy", METER, **span(period), joules=str(metered)))
    total = (400 - 150 - 40) + (400 - 15 - 40)
    figures = {"metered_joules": 400, "attested_joules": 10, "sum_joules": total, "k_joules": 40, "k_permille": 0}
    one(scene.found(), SITE, 3, said[2:], **figures, h_joules=400)


def test_of_versions_that_show_the_same_the_one_with_the_largest_digest_is_cited() -> None:
    scene = Scene(alone("muf"))
    lost = line("unattributed", FULL // 2, workload="lost")
    twins = [scene.book(2, lost, line("idle", number), advance=False) for number in (1, 2, 3, 4)]
    (finding,) = scene.found()
    assert finding.statements == (max(item.digest for item in twins),)


def test_an_energy_gap_cites_the_newest_periods_of_its_excursion() -> None:
    scene = Scene(alone("energy-gap"))
    said: list[Envelope] = []
    for period in range(40):
        said.append(scene.book(period, line("training", 10, joules="1")))
        said.append(scene.say("evidence:energy", METER, **span(period), joules="52"))  # 11 too many in each
    (finding,) = scene.found()
    assert (finding.period, finding.figures["sum_joules"]) == (36, "407")
    newest = said[2 * (36 - 31) : 2 * (36 + 1)]
    assert finding.statements == tuple(sorted(item.digest for item in newest))


@pytest.mark.parametrize("readings", [(900, 1_000), (1_000, 900)])
def test_of_two_meters_the_smaller_reading_counts_whichever_came_first(readings: tuple[int, int]) -> None:
    scene = Scene(alone("energy-gap"))
    scene.book(2, line("training", 10, joules="1"))
    for joules in readings:
        scene.say("evidence:energy", METER, **span(2), joules=str(joules))
    assert [item.figures["metered_joules"] for item in scene.found()] == ["900"]


def test_energy_that_is_known_again_counts_from_there() -> None:
    scene = Scene(alone("energy-gap"))
    scene.say("evidence:energy", METER, **span(2), joules="1000")
    assert scene.found() == [], "no books: nothing is said to be left out"
    made = scene.book(2, line("training", 10, joules="1"))
    assert [item.figures["sum_joules"] for item in scene.found()] == ["959"]
    scene.say("correction", corrects=made.digest, period=2, replacement=None)
    assert scene.found() == []


def test_equivocation_and_wrong_version() -> None:
    scene = Scene(alone("equivocation"))
    pair = [scene.book(2, advance=False), scene.book(2, line("training", 5))]
    scene.book(3)
    one(scene.found(), SITE, None, pair, sequence=1, parent=scene.inventory.digest, versions=2)
    treaty = cast.document(rule=cast.with_rule(cast.document(rule=[]), "wrong-version", "note"))
    other = cast.document()
    site, meter, lab = Author(SITE, other), Author(METER, other), Author(LABS[0], other)
    inventory = site.hold()
    wrong = [books(site, inventory, 3), meter.measure(SITE, 4, 1)]
    right = [Author(SITE, treaty).hold(), lab.enrol(SITE), inventory]
    found = judge_of([*wrong, *right], treaty).standing().values()
    for item, about, period in zip(wrong, (SITE, METER), (3, 4), strict=True):
        (finding,) = [finding for finding in found if finding.about == about]
        assert (finding.period, finding.statements, finding.severity.value) == (period, (item.digest,), "note")
        assert finding.figures == {"named": other.digest, "governs": treaty.digest}
    assert len(found) == 2


def test_what_was_said_of_the_wrong_version_goes_with_the_books() -> None:
    treaty = cast.document(rule=cast.with_rule(cast.document(rule=[]), "wrong-version", "note"))
    scene = Scene(cast.document())
    wrong = scene.book(3)
    scene.document = treaty
    assert [item.rule for item in scene.found()] == ["wrong-version"]
    scene.say("correction", corrects=wrong.digest, period=3, replacement=None)
    assert scene.found() == []


def test_of_inventories_of_one_period_the_one_furthest_down_the_chain_counts() -> None:
    court = Scene(only("contradiction"))
    for chips in (5, 7):
        hold(court, chips, follows=None, period=2)
    for period, declared_ in ((1, CHIPS), (2, 7), (9, 7)):
        court.say(
            "evidence:inspection", INSPECTOR, **span(period), joules=None, chips=[{"class": "cpu-core", "count": 3}]
        )
        assert [item.figures["declared"] for item in court.found() if item.period == period] == [str(declared_)]
