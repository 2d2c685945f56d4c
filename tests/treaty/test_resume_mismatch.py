"""Resume-mismatch: what sites say of frozen and resumed weights, held together; and what it must not accuse."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import pytest
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.findings import Finding
from brakeline.treaty.sentences import sentence
from brakeline.treaty.statements import Order, StoppedWorkload, encode_statement
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast
from tests.support.cast import Author, line
from tests.support.judging import books, digest, judge_of, standing

DOC = cast.document()
FROZEN, OTHER, THIRD = (digest(name) for name in ("frozen weights", "other weights", "third weights"))


def order(kind: str = "pause", *, lifts: Sequence[str] = (), effective: int = 5, expiry: int = 50) -> Envelope:
    predicate = cast.read(cast.order(DOC, kind=kind, effective=effective, expiry=expiry)).predicate
    assert isinstance(predicate, Order)
    return cast.envelope(
        encode_statement(predicate.model_copy(update={"lifts": tuple(lifts)})),
        *(cast.signer(name) for name in cast.PARTIES),
    )


class Stop(NamedTuple):
    """One program of a workload in an acknowledgement."""

    freeze: str | None = None
    resumed: str | None = None
    workload: str = "job"
    step: int = 100


class Lab:
    """A site that speaks of orders."""

    def __init__(self) -> None:
        self.author = Author(cast.SITE, DOC)
        self.inventory = self.author.hold()
        self.said: list[Envelope] = [self.inventory]

    def acknowledge(self, order: Envelope, *stops: Stop) -> Envelope:
        works = tuple(
            StoppedWorkload(workload=stop.workload, step=stop.step, freeze=stop.freeze, resumed=stop.resumed)
            for stop in stops
        )
        self.said.append(self.author.acknowledge(order, *works))
        return self.said[-1]

    def train(self, period: int, workload: str = "job") -> None:
        self.said.append(books(self.author, self.inventory, period, line("training", 100, workload=workload)))


def found(statements: Sequence[Envelope]) -> list[Finding]:
    return [item for item in standing(statements) if item.rule == "resume-mismatch"]


def unverifiable(statements: Sequence[Envelope]) -> dict[str, int]:
    counted = judge_of(statements).unverifiable()
    return {key.why: number for key, number in counted.items() if key.rule == "resume-mismatch"}


PAUSE = order()
RESUME = order("resume", lifts=(PAUSE.digest,), effective=8)


def resumed_with(state: str | None, *, by: Envelope = RESUME, freeze: str | None = FROZEN) -> list[Envelope]:
    """Return what a site says that froze FROZEN, and goes on from *state*, stating *freeze* beside it."""
    lab = Lab()
    lab.acknowledge(PAUSE, Stop(FROZEN))
    lab.acknowledge(by, Stop(freeze, state))
    return [PAUSE, RESUME, *lab.said]


def test_going_on_from_the_frozen_weights_is_no_finding() -> None:
    assert found(resumed_with(FROZEN)) == []
    assert found(resumed_with(None)) == []


def test_going_on_from_other_weights_is_found() -> None:
    statements = resumed_with(OTHER)
    (finding,) = found(statements)
    assert (finding.about, finding.period) == (cast.SITE, None)
    assert finding.figures == {
        "act": "weights",
        "order": RESUME.digest,
        "workload": "job",
        "resumed": OTHER,
        "frozen": FROZEN,
        "commitments": "1",
    }
    assert set(finding.statements) == {RESUME.digest, statements[-1].digest, statements[-2].digest}
    assert OTHER[:16] in sentence(finding)
    assert FROZEN[:16] in sentence(finding)


def test_a_commitment_repeated_beside_the_resume_does_not_count_as_one() -> None:
    (finding,) = found(resumed_with(OTHER, freeze=OTHER))
    assert (finding.figures["act"], finding.figures["frozen"]) == ("weights", FROZEN)


def test_an_order_that_expires_is_resumed_from_what_it_froze() -> None:
    assert found(resumed_with(FROZEN, by=PAUSE)) == []
    (finding,) = found(resumed_with(OTHER, by=PAUSE))
    assert finding.figures["order"] == PAUSE.digest


def test_an_order_that_eases_a_pause_is_gone_on_under_from_what_the_pause_froze() -> None:
    pause = order()
    slow = cast.read(cast.order(DOC, effective=8)).predicate
    assert isinstance(slow, Order)
    changes = {"kind": "slow", "ceiling": {"numerator": 1, "denominator": 4}, "lifts": (pause.digest,)}
    easing = cast.envelope(
        encode_statement(Order.model_validate({**slow.model_dump(), **changes})),
        *(cast.signer(name) for name in cast.PARTIES),
    )
    for state, number in ((FROZEN, 0), (OTHER, 1)):
        lab = Lab()
        lab.acknowledge(pause, Stop(FROZEN))
        lab.acknowledge(easing, Stop(None, state))
        assert len(found([pause, easing, *lab.said])) == number


def test_an_older_checkpoint_of_an_earlier_pause_is_other_weights() -> None:
    second = order(effective=20)
    release = order("resume", lifts=(second.digest,), effective=25)
    lab = Lab()
    lab.acknowledge(PAUSE, Stop(FROZEN))
    lab.acknowledge(RESUME, Stop(FROZEN, FROZEN))
    lab.acknowledge(second, Stop(OTHER))
    lab.acknowledge(release, Stop(OTHER, FROZEN))
    (finding,) = found([PAUSE, RESUME, second, release, *lab.said])
    assert (finding.figures["order"], finding.figures["frozen"]) == (release.digest, OTHER)


def test_a_resume_may_lift_several_orders_that_stopped_the_same() -> None:
    other = order(effective=6)
    both = order("resume", lifts=(PAUSE.digest, other.digest), effective=8)
    lab = Lab()
    lab.acknowledge(PAUSE, Stop(FROZEN))
    lab.acknowledge(other, Stop(FROZEN))
    lab.acknowledge(both, Stop(FROZEN, FROZEN))
    assert found([PAUSE, other, both, *lab.said]) == []


def test_a_commitment_that_follows_later_is_filled_in_not_put_in() -> None:
    lab = Lab()
    lab.acknowledge(PAUSE, Stop(None), Stop(FROZEN))
    lab.acknowledge(PAUSE, Stop(OTHER), Stop(FROZEN))
    lab.acknowledge(RESUME, Stop(OTHER, OTHER), Stop(FROZEN, FROZEN))
    assert found([PAUSE, RESUME, *lab.said]) == []


@pytest.mark.parametrize("replacing", [(Stop(OTHER),), (Stop(FROZEN), Stop(OTHER)), (Stop(OTHER, step=999),)])
def test_a_commitment_put_in_afterwards_is_found(replacing: tuple[Stop, ...]) -> None:
    lab = Lab()
    lab.acknowledge(PAUSE, Stop(FROZEN))
    lab.acknowledge(PAUSE, *replacing)
    lab.acknowledge(RESUME, Stop(OTHER, OTHER))
    (finding,) = found([PAUSE, RESUME, *lab.said])
    assert finding.figures == {
        "act": "commitment",
        "order": PAUSE.digest,
        "workload": "job",
        "stopped": "1",
        "commitments": "2",
    }
    assert "job" in sentence(finding)


def test_a_commitment_after_the_resume_is_none_before_it() -> None:
    lab = Lab()
    lab.acknowledge(PAUSE, Stop(None))
    lab.acknowledge(RESUME, Stop(None, OTHER))
    lab.acknowledge(PAUSE, Stop(OTHER))
    statements = [PAUSE, RESUME, *lab.said]
    assert found(statements) == []
    assert unverifiable(statements) == {"freeze-absent": 1}


def test_workloads_are_told_apart() -> None:
    lab = Lab()
    lab.acknowledge(PAUSE, Stop(FROZEN, workload="a"), Stop(OTHER, workload="b"))
    lab.acknowledge(RESUME, Stop(None, OTHER, workload="a"), Stop(None, OTHER, workload="b"))
    assert [item.figures["workload"] for item in found([PAUSE, RESUME, *lab.said])] == ["a"]


def test_what_the_log_has_no_order_for_is_not_judged() -> None:
    assert found(resumed_with(OTHER)[2:]) == []


@pytest.mark.parametrize(("last", "silent"), [(8, False), (9, True)])
def test_training_that_goes_on_and_does_not_say_from_what_is_counted(last: int, silent: bool) -> None:
    lab = Lab()
    lab.acknowledge(PAUSE, Stop(FROZEN))
    lab.acknowledge(RESUME)
    lab.train(last)
    statements = [PAUSE, RESUME, *lab.said]
    assert unverifiable(statements) == ({"resumed-absent": 1} if silent else {})
    lab.acknowledge(RESUME, Stop(FROZEN, FROZEN))
    assert unverifiable([PAUSE, RESUME, *lab.said]) == {}


def test_a_release_freezes_nothing() -> None:
    lab = Lab()
    lab.acknowledge(RESUME, Stop(FROZEN))
    lab.acknowledge(RESUME, Stop(OTHER))
    lab.train(60)  # after the release has expired
    assert found([PAUSE, RESUME, *lab.said]) == []
    assert unverifiable([PAUSE, RESUME, *lab.said]) == {}


@pytest.mark.parametrize(
    ("activity", "chip_ms", "period", "silent"),
    [("training", 1, 51, 1), ("training", 1, 50, 0), ("training", 0, 51, 0), ("inference", 1, 51, 0)],
)
def test_an_order_that_expires_releases_after_its_last_period(
    activity: str, chip_ms: int, period: int, silent: int
) -> None:
    lab = Lab()
    lab.acknowledge(PAUSE, Stop(FROZEN))
    lab.said.append(books(lab.author, lab.inventory, period, line(activity, chip_ms)))
    lab.train(60, workload="another")
    assert unverifiable([PAUSE, *lab.said]).get("resumed-absent", 0) == silent


def test_a_line_that_is_no_training_hides_none_that_is() -> None:
    lab = Lab()
    lab.acknowledge(PAUSE, Stop(FROZEN))
    lines = (line("inference", 100, workload="serve"), line("training", 100))
    lab.said.append(books(lab.author, lab.inventory, 60, *lines))
    assert unverifiable([PAUSE, *lab.said]) == {"resumed-absent": 1}


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([None, FROZEN, OTHER, THIRD])), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_findings_and_counts_depend_on_the_set_alone(words: list[tuple[bool, str | None]], rng: Random) -> None:
    lab = Lab()
    for releasing, state in words:
        lab.acknowledge(RESUME if releasing else PAUSE, Stop(None, state) if releasing else Stop(state))
        lab.train(9 + len(lab.said))
    statements = [PAUSE, RESUME, *lab.said]
    shuffled = list(statements)
    rng.shuffle(shuffled)
    assert found(shuffled) == found(statements)
    assert unverifiable(shuffled) == unverifiable(statements)


@given(st.lists(st.sampled_from([FROZEN, OTHER, THIRD]), min_size=1, max_size=3, unique=True))
def test_an_honest_site_of_several_programs_is_never_accused(states: list[str]) -> None:
    lab = Lab()
    lab.acknowledge(PAUSE, *(Stop(None) for _ in states))
    lab.acknowledge(PAUSE, *(Stop(state) for state in states))
    lab.acknowledge(RESUME, *(Stop(state, state) for state in states))
    assert found([PAUSE, RESUME, *lab.said]) == []
