"""Lineages: the rule ``threshold`` against its definition, written down a second time; and what no cheat can lower."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pytest
from brakeline.ledger.entry import Kind
from brakeline.treaty.counting import PROFILES
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.findings import Finding
from brakeline.treaty.oversight import Authorisation, Correction
from brakeline.treaty.rules.board import Unverifiable
from brakeline.treaty.rules.lineage import Lineages
from brakeline.treaty.statements import Statement, Usage, UsageLine, encode_statement, parse_statement
from brakeline.treaty.strictjson import JsonObject, JsonValue
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import cast
from tests.support.cast import Author, line
from tests.support.judging import digest, judge_of, standing

LINE = 100
SITES = (cast.SITE, "lab-1.party-a.example/site-2", cast.OTHER_SITE)


def treaty(line_flop: int = LINE, presumed: int = 0, profile: str = "free") -> TreatyDocument:
    """Return the tests' treaty with nothing but ``threshold`` in force."""
    (terms,) = [item for item in cast.json_lines(cast.terms()["rule"]) if item["rule"] == "threshold"]
    (threshold,) = cast.json_lines(cast.terms()["threshold"])
    (counting,) = cast.json_lines([cast.terms()["counting"]])
    parameters: JsonObject = {"presumed_permille": presumed}
    return cast.document(
        rule=[{**terms, "parameters": parameters}],
        threshold=[{**threshold, "flop": str(line_flop)}],
        counting={**counting, "profile": profile},
    )


TREATY = treaty()


# the definition, a second time ----------------------------------------------------------------------------------------


class Booked(NamedTuple):
    """A line with the books it stands in."""

    statement: str
    site: str
    lab: str
    period: int
    line: UsageLine


def booked(statements: Iterable[Statement]) -> list[Booked]:
    found: list[Booked] = []
    for statement in statements:
        usage = statement.predicate
        assert isinstance(usage, Usage)
        period = TREATY.grid.period_of(usage.start)
        found += [
            Booked(statement.digest, usage.author, usage.author.partition("/")[0], period, item) for item in usage.lines
        ]
    return found


def runs_of(lines: Sequence[Booked]) -> list[list[Booked]]:
    """Close the lines of a lab under a common name, and under common code and data."""
    runs: list[list[Booked]] = []
    for item in lines:
        same = [run for run in runs if any(alike(item, other) for other in run)]
        runs = [run for run in runs if run not in same] + [[item, *(other for run in same for other in run)]]
    return runs


def alike(a: Booked, b: Booked) -> bool:
    code = a.line.code is not None and a.line.data is not None
    return a.lab == b.lab and (
        a.line.workload == b.line.workload or (code and (a.line.code, a.line.data) == (b.line.code, b.line.data))
    )


def expected(statements: Sequence[Statement], limit: int) -> set[tuple[str, str, int, int]]:
    """Return (lab, first name, period, total) of every finding that the definition asks for."""
    runs = runs_of(booked(statements))
    labs = [run[0].lab for run in runs]
    makes = [{item.line.model_out for item in run} - {None} for run in runs]
    takes = [{parent for item in run for parent in item.line.parents or ()} for run in runs]

    def parents(run: int) -> set[int]:
        found: set[int] = set()
        for model in takes[run]:
            makers = {other for other in range(len(runs)) if model in makes[other]}
            found |= {other for other in makers if labs[other] == labs[run]} or makers
        return found

    lineages: list[set[int]] = []
    for run in range(len(runs)):
        reached = {run}
        while more := {parent for item in reached for parent in parents(item)} - reached:
            reached |= more
        lineages.append(reached)
    passages = [passage([item for run in lineage for item in runs[run]], limit) for lineage in lineages]
    return {
        (labs[run], min(item.line.workload for item in runs[run]), *where)
        for run, where in enumerate(passages)
        if where is not None
        and (
            makes[run]
            or any(
                item.line.activity == "training" and item.line.flop_model and item.line.flop_model.value
                for item in runs[run]
            )
        )
        and not any(passages[other] is not None and run not in lineages[other] for other in lineages[run])
    }


