"""Batches: in-batch parents, known digests, bounds before parsing."""

from __future__ import annotations

import random

import pytest
from brakeline.ledger.entry import MAX_ENTRY, Kind, RawSignature, client_source
from brakeline.treaty.admission import NotYet, Refused
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.register import Register
from brakeline.verifier.intake import Held, Outcome, Submission, admit_batch

from tests.support import cast

LAB = cast.LABS[0]
NOW = cast.START + 1_000 * cast.PERIOD
SOURCE = client_source(LAB)


@pytest.fixture
def treaty() -> TreatyDocument:
    return cast.document()


def chain(treaty: TreatyDocument) -> list[Envelope]:
    lab, site = cast.Author(LAB, treaty), cast.Author(cast.SITE, treaty)
    held = site.hold()
    books = [site.use(p, held.digest, (cast.line("idle", cast.CHIPS * cast.PERIOD),)) for p in range(3)]
    return [lab.enrol(cast.SITE), held, *books]


def submit(register: Register, *envelopes: Envelope, first: int = 0, peer: bool = False) -> list[Outcome]:
    items = [Submission(item, SOURCE, peer) for item in envelopes]
    return admit_batch(register, items, first_index=first, now_ms=NOW)[0]


def codes(outcomes: list[Outcome]) -> list[str]:
    return [outcome.code if isinstance(outcome, NotYet | Refused) else "held" for outcome in outcomes]


def test_children_follow_their_parents_in_one_batch(treaty: TreatyDocument) -> None:
    envelopes = chain(treaty)
    register = Register(treaty)
    outcomes, accepted = admit_batch(
        register, [Submission(item, SOURCE) for item in envelopes], first_index=7, now_ms=NOW
    )
    assert outcomes == [Held(item.digest, 7 + i) for i, item in enumerate(envelopes)]
    assert [(item.index, item.kind) for item in accepted] == [(7 + i, Kind.STATEMENT) for i in range(5)]


def test_not_yet_alone_is_admitted_with_its_parent_in_whatever_order(treaty: TreatyDocument) -> None:
    enrolment, inventory, first, second, _ = chain(treaty)
    register = Register(treaty)
    assert codes(submit(register, inventory)) == ["key-unknown"]
    assert codes(submit(register, enrolment, first)) == ["held", "parent-unknown"]
    assert codes(submit(register, first, inventory, first=1)) == ["held", "held"]
    assert codes(submit(register, second, first=3)) == ["held"]


def test_a_known_digest_is_held_where_it_stands(treaty: TreatyDocument) -> None:
    envelopes = chain(treaty)
    register = Register(treaty)
    submit(register, *envelopes)
    again = submit(register, *envelopes, first=5)
    assert again == [Held(item.digest, i, known=True) for i, item in enumerate(envelopes)]


def test_one_digest_twice_in_a_batch_is_one_entry(treaty: TreatyDocument) -> None:
    enrolment = chain(treaty)[0]
    outcomes, accepted = admit_batch(Register(treaty), [Submission(enrolment, SOURCE)] * 2, first_index=0, now_ms=NOW)
    assert outcomes == [Held(enrolment.digest, 0), Held(enrolment.digest, 0, known=True)]
    assert len(accepted) == 1


def test_what_cannot_fit_an_entry_is_refused_whoever_brings_it(treaty: TreatyDocument) -> None:
    signature = RawSignature("0" * 64, bytes(64))
    many = tuple(signature._replace(keyid=f"{i:064x}") for i in range(60))
    large = Envelope(bytes(60 * 1024), many)
    assert len(large.to_body()) > MAX_ENTRY - 305
    assert codes(submit(Register(treaty), large)) == ["entry-too-large"]
    assert codes(submit(Register(treaty), large, peer=True)) == ["entry-too-large"]


def test_the_child_cap_holds_for_clients_and_not_for_what_stands_in_a_peers_log(treaty: TreatyDocument) -> None:
    enrolment, inventory, *_ = chain(treaty)
    register = Register(treaty)
    submit(register, enrolment, inventory)
    site = cast.Author(cast.SITE, treaty)
    site.sequence, site.previous = 1, inventory.digest
    lines = [(cast.line("idle", amount),) for amount in (1, 2, 3, 4)]
    versions = [site.use(0, inventory.digest, line, advance=False) for line in lines]
    assert codes(submit(register, *versions, first=2)) == ["held"] * 3 + ["child-cap"]
    assert codes(submit(register, versions[3], first=5, peer=True)) == ["held"]


def test_the_set_that_is_admitted_does_not_depend_on_the_order_of_batches(treaty: TreatyDocument) -> None:
    envelopes = chain(treaty)
    for seed in range(10):
        shuffled = random.Random(seed).sample(envelopes, len(envelopes))
        register = Register(treaty)
        admitted: set[str] = set()
        for _ in envelopes:
            for item in shuffled:
                outcomes = submit(register, item, first=len(admitted))
                admitted |= {o.digest for o in outcomes if isinstance(o, Held) and not o.known}
        assert admitted == {item.digest for item in envelopes}
