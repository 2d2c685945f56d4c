"""The log rules: what makes each fire, by how much exactly, and that nothing but the set of statements matters."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from brakeline.ledger.entry import Kind
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.findings import Finding, Withdrawn, parse_finding
from brakeline.treaty.judge import LOG_RULES, LogJudge
from brakeline.treaty.rule_table import RULES
from brakeline.treaty.statements import Statement, StoppedWorkload, UsageLine
from brakeline.treaty.strictjson import JsonObject, JsonValue
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast
from tests.support.cast import Author, line
from tests.support.judging import FULL, books, digest, judge_of, site, standing
from tests.treaty import test_oversight_rules


def test_every_log_rule_of_the_table_has_its_class() -> None:
    assert set(LOG_RULES) == {row.rule for row in RULES.values() if row.scope == "log"}


def test_honest_books_give_no_finding() -> None:
    author, inventory = site()
    said = [inventory, *(books(author, inventory, p, line("training", 6_000, flop_model="1000")) for p in range(5))]
    assert standing(said) == []


def test_a_rule_that_the_treaty_does_not_name_does_not_run() -> None:
    author, inventory = site()
    said = [inventory, books(author, inventory, 0, line("training", 1), rest=False)]
    without = cast.document(rule=[])
    assert standing(said)
    assert standing(said, without) == []


def test_severity_and_article_are_the_treatys() -> None:
    author, inventory = site()
    (finding,) = standing([inventory, books(author, inventory, 0, line("training", 1), rest=False)])
    terms = cast.document().rule("imbalance")
    assert terms is not None
    assert (finding.severity.value, finding.article) == (terms.severity, terms.article)


# imbalance ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [-1, 1, -FULL + 1, FULL])
def test_books_that_are_off_by_one_chip_millisecond_do_not_balance(off: int) -> None:
    author, inventory = site()
    bad = books(author, inventory, 3, line("training", FULL + off), rest=False)
    (finding,) = standing([inventory, bad])
    assert (finding.rule, finding.about, finding.period) == ("imbalance", cast.SITE, 3)
    assert finding.figures == {
        "class": "cpu-core",
        "booked_chip_ms": str(FULL + off),
        "due_chip_ms": str(FULL),
    }
    assert finding.statements == tuple(sorted([bad.digest, inventory.digest]))


def test_chips_of_a_class_that_was_never_declared_do_not_balance() -> None:
    author, inventory = site()
    alien = UsageLine.model_validate(
        {"workload": "w", "activity": "idle", "chip_ms": ({"class": "gpu", "value": "5"},)}
    )
    found = standing([inventory, books(author, inventory, 0, line("idle", FULL), alien)])
    assert [finding.figures["class"] for finding in found] == ["gpu"]


def test_an_inventory_that_is_not_in_the_log_is_named_until_it_comes() -> None:
    author, inventory = site()
    late = books(author, inventory, 0, line("idle", FULL))
    judge = judge_of([late])
    (finding,) = judge.standing().values()
    assert finding.figures == {"inventory": inventory.digest, "reason": "unknown"}
    judge.heartbeat()
    judge.add(2, Kind.STATEMENT, cast.read(inventory))
    assert judge.standing() == {}
    assert judge.heartbeat() == [Withdrawn(withdrawn=finding.digest).body]


def test_books_rest_on_the_sites_own_inventory_in_effect() -> None:
    author, _ = site()
    _, foreign = site(cast.OTHER_SITE)
    (finding,) = standing([foreign, books(author, foreign, 0, line("idle", FULL))])
    assert finding.figures["reason"] == "another-site"
    author = Author(cast.SITE, cast.document())
    later = author.hold(period=2)
    found = standing([later, books(author, later, 1, line("idle", FULL)), books(author, later, 2, line("idle", FULL))])
    assert [(item.period, item.figures["reason"]) for item in found] == [(1, "not-yet-effective")]


# peak-exceeded --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["flop_model", "flop_hardware"])
def test_a_line_may_book_its_dense_peak_and_not_one_flop_more(method: str) -> None:
    author, inventory = site()
    peak = 100_000_000_000 * 1_000 // 1_000  # one chip-second
    at_peak = books(author, inventory, 0, line("training", 1_000, **{method: str(peak)}))
    above = books(author, inventory, 1, line("training", 1_000, workload="fast", **{method: str(peak + 1)}))
    (finding,) = standing([inventory, at_peak, above])
    assert (finding.rule, finding.period, finding.statements) == ("peak-exceeded", 1, (above.digest,))
    assert finding.figures == {"line": "0", "workload": "fast", "flop": str(peak + 1), "peak_flop": str(peak)}


def test_chips_that_the_treaty_does_not_name_have_no_peak() -> None:
    author, inventory = site()
    alien = UsageLine.model_validate(
        {"workload": "w", "activity": "other", "chip_ms": ({"class": "gpu", "value": "5"},), "flop_model": "1"}
    )
    found = standing([inventory, books(author, inventory, 0, line("idle", FULL), alien)])
    assert "peak-exceeded" in {finding.rule for finding in found}


# equivocation ---------------------------------------------------------------------------------------------------------


def test_two_versions_of_one_place_are_one_finding_that_cites_both() -> None:
    author, inventory = site()
    parent = author.previous
    one = books(author, inventory, 0, line("training", 1), advance=False)
    two = books(author, inventory, 0, line("training", 2), advance=False)
    (finding,) = standing([inventory, one, two])
    assert (finding.rule, finding.about, finding.period) == ("equivocation", cast.SITE, None)
    assert finding.statements == tuple(sorted([one.digest, two.digest]))
    assert finding.figures == {"sequence": "1", "parent": parent, "versions": "2"}


def test_a_third_version_replaces_the_finding() -> None:
    author, inventory = site()
    versions = [books(author, inventory, 0, line("training", n), advance=False) for n in (1, 2, 3)]
    judge = judge_of([inventory, *versions[:2]])
    (before,) = judge.heartbeat()
    judge.add(9, Kind.STATEMENT, cast.read(versions[2]))
    after = [parse_finding(body) for body in judge.heartbeat()]
    assert {type(item) for item in after} == {Finding, Withdrawn}
    assert Withdrawn(withdrawn=hashlib.sha256(before).hexdigest()) in after
    (finding,) = judge.standing().values()
    assert finding.figures["versions"] == "3"


def test_children_of_both_branches_are_not_versions_of_each_other() -> None:
    author, inventory = site()
    one = books(author, inventory, 0, line("training", 1), advance=False)
    two = books(author, inventory, 0, line("training", 2))
    on_two = books(author, inventory, 1, line("training", 1))
    author.sequence, author.previous = 2, one.digest
    on_one = books(author, inventory, 1, line("training", 3))
    found = standing([inventory, one, two, on_two, on_one])
    assert [item.figures["sequence"] for item in found] == ["1"]


# energy-gap -----------------------------------------------------------------------------------------------------------


def energy(gaps: Sequence[int], attested: int = 50) -> list[Statement]:
    """Books that attest *attested* joules a period, and a meter that reads *gaps* more."""
    author, inventory = site()
    meter = Author(cast.METER, cast.document())
    said = [inventory]
    for period, gap in enumerate(gaps):
        said.append(books(author, inventory, period, line("idle", FULL, joules=str(attested))))
        said.append(meter.measure(cast.SITE, period, attested + gap))
    return [cast.read(item) for item in said]


def test_the_sum_fires_above_h_and_not_at_h() -> None:
    at_h = [40 + 200, 40 + 200]  # k = 40, h = 400
    assert standing(energy(at_h)) == []
    (finding,) = standing(energy([*at_h, 41]))
    assert (finding.rule, finding.about, finding.period) == ("energy-gap", cast.SITE, 2)
    assert finding.figures == {
        "metered_joules": "91",
        "attested_joules": "50",
        "sum_joules": "401",
        "k_joules": "40",
        "k_permille": "0",
        "h_joules": "400",
    }
    assert len(finding.statements) == 6


def test_noise_within_k_never_adds_up() -> None:
    assert standing(energy([40] * 200)) == []


def test_a_finding_per_excursion_and_none_while_it_lasts() -> None:
    found = standing(energy([500, 500, 0, -50_000 + 50_040, *[0] * 50, 500]))
    periods = sorted(item.period for item in found if item.period is not None)
    assert periods == [0, 54]


def test_a_line_that_states_no_energy_explains_none() -> None:
    author, inventory = site()
    meter = Author(cast.METER, cast.document())
    silent = author.use(0, inventory.digest, (line("idle", FULL - 1, joules="60"), line("other", 1)))
    (finding,) = standing([inventory, silent, meter.measure(cast.SITE, 0, 501)])
    assert (finding.rule, finding.figures["attested_joules"]) == ("energy-gap", "60")


def test_a_share_of_the_energy_explained_is_forgiven_besides() -> None:
    (terms,) = [rule for rule in cast.json_lines(cast.terms()["rule"]) if rule["rule"] == "energy-gap"]
    parameters: JsonObject = {"k_joules": "40", "k_permille": 30, "h_joules": "400"}
    shared = cast.document(rule=[{**terms, "parameters": parameters}])
    author = Author(cast.SITE, shared)
    inventory = author.hold()
    meter = Author(cast.METER, shared)
    usage = author.use(0, inventory.digest, (line("idle", FULL, joules="50"),))
    # 50 explained, 1.5 and 40 forgiven, 400 to go
    found = [standing([inventory, usage, meter.measure(cast.SITE, 0, n, advance=False)], shared) for n in (491, 492)]
    assert [len(item) for item in found] == [0, 1]
    assert found[1][0].figures["sum_joules"] == "400"


def test_the_site_gets_the_benefit_of_two_meters_and_of_two_versions() -> None:
    author, inventory = site()
    meter, other = Author(cast.METER, cast.document()), Author(cast.METER, cast.document())
    usage = books(author, inventory, 0, line("idle", FULL, joules="50"), advance=False)
    high = meter.measure(cast.SITE, 0, 10_000)
    assert {item.rule for item in standing([inventory, usage, high])} == {"energy-gap"}
    lower = other.measure(cast.SITE, 0, 60)
    assert {item.rule for item in standing([inventory, usage, high, lower])} == {"equivocation"}  # the meter's
    more = books(author, inventory, 0, line("training", FULL, joules="9990"), advance=False)
    assert {item.rule for item in standing([inventory, usage, high, more])} == {"equivocation"}


def test_pue_is_applied_exactly() -> None:
    pue = cast.document(
        counting={
            "profile": "free",
            "margin": {"numerator": 30, "denominator": 100},
            "pue": {"numerator": 4, "denominator": 3},
        }
    )
    author = Author(cast.SITE, pue)
    inventory = author.hold()
    meter = Author(cast.METER, pue)

    def fires(metered: int) -> bool:
        said = [author.use(0, inventory.digest, (line("training", FULL, joules="100"),), advance=False)]
        said.append(meter.measure(cast.SITE, 0, metered, advance=False))
        return bool(standing([inventory, *said], pue))

    # 4/3 x 100 = 133 1/3; h + k = 440: fires from 573 1/3 on
    assert (fires(573), fires(574)) == (False, True)


# threshold ------------------------------------------------------------------------------------------------------------

LINE = 10**15
"""The threshold of the tests' treaty."""


