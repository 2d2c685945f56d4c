"""Amendments: who may make them, which periods a version governs, and that their time of arrival shows nowhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from brakeline.ledger.entry import Kind
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.vkey import TYPE_LOG, VKey
from brakeline.treaty.admission import Admitted, NotYet, Refused, admit, check_treaty_statement
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.findings import Finding
from brakeline.treaty.judge import LogJudge, spans
from brakeline.treaty.register import Register
from brakeline.treaty.replay import Facts, LogReplay
from brakeline.treaty.statements import Statement, encode_statement, parse_statement
from brakeline.treaty.strictjson import JsonObject, JsonValue
from brakeline.treaty.succession import Succession, check_chain
from brakeline.treaty.verdict import verdict
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import cast, judging, worlds
from tests.support.cast import Author, amended, amendment_envelope, line, signer, with_rule

V1 = cast.document(rule=with_rule(cast.document(), "wrong-version", "note"))
TIGHT = with_rule(V1, "muf", k_permille=0, h_flop="0")
V2 = amended(V1, 4, rule=TIGHT)
RIVAL = amended(V1, 3, silence="stop")
V3 = amended(V2, 6, settles=[RIVAL.digest])
NOW = cast.START + 1000 * cast.PERIOD


# Succession ----------------------------------------------------------------------------------------------------------


def test_a_version_governs_from_its_first_period_until_the_next_one_does() -> None:
    three = Succession(V1, [amended(V2, 6), V2])
    assert [three.at(period) for period in (-1, 0, 3)] == [V1] * 3
    assert [three.at(period) for period in (4, 5)] == [V2] * 2
    assert three.newest.version == 3
    assert three.at(6) is three.newest
    assert three.unsettled_from is None
    assert three.rivals == ()


def test_rivals_leave_their_periods_to_nobody_until_a_version_settles_them() -> None:
    contended = Succession(V1, [V2, RIVAL])
    assert contended.at(2) is V1
    assert contended.at(3) is None
    assert contended.at(9) is None
    assert contended.rivals == tuple(sorted((V2.digest, RIVAL.digest)))
    assert contended.unsettled_from == 3
    assert contended.last(9) is V1
    settled = Succession(V1, [V2, RIVAL, V3])
    assert [settled.at(period) for period in (3, 4, 6)] == [V1, V2, V3]
    assert settled.rivals == ()


def test_two_versions_that_settle_each_other_settle_nothing() -> None:
    other = amended(RIVAL, 6, settles=[V2.digest])
    assert Succession(V1, [V2, RIVAL, V3, other]).at(6) is None


def test_a_third_rival_that_nobody_settled_contends_still() -> None:
    third = amended(V1, 5, deadlines={**cast.json_lines([V1.to_json()["deadlines"]])[0], "skew_ms": 900})
    assert Succession(V1, [V2, RIVAL, V3, third]).at(6) is None
    later = amended(V3, 8, settles=[third.digest])
    assert Succession(V1, [V2, RIVAL, V3, third, later]).at(8) is later


@given(st.permutations([V2, RIVAL, V3, amended(V3, 9), amended(RIVAL, 7)]), st.integers(0, 5))
def test_succession_depends_on_the_set_alone(versions: list[TreatyDocument], known: int) -> None:
    one = Succession(V1, versions[:known])
    other = Succession(V1, sorted(versions[:known], key=lambda item: item.digest))
    assert one.reigns == other.reigns
    assert one.rivals == other.rivals


def test_a_chain_that_is_not_one_is_told() -> None:
    assert check_chain([V3, V1, V2]) == (V1, V2, V3)
    with pytest.raises(ValueError, match="version 3 does not follow"):
        check_chain([V1, V3])


# Admission -----------------------------------------------------------------------------------------------------------


def _register(*versions: TreatyDocument) -> Register:
    register = Register(V1)
    for index, version in enumerate(versions):
        outcome = admit(register, amendment_envelope(version), now_ms=NOW)
        assert isinstance(outcome, Admitted), outcome
        register.record(outcome.statement, index)
    return register


def _code(register: Register, envelope: Envelope) -> str:
    outcome = admit(register, envelope, now_ms=NOW)
    return "admitted" if isinstance(outcome, Admitted) else str(outcome.code)


PARTY_KEYS = tuple(signer(name) for name in cast.PARTIES)


def _new_lab(document: TreatyDocument) -> JsonValue:
    labs = cast.json_lines(document.to_json()["lab"])
    name = "lab-9.party-a.example"
    return [*labs, {**labs[0], "name": name, "root_key": str(cast.vkey(name))}]


def _replaced_party(document: TreatyDocument) -> JsonValue:
    first, second = cast.json_lines(document.to_json()["party"])
    return [first, {**second, "key": str(cast.vkey(cast.PARTIES[1], "second"))}]


MUTATED: dict[str, tuple[Envelope, str]] = {
    "both quorums": (amendment_envelope(V2), "admitted"),
    "one party": (amendment_envelope(V2, PARTY_KEYS[0]), "signatures-too-few"),
    "a lab instead of a party": (amendment_envelope(V2, PARTY_KEYS[0], signer(cast.LABS[0])), "signatures-too-few"),
    "a stranger besides": (amendment_envelope(V2, *PARTY_KEYS, signer("stranger.example")), "signer-not-allowed"),
    "a lab besides": (amendment_envelope(V2, *PARTY_KEYS, signer(cast.LABS[0])), "admitted"),
    "a new lab that did not sign": (
        amendment_envelope(amended(V1, 4, lab=_new_lab(V1))),
        "signatures-too-few",
    ),
    "a new lab that signed": (
        amendment_envelope(amended(V1, 4, lab=_new_lab(V1)), *PARTY_KEYS, signer("lab-9.party-a.example")),
        "admitted",
    ),
    "a party's new key, which did not sign": (
        amendment_envelope(amended(V1, 4, party=_replaced_party(V1))),
        "signatures-too-few",
    ),
    "a party's new key beside the old": (
        amendment_envelope(amended(V1, 4, party=_replaced_party(V1)), *PARTY_KEYS, signer(cast.PARTIES[1], "second")),
        "admitted",
    ),
    "a party's new key instead of the old": (
        amendment_envelope(amended(V1, 4, party=_replaced_party(V1)), PARTY_KEYS[0], signer(cast.PARTIES[1], "second")),
        "signatures-too-few",
    ),
    "from before its predecessor": (amendment_envelope(amended(amended(V1, 9), 8)), "treaty-unknown"),
    "of a version unknown here": (amendment_envelope(amended(V2, 6)), "treaty-unknown"),
    "another treaty's name": (amendment_envelope(amended(V1, 4, name="other.treaty.example")), "treaty-succession"),
    "another grid": (
        amendment_envelope(amended(V1, 4, grid={"start": cast.START, "period_ms": 5_000})),
        "treaty-succession",
    ),
    "a version skipped": (amendment_envelope(amended(V1, 4, version=3)), "treaty-succession"),
}


@pytest.mark.parametrize("case", MUTATED)
def test_an_amendment_is_signed_by_the_quorum_before_it_and_by_its_own(case: str) -> None:
    envelope, code = MUTATED[case]
    assert _code(_register(), envelope) == code


def test_a_signature_that_does_not_verify_refuses_an_amendment() -> None:
    good = amendment_envelope(V2)
    other = amendment_envelope(amended(V1, 5))
    forged = Envelope(good.payload, (good.signatures[0], other.signatures[1]))
    assert _code(_register(), forged) == "signature-invalid"


def test_a_versions_log_and_witness_keys_stay() -> None:
    first, *others = cast.json_lines(V1.to_json()["verifier"])
    fresh = VKey(cast.VERIFIERS[0], TYPE_LOG, signer(cast.VERIFIERS[0], "other").public_key)
    moved = amended(V1, 4, verifier=[{**first, "url": "http://127.0.0.1:9"}, *others])
    assert _code(_register(), amendment_envelope(moved)) == "admitted"
    rekeyed = amended(V1, 4, verifier=[{**first, "log_key": str(fresh)}, *others])
    assert _code(_register(), amendment_envelope(rekeyed)) == "treaty-succession"


def test_a_log_that_was_left_out_comes_back_with_its_keys_or_not_at_all() -> None:
    left = _without_the_first(V1)
    back = amended(left, 5, verifier=V1.to_json()["verifier"])
    rekeyed = _without_the_first(left, cast.VERIFIERS[0], 5)
    register = Register(V1)
    outcome = admit(register, cast.joined_by(left, "verifier-9.example"), now_ms=NOW)
    assert isinstance(outcome, Admitted), outcome
    register.record(outcome.statement, 1)
    assert _code(register, cast.joined_by(back, cast.VERIFIERS[0])) == "admitted"
    assert _code(register, cast.joined_by(rekeyed, "verifier-9.example")) == "treaty-succession"


def _without_the_first(version: TreatyDocument, name: str = "verifier-9.example", effective: int = 4) -> TreatyDocument:
    """Return the version after *version* in which the keys of verifier-9 stand, under *name*, for its first log."""
    first, *others = cast.json_lines(version.to_json()["verifier"])
    keys = {
        f"{purpose}_key": str(replace(cast.vkey("verifier-9.example", purpose), name=shown))
        for purpose, shown in (("log", name), ("witness", f"{name}/witness"))
    }
    return amended(version, effective, verifier=[{**first, "name": name, **keys}, *others])


def test_a_version_must_come_after_its_predecessor() -> None:
    register = _register(V2)
    assert _code(register, amendment_envelope(amended(V2, 4))) == "treaty-succession"
    assert _code(register, amendment_envelope(amended(V2, 5))) == "admitted"


def test_rivals_are_admitted_because_they_are_evidence() -> None:
    assert _code(_register(V2), amendment_envelope(RIVAL)) == "admitted"


def test_an_amendment_known_already_is_known() -> None:
    outcome = admit(_register(V2), amendment_envelope(V2), now_ms=NOW)
    assert isinstance(outcome, Admitted)
    assert outcome.known
    assert outcome.index == 0


def test_what_names_an_unknown_version_is_not_yet_and_what_names_a_known_one_is_admitted() -> None:
    lab = Author(cast.LABS[0], V2)
    enrolment = lab.enrol(cast.SITE)
    outcome = admit(_register(), enrolment, now_ms=NOW)
    assert isinstance(outcome, NotYet)
    assert outcome.code == "treaty-unknown"
    assert _code(_register(V2), enrolment) == "admitted"
    assert _code(_register(V2), Author(cast.LABS[0], V1).enrol(cast.SITE)) == "admitted"


def test_a_key_signs_under_the_versions_that_name_it() -> None:
    joined = amended(V1, 4, lab=_new_lab(V1))
    register = Register(V1)
    register.record(parse_statement(encode_statement(joined)), 0)
    name = "lab-9.party-a.example"
    assert _code(register, Author(name, joined).enrol(f"{name}/site-1")) == "admitted"
    outcome = admit(register, Author(name, V1).enrol(f"{name}/site-1"), now_ms=NOW)
    assert isinstance(outcome, Refused)
    assert outcome.code == "signer-not-allowed"


def test_a_site_of_a_lab_that_left_signs_no_more_under_the_version_without_it() -> None:
    without = amended(V1, 4, lab=[*cast.json_lines(V1.to_json()["lab"])[:1]])
    register = Register(V1)
    register.record(parse_statement(encode_statement(without)), 0)
    enrolment = cast.read(Author(cast.LABS[1], V1).enrol(cast.OTHER_SITE))
    register.record(enrolment, 1)
    assert _code(register, Author(cast.OTHER_SITE, without).hold()) == "signer-not-allowed"
    assert _code(register, Author(cast.OTHER_SITE, V1).hold()) == "admitted"


def test_a_pin_may_be_that_of_an_amendment() -> None:
    assert check_treaty_statement(amendment_envelope(V2), V2.digest)[1] == V2
    with pytest.raises(BrakelineError, match="signatures-too-few"):
        check_treaty_statement(amendment_envelope(V2, PARTY_KEYS[0]), V2.digest)
    with pytest.raises(BrakelineError, match="treaty-not-pinned"):
        check_treaty_statement(amendment_envelope(V2), V1.digest)


def test_a_first_version_called_an_amendment_is_none() -> None:
    payload = encode_statement(V1).replace(b"/treaty/v1", b"/amendment/v1")
    with pytest.raises(BrakelineError, match="statement-schema"):
        parse_statement(payload)


@pytest.mark.parametrize("settles", [[V2.digest], ["f" * 64, "0" * 64], ["f" * 64, "f" * 64]])
def test_settles_names_others_once_each_in_order(settles: list[JsonValue]) -> None:
    with pytest.raises(BrakelineError, match="treaty-settles"):
        amended(V2, 6, settles=settles)


def test_version_one_settles_nothing() -> None:
    with pytest.raises(BrakelineError, match="treaty-settles"):
        cast.document(settles=["f" * 64])


# Judgement -----------------------------------------------------------------------------------------------------------


@dataclass
class Told:
    """A judge, and what it was told, so that it can read it again."""

    judge: LogJudge
    said: list[Statement]
    taken: int = 0

    def add(self, statement: Statement) -> None:
        version = isinstance(statement.predicate, TreatyDocument)
        if not version:
            self.said.append(statement)
        self.judge.add(self.taken, Kind.TREATY if version else Kind.STATEMENT, statement)
        self.taken += 1


def _told(first: TreatyDocument = V1) -> Told:
    said: list[Statement] = []
    return Told(LogJudge(first, past=lambda: list(said)), said)


def _judged(statements: list[Statement], beats: frozenset[int] = frozenset(), first: TreatyDocument = V1) -> LogJudge:
    told = _told(first)
    for index, statement in enumerate(statements):
        told.add(statement)
        if index in beats:
            told.judge.heartbeat()
    return told.judge


def _record() -> list[Statement]:
    """Two sites, eight periods: chip time lost in all of them, books out of balance, two versions of one period."""
    found: list[Envelope] = []
    pair: list[Envelope] = []
    for number, name in enumerate((cast.SITE, cast.OTHER_SITE)):
        author = Author(name, V1)
        inventory = author.hold()
        found.append(inventory)
        for period in range(8):
            lost = line("unattributed", 300, workload="lost", joules="0")
            job = line("training", 2_000, workload="job", joules="10", flop_model=str(10**15 * (number + 1)))
            books = judging.books(author, inventory, period, job, lost, rest=(period + number) % 4 != 1)
            found.append(books)
            if period == 5 and number:
                pair.append(judging.books(author, inventory, 6, lost, advance=False))
    return [cast.read(item) for item in (*found, *pair)]


RECORD = _record()
VERSIONS = [cast.read(amendment_envelope(version)) for version in (V2, RIVAL, V3)]


ALL = [*RECORD, *VERSIONS]


def test_each_period_is_judged_by_its_version() -> None:
    judge = _judged([*RECORD, VERSIONS[0]])
    lost = {(item.about, item.period) for item in judge.standing().values() if item.rule == "muf"}
    assert {period for _, period in lost} == {4}, "forgiven under version 1; from period 4 on nothing is"
    wrong = {item.period for item in judge.standing().values() if item.rule == "wrong-version"}
    assert wrong == {4, 5, 6, 7}, "all books name version 1"
    assert all(item.rule != "wrong-version" for item in _judged(RECORD).standing().values())


def test_while_rivals_contend_their_periods_are_not_judged() -> None:
    judge = _judged([*RECORD, *VERSIONS[:2]])
    assert {item.period for item in judge.standing().values()} - {None} <= {0, 1, 2}
    settled = _judged([*RECORD, *VERSIONS])
    assert {item.period for item in settled.standing().values()} >= {4, 5, 6, 7}


@settings(deadline=None, max_examples=40)
@given(st.permutations(range(len(ALL))), st.frozensets(st.integers(0, len(RECORD) + 2), max_size=4))
def test_the_order_in_which_versions_and_statements_come_shows_nowhere(order: list[int], beats: frozenset[int]) -> None:
    statements = [ALL[place] for place in order]
    judge = _judged(statements, beats)
    assert judge.standing() == REFERENCE.standing()
    assert judge.passed() == REFERENCE.passed()
    assert judge.unverifiable() == REFERENCE.unverifiable()


@settings(deadline=None, max_examples=40)
@given(st.permutations(range(len(ALL))), st.frozensets(st.integers(0, len(RECORD) + 2), max_size=6))
def test_what_a_log_says_after_each_heartbeat_adds_up_to_what_stands(order: list[int], beats: frozenset[int]) -> None:
    statements = [ALL[place] for place in order]
    told = _told()
    logged: dict[str, bytes] = {}
    for index, statement in enumerate(statements):
        told.add(statement)
        if index in beats or index == len(statements) - 1:
            _apply(logged, told.judge.heartbeat())
            assert sorted(logged) == sorted(told.judge.standing())
            assert told.judge.heartbeat() == []


def _apply(logged: dict[str, bytes], bodies: list[bytes]) -> None:
    from brakeline.treaty.findings import parse_finding

    for body in bodies:
        item = parse_finding(body)
        if isinstance(item, Finding):
            assert item.digest not in logged
            logged[item.digest] = body
        else:
            del logged[item.withdrawn]


REFERENCE = _judged([*VERSIONS, *RECORD])


def test_a_judge_without_a_past_says_so_instead_of_judging_by_half() -> None:
    judge = LogJudge(V1)
    judge.add(1, Kind.STATEMENT, RECORD[0])
    judge.add(2, Kind.TREATY, VERSIONS[0])
    with pytest.raises(ValueError, match="not told where"):
        judge.heartbeat()


def test_a_past_that_is_not_what_was_taken_is_told() -> None:
    judge = LogJudge(V1, past=lambda: RECORD[:1])
    for index, statement in enumerate(RECORD[:3]):
        judge.add(index, Kind.STATEMENT, statement)
    judge.add(3, Kind.TREATY, VERSIONS[0])
    with pytest.raises(ValueError, match="1 statements, and 3"):
        judge.standing()


def test_versions_at_the_beginning_of_a_log_need_no_past() -> None:
    judge = LogJudge(V1)
    judge.add(0, Kind.TREATY, VERSIONS[0])
    judge.add(1, Kind.STATEMENT, RECORD[0])
    assert judge.heartbeat() == []


def test_a_sum_goes_on_where_nothing_of_its_arithmetic_changed() -> None:
    """Only the severity of the rule changes: S is carried over, and what it says is said in the new words."""
    lost = [item for item in RECORD if item.name == "inventory" or item.name == "usage"]
    rules = with_rule(V1, "muf", "referral", k_permille=0, h_flop="2500000000")
    strict = amended(V1, 1, rule=rules)
    words = amended(strict, 3, rule=with_rule(strict, "muf", "note", k_permille=0, h_flop="2500000000"))
    versions = [cast.read(amendment_envelope(item)) for item in (strict, words)]
    carried = {
        item.period: item.severity for item in _judged([*lost, *versions]).standing().values() if item.rule == "muf"
    }
    again = {item.period for item in _judged([*lost, versions[0]]).standing().values() if item.rule == "muf"}
    assert set(carried) == again, "the same periods, whether or not the words changed in between"
    assert spans([V1, strict, words], [0, 1, 3])[2]["muf"] == 1
    assert spans([V1, strict, words], [0, 1, 3])[2]["imbalance"] == 0


def test_a_run_that_passed_a_lowered_line_before_is_found_when_it_goes_on() -> None:
    """Not for what was allowed when it was done: in the first period of the version in which it computes."""
    lines = cast.json_lines(V1.to_json()["threshold"])
    high = cast.document(threshold=[{**item, "flop": str(10**20)} for item in lines])
    low = amended(high, 4, threshold=[{**item, "flop": str(2 * 10**15)} for item in lines])
    version = cast.read(amendment_envelope(low))

    def passed(statements: list[Statement]) -> set[tuple[str, int | None]]:
        standing = _judged(statements, first=high).standing().values()
        return {(item.about, item.period) for item in standing if item.rule == "threshold"}

    assert passed(RECORD) == set()
    assert passed([*RECORD, version]) == {(lab, 4) for lab in cast.LABS}
    assert passed([version, *(item for item in RECORD if _period(item) < 4)]) == set(), "and not where it stopped"


def _period(statement: Statement) -> int:
    value: JsonObject = cast.json_lines([statement.predicate.model_dump(mode="json")])[0]
    start = value.get("start", cast.START)
    assert isinstance(start, int)
    return (start - cast.START) // cast.PERIOD


def test_what_has_no_period_is_judged_by_the_version_of_the_newest_period() -> None:
    worse = amended(V1, 4, rule=with_rule(V1, "equivocation", "note"))
    early = [item for item in RECORD if _period(item) < 4]
    twice = cast.read(judging.books(Author(cast.SITE, V1), cast.envelope(b"", signer("x")), 0, line("idle", 8_000)))
    said = [*early, twice, cast.read(amendment_envelope(worse))]
    severities = [
        {item.severity for item in _judged(list(part)).standing().values() if item.rule == "equivocation"}
        for part in (said, [*said, *RECORD])
    ]
    assert severities == [{"referral"}, {"note"}]


# Whole logs ----------------------------------------------------------------------------------------------------------


def _world(arrives: int, *, to: tuple[int, ...] = (0, 1, 2, 3)) -> worlds.World:
    """Two sites over eight periods; version 2 comes when period *arrives* is over, into the logs *to* first."""
    world = worlds.World(V1)
    world.beat()
    sites = [worlds.Site(world, cast.SITE), worlds.Site(world, cast.OTHER_SITE)]
    for period in range(8):
        world.until(cast.START + (period + 1) * cast.PERIOD + worlds.BEAT)
        if period == arrives:
            world.publish(amendment_envelope(V2), to=to)
        for site in sites:
            if period == 6 and arrives < 6:
                site.author.treaty = V2
            if period == 6:
                world.beat(3)
            site.report(period, missing=500 if period % 4 == 1 else 0)
    world.beat(4)
    return world


def _replayed(log: worlds.WorldLog) -> Facts:
    machine = LogReplay(V1, log.name, log.root, entries=lambda: log.entries)
    for entry in log.entries:
        machine.feed(entry)
    return machine.finish()


@pytest.mark.parametrize("arrives", [0, 2, 7])
def test_a_log_with_an_amendment_replays_wherever_it_came(arrives: int) -> None:
    world = _world(arrives, to=(0,))
    parts = [_replayed(log) for log in world.logs]
    assert len({tuple(facts.standing) for facts in parts}) == 1
    assert [facts.amendments for facts in parts] == [[V2]] * 4
    judged = verdict(V1, parts, as_of_ms=world.now_ms)
    wrong = {item.period for item in judged.findings if item.rule == "wrong-version"}
    assert wrong == ({4, 5} if arrives < 6 else {4, 5, 6, 7})
    assert {item.period for item in judged.findings if item.rule == "imbalance"} == {1, 5}
    assert not [gap for gap in judged.open if gap.code == "treaty-unsettled"]


def test_rivals_are_reported_and_nothing_of_their_periods_is() -> None:
    world = _world(2)
    world.publish(amendment_envelope(RIVAL), to=(1,))
    world.beat(4)
    parts = [_replayed(log) for log in world.logs]
    judged = verdict(V1, parts, as_of_ms=world.now_ms)
    assert "treaty-unsettled" in {gap.code for gap in judged.open}
    assert all(item.period is None or item.period < 3 for item in judged.findings)
    lagging = parts[:]
    lagging[0].amendments.remove(RIVAL)
    assert all(item.period is None or item.period < 3 for item in verdict(V1, lagging, as_of_ms=world.now_ms).findings)