def passage(lines: Sequence[Booked], limit: int) -> tuple[int, int] | None:
    slots: defaultdict[tuple[int, str], defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for item in lines:
        if item.line.activity == "training" and item.line.flop_model is not None:
            slots[item.period, item.site][item.statement] += item.line.flop_model.value
    for end in sorted({period for period, _ in slots}):
        total = sum(max(versions.values()) for (period, _), versions in slots.items() if period <= end)
        if total > limit:
            return end, total
    return None


MODELS = [digest(f"model {number}") for number in range(4)]
NAMES = ("a", "b", "c", "d")


@st.composite
def a_line(draw: st.DrawFn) -> UsageLine:
    more: dict[str, JsonValue] = {}
    if draw(st.booleans()):
        more["code"], more["data"] = digest(draw(st.sampled_from("xy"))), digest(draw(st.sampled_from("xyz")))
    if draw(st.booleans()):
        more["parents"] = [draw(st.sampled_from(MODELS))]
    if draw(st.booleans()):
        more["model_out"] = draw(st.sampled_from(MODELS))
    activity = draw(st.sampled_from(["training", "training", "inference"]))
    flop = str(draw(st.integers(0, 60)))
    return line(activity, 1, workload=draw(st.sampled_from(NAMES)), flop_model=flop, **more)


@st.composite
def a_world(draw: st.DrawFn) -> list[Statement]:
    """Books of three sites of two labs; a period may have several versions."""
    authors = {name: Author(name, TREATY) for name in SITES}
    said: list[Statement] = []
    for _ in range(draw(st.integers(1, 9))):
        author, period = authors[draw(st.sampled_from(SITES))], draw(st.integers(0, 3))
        lines = tuple(draw(st.lists(a_line(), min_size=1, max_size=3)))
        said.append(cast.read(author.use(period, digest("inventory"), lines)))
    return said


def found(
    statements: Iterable[Envelope | Statement], document: TreatyDocument = TREATY
) -> set[tuple[str, str, int, int]]:
    return told(standing(statements, document))


def told(findings: Iterable[Finding]) -> set[tuple[str, str, int, int]]:
    return {
        (item.about, item.figures["workload"], item.period or 0, int(item.figures["total_flop"])) for item in findings
    }


@given(a_world().flatmap(lambda said: st.tuples(st.just(said), st.permutations(said))))
@settings(max_examples=150)
def test_the_rule_is_its_definition_in_whatever_order_statements_come(
    worlds: tuple[list[Statement], list[Statement]],
) -> None:
    said, shuffled = worlds
    assert found(said) == found(shuffled) == expected(said, LINE)


@st.composite
def a_permitted_world(draw: st.DrawFn) -> list[Statement]:
    """Books as in :func:`a_world`, permissions of some workloads, and corrections of some books."""
    said = draw(a_world())
    labs = sorted({site.partition("/")[0] for site in SITES})
    for number in range(draw(st.integers(0, 4))):
        begins = draw(st.integers(0, 2))
        members: JsonObject = {
            "treaty": TREATY.digest,
            "lab": draw(st.sampled_from(labs)),
            "workload": draw(st.sampled_from(NAMES)),
            "threshold": TREATY.thresholds[0].name,
            "flop": str(draw(st.integers(LINE, 3 * LINE))),
            "effective_period": begins,
            "expiry_period": begins + draw(st.integers(1, 4)),
            "reason": "tests",
            "nonce": f"{number:032x}",
        }
        said.append(parse_statement(encode_statement(Authorisation.model_validate(members))))
    for usage in [item for item in said if isinstance(item.predicate, Usage)]:
        if draw(st.integers(0, 3)) == 0:
            said.append(taken_back(usage))
    return said


def taken_back(books: Statement) -> Statement:
    assert isinstance(books.predicate, Usage)
    author = Author(books.predicate.author, TREATY)
    period = TREATY.grid.period_of(books.predicate.start)
    members: JsonObject = {"corrects": books.digest, "period": period, "reason": "tests"}
    return cast.read(author.say(Correction.model_validate({**author.position(), **members})))


@given(a_permitted_world().flatmap(lambda said: st.tuples(st.just(said), st.permutations(said))))
@settings(max_examples=150)
def test_permissions_and_corrections_count_alike_whenever_they_come_and_however_often_it_is_judged(
    worlds: tuple[list[Statement], list[Statement]],
) -> None:
    said, shuffled = worlds
    judge = judge_of([], TREATY)
    for index, item in enumerate(shuffled, start=1):
        judge.add(index, Kind.STATEMENT, item)
        judge.heartbeat()
    assert found(said) == found(shuffled) == told(judge.standing().values())


def test_what_descends_from_a_run_that_names_its_own_model_as_parent_is_cleared_with_what_made_it() -> None:
    """``b`` goes on from its own model, which ``c`` made first; of what ``c`` did, half is taken back."""
    author = Author(cast.SITE, TREATY)
    model = digest("model")

    def job(workload: str, flop: int = 0, **more: JsonValue) -> UsageLine:
        return line("training", 1, workload=workload, flop_model=str(flop), **more)

    books = [
        (0, job("a")),
        (0, job("c", 42)),
        (1, job("c", 59, model_out=model)),
        (0, job("a", parents=[model])),
        (0, job("b", parents=[model], model_out=model)),
    ]
    said = [cast.read(author.use(period, digest("inventory"), (lines,))) for period, lines in books]
    judge = judge_of([], TREATY)
    passed: list[set[str]] = []
    for index, item in enumerate([*said, taken_back(said[4]), taken_back(said[2])], start=1):
        judge.add(index, Kind.STATEMENT, item)
        judge.heartbeat()
        passed.append({workload for _, workload in judge.passed().get(TREATY.thresholds[0].name, {})})
    assert passed[4:] == [{"a", "b", "c"}, {"a", "b", "c"}, set()]
    assert judge.standing() == {}


def test_a_run_bears_the_first_of_its_names_also_when_that_name_comes_late_and_empty() -> None:
    author = Author(cast.SITE, TREATY)
    same: dict[str, JsonValue] = {"code": digest("code"), "data": digest("data")}
    first = author.use(0, digest("i"), (line("training", 1, workload="b", flop_model=str(LINE + 1), **same),))
    later = author.use(1, digest("i"), (line("training", 1, workload="a", flop_model="0", **same),))
    assert [name for _, name, *_ in found([first, later])] == ["a"]


# what no cheat can lower ----------------------------------------------------------------------------------------------


@given(st.data())
def test_splitting_renaming_and_shuffling_never_lower_a_lineage(data: st.DataObject) -> None:
    """A run's work, cut by line, period, site, lab, name, code or model in any mixture: the last lineage has it all."""
    work = data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=8))
    total = sum(work)
    pieces: list[list[UsageLine]] = []
    name, code, made = "w", digest("code"), None
    where = [data.draw(st.sampled_from(SITES)) for _ in work]
    for number, flop in enumerate(work):
        cut = data.draw(st.sampled_from(["same name", "same code", "parent", "line"]))
        if number and where[number].partition("/")[0] != where[number - 1].partition("/")[0]:
            cut = "parent"  # what one lab hands to another, it hands on as a model
        if cut == "same code" or cut == "parent":
            name = data.draw(st.text("abcdefgh", min_size=4, max_size=4)) + str(number)
        if cut == "parent":
            code = digest(f"code {number}")
        more: dict[str, JsonValue] = {"code": code, "data": digest("data")}
        if cut == "parent" and made is not None:
            more["parents"] = [*data.draw(st.permutations([made, digest("nobody's")]))]
        made = digest(f"model {number}")
        more["model_out"] = made
        part = data.draw(st.integers(0, flop))
        cuts = [part, flop - part] if cut == "line" else [flop]
        pieces.append([line("training", 1, workload=name, flop_model=str(item), **more) for item in cuts])
    sites = {site: Author(site, TREATY) for site in SITES}
    said = [
        sites[where[number]].use(number, digest("inventory"), tuple(data.draw(st.permutations(lines))))
        for number, lines in enumerate(pieces)
    ]
    document = treaty(max(total - 1, 1))
    (only,) = found(data.draw(st.permutations(said)), document) if total > 1 else [(0, 0, 0, total)]
    assert only[3] == total