@pytest.fixture
def fast() -> TreatyDocument:
    """The tests' treaty with chips so fast that a line can book anything."""
    classes = cast.json_lines(cast.terms()["chip_class"])
    return cast.document(chip_class=[{**classes[0], "peak_flop_per_s": "1" + "0" * 30}])


def run(flop: int, workload: str = "job", **more: JsonValue) -> UsageLine:
    return line("training", 1_000, workload=workload, flop_model=str(flop), **more)


def threshold(said: Sequence[Envelope], fast: TreatyDocument) -> list[Finding]:
    return [item for item in standing(said, fast) if item.rule == "threshold"]


def start(fast: TreatyDocument, name: str = cast.SITE) -> tuple[Author, Envelope]:
    author = Author(name, fast)
    return author, author.hold()


def test_a_run_may_reach_the_line_and_not_pass_it(fast: TreatyDocument) -> None:
    author, inventory = start(fast)
    said = [inventory, books(author, inventory, 0, run(LINE))]
    assert threshold(said, fast) == []
    said.append(books(author, inventory, 1, run(1)))
    (finding,) = threshold(said, fast)
    assert (finding.about, finding.period, finding.article) == ("lab-1.party-a.example", 1, "Art. 4")
    assert finding.figures == {
        "threshold": "line",
        "profile": "free",
        "line_flop": str(LINE),
        "total_flop": str(LINE + 1),
        "workload": "job",
        "lineage_statements": "2",
    }


