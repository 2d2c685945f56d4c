"""What sealed lines keep from view when the brake was pressed: unverifiable, said so, and never an accusation."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from brakeline.treaty.order_report import Kept, OrderReport, report
from brakeline.treaty.reconcile import logs as seen
from brakeline.treaty.reconcile.braking import sealed_from_breaches
from brakeline.treaty.rules.board import Unverifiable
from brakeline.treaty.sealing import FIGURES, PATTERN
from brakeline.treaty.statements import Order, Statement, UsageLine, encode_statement, parse_statement
from brakeline.treaty.strictjson import JsonObject, canonical, parse_object
from brakeline.treaty.succession import Reign

from tests.support import cast
from tests.support.cast import line
from tests.support.facts import FULL, Logs, end_of, say, start_of
from tests.support.sealing import SealingAuthor, document

PERIOD = 6
"""The books that are looked at, of the first period that the orders bind."""
SEALED_LINES = tuple(f"/predicate/lines/*/{name}" for name in PATTERN)
SEALED_FLOP = tuple(f"/predicate/lines/*/{name}" for name in FIGURES if name.startswith("flop"))


def order(kind: str, *, exercise: bool = False) -> Statement:
    """Return an order on everyone's training; slow leaves a quarter."""
    members: dict[str, object] = {
        "treaty": document(SEALED_LINES).digest,
        "kind": kind,
        "scope": {"who": ("everyone",), "activities": ("training",)},
        "effective_period": 5,
        "expiry_period": 50,
        "reason": "tests",
        "exercise": exercise,
        "lifts": (),
        "nonce": "0" * 32,
        **({"ceiling": {"numerator": 1, "denominator": 4}} if kind == "slow" else {}),
    }
    return say(Order.model_validate(members))


class Braked:
    """Four logs that hold an order and one site's books of one period."""

    def __init__(self, pressed: Statement, *lines: UsageLine, seal: Sequence[str] = (), opaque: int | None = None):
        """Seal *seal* of every line, or the workload of line *opaque* alone, of as many as the treaty asks for."""
        treaty = document((*SEALED_LINES, *SEALED_FLOP))
        self.logs, author = Logs(treaty), SealingAuthor(cast.SITE, treaty, seal)
        said = [cast.Author(cast.LABS[0], treaty).enrol(cast.SITE), inventory := author.hold()]
        for item in said:
            self.logs.bring(cast.read(item), cast.START)
        self.order = pressed
        self.logs.bring(pressed, start_of(4))
        padded = (*lines, *[line("idle", 0)] * (treaty.limits.line_count - len(lines)))
        books = cast.read(author.use(PERIOD, inventory.digest, lines if opaque is None else padded))
        self.logs.bring(books if opaque is None else _without_workload(books, opaque), end_of(PERIOD))

    @property
    def accused(self) -> bool:
        """Whether brake-breach found anything."""
        return "brake-breach" in {item.rule for item in self.logs.found()}

    @property
    def unverifiable(self) -> int:
        """How many figures some rule needed and nobody stated openly."""
        return self.logs.verdict().levels[0].figures["unverifiable"]

    def report(self) -> OrderReport:
        """Return the report of the order, at the end of the period."""
        made = report(self.logs.document, self.logs.parts, self.order.digest, (), end_of(PERIOD))
        assert made is not None
        return made


def _without_workload(books: Statement, place: int) -> Statement:
    value = parse_object(encode_statement(books.predicate))
    predicate = value["predicate"]
    assert isinstance(predicate, dict)
    sealed: JsonObject = {**cast.json_lines(predicate["lines"])[place], "workload": {"sealed": "ab" * 32}}
    lines = [sealed if n == place else item for n, item in enumerate(cast.json_lines(predicate["lines"]))]
    return parse_statement(canonical({**value, "predicate": {**predicate, "lines": [*lines]}}))


LINES = (line("training", 6_000), line("idle", FULL - 6_000))


@pytest.mark.parametrize("kind", ["pause", "slow"])
def test_books_whose_lines_are_sealed_are_counted_and_accuse_nobody(kind: str) -> None:
    assert Braked(order(kind), *LINES).accused, "the same books, open"
    found = Braked(order(kind), *LINES, seal=SEALED_LINES)
    assert not found.accused
    others = Braked(order(kind, exercise=True), *LINES, seal=SEALED_LINES).unverifiable
    assert found.unverifiable - others == found.logs.document.limits.line_count


def test_a_line_without_chip_time_whose_flop_are_sealed_is_counted_under_a_pause() -> None:
    lines = (line("training", 0, flop_model="5"), line("idle", FULL))
    assert Braked(order("pause"), *lines).accused
    found = Braked(order("pause"), *lines, seal=SEALED_FLOP)
    assert not found.accused
    assert found.unverifiable - Braked(order("slow"), *lines, seal=SEALED_FLOP).unverifiable == 1


def test_what_can_be_read_still_breaks_a_pause() -> None:
    assert Braked(order("pause"), line("training", 6_000, flop_model="5"), LINES[1], seal=SEALED_FLOP).accused
    assert Braked(order("pause"), *LINES, opaque=1).accused


def test_a_ceiling_is_not_held_against_chip_time_of_which_some_is_sealed() -> None:
    """The open line is above a quarter of what can be read, and at a quarter of all: to accuse would be false."""
    lines = (line("training", FULL // 4), line("idle", FULL - FULL // 4))
    assert not Braked(order("slow"), *lines).accused
    found = Braked(order("slow"), *lines, opaque=1)
    assert not found.accused
    assert found.unverifiable > 0


@pytest.mark.parametrize("kind", ["pause", "slow"])
def test_the_report_of_the_order_leaves_open_what_it_cannot_see(kind: str) -> None:
    idle = line("idle", FULL)
    (site,) = Braked(order(kind), idle).report().sites
    assert (site.kept, [item.sealed for item in site.periods]) == (Kept.KEPT, [0])
    (site,) = Braked(order(kind), idle, seal=SEALED_LINES).report().sites
    assert (site.kept, site.kept_until) == (Kept.OPEN, None)
    assert [item.sealed for item in site.periods] == [document().limits.line_count]


def test_what_leaks_is_not_reckoned_from_a_share_of_what_can_be_read() -> None:
    (site,) = Braked(order("slow"), line("training", FULL // 4, flop_model="9"), LINES[1], opaque=1).report().sites
    assert site.leaked.at_least == 0


@pytest.mark.parametrize(
    ("lines", "seal", "expected"),
    [
        (LINES, SEALED_LINES, {"line-sealed": 8}),
        ((line("training", 0, flop_model="5"), line("idle", FULL)), SEALED_FLOP, {"flop-sealed": 1}),
        (LINES, SEALED_FLOP, {}),
    ],
)
def test_what_is_kept_from_view_of_the_brake_is_counted_by_its_reason(
    lines: Sequence[UsageLine], seal: Sequence[str], expected: dict[str, int]
) -> None:
    braked = Braked(order("pause"), *lines, seal=seal)
    treaty = braked.logs.document
    under = seen.Logs(treaty, braked.logs.parts)
    counted = {Unverifiable("brake-breach", cast.SITE, why): number for why, number in expected.items()}
    assert sealed_from_breaches(under, Reign(treaty, 0, None)) == counted
    assert sealed_from_breaches(under, Reign(treaty, PERIOD, PERIOD + 1)) == counted
    assert not sealed_from_breaches(under, Reign(treaty, PERIOD + 1, None))
    assert not sealed_from_breaches(under, Reign(treaty, 0, PERIOD))
