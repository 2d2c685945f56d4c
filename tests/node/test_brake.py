"""The brake believes signatures and nothing else: no process is touched for an order that does not count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from brakeline.node.brake import Brake, Seen
from brakeline.node.channel import Hello, Message, Pause, Resume, Sample, Stopped
from brakeline.node.site import Site
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import Acknowledgement, Activity, Order, encode_statement

from tests.node import house
from tests.support import cast

SESSION = "1" * 32


class Clock:
    """A clock that a test sets, in periods."""

    def __init__(self) -> None:
        self.now = cast.START

    def __call__(self) -> int:
        return self.now

    def to(self, period: int, ms: int = 100) -> None:
        self.now = cast.START + period * cast.PERIOD + ms


class Program:
    """A connected program that only writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Message] = []

    def send(self, message: Message) -> None:
        self.told.append(message)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def site(tmp_path: Path, clock: Clock) -> Iterator[Site]:
    made = house.make(tmp_path, cast.document(), trustme.CA(), clock=clock)
    yield made
    made.journal.close()


def training(site: Site, brake: Brake) -> Program:
    """Connect a program that trains."""
    program = Program()
    hello = Hello("hook", SESSION, "lm", Activity.TRAINING)
    site.journal.open_session(hello, cast.START)
    site.journal.add_samples(SESSION, [Sample(1, cast.START, 0, "lm", Activity.TRAINING)])
    brake.attach(program, hello)
    return program


def acknowledgements(site: Site) -> list[Acknowledgement]:
    return [s.predicate for s in house.statements(site) if isinstance(s.predicate, Acknowledgement)]


def edited(document: TreatyDocument, **changes: object) -> Envelope:
    """Return an order like the cast's with some members changed, signed by both parties."""
    predicate = cast.read(cast.order(document)).predicate
    assert isinstance(predicate, Order)
    return cast.envelope(
        encode_statement(predicate.model_copy(update=changes)), *(cast.signer(name) for name in cast.PARTIES)
    )


def test_an_order_pauses_from_its_effective_period_until_it_expires_and_is_acknowledged_once(
    site: Site, clock: Clock
) -> None:
    brake = Brake(site, clock)
    program = training(site, brake)
    order = cast.order(site.document, effective=5, expiry=7)
    assert brake.see(order, "v1") == Seen("order-not-yet", new=True)
    assert brake.see(order, "v2") == Seen("order-not-yet")
    brake.tick()
    assert program.told == [Resume()]
    clock.to(5)
    assert not brake.tick()  # nothing to acknowledge before the program has said where it stopped
    assert program.told[1:] == [Pause(order.digest)]
    brake.heard(program, Stopped(order.digest, 41, "f" * 64, clock.now + 20))
    clock.to(5, 500)
    assert brake.tick()
    assert not brake.tick()
    (made,) = acknowledgements(site)
    assert [(w.workload, w.step, w.freeze) for w in made.workloads] == [("lm", 41, "f" * 64)]
    assert made.stopped_at.value == cast.START + 5 * cast.PERIOD + 120
    clock.to(7)
    brake.tick()
    assert program.told[2:] == [Resume("f" * 64, 41)]  # and what it is to go on from


def test_a_node_that_was_restarted_still_knows_the_order(site: Site, clock: Clock) -> None:
    order = cast.order(site.document, effective=5, expiry=7)
    Brake(site, clock).see(order, "v1")
    clock.to(6)
    program = training(site, Brake(site, clock))
    assert program.told == [Pause(order.digest)]


def test_a_resume_lifts_the_order_it_names_and_is_acknowledged(site: Site, clock: Clock) -> None:
    brake = Brake(site, clock)
    program = training(site, brake)
    pause = cast.order(site.document, effective=5, expiry=50)
    lift = edited(site.document, kind="resume", effective_period=6, expiry_period=50, lifts=(pause.digest,))
    for envelope in (pause, lift):
        assert brake.see(envelope, "v1").new
    clock.to(5)
    brake.tick()
    clock.to(6)
    brake.tick()
    assert program.told == [Resume(), Pause(pause.digest), Resume()]
    assert [a.order for a in acknowledgements(site)] == [lift.digest]


@pytest.mark.parametrize(
    "changes",
    [
        {"exercise": True},
        {"scope": {"who": ("lab-2.party-b.example",), "activities": ("training",)}},
        {"scope": {"who": ("everyone",), "activities": ("inference",)}},
        {"effective_period": 1, "expiry_period": 2},
    ],
)
def test_an_order_that_does_not_bind_this_training_leaves_it_alone(
    site: Site, clock: Clock, changes: dict[str, object]
) -> None:
    brake = Brake(site, clock)
    program = training(site, brake)
    clock.to(5)
    order = cast.read(cast.order(site.document)).predicate
    assert isinstance(order, Order)
    members = {**order.model_dump(), **changes}
    signers = (cast.signer(name) for name in cast.PARTIES)
    assert brake.see(cast.envelope(encode_statement(Order.model_validate(members)), *signers), "v1").new
    brake.tick()
    assert program.told == [Resume()]
    assert len(acknowledgements(site)) == (
        1 if changes.get("exercise") or ("activities" in str(changes) and "everyone" in str(changes)) else 0
    )
