"""Corrections: superseded books count in no rule, whichever came first; nothing else changes."""

from __future__ import annotations

from brakeline.treaty.oversight import Correction
from brakeline.treaty.statements import Statement, UsageLine
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast
from tests.support.cast import Author, line
from tests.support.judging import FULL, judge_of, standing

TREATY = cast.document()


def correct(author: Author, corrects: str, period: int, replacement: str | None = None) -> Statement:
    said = Correction.model_validate(
        {**author.position(), "corrects": corrects, "period": period, "replacement": replacement, "reason": "tests"}
    )
    return cast.read(author.say(said))


ODD_LINES = {
    "balanced": (line("idle", FULL, joules="1"),),
    "left out": (line("idle", FULL - 5, joules="1"),),
    "impossible": (line("training", FULL, flop_model="1" + "0" * 14, joules="9"),),
    "working rest": (line("idle", FULL, joules="1", tokens="7"),),
    "lost": (line("unattributed", FULL, joules="1"),),
    "two methods": (line("training", FULL, flop_model="1", flop_hardware="1" + "0" * 12, joules="9"),),
    "busy work": (line("inference", FULL, flop_model="7" + "0" * 11, joules="790"),),
    "past the line": (line("training", FULL, flop_model="2" + "0" * 15, joules="9"),),
    "silent": (line("other", FULL),),
}
"""Books of a period, and what is odd about them."""


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Statement], set[str]]:
    """Books of a site, several versions of a period among them, and corrections of some; the digests corrected."""
    author, meter = Author(cast.SITE, TREATY), Author(cast.METER, TREATY)
    inventory = author.hold()
    said = [cast.read(inventory)]
    books: list[tuple[str, int]] = []
    for _ in range(draw(st.integers(1, 5))):
        period = draw(st.integers(0, 2))
        lines: tuple[UsageLine, ...] = ODD_LINES[draw(st.sampled_from(sorted(ODD_LINES)))]
        said.append(cast.read(author.use(period, inventory.digest, lines)))
        books.append((said[-1].digest, period))
    said += [cast.read(meter.measure(cast.SITE, period, draw(st.integers(0, 900)))) for period in range(2)]
    corrected = draw(st.sets(st.sampled_from(books)))
    said += [correct(author, digest_, period) for digest_, period in sorted(corrected)]
    return said, {item for item, _ in corrected}


@given(histories().flatmap(lambda made: st.tuples(st.just(made), st.permutations(made[0]))))
def test_superseded_books_are_as_if_never_said(made: tuple[tuple[list[Statement], set[str]], list[Statement]]) -> None:
    (said, corrected), shuffled = made
    found = standing(said)
    assert standing(shuffled) == found
    without = standing(item for item in said if item.digest not in corrected)
    kept = [item for item in found if item.figures.get("reason") != "withdrawn"]
    assert kept == [item for item in without if item.figures.get("reason") != "withdrawn"]


def test_a_period_whose_books_were_corrected_away_is_named_until_others_stand() -> None:
    author = Author(cast.SITE, TREATY)
    inventory = author.hold()
    books = author.use(3, inventory.digest, ODD_LINES["left out"])
    said = [inventory, books]
    correction = correct(author, books.digest, 3)
    (finding,) = standing([*map(cast.read, said), correction])
    assert (finding.rule, finding.period, finding.statements) == ("imbalance", 3, (books.digest,))
    assert finding.figures == {"reason": "withdrawn"}
    instead = author.use(3, inventory.digest, ODD_LINES["balanced"])
    assert standing([*map(cast.read, said), correction, cast.read(instead)]) == []


def test_nobody_corrects_the_books_of_another_site_or_of_another_period() -> None:
    author, other = Author(cast.SITE, TREATY), Author(cast.OTHER_SITE, TREATY)
    inventory = author.hold()
    books = author.use(3, inventory.digest, ODD_LINES["left out"])
    said = [cast.read(inventory), cast.read(books)]
    for correction in (correct(other, books.digest, 3), correct(author, books.digest, 2), correct(author, "0" * 64, 3)):
        assert [item.rule for item in standing([*said, correction])] == ["imbalance"]


def test_equivocation_stays_when_one_of_the_two_is_corrected() -> None:
    author = Author(cast.SITE, TREATY)
    inventory = author.hold()
    one = author.use(0, inventory.digest, (line("idle", FULL, joules="1"),), advance=False)
    two = author.use(0, inventory.digest, (line("idle", FULL, joules="2"),))
    said = [cast.read(item) for item in (inventory, one, two)]
    assert [item.rule for item in standing([*said, correct(author, one.digest, 0)])] == ["equivocation"]


def test_an_inventory_that_comes_late_does_not_bring_corrected_books_back() -> None:
    author = Author(cast.SITE, TREATY)
    inventory = author.hold()
    books = author.use(0, inventory.digest, ODD_LINES["left out"])
    replaced = author.use(0, inventory.digest, ODD_LINES["balanced"])
    judge = judge_of([books, correct(author, books.digest, 0), replaced, inventory], TREATY)
    assert judge.standing() == {}
