"""Sealed values: where they may stand, what opens them, and that no rule accuses because of one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.admission import Admitted, NotYet, Refused, admit
from brakeline.treaty.disclosure import Disclosure, commitments_of, open_payload, parse_disclosure
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.errors import StatementError
from brakeline.treaty.findings import Finding
from brakeline.treaty.register import Register
from brakeline.treaty.rules.board import Unverifiable
from brakeline.treaty.seal import sealed
from brakeline.treaty.sealing import PATTERNS, SEALABLE, Opened, pattern_of
from brakeline.treaty.statements import Statement, Usage, UsageLine, parse_statement
from brakeline.treaty.strictjson import JsonObject, JsonValue, canonical
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support import cast
from tests.support import sealing as support
from tests.support.cast import Author, line
from tests.support.judging import FULL, digest, judge_of
from tests.support.sealing import FIGURES, SealingAuthor

WORK = {"flop_model": "123456789", "joules": "77", "tokens": "5"}
PATTERN = tuple(f"/predicate/lines/*/{name}" for name in ("workload", "activity", "chip_ms/*/value"))


def books(fields: Sequence[str], *lines: UsageLine) -> tuple[SealingAuthor, list[Envelope]]:
    """Return a site that seals *fields*, its inventory, and its books of one period."""
    author = SealingAuthor(cast.SITE, support.document(fields))
    inventory = author.hold()
    return author, [inventory, author.use(0, inventory.digest, lines or (line("training", FULL, **WORK),))]


# what is sealed, and where ------------------------------------------------------------------------------------------


def test_a_sealed_figure_is_absent_from_the_predicate_and_known_to_be_stated() -> None:
    _, (_, said) = books(FIGURES)
    statement = parse_statement(said.payload)
    assert isinstance(statement.predicate, Usage)
    assert b"123456789" not in said.payload
    assert statement.predicate.lines[0].flop_model is None
    assert statement.sealed.figures == {0: frozenset({"flop_model", "joules", "tokens"})}
    assert not statement.sealed.opaque


def test_lines_whose_pattern_is_sealed_are_left_out_and_padded_to_the_treatys_line_count() -> None:
    author, (_, said) = books(PATTERNS, line("training", 10, code=digest("code")), line("idle", FULL - 10))
    statement = parse_statement(said.payload)
    assert isinstance(statement.predicate, Usage)
    assert statement.predicate.lines == ()
    assert statement.sealed.opaque == frozenset(range(author.treaty.limits.line_count))
    (_, opened) = author.opened([said, said])
    assert isinstance(opened.predicate, Usage)
    assert [item.workload for item in opened.predicate.lines] == ["job", "job", *["padding"] * 6]
    assert opened.predicate.lines[0].code == digest("code")


@pytest.mark.parametrize("pointer", [pattern for name in SEALABLE for pattern in SEALABLE[name]])
def test_every_pattern_names_itself(pointer: str) -> None:
    assert pattern_of(pointer.replace("*", "3")) == pointer


def edited(said: Envelope, pointer: str, leaf: JsonValue) -> bytes:
    """Return a payload with *leaf* at *pointer*."""
    value: JsonObject = json.loads(said.payload)
    *path, last = pointer.split("/")[1:]
    at: object = value
    for step in path:
        at = at[int(step)] if isinstance(at, list) else at[step]  # type: ignore[index]
    at[last] = leaf  # type: ignore[index]
    return canonical(value)


@pytest.mark.parametrize(
    ("pointer", "leaf", "code"),
    [
        ("/predicate/start", sealed("0" * 64), "statement-schema"),
        ("/predicate/lines/0/joules", {"sealed": "0" * 63}, "statement-schema"),
        ("/predicate/lines/0/joules", {"sealed": "A" * 64}, "statement-schema"),
        ("/predicate/lines/0/joules", {"sealed": "0" * 64, "x": 1}, "statement-schema"),
        ("/predicate/lines/0/chip_ms/0/class", sealed("0" * 64), "statement-schema"),
        ("/predicate/lines/0/code", sealed("0" * 64), "statement-sealed"),
        ("/predicate/table/root", sealed("0" * 64), "statement-schema"),
    ],
)
def test_a_commitment_stands_only_where_rules_can_read_it(pointer: str, leaf: JsonValue, code: str) -> None:
    _, (_, said) = books(FIGURES)
    with pytest.raises(BrakelineError) as caught:
        parse_statement(edited(said, pointer, leaf))
    assert caught.value.code == code


def admitted(treaty: TreatyDocument, *said: Envelope) -> list[Admitted | NotYet | Refused]:
    register = Register(treaty)
    lab = Author(cast.LABS[0], treaty)
    outcomes: list[Admitted | NotYet | Refused] = []
    for index, item in enumerate([lab.enrol(cast.SITE), *said], start=1):
        outcome = admit(register, item, now_ms=cast.START + 10 * cast.PERIOD)
        if isinstance(outcome, Admitted):
            register.record(outcome.statement, index)
        outcomes.append(outcome)
    return outcomes[1:]


def test_what_the_treaty_lets_a_site_seal_is_admitted_and_nothing_else() -> None:
    author, said = books(PATTERNS)
    assert all(isinstance(item, Admitted) for item in admitted(author.treaty, *said))
    strict = support.document(FIGURES[:1])
    reckless = SealingAuthor(cast.SITE, strict, FIGURES)
    inventory = reckless.hold()
    *_, outcome = admitted(strict, inventory, reckless.use(0, inventory.digest, (line("training", FULL, **WORK),)))
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.found) == ("sealed-field", "/predicate/lines/0/flop_model")


def test_opaque_lines_without_padding_are_refused() -> None:
    author, (inventory, said) = books(PATTERN)
    value: JsonObject = json.loads(said.payload)
    predicate = value["predicate"]
    assert isinstance(predicate, dict)
    lines = predicate["lines"]
    assert isinstance(lines, list)
    predicate["lines"] = lines[:-1]
    short = cast.envelope(canonical(value), author.key)
    *_, outcome = admitted(author.treaty, inventory, short)
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.expected, outcome.found) == ("lines-not-padded", "8", "7")


# what opens them ----------------------------------------------------------------------------------------------------


def test_a_disclosure_is_canonical_and_read_back() -> None:
    author, (_, said) = books(PATTERNS)
    disclosure = author.disclosures[said.digest]
    assert parse_disclosure(disclosure.encoded) == disclosure
    assert len(commitments_of(parse_statement(said.payload).sealed)) == 64


def test_an_opened_statement_keeps_its_digest_and_reads_as_if_it_had_never_been_sealed() -> None:
    author, (_, said) = books(FIGURES)
    opened = open_payload(said.payload, author.disclosures[said.digest])
    assert opened.digest == said.digest
    assert not opened.sealed
    assert isinstance(opened.predicate, Usage)
    assert opened.predicate.lines == (line("training", FULL, **WORK),)


places = st.sampled_from(["pointer", "author", "sequence", "statement", "value", "salt"])


@settings(deadline=None)
@given(places, st.integers(0, 2), st.integers(0, 2))
def test_a_seal_cannot_be_moved_to_another_field_statement_sequence_or_author(what: str, one: int, other: int) -> None:
    first, (_, said) = books(FIGURES)
    second = SealingAuthor(cast.OTHER_SITE, first.treaty)
    foreign = second.use(0, second.hold().digest, (line("training", FULL, **WORK),))
    later = first.use(1, said.digest, (line("training", FULL, **WORK),))
    honest = first.disclosures[said.digest]
    openings = list(honest.openings)
    moved = openings[one]
    value: JsonObject = json.loads(said.payload)
    if what == "pointer":  # another field of the same line is given this one's commitment, and its opening
        target = openings[other]
        payload = edited(said, target.pointer, sealed(_leaf(said, moved.pointer)))
        openings[other] = replace(moved, pointer=target.pointer)
        if one == other:
            payload = edited(said, target.pointer, sealed("0" * 64))
    elif what in ("author", "sequence", "statement"):  # another statement carries this one's commitments
        predicate = value["predicate"]
        assert isinstance(predicate, dict)
        source = {"author": foreign, "sequence": later, "statement": foreign}[what]
        copied: JsonObject = json.loads(source.payload)
        into = copied["predicate"]
        assert isinstance(into, dict)
        into["lines"] = predicate["lines"]
        payload = canonical(copied)
    else:
        openings[one] = replace(moved, value=f"{moved.value}0") if what == "value" else replace(moved, salt=bytes(32))
        payload = said.payload
    statement = parse_statement(payload)
    authored = statement.authored
    assert authored is not None
    forged = Disclosure(statement.digest, authored.author, authored.sequence, tuple(openings))
    with pytest.raises(StatementError) as caught:
        open_payload(payload, forged)
    assert caught.value.code == "disclosure-false"
    if what != "pointer":
        with pytest.raises(StatementError) as caught:
            open_payload(foreign.payload, honest)
        assert caught.value.code == "disclosure-other"


def _leaf(said: Envelope, pointer: str) -> str:
    return next(leaf.digest for leaf in parse_statement(said.payload).sealed.leaves if leaf.pointer == pointer)


@pytest.mark.parametrize("change", ["fewer", "more", "none"])
def test_half_a_disclosure_is_none(change: str) -> None:
    author, (_, said) = books(FIGURES)
    whole = author.disclosures[said.digest]
    extra = Opened("/predicate/lines/0/workload", bytes(32), "job")
    openings = {"fewer": whole.openings[1:], "more": (*whole.openings, extra), "none": ()}[change]
    with pytest.raises(StatementError) as caught:
        open_payload(said.payload, replace(whole, openings=openings))
    assert caught.value.code == "disclosure-incomplete"


@pytest.mark.parametrize("value", ["-1", "1.5", 7, {"sealed": "0" * 64}])
def test_what_no_rule_could_read_cannot_be_disclosed(value: JsonValue) -> None:
    author = SealingAuthor(cast.SITE, support.document(FIGURES))
    inventory = author.hold()
    good = author.use(0, inventory.digest, (line("training", FULL, joules="7"),), advance=False)
    from brakeline.treaty.seal import seal_digest

    pointer = "/predicate/lines/0/joules"
    bad = edited(good, pointer, sealed(seal_digest(bytes(32), cast.SITE, 1, pointer, value)))
    with pytest.raises(StatementError) as caught:
        open_payload(bad, Disclosure(parse_statement(bad).digest, cast.SITE, 1, (Opened(pointer, bytes(32), value),)))
    assert caught.value.code == "disclosure-unreadable"


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"author":"a","openings":{},"sequence":0,"statement":"x"}',
        b'{"author":"a","openings":[],"sequence":-1,"statement":"x"}',
        b'{"author":"a","openings":[{"pointer":"/a","salt":"00","value":1}],"sequence":0,"statement":"x"}',
        b'{"author":"a","openings":[7],"sequence":0,"statement":"x"}',
        b'{"author":"a","openings":[{"pointer":"/a","salt":"'
        + b"G" * 64
        + b'","value":1}],"sequence":0,"statement":"x"}',
        b'{"author":7,"openings":[],"sequence":0,"statement":"x"}',
    ],
)
def test_anything_else_is_no_disclosure(data: bytes) -> None:
    with pytest.raises(BrakelineError) as caught:
        parse_disclosure(data)
    assert caught.value.code == "disclosure-malformed"


def test_openings_stand_in_order() -> None:
    author, (_, said) = books(FIGURES)
    whole = author.disclosures[said.digest]
    with pytest.raises(StatementError):
        parse_disclosure(replace(whole, openings=whole.openings[::-1]).encoded)


# what the rules make of them ----------------------------------------------------------------------------------------

HUNGRY: dict[str, Mapping[str, JsonValue]] = {
    "threshold": {"presumed_permille": 0},
    "activity-shape": {
        "work_flop_permille": 100, "work_joules_permille": 200, "training_flop_permille": 400, "h_flop": "1000000000",
        "h_joules": "10",
    },
    "method-gap": {"h_flop": "1000000000"},
    "muf": {"k_permille": 100, "h_flop": "1000000000"},
    "energy-gap": {"k_joules": "5", "k_permille": 0, "h_joules": "50"},
    "undeclared-run": {"floor_flop": "100000000000", "k_permille": 50, "h_flop": "1000000000"},
    "unlinked-runs": {"k_permille": 50, "h_flop": "1000000000"},
    "sandbagging-order": {"floor_flop": "1000000000", "grace_periods": 0},
}  # fmt: skip
"""Parameters under which almost any books are found fault with."""


def hungry(fields: Sequence[str], profile: str = "free") -> TreatyDocument:
    rules: list[JsonValue] = [
        {**item, "parameters": dict(HUNGRY[str(item["rule"])])} if item["rule"] in HUNGRY else item
        for item in cast.json_lines(cast.terms()["rule"])
    ]
    threshold: JsonValue = [{"name": "line", "flop": "500000000000", "activities": ["training"], "article": "Art. 4"}]
    evaluator: JsonValue = [
        {"name": cast.METER, "kind": "meter", "key": str(cast.vkey(cast.METER))},
        {"name": "judge.example", "kind": "evaluator", "key": str(cast.vkey("judge.example"))},
    ]
    ratio: JsonObject = {"numerator": 30, "denominator": 100}
    counting: JsonValue = {"profile": profile, "margin": ratio, "pue": {"numerator": 1, "denominator": 1}}
    return support.document(fields, rule=rules, threshold=threshold, third_party=evaluator, counting=counting)


MODELS = [digest(f"model-{n}") for n in range(3)]


@st.composite
def a_line(draw: st.DrawFn, room: int) -> UsageLine:
    activity = draw(st.sampled_from(["training", "training", "inference", "idle", "maintenance", "unattributed"]))
    ms = draw(st.sampled_from([room, room // 2, 1]))
    figures: JsonObject = {}
    for name in ("flop_hardware", "flop_model"):
        part = draw(st.sampled_from([None, 0, 1, 3, 9, 12]))
        if part is not None:
            figures[name] = str(ms * 10**7 * part)  # tenths of the peak, sometimes beyond it
    joules = draw(st.sampled_from([None, 1, 5, 10, 40, 110]))
    if joules is not None:
        figures["joules"] = str(ms * joules // 1000)
    if draw(st.booleans()):
        figures["tokens"] = str(draw(st.sampled_from([0, 7])))
    if draw(st.booleans()):
        figures["parents"] = [draw(st.sampled_from(MODELS))]
    if draw(st.booleans()):
        figures["model_out"] = draw(st.sampled_from(MODELS))
    return line(activity, ms, workload=draw(st.sampled_from(["a", "b", "c"])), **figures)


@st.composite
def a_period(draw: st.DrawFn) -> tuple[UsageLine, ...]:
    count = draw(st.integers(1, 3))
    return tuple(draw(a_line(FULL // count)) for _ in range(count))


Period = tuple[tuple[UsageLine, ...], int | None, bool, tuple[UsageLine, ...] | None]
"""The lines, what the meter read, whether the site seals, lines of a second version (sealed if the first is not)."""
histories: st.SearchStrategy[list[Period]] = st.lists(
    st.tuples(a_period(), st.sampled_from([None, 4, 40, 400, 4000]), st.booleans(), st.none() | a_period()),
    min_size=1,
    max_size=6,
)


def judged(author: Author, history: Sequence[Period]) -> list[Envelope]:
    """Say *history*: books, and the meter's readings, all periods in order."""
    meter = Author(cast.METER, author.treaty)
    inventory = author.hold()
    said = [inventory]
    for period, (lines, reading, seals, second) in enumerate(history):
        if second is not None and second != lines:  # the same bytes twice are one statement
            _seal(author, not seals)
            said.append(author.use(period, inventory.digest, second, advance=False))
        _seal(author, seals)
        said.append(author.use(period, inventory.digest, lines))
        if reading is not None:
            said.append(meter.measure(author.name, period, reading))
    return said


