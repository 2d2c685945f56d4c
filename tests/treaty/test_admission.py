"""Admission: every outcome has its code; what is refused depends on bytes and treaty alone."""

from __future__ import annotations

import pytest
from brakeline.ledger.entry import RawSignature
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.admission import Admitted, Code, NotYet, Outcome, Refused, Register, admit, check_treaty_statement
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import Acknowledgement, Enrolment, Evidence, encode_statement
from brakeline.treaty.strictjson import canonical, parse_object
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast

TREATY = cast.document()
LATER = cast.START + 100 * cast.PERIOD


class World:
    """A register and the authors that speak into it."""

    def __init__(self) -> None:
        self.register = Register(TREATY)
        self.index = 0
        self.lab = cast.Author(cast.LABS[0], TREATY)
        self.site = cast.Author(cast.SITE, TREATY)

    def take(self, item: Envelope, *, now: int = LATER, from_peer: bool = False) -> Outcome:
        outcome = admit(self.register, item, now_ms=now, from_peer=from_peer)
        if isinstance(outcome, Admitted) and not outcome.known:
            self.register.record(outcome.statement, self.index)
            self.index += 1
        return outcome

    def enrolled(self) -> World:
        assert isinstance(self.take(self.lab.enrol(cast.SITE)), Admitted)
        self.inventory = self.site.hold()
        assert isinstance(self.take(self.inventory), Admitted)
        return self

    def books(self, period: int = 0, *, advance: bool = True, busy: int = 3000) -> Envelope:
        lines = (cast.line("training", busy), cast.line("idle", cast.CHIPS * cast.PERIOD - busy, workload="idle"))
        return self.site.use(period, self.inventory.digest, lines, advance=advance)


@pytest.fixture
def world() -> World:
    return World().enrolled()


def code(outcome: Outcome, kind: type[NotYet | Refused]) -> str:
    assert isinstance(outcome, kind), outcome
    return outcome.code


def test_books_are_admitted_and_known_the_second_time(world: World) -> None:
    books = world.books()
    first = world.take(books)
    again = world.take(books)
    assert isinstance(first, Admitted)
    assert isinstance(again, Admitted)
    assert not first.known
    assert (again.known, again.index) == (True, 2)


def test_books_that_show_a_breach_are_admitted(world: World) -> None:
    unbalanced = world.site.use(0, world.inventory.digest, (cast.line("training", 1),))
    assert isinstance(world.take(unbalanced), Admitted)


def test_a_second_version_is_admitted_and_both_are_heads(world: World) -> None:
    a = world.books(busy=3000, advance=False)
    b = world.books(busy=100, advance=False)
    assert isinstance(world.take(a), Admitted)
    assert isinstance(world.take(b), Admitted)
    assert world.register.heads(cast.SITE) == sorted([(1, a.digest), (1, b.digest)])


def test_the_child_cap_binds_clients_not_peers(world: World) -> None:
    versions = [world.books(busy=busy, advance=False) for busy in range(1, 6)]
    outcomes = [world.take(item) for item in versions]
    assert [type(item) for item in outcomes] == [Admitted] * 3 + [NotYet] * 2
    assert code(outcomes[3], NotYet) == Code.CHILD_CAP
    assert isinstance(world.take(versions[3], from_peer=True), Admitted)


def test_an_unknown_parent_waits(world: World) -> None:
    first, second = world.books(0), world.books(1)
    assert code(world.take(second), NotYet) == Code.PARENT_UNKNOWN
    assert isinstance(world.take(first), Admitted)
    assert isinstance(world.take(second), Admitted)


def test_a_site_without_enrolment_waits() -> None:
    world = World()
    hold = world.site.hold()
    assert code(world.take(hold), NotYet) == Code.KEY_UNKNOWN
    assert isinstance(world.take(world.lab.enrol(cast.SITE)), Admitted)
    assert isinstance(world.take(hold), Admitted)


def test_books_of_a_period_that_has_not_ended_wait(world: World) -> None:
    books = world.books(3)
    ends = cast.START + 4 * cast.PERIOD
    assert code(world.take(books, now=ends - 2_001), NotYet) == Code.FUTURE_DATED
    assert isinstance(world.take(books, now=ends - 2_000), Admitted)


def test_another_sites_author_is_never_admitted(world: World) -> None:
    other = cast.Author(cast.OTHER_SITE, TREATY)
    outcome = world.take(cast.envelope(other.hold().payload, cast.signer(cast.SITE)))
    assert code(outcome, NotYet) == Code.KEY_UNKNOWN


@pytest.mark.parametrize("name", [cast.PARTIES[0], cast.LABS[0], cast.METER])
def test_a_key_of_another_role_is_refused(world: World, name: str) -> None:
    outcome = world.take(cast.envelope(world.books().payload, cast.signer(name)))
    assert code(outcome, Refused) == Code.SIGNER_NOT_ALLOWED