def test_a_long_chain_of_runs_is_one_lineage_and_costs_no_walk_for_each() -> None:
    length = 3_000
    author = Author(cast.SITE, TREATY)
    said = [
        author.use(
            number,
            digest("inventory"),
            (
                line(
                    "training",
                    1,
                    workload=f"run-{number}",
                    flop_model="1",
                    parents=[digest(f"{number - 1}")],
                    model_out=digest(f"{number}"),
                ),
            ),
        )
        for number in range(length)
    ]
    ((_, name, period, total),) = found(said, treaty(length - 2))
    assert (name, period, total) == (f"run-{length - 2}", length - 2, length - 1)


def test_runs_that_name_each_other_as_parents_cost_a_walk_each_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    true = Lineages._makers_for  # pyright: ignore[reportPrivateUsage]  (what is counted is the work of its walks)

    def counting(self: Lineages, lab: str, model: str) -> set[int]:
        looked.append(model)
        return true(self, lab, model)

    monkeypatch.setattr(Lineages, "_makers_for", counting)
    author = Author(cast.SITE, TREATY)
    count = 120

    def part(number: int) -> Envelope:
        even = number % count % 2
        models: dict[str, JsonValue] = {"parents": [digest(f"half {1 - even}")], "model_out": digest(f"half {even}")}
        work = line("training", 1, workload=f"part-{number % count}", flop_model="1", **models)
        return author.use(number, digest("inventory"), (work,))

    said = [part(number) for number in range(3 * count)]
    assert len(found(said, treaty(count))) == count
    assert len(looked) < 20 * count


