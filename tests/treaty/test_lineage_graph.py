"""The graph of runs by itself: who belongs together, who descends from whom, and what a line changes."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from brakeline.treaty.rules.lineage import Lineages, Placed, Shown

LAB, RIVAL = "lab-1", "lab-2"


class Line(NamedTuple):
    workload: str
    parents: tuple[str, ...] | None = None
    model_out: str | None = None
    code: str | None = None
    data: str | None = None


def placed(*said: tuple[str, Line]) -> tuple[Lineages, list[Placed]]:
    runs = Lineages()
    return runs, [runs.place(lab, line) for lab, line in said]


# places ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "restructured"),
    [
        (Line("b"), Line("b"), False),
        (Line("b", ("m",), "n"), Line("b", ("m",), "n"), False),
        (Line("b", ("m",), "n"), Line("b", ("m",)), False),
        (Line("b", ("m",), "n"), Line("b"), False),
        (Line("b"), Line("b", ("m",)), True),
        (Line("b"), Line("b", None, "n"), True),
        (Line("b", ("m",)), Line("b", ("m", "k")), True),
        (Line("b", None, None, "c", "d"), Line("a", None, None, "c", "d"), True),
        (Line("b", None, None, "c", "d"), Line("z", None, None, "c", "d"), True),
        (Line("b", None, None, "c", "d"), Line("b", None, None, "c", "e"), False),
    ],
)
def test_a_line_changes_the_graph_where_it_names_something_new(first: Line, second: Line, restructured: bool) -> None:
    runs, (one, two) = placed((LAB, first), (LAB, second))
    assert one == Placed(0, set(), bool(first.parents or first.model_out))
    assert two == Placed(0, set(), restructured)
    assert runs.place(LAB, second) == Placed(0, set(), False)


@pytest.mark.parametrize(
    ("code", "data", "same"),
    [("c", "d", True), ("c", "x", False), ("x", "d", False), ("c", None, False), (None, "d", False)],
)
def test_lines_belong_together_by_code_and_data(code: str | None, data: str | None, same: bool) -> None:
    _, (one, two) = placed((LAB, Line("a", None, None, "c", "d")), (LAB, Line("b", None, None, code, data)))
    assert (two.run == one.run) is same


def test_runs_of_two_labs_never_are_one() -> None:
    line = Line("a", None, None, "c", "d")
    runs, (one, two) = placed((LAB, line), (RIVAL, line))
    assert one.run != two.run
    assert (runs.known(LAB, "a"), runs.known(RIVAL, "a"), runs.known(RIVAL, "b")) == (one.run, two.run, None)


def test_a_line_joins_the_runs_that_it_shows_to_be_one() -> None:
    runs, (one, two, three) = placed(
        (LAB, Line("b", ("m",), "n")), (LAB, Line("a", ("k",), "o", "c", "d")), (LAB, Line("b", None, None, "c", "d"))
    )
    assert three == Placed(one.run, {two.run}, True)
    assert runs.find(two.run) == one.run
    kept = runs[one.run]
    assert (kept.lab, kept.workload) == (LAB, "a")
    assert (kept.parents, kept.models, kept.names) == ({"m", "k"}, {"n", "o"}, {"a", "b"})
    assert set(runs.names(one.run)) == {(LAB, "a"), (LAB, "b")}
    assert sorted(runs.named()) == [(LAB, "a", one.run), (LAB, "b", one.run)]
    assert runs.known(LAB, "a") == one.run


# descent --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def family() -> tuple[Lineages, dict[str, int]]:
    """Root makes r; left and right take r; child takes both; loop-1 and loop-2 take each other's and child's; alone."""
    lines = [
        Line("child", ("l", "q"), "c"),
        Line("left", ("r",), "l"),
        Line("loop-1", ("c", "y"), "x"),
        Line("alone", ("nobody's",), "z"),
        Line("root", None, "r"),
        Line("loop-2", ("x",), "y"),
        Line("right", ("r",), "q"),
        Line("end", ("y",)),
    ]
    runs, made = placed(*((LAB, line) for line in lines))
    return runs, {line.workload: item.run for line, item in zip(lines, made, strict=True)}


ANCESTRY = {
    "root": {"root"},
    "left": {"root", "left"},
    "right": {"root", "right"},
    "child": {"root", "left", "right", "child"},
    "loop-1": {"root", "left", "right", "child", "loop-1", "loop-2"},
    "loop-2": {"root", "left", "right", "child", "loop-1", "loop-2"},
    "end": {"root", "left", "right", "child", "loop-1", "loop-2", "end"},
    "alone": {"alone"},
}


def test_ancestry_and_descendants(family: tuple[Lineages, dict[str, int]]) -> None:
    runs, number = family
    for _ in range(2):  # as it is found, and as it is remembered
        for name, above in ANCESTRY.items():
            assert runs.ancestry(number[name]) == {number[item] for item in above}
            below = {item for item, known in ANCESTRY.items() if name in known}
            assert runs.descendants(number[name]) == {number[item] for item in below}
            assert runs.with_descendants({number[name]}) == {number[item] for item in below}
    assert runs.with_descendants({number["end"], number["alone"]}) == {number["end"], number["alone"]}


def test_parents_circles_and_what_stands_directly_above_them(family: tuple[Lineages, dict[str, int]]) -> None:
    runs, number = family
    direct = {
        "root": set[str](), "left": {"root"}, "child": {"left", "right"}, "loop-1": {"child", "loop-2"},
        "loop-2": {"loop-1"}, "end": {"loop-2"}, "alone": set[str](),
    }  # fmt: skip
    for name, above in direct.items():
        assert runs.parents(number[name]) == {number[item] for item in above}
    loop = {number["loop-1"], number["loop-2"]}
    for name in ANCESTRY:
        assert runs.circle(number[name]) == (loop if name.startswith("loop") else {number[name]})
    for name, above in {**direct, "loop-1": {"child"}, "loop-2": {"child"}}.items():
        assert runs.above(number[name]) == {number[item] for item in above}


@pytest.mark.parametrize("names", [("child", "left", "root"), ("end", "loop-2", "child", "root"), ("right", "alone")])
def test_ancestors_stand_first(family: tuple[Lineages, dict[str, int]], names: tuple[str, ...]) -> None:
    runs, number = family
    order = runs.ancestors_first({number[name] for name in names})
    assert sorted(order) == sorted(number[name] for name in names)
    place = {name: order.index(number[name]) for name in names}
    for one in names:
        nearest = {number[name] for name in names if name != one and name in ANCESTRY[one]}
        if runs.parents(number[one]) & nearest:
            direct = runs.parents(number[one])
            assert all(place[name] < place[one] for name in names if number[name] in direct)


def test_what_is_shown_of_runs(family: tuple[Lineages, dict[str, int]]) -> None:
    runs, _ = family
    assert runs.shown() == tuple(
        Shown(LAB, name, (name,), tuple((LAB, item) for item in above), strangers)
        for name, above, strangers in (
            ("alone", (), 1),
            ("child", ("left", "right"), 0),
            ("end", ("loop-2",), 0),
            ("left", ("root",), 0),
            ("loop-1", ("child", "loop-2"), 0),
            ("loop-2", ("loop-1",), 0),
            ("right", ("root",), 0),
            ("root", (), 0),
        )
    )


def test_a_new_link_is_seen_whatever_was_asked_before(family: tuple[Lineages, dict[str, int]]) -> None:
    runs, number = family
    for name in ANCESTRY:
        runs.ancestry(number[name])
        runs.descendants(number[name])
        runs.circle(number[name])
        runs.above(number[name])
    runs.place(LAB, Line("root", ("z",)))
    assert runs.ancestry(number["left"]) == {number["root"], number["left"], number["alone"]}
    assert number["end"] in runs.descendants(number["alone"])
    assert runs.above(number["root"]) == {number["alone"]}
    runs.place(LAB, Line("end", ("z",)))
    assert runs.above(number["end"]) == {number["loop-2"], number["alone"]}
    runs.place(LAB, Line("alone", ("y",)))
    assert runs.circle(number["root"]) == {number[name] for name in ANCESTRY if name != "end"}
    assert runs.ancestry(number["root"]) == runs.circle(number["root"])


def test_a_model_that_a_lab_makes_itself_is_its_own_whoever_else_claims_it() -> None:
    runs, (mine, theirs, taken, stranger) = placed(
        (LAB, Line("mine", None, "m")),
        (RIVAL, Line("theirs", None, "m")),
        (LAB, Line("tune", ("m",))),
        ("lab-3", Line("tune", ("m",))),
    )
    assert runs.parents(taken.run) == {mine.run}
    assert runs.parents(stranger.run) == {mine.run, theirs.run}
    assert runs.descendants(mine.run) == {mine.run, taken.run, stranger.run}
    assert runs.descendants(theirs.run) == {theirs.run, stranger.run}
    assert runs.with_descendants({theirs.run}) == {theirs.run, taken.run, stranger.run}
    assert runs.ancestry(taken.run) == {mine.run, taken.run}