def test_a_lab_cannot_keep_a_sites_books(world: World) -> None:
    value = parse_object(world.books().payload)
    predicate = value["predicate"]
    assert isinstance(predicate, dict)
    predicate["author"] = cast.LABS[0]
    outcome = world.take(cast.envelope(canonical(value), cast.signer(cast.LABS[0])))
    assert isinstance(outcome, Refused)
    assert outcome.code == "statement-schema"


def test_two_signatures_under_books_are_refused(world: World) -> None:
    outcome = world.take(cast.envelope(world.books().payload, cast.signer(cast.SITE), cast.signer(cast.METER)))
    assert code(outcome, Refused) == Code.SIGNER_NOT_ALLOWED


@given(st.data())
def test_any_flipped_bit_of_a_signed_payload_is_refused(data: st.DataObject) -> None:
    world = World().enrolled()
    books = world.books()
    payload = bytearray(books.payload)
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert code(world.take(Envelope(bytes(payload), books.signatures)), Refused) == Code.SIGNATURE_INVALID


def test_a_made_up_keyid_is_no_key(world: World) -> None:
    books = world.books()
    wrong = (RawSignature("0" * 64, books.signatures[0].sig),)
    assert code(world.take(Envelope(books.payload, wrong)), NotYet) == Code.KEY_UNKNOWN


def test_off_the_grid_is_refused(world: World) -> None:
    value = parse_object(world.books().payload)
    predicate = value["predicate"]
    assert isinstance(predicate, dict)
    predicate["start"] = cast.START + 1
    predicate["end"] = cast.START + 1 + cast.PERIOD
    outcome = world.take(cast.envelope(canonical(value), cast.signer(cast.SITE)))
    assert code(outcome, Refused) == Code.OFF_GRID


def test_too_many_lines_are_refused(world: World) -> None:
    lines = tuple(cast.line("other", 1, workload=f"w{i}") for i in range(9))
    assert code(world.take(world.site.use(0, world.inventory.digest, lines)), Refused) == Code.TOO_MANY_LINES


def test_a_chain_starts_at_zero_and_nowhere_else(world: World) -> None:
    author = cast.Author(cast.SITE, TREATY)
    author.sequence = 5
    assert code(world.take(author.hold()), Refused) == Code.CHAIN_MALFORMED
    author = cast.Author(cast.SITE, TREATY)
    author.previous = "1" * 64
    assert code(world.take(author.hold()), Refused) == Code.CHAIN_MALFORMED


def test_another_treaty_version_waits(world: World) -> None:
    other = cast.document(silence="stop")
    author = cast.Author(cast.SITE, other)
    assert code(world.take(author.hold()), NotYet) == Code.TREATY_UNKNOWN


def test_enrolments_bind_name_owner_and_possession() -> None:
    world = World()
    foreign = cast.Author(cast.LABS[0], TREATY).enrol(cast.OTHER_SITE)
    assert code(world.take(foreign), Refused) == Code.SIGNER_NOT_ALLOWED
    someone = cast.signer("nobody")
    unpossessed = cast.Author(cast.LABS[0], TREATY).enrol(cast.SITE, by=someone)
    assert code(world.take(unpossessed), Refused) == Code.SIGNER_NOT_ALLOWED
    reused = cast.vkey(cast.METER)
    named = type(reused)(cast.SITE, reused.type, reused.public_key)
    twice = cast.Author(cast.LABS[0], TREATY).enrol(cast.SITE, named, by=cast.signer(cast.METER))
    assert code(world.take(twice), Refused) == Code.KEY_REUSED


def test_a_small_order_key_cannot_be_enrolled() -> None:
    world = World()
    bad = type(cast.vkey(cast.SITE))(cast.SITE, 0xFF, bytes(32))
    item = cast.Author(cast.LABS[0], TREATY).enrol(cast.SITE, bad)
    assert code(world.take(item), Refused) == Code.KEY_UNREGISTRABLE


def test_orders_need_their_quorum_and_nobody_else(world: World) -> None:
    alone = cast.order(TREATY, cast.signer(cast.PARTIES[0]))
    assert code(world.take(alone), Refused) == Code.SIGNATURES_TOO_FEW
    forged = cast.order(TREATY, *(cast.signer(name, "log") for name in cast.VERIFIERS))
    assert code(world.take(forged), NotYet) == Code.KEY_UNKNOWN
    mixed = cast.order(TREATY, cast.signer(cast.PARTIES[0]), cast.signer(cast.METER))
    assert code(world.take(mixed), Refused) == Code.SIGNER_NOT_ALLOWED
    good = cast.order(TREATY)
    assert isinstance(world.take(good), Admitted)
    again = world.take(good)
    assert isinstance(again, Admitted)
    assert again.known


def test_an_order_must_expire_after_it_begins(world: World) -> None:
    assert code(world.take(cast.order(TREATY, effective=5, expiry=5)), Refused) == Code.ORDER_PERIODS


