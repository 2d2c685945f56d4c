"""What a node believes: the parties' quorum under its pinned treaty. For anything else no process is touched, and a
code says why. A node that is cut off acts on what it knows, its expiry, and the treaty's clause on silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from brakeline.ledger.ed25519 import Signer
from brakeline.node.brake import Brake, Seen
from brakeline.node.channel import Hello, Message, Pause, Resume, Slow
from brakeline.node.silence import Silence
from brakeline.node.site import Site
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import Activity, Order, encode_statement
from brakeline.treaty.strictjson import JsonValue

from tests.node import house
from tests.node.test_brake import Clock, Program, edited
from tests.support import cast

PARTIES = [cast.signer(name) for name in cast.PARTIES]
OLD_KEY = cast.signer(cast.PARTIES[0], "a key that was replaced")
VERIFIERS = [cast.signer(name, purpose) for name in cast.VERIFIERS for purpose in ("log", "witness")]
STRANGER = cast.signer("nobody.example")
LAB = cast.signer(cast.LABS[0])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def site(tmp_path: Path, clock: Clock) -> Iterator[Site]:
    made = house.make(tmp_path, cast.document(), trustme.CA(), clock=clock)
    yield made
    made.journal.close()


def connect(site: Site, brake: Brake, session: str = "1" * 32, activity: Activity = Activity.TRAINING) -> Program:
    program = Program()
    hello = Hello("hook", session, "lm", activity)
    site.journal.open_session(hello, cast.START)
    brake.attach(program, hello)
    return program


def payload(document: TreatyDocument, **changes: object) -> bytes:
    predicate = cast.read(cast.order(document)).predicate
    assert isinstance(predicate, Order)
    return encode_statement(Order.model_validate({**predicate.model_dump(), **changes}))


def signed(*signers: Signer, **changes: object) -> Callable[[TreatyDocument], Envelope]:
    return lambda document: cast.envelope(payload(document, **changes), *signers)


def tampered(document: TreatyDocument) -> Envelope:
    good = cast.order(document)
    return Envelope(good.payload.replace(b"tests", b"tEsts"), good.signatures)


def of_another_treaty(document: TreatyDocument) -> Envelope:
    return cast.order(cast.document(version=2, previous=document.digest, effective_period=1))


SCOPE = {"who": ("everyone",), "activities": ("training",)}


@pytest.mark.parametrize(
    ("code", "forged"),
    [
        ("signatures-too-few", signed(PARTIES[0])),
        ("key-unknown", signed(OLD_KEY)),
        ("signer-not-allowed", signed(OLD_KEY, PARTIES[1])),
        ("key-unknown", signed(*VERIFIERS)),
        ("signer-not-allowed", signed(PARTIES[0], *VERIFIERS)),
        ("key-unknown", signed(STRANGER)),
        ("signer-not-allowed", signed(LAB)),
        ("signer-not-allowed", signed(*PARTIES, LAB)),
        ("signature-invalid", tampered),
        ("treaty-unknown", of_another_treaty),
        ("order-scope", signed(*PARTIES, scope={**SCOPE, "who": ("lab-9.party-z.example",)})),
        ("order-scope", signed(*PARTIES, scope={**SCOPE, "who": ("lab-9.party-a.example/site-1",)})),
        ("order-scope", signed(*PARTIES, scope={**SCOPE, "above": "no-such-line"})),
        ("order-periods", signed(*PARTIES, effective_period=6, expiry_period=6)),
        ("order-ceiling", signed(*PARTIES, kind="slow")),
    ],
)
def test_what_the_parties_did_not_order_touches_no_process_and_leaves_no_trace(
    site: Site, clock: Clock, code: str, forged: Callable[[TreatyDocument], Envelope]
) -> None:
    brake = Brake(site, clock)
    program = connect(site, brake)
    clock.to(5)
    assert brake.see(forged(site.document), "a verifier") == Seen(code)
    brake.tick()
    assert program.told == [Resume()]
    assert brake.orders() == {}
    assert site.journal.orders() == []
    assert Brake(site, clock).orders() == {}


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("order-expired", {"effective_period": 1, "expiry_period": 2}),
        ("order-not-yet", {"effective_period": 9}),
        ("order-exercise", {"exercise": True}),
        ("order-elsewhere", {"scope": {**SCOPE, "who": ("party-b.example",)}}),
        ("order-releases", {"kind": "resume", "lifts": ("d" * 64,)}),
    ],
)
def test_an_order_that_does_not_bind_now_touches_no_process(
    site: Site, clock: Clock, code: str, changes: dict[str, object]
) -> None:
    brake = Brake(site, clock)
    program = connect(site, brake)
    clock.to(5)
    assert brake.see(signed(*PARTIES, **changes)(site.document), "a verifier") == Seen(code, new=True)
    brake.tick()
    assert program.told == [Resume()]


def test_an_order_that_was_lifted_is_not_brought_back_by_showing_it_again(site: Site, clock: Clock) -> None:
    brake = Brake(site, clock)
    program = connect(site, brake)
    pause = cast.order(site.document, effective=5, expiry=50)
    lift = edited(site.document, kind="resume", effective_period=6, expiry_period=7, lifts=(pause.digest,))
    clock.to(5)
    assert brake.see(pause, "v1") == Seen("order-binds", new=True)
    brake.tick()
    assert brake.see(pause, "v2") == Seen("order-binds")
    clock.to(6)
    brake.see(lift, "v1")
    brake.tick()
    assert [type(message) for message in program.told] == [Resume, Pause, Resume]
    for replayer in (brake, Brake(site, clock)):  # also by a verifier that shows it to a node that was started again
        clock.to(9)
        assert replayer.see(pause, "v3") == Seen("order-lifted")
        again = connect(site, replayer)
        replayer.tick()
        assert again.told == [Resume()]


def test_a_key_that_the_treaty_replaced_orders_nothing_any_more(tmp_path: Path, clock: Clock) -> None:
    first = cast.document()
    new = cast.signer(cast.PARTIES[0], "a new key")
    parties = [{"name": name, "key": str(cast.vkey(name))} for name in cast.PARTIES]
    parties[0]["key"] = str(cast.vkey(cast.PARTIES[0], "a new key"))
    terms: dict[str, JsonValue] = {"party": [dict(party) for party in parties]}
    second = cast.document(version=2, previous=first.digest, effective_period=1, **terms)
    treaty = cast.envelope(encode_statement(second), *_all_keys(second, new))
    made = house.make(tmp_path, second, trustme.CA(), clock=clock, treaty=treaty)
    with made.journal:
        brake = Brake(made, clock)
        program = connect(made, brake)
        clock.to(5)
        old, current = PARTIES[0], [new, PARTIES[1]]
        assert brake.see(cast.order(second, old, PARTIES[1]), "v1") == Seen("signer-not-allowed")
        assert brake.see(cast.order(first, old, PARTIES[1]), "v1") == Seen("treaty-unknown")
        brake.tick()
        assert program.told == [Resume()]
        assert brake.see(cast.order(second, *current), "v1") == Seen("order-binds", new=True)
        brake.tick()
        assert [type(message) for message in program.told] == [Resume, Pause]


def _all_keys(document: TreatyDocument, first_party: Signer) -> list[Signer]:
    signers = [first_party, PARTIES[1], *(cast.signer(lab.name) for lab in document.labs)]
    signers += [cast.signer(third.name) for third in document.third_parties]
    return signers + [cast.signer(v.name, purpose) for v in document.verifiers for purpose in ("log", "witness")]


# -- cut off ---------------------------------------------------------------------------------------------------------


def test_a_node_that_is_cut_off_acts_on_the_last_order_it_knows_until_it_expires(site: Site, clock: Clock) -> None:
    brake = Brake(site, clock)
    program = connect(site, brake)
    order = cast.order(site.document, effective=5, expiry=9)
    brake.see(order, "the last that was heard")
    silence = Silence(site.document, site.journal, clock())
    told: list[list[type[Message]]] = []
    for period in (4, 5, 8, 9, 30):
        clock.to(period)
        brake.silence(silence.silent(clock()))
        brake.tick()
        told.append([type(message) for message in program.told])
    assert told == [[Resume], [Resume, Pause], [Resume, Pause], [Resume, Pause, Resume], [Resume, Pause, Resume]]


@pytest.mark.parametrize("clause", ["continue", "stop"])
def test_the_clause_on_silence_decides_when_too_few_verifiers_are_heard(
    tmp_path: Path, clock: Clock, clause: str
) -> None:
    document = cast.document(silence=clause)  # f = 1, notice 4 s: two verifiers must be heard within 4 s
    with house.make(tmp_path, document, trustme.CA(), clock=clock).journal as journal:
        site = Site(cast.SITE, document, journal, cast.signer(cast.SITE), clock)
        silence, brake = Silence(document, journal, clock()), Brake(site, clock)
        training, inference = connect(site, brake), connect(site, brake, "2" * 32, Activity.INFERENCE)

        def after(ms: int, *heard: int) -> Message:
            clock.now = cast.START + ms
            for number in heard:
                silence.hear(cast.VERIFIERS[number], clock())
            brake.silence(silence.silent(clock()))
            brake.tick()
            return training.told[-1]

        stopped: Message = Pause(document.digest) if clause == "stop" else Resume()
        assert after(4_000) == Resume()
        assert after(4_001) == stopped
        assert after(4_100, 0) == stopped  # one verifier may be the one that lies
        assert after(4_200, 2) == Resume()
        assert after(8_100, 0, 0, 0) == Resume()
        assert after(8_201) == stopped
        assert Silence(document, journal, clock()).silent(clock())  # a restart hides nothing
        assert inference.told == [Resume()]
        assert list(silence.due(clock())) == []
        silence.hear(cast.VERIFIERS[1], clock())
        assert list(silence.due(clock())) == ([clock() - 101 + 4_001] if clause == "stop" else [])


# -- ceilings --------------------------------------------------------------------------------------------------------


def slow(document: TreatyDocument, numerator: int, denominator: int, **changes: object) -> Envelope:
    ceiling = {"numerator": numerator, "denominator": denominator}
    return cast.envelope(payload(document, kind="slow", ceiling=ceiling, **changes), *PARTIES)


def last(program: Program) -> Message:
    return program.told[-1]


def test_a_ceiling_is_divided_among_the_programs_it_covers_and_granted_once_a_period(site: Site, clock: Clock) -> None:
    brake = Brake(site, clock)
    first, second = connect(site, brake), connect(site, brake, "2" * 32)
    other = connect(site, brake, "3" * 32, Activity.INFERENCE)
    order = slow(site.document, 1, 4)
    clock.to(5)
    brake.see(order, "v1")
    brake.tick()
    begin, whole = cast.START + 5 * cast.PERIOD, cast.CHIPS * cast.PERIOD // 4

    def grant(period: int, chip_ms: int) -> Slow:
        start = begin + (period - 5) * cast.PERIOD
        return Slow(order.digest, chip_ms, start, start + cast.PERIOD)

    assert last(first) == last(second) == grant(5, whole // 2)
    late = connect(site, brake, "4" * 32)  # all of this period is granted
    assert late.told == [grant(5, 0)]
    brake.detach(second)
    brake.tick()
    assert last(first) == grant(5, whole // 2)
    clock.to(6)
    brake.tick()
    assert last(first) == last(late) == grant(6, whole // 2)
    assert other.told == [Resume()]
    harder = cast.order(site.document, effective=6, expiry=8)
    brake.see(harder, "v1")
    brake.tick()
    assert last(first) == Pause(harder.digest)  # the most restrictive one decides
    clock.to(8)
    brake.tick()
    assert last(first) == grant(8, whole // 2)
    clock.to(50)
    brake.tick()
    assert last(first) == Resume()