def test_who_serves_two_models_is_not_accused_of_what_both_cost_together() -> None:
    author = Author(cast.SITE, TREATY)
    first, second = digest("first"), digest("second")
    half = str(LINE * 6 // 10)
    said = [
        author.use(0, digest("i"), (line("training", 1, workload="a", flop_model=half, model_out=first),)),
        author.use(1, digest("i"), (line("training", 1, workload="b", flop_model=half, model_out=second),)),
        author.use(2, digest("i"), (line("inference", 1, workload="c", flop_model="9", parents=[first, second]),)),
    ]
    assert found(said) == set()
    tuned = line("training", 1, workload="c", flop_model="1", parents=[first, second])
    assert [name for _, name, *_ in found([*said, author.use(3, digest("i"), (tuned,))])] == ["c"]
    merged = line("other", 1, workload="c", flop_model="0", parents=[first, second], model_out=digest("merged"))
    assert [name for _, name, *_ in found([*said, author.use(3, digest("i"), (merged,))])] == ["c"]


# counting -------------------------------------------------------------------------------------------------------------


def one(document: TreatyDocument, *lines: UsageLine) -> list[Finding]:
    return standing([Author(cast.SITE, document).use(0, digest("inventory"), lines)], document)


def test_what_is_presumed_counts_where_less_is_said_or_nothing() -> None:
    peak = 10**11  # of the tests' chip, per second
    presuming = treaty(peak * 3 // 10 - 1, presumed=300)
    (said_little,) = one(presuming, line("training", 1_000, flop_model="1"))
    (said_nothing,) = one(presuming, line("training", 1_000))
    assert said_little.figures["total_flop"] == said_nothing.figures["total_flop"] == str(peak * 3 // 10)
    assert one(presuming, line("inference", 1_000)) == []
    assert one(treaty(peak * 3 // 10, presumed=300), line("training", 1_000)) == []


def test_training_without_flop_is_unverifiable_where_nothing_is_presumed() -> None:
    said = Author(cast.SITE, TREATY).use(0, digest("i"), (line("training", 9), line("inference", 9)))
    assert judge_of([said], TREATY).unverifiable() == {Unverifiable("threshold", cast.SITE, "flop-absent"): 1}
    assert judge_of([said], treaty(presumed=1)).unverifiable() == {}


@pytest.mark.parametrize(
    ("profile", "purpose", "activity", "counts"),
    [
        ("free", "diagnostic-evaluation", "training", True),
        ("eu-gpai", "diagnostic-evaluation", "training", False),
        ("eu-gpai", "private-synthetic-data", "inference", True),
        ("eu-gpai", "public-synthetic-data", "inference", False),
        ("eu-gpai", "parameter-updates", "training", True),
        ("miri", "private-synthetic-data", "inference", False),
        ("us-eo14110", "failed-exploration", "training", True),
    ],
)
def test_a_profile_decides_which_purposes_count(profile: str, purpose: str, activity: str, counts: bool) -> None:
    work = line(activity, 1, flop_model=str(LINE + 1), purpose=purpose)
    assert [item.figures["profile"] for item in one(treaty(profile=profile), work)] == [profile] * counts


@pytest.mark.parametrize(("precision", "total"), [("fp32", 200), ("fp8", 100), (None, 100)])
def test_miri_counts_the_larger_of_operations_and_their_fp16_equivalent(precision: str | None, total: int) -> None:
    more: dict[str, JsonValue] = {} if precision is None else {"precision": precision}
    work = line("training", 1, workload="w", flop_model="100", **more)
    assert [item.figures["total_flop"] for item in one(treaty(99, profile="miri"), work)] == [str(total)]
    assert [item.figures["total_flop"] for item in one(treaty(99), work)] == ["100"]


def modified(document: TreatyDocument, spent: int, original: int, *, by: str = cast.OTHER_SITE) -> set[tuple[str, str]]:
    base, tuner = Author(cast.SITE, document), Author(by, document)
    model = digest("base")
    said = [
        base.use(0, digest("i"), (line("training", 1, workload="base", flop_model=str(original), model_out=model),)),
        tuner.use(1, digest("i"), (line("training", 1, workload="tune", flop_model=str(spent), parents=[model]),)),
    ]
    return {(item.about, item.figures["workload"]) for item in standing(said, document)}


def test_a_small_modification_of_another_labs_model_is_nobodys_new_model() -> None:
    eu = treaty(profile="eu-gpai")
    assert PROFILES["eu-gpai"].modification is not None
    other, own = cast.OTHER_SITE.partition("/")[0], cast.SITE.partition("/")[0]
    assert modified(eu, 30, 90) == set()  # a third, and together above the line
    assert modified(treaty(), 30, 90) == {(other, "tune")}
    assert modified(eu, 31, 90) == {(other, "tune")}
    assert modified(eu, 30, 90, by=cast.SITE) == {(own, "tune")}  # a lab does not modify its own model: it goes on
    assert modified(eu, 50, 150) == {(own, "base")}
    assert modified(eu, 51, 150) == {(own, "base"), (other, "tune")}
    assert modified(treaty(), 51, 150) == {(own, "base")}