def test_evidence_is_for_meters(world: World) -> None:
    meter = cast.Author(cast.METER, TREATY)
    reading = Evidence.model_validate(
        {
            **meter.position(),
            "kind": "energy",
            "site": cast.SITE,
            "start": cast.START,
            "end": cast.START + cast.PERIOD,
            "joules": "7",
            "readings": cast.ZEROS,
        }
    )
    assert isinstance(world.take(meter.say(reading, advance=False)), Admitted)
    by_site = cast.envelope(encode_statement(reading), cast.signer(cast.SITE))
    outcome = world.take(by_site)
    assert isinstance(outcome, Refused)
    assert outcome.code == Code.SIGNER_NOT_ALLOWED


def test_acknowledgements_from_the_future_wait(world: World) -> None:
    value = {
        **world.site.position(),
        "order": cast.ZEROS,
        "seen_at": LATER,
        "stopped_at": LATER + 2_001,
        "workloads": (),
    }
    item = world.site.say(Acknowledgement.model_validate(value))
    assert code(world.take(item), NotYet) == Code.FUTURE_DATED
    assert isinstance(world.take(item, now=LATER + 1), Admitted)


def test_the_treaty_statement_is_checked_against_the_pin() -> None:
    signed = cast.treaty_envelope(TREATY)
    _, document = check_treaty_statement(signed, TREATY.digest)
    assert document == TREATY
    with pytest.raises(BrakelineError) as error:
        check_treaty_statement(signed, "0" * 64)
    assert error.value.code == Code.TREATY_NOT_PINNED


def test_a_treaty_lacking_any_named_keys_signature_is_refused() -> None:
    signed = cast.treaty_envelope(TREATY)
    for i in range(len(signed.signatures)):
        fewer = Envelope(signed.payload, signed.signatures[:i] + signed.signatures[i + 1 :])
        with pytest.raises(BrakelineError) as error:
            check_treaty_statement(fewer, TREATY.digest)
        assert error.value.code == Code.SIGNATURES_TOO_FEW


def test_a_log_takes_its_own_treaty_again_and_no_other() -> None:
    world = World()
    assert isinstance(world.take(cast.treaty_envelope(TREATY)), Admitted)
    assert isinstance(world.take(cast.treaty_envelope(TREATY)), Admitted)
    other = cast.document(silence="stop")
    assert code(world.take(cast.treaty_envelope(other)), Refused) == Code.TREATY_NOT_PINNED


def test_as_many_lines_as_the_treaty_allows_and_not_one_more(world: World) -> None:
    most = TREATY.limits.line_count
    for lines, expected in ((most, None), (most + 1, Code.TOO_MANY_LINES)):
        rows = tuple(cast.line("idle", 1, workload=f"w{number}") for number in range(lines))
        outcome = world.take(world.site.use(0, world.inventory.digest, rows, advance=False))
        assert (outcome.code if isinstance(outcome, Refused) else None) == expected


@pytest.mark.parametrize(("early", "admitted"), [(2_000, True), (2_001, False)])
def test_a_clock_may_be_behind_by_the_skew_and_not_a_millisecond_more(world: World, early: int, admitted: bool) -> None:
    end = cast.START + cast.PERIOD
    assert isinstance(world.take(world.books(), now=end - early), Admitted) is admitted
    meter = cast.Author(cast.METER, TREATY)
    outcome = world.take(meter.measure(cast.SITE, 0, 7), now=end - early)
    assert isinstance(outcome, Admitted) is admitted
    if not admitted:
        assert code(outcome, NotYet) == Code.FUTURE_DATED


def test_an_end_is_signed_by_the_root_key_alone() -> None:
    world = World()
    for signers, expected in ((("lab",), None), (("lab", "site"), Code.SIGNER_NOT_ALLOWED)):
        honours = {"sequence": 0, "digest": cast.ZEROS}
        members = {**world.lab.position(), "site": cast.SITE, "action": "end", "key": str(cast.vkey(cast.SITE))}
        said = Enrolment.model_validate({**members, "honours": honours, "effective_period": 0})
        more = [cast.signer(cast.SITE)] if "site" in signers else []
        outcome = world.take(world.lab.say(said, *more, advance=False))
        assert (outcome.code if isinstance(outcome, Refused) else None) == expected


def test_signatures_are_verified_as_the_caller_says(world: World) -> None:
    asked: list[bytes] = []

    def refuse(key: bytes, _message: bytes, _signature: bytes) -> bool:
        asked.append(key)
        return False

    for item in (world.books(), cast.order(TREATY), cast.treaty_envelope(TREATY)):
        assert code(admit(world.register, item, now_ms=LATER, verify=refuse), Refused) == Code.SIGNATURE_INVALID
    assert asked[0] == cast.signer(cast.SITE).public_key