def test_what_is_booked_after_the_passage_does_not_change_the_finding(fast: TreatyDocument) -> None:
    author, inventory = start(fast)
    said = [inventory, books(author, inventory, 0, run(LINE + 1))]
    (before,) = threshold(said, fast)
    said += [books(author, inventory, p, run(10)) for p in range(1, 4)]
    assert threshold(said, fast) == [before]


def test_only_activities_that_the_threshold_counts(fast: TreatyDocument) -> None:
    author, inventory = start(fast)
    said = [inventory, books(author, inventory, 0, line("inference", 1_000, flop_model=str(2 * LINE)))]
    assert threshold(said, fast) == []


def test_splitting_a_run_changes_nothing(fast: TreatyDocument) -> None:
    half = LINE // 2 + 1
    code, data, model = digest("code"), digest("data"), digest("model")
    author, inventory = start(fast)
    by_site = Author("lab-1.party-a.example/site-2", fast)
    other = by_site.hold()
    splits = [
        [books(author, inventory, 0, run(half)), books(author, inventory, 1, run(half))],
        [books(author, inventory, 0, run(half)), books(by_site, other, 0, run(half))],
        [
            books(author, inventory, 0, run(half, workload="a", code=code, data=data)),
            books(author, inventory, 1, run(half, workload="b", code=code, data=data)),
        ],
        [
            books(author, inventory, 0, run(half, workload="a", model_out=model)),
            books(author, inventory, 1, run(half, workload="b", parents=[model])),
        ],
    ]
    for said in splits:
        assert len(threshold([inventory, other, *said], fast)) == 1, said
        for part in said:
            assert threshold([inventory, other, part], fast) == []