def _seal(author: Author, seals: bool) -> None:
    if isinstance(author, SealingAuthor):
        author.seal = author.treaty.sealing.fields if seals else ()


def told(findings: Sequence[Finding], names: Mapping[str, int]) -> set[tuple[str, str, int | None, str]]:
    """Return findings with the statements in their figures by number, so that other payloads may be compared.

    What is cited is left out: of equal figures the version with the largest digest is, and digests differ.
    """
    return {
        (item.rule, item.about, item.period, str(sorted((k, names.get(v, v)) for k, v in item.figures.items())))
        for item in findings
    }


FIELDS = st.sampled_from([FIGURES, FIGURES[:1], FIGURES[2:3], PATTERNS, PATTERN, (*PATTERN, *FIGURES)])


@settings(deadline=None, max_examples=60)
@given(histories, FIELDS, st.sampled_from(["free", "eu-gpai", "miri"]))
@example([((line("training", FULL, joules="1"),), 4000, True, None)], FIGURES, "free")
@example(
    [
        ((line("unattributed", FULL),), None, False, None),
        ((line("idle", FULL),), None, True, None),
        ((line("unattributed", FULL // 2), line("idle", FULL // 2)), None, False, None),
    ],
    PATTERNS,
    "free",
)
def test_seals_raise_nothing_and_disclosures_give_everything_back(
    history: list[Period], fields: Sequence[str], profile: str
) -> None:
    treaty = hungry(fields, profile)
    plain, veiled = Author(cast.SITE, treaty), SealingAuthor(cast.SITE, treaty)
    said, shut = judged(plain, history), judged(veiled, history)
    open_findings = [*judge_of(said, treaty).standing().values()]
    judge = judge_of(shut, treaty)
    for finding in judge.standing().values():
        assert (finding.rule, finding.about) in {(item.rule, item.about) for item in open_findings}, finding
    opened = [*judge_of(veiled.opened(shut), treaty).standing().values()]
    names = [{item.digest: number for number, item in enumerate(chain)} for chain in (said, shut)]
    assert told(opened, names[1]) == told(open_findings, names[0])
    if any(seals for _, _, seals, _ in history) and fields in (PATTERNS, PATTERN):
        assert {item.why for item in judge.unverifiable()} >= {"line-sealed"}


@pytest.mark.parametrize("rule", ["imbalance", "muf", "energy-gap", "undeclared-run", "unlinked-runs", "contradiction"])
def test_books_that_would_be_found_false_are_unverifiable_when_sealed(rule: str) -> None:
    treaty = hungry(PATTERNS)
    work, lost = line("training", 1000, flop_model="100000000000", joules="100"), line("unattributed", 500, joules="1")
    history: list[Period] = [((work, lost), 4, True, None)] * 3
    plain, veiled = Author(cast.SITE, treaty), SealingAuthor(cast.SITE, treaty)
    open_judge, judge = judge_of(judged(plain, history), treaty), judge_of(judged(veiled, history), treaty)
    if rule != "energy-gap":
        assert rule in {item.rule for item in open_judge.standing().values()}
    assert rule not in {item.rule for item in judge.standing().values()}
    assert judge.unverifiable()[Unverifiable(rule, cast.SITE, "line-sealed")] == 3 * treaty.limits.line_count


def test_a_sealed_figure_leaves_what_is_public_to_the_rules() -> None:
    treaty = hungry(FIGURES)
    author = SealingAuthor(cast.SITE, treaty)
    said = judged(author, [((line("unattributed", FULL - 1, joules="1"),), None, True, None)] * 2)
    rules = {item.rule for item in judge_of(said, treaty).standing().values()}
    assert {"imbalance", "muf"} <= rules


def test_energy_that_is_sealed_is_not_energy_that_was_left_out() -> None:
    treaty = hungry(FIGURES)
    lines = (line("training", FULL, joules="400"),)
    left_out = (line("training", FULL),)
    sealing, hiding = SealingAuthor(cast.SITE, treaty), Author(cast.SITE, treaty)
    found = judge_of(judged(sealing, [(lines, 400, True, None)] * 3), treaty)
    assert "energy-gap" not in {item.rule for item in found.standing().values()}
    assert found.unverifiable()[Unverifiable("energy-gap", cast.SITE, "joules-sealed")] == 3
    found = judge_of(judged(hiding, [(left_out, 400, False, None)] * 3), treaty)
    assert "energy-gap" in {item.rule for item in found.standing().values()}


def test_statements_are_equal_when_they_say_the_same() -> None:
    _, (_, said) = books(FIGURES)
    one, two = parse_statement(said.payload), parse_statement(said.payload)
    assert one == two
    assert isinstance(one, Statement)