def test_unrelated_runs_and_other_labs_do_not_add_up(fast: TreatyDocument) -> None:
    half = LINE // 2 + 1
    author, inventory = start(fast)
    rival, theirs = start(fast, cast.OTHER_SITE)
    said = [
        books(author, inventory, 0, run(half, workload="a", code=digest("code"), data=digest("one"))),
        books(author, inventory, 1, run(half, workload="b", code=digest("code"), data=digest("two"))),
        books(rival, theirs, 0, run(half, workload="a")),
    ]
    assert threshold([inventory, theirs, *said], fast) == []


def test_siblings_of_one_parent_do_not_add_up_and_descendants_are_covered(fast: TreatyDocument) -> None:
    author, inventory = start(fast)
    base = digest("base")
    said = [inventory, books(author, inventory, 0, run(LINE // 2, workload="base", model_out=base))]
    said += [books(author, inventory, p, run(LINE // 4, workload=f"tune-{p}", parents=[base])) for p in (1, 2, 3)]
    assert threshold(said, fast) == []
    said.append(books(author, inventory, 4, run(LINE, workload="base")))
    assert [item.figures["workload"] for item in threshold(said, fast)] == ["base"]


def test_circular_parents_hide_nothing(fast: TreatyDocument) -> None:
    author, inventory = start(fast)
    one, two = digest("one"), digest("two")
    half = LINE // 2 + 1
    said = [
        inventory,
        books(author, inventory, 0, run(half, workload="a", parents=[two], model_out=one)),
        books(author, inventory, 1, run(half, workload="b", parents=[one], model_out=two)),
    ]
    assert {item.figures["workload"] for item in threshold(said, fast)} == {"a", "b"}


def test_a_rival_who_claims_our_model_adds_nothing_to_our_lineage(fast: TreatyDocument) -> None:
    author, inventory = start(fast)
    rival, theirs = start(fast, cast.OTHER_SITE)
    base = digest("base")
    said = [
        inventory,
        theirs,
        books(author, inventory, 0, run(1, workload="base", model_out=base)),
        books(author, inventory, 1, run(1, workload="tune", parents=[base])),
        books(rival, theirs, 0, run(2 * LINE, workload="claim", model_out=base)),
    ]
    assert {item.about for item in threshold(said, fast)} == {"lab-2.party-b.example"}


def test_two_versions_of_a_period_count_once_by_the_larger(fast: TreatyDocument) -> None:
    author, inventory = start(fast)
    said = [inventory, *(books(author, inventory, 0, run(LINE - n), advance=False) for n in (0, 1))]
    assert threshold(said, fast) == []


# the set alone matters --------------------------------------------------------------------------------------------


def _crowd() -> list[Statement]:
    """Statements of two sites and a meter that make every rule fire, some of them more than once."""
    treaty = cast.document()
    pause = cast.order(treaty)
    said: list[Envelope] = [pause]
    meter = Author(cast.METER, treaty)
    for number, name in enumerate((cast.SITE, cast.OTHER_SITE)):
        author = Author(name, treaty)
        inventory = author.hold()
        said.append(inventory)
        for period in range(4):
            more: dict[str, JsonValue] = {"parents": [digest(f"m{period - 1}")], "model_out": digest(f"m{period}")}
            lines = [run(3 * 10**14 + number, workload=f"run-{period}", joules="10", flop_hardware="1", **more)]
            lines.append(line("inference", 500, workload="serve", flop_model="40000000000", joules=str(period)))
            lines.append(line("unattributed", 3_000, joules="1"))
            lines.append(line("maintenance", 100, workload="m", joules="5"))
            said.append(books(author, inventory, period, *lines, advance=period != 2))
            said.append(meter.measure(name, period, 300))
            if period == 2:
                changed = run(4 * 10**14, workload="run-2", joules="10")
                said.append(books(author, inventory, period, changed, rest=number == 0))
        for resumed in (None, digest("other weights")):
            stop = StoppedWorkload(workload="run-0", step=7, freeze=digest("frozen weights"), resumed=resumed)
            said.append(author.acknowledge(pause, stop))
    return [cast.read(item) for item in said]


CROWD = _crowd()


def test_both_crowds_make_every_log_rule_fire() -> None:
    """The other crowd is of the rules that read more than books, in test_oversight_rules; others have their own."""
    fired = {finding.rule for finding in standing(CROWD)}
    assert {"equivocation", "imbalance", "peak-exceeded", "threshold", "idle-compute", "activity-shape"} < fired
    assert fired | test_oversight_rules.FIRED | {"disowned", "wrong-version"} == set(LOG_RULES)


@given(st.permutations(range(len(CROWD))), st.sets(st.integers(0, len(CROWD))))
def test_findings_depend_on_the_set_and_heartbeats_tell_every_change(order: list[int], beats: set[int]) -> None:
    judge = LogJudge(cast.document())
    told: set[str] = set()
    for index, number in enumerate(order):
        judge.add(index, Kind.STATEMENT, CROWD[number])
        if index not in beats:
            continue
        bodies = judge.heartbeat()
        assert bodies == sorted(bodies, key=lambda body: hashlib.sha256(body).digest())
        for body in bodies:
            said = parse_finding(body)
            if isinstance(said, Withdrawn):
                told.remove(said.withdrawn)
            else:
                assert said.digest not in told
                told.add(said.digest)
        assert told == set(judge.standing())
    assert list(judge.standing().values()) == standing(CROWD)


@given(st.sets(st.integers(0, len(CROWD) - 1)))
def test_judging_step_by_step_equals_judging_from_scratch(chosen: set[int]) -> None:
    stepwise = LogJudge(cast.document())
    for index, number in enumerate(sorted(chosen)):
        stepwise.add(index, Kind.STATEMENT, CROWD[number])
        stepwise.heartbeat()
    assert list(stepwise.standing().values()) == standing(CROWD[number] for number in sorted(chosen, reverse=True))


def test_entries_out_of_order_are_a_mistake_of_the_caller() -> None:
    judge = judge_of(CROWD[:2])
    with pytest.raises(ValueError, match="comes too late"):
        judge.add(1, Kind.STATEMENT, CROWD[0])
