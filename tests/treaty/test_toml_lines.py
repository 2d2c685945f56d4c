"""Every mistake of a treaty file is reported with its code at its line."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

import pytest
from brakeline.treaty.document import load_toml
from brakeline.treaty.document_report import MAX_TOML, Problem
from brakeline.treaty.errors import DocumentError
from brakeline.treaty.template import Choices, render
from brakeline.treaty.toml_lines import Path, locate
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast


def _keys(choices: Choices) -> dict[tuple[str, str], str]:
    keys: dict[tuple[str, str], str] = {}
    for name, purpose in choices.wanted_keys():
        if purpose != "disclosure":
            keys[name, purpose] = str(cast.vkey(name, purpose if purpose in {"log", "witness"} else "statement"))
    return keys


def _template() -> str:
    blank = Choices(name="demo.treaty.example", start_ms=cast.START)
    return render(Choices(name="demo.treaty.example", start_ms=cast.START, keys=_keys(blank)))


TEXT = _template()
LAB_1 = cast.vkey("lab-1.party-a.example")
LAB_2 = cast.vkey("lab-2.party-b.example")
WEAK = "verifier.institute.example"


DISCLOSED = f'''[[verifier]]
name = "v5.example"
party = "meter.example"
log_key = "{cast.vkey("v5.example", "log")}"
witness_key = "{cast.vkey("v5.example", "witness")}"
disclosure_key = "{"A" * 43}="
url = "http://v5.example"
grpc = "v5.example:1"
[[verifier]]
name = "v6.example"
party = "meter.example"
log_key = "{cast.vkey("v6.example", "log")}"
witness_key = "{cast.vkey("v6.example", "witness")}"
disclosure_key = "{"A" * 43}="  # again
url = "http://v6.example"
grpc = "v6.example:1"
'''


@dataclass(frozen=True)
class Slip:
    """One mistake: replace the *nth* occurrence of *old* by *new*; expect *code* at the line that holds *at*."""

    old: str
    new: str
    code: str
    at: str = ""
    nth: int = 0
    expected: str = ""

    def apply(self) -> tuple[str, int]:
        """Return the text with the mistake, and the line where it must be reported."""
        start = -1
        for _ in range(self.nth + 1):
            start = TEXT.index(self.old, start + 1)
        text = TEXT[:start] + self.new + TEXT[start + len(self.old) :]
        marker = self.at or self.new
        where = text.index(marker, start) if not self.at else text.index(marker)
        return text, text.count("\n", 0, where) + 1


SLIPS = {
    # the text
    "not toml": Slip('silence = "continue"', "silence = continue", "treaty-toml"),
    "a key twice": Slip("liars = 1", "liars = 1\nliars = 1 # again", "treaty-toml", at="liars = 1 # again"),
    "a bare word": Slip('silence = "continue"', "silence", "treaty-toml", at="silence\n"),
    # the form
    "unknown key": Slip("liars = 1", "liers = 1", "treaty-unknown-key", expected="liars"),
    "missing key": Slip("skew_ms = 5_000", "# skew", "treaty-missing", at="[deadlines]"),
    "missing table": Slip("[counting]\n", "[other]\n", "treaty-unknown-key"),
    "text for a number": Slip("witnesses = 3", 'witnesses = "3"', "treaty-type"),
    "a float": Slip("line_count = 32", "line_count = 32.0", "treaty-type"),
    "true for a number": Slip("line_count = 32", "line_count = true", "treaty-type"),
    "a date for a number": Slip(f"start = {cast.START}", "start = 2026-01-01 00:00:00", "quantity-malformed"),
    "a number for FLOP": Slip('"312000000000000"', "312000000000000", "quantity-malformed"),
    "FLOP with a sign": Slip('"312000000000000"', '"+312000000000000"', "quantity-malformed"),
    "a negative duration": Slip("skew_ms = 5_000", "skew_ms = -1", "quantity-negative"),
    "a negative number": Slip("child_cap = 8", "child_cap = -8", "treaty-range"),
    "not a word of the list": Slip('silence = "continue"', 'silence = "maybe"', "treaty-choice"),
    "unknown activity": Slip('activities = ["training"]', 'activities = ["mining"]', "treaty-choice"),
    "no activities": Slip('activities = ["training"]', "activities = []", "treaty-count"),
    "unknown severity": Slip('severity = "note"', 'severity = "guilty"', "treaty-choice"),
    "malformed name": Slip('name = "lab-1.party-a.example"', 'name = "Lab 1"', "name-malformed"),
    "malformed digest": Slip(f'previous = "{"0" * 64}"', 'previous = "00"', "treaty-form"),
    "a ratio with a float": Slip("pue = { numerator = 13, denominator = 10 }", "pue = 1.3", "treaty-ratio"),
    "a ratio over zero": Slip(
        "numerator = 13, denominator = 10", "numerator = 13, denominator = 0", "quantity-rational"
    ),
    "malformed key": Slip(str(LAB_1), str(LAB_1)[:-4], "vkey-malformed"),
    "a placeholder": Slip(str(LAB_1), "put here what that command prints", "treaty-key-placeholder"),
    "key of another purpose": Slip(
        str(LAB_1), str(cast.vkey("lab-1.party-a.example", "log")), "treaty-key-purpose", expected="0xff"
    ),
    "malformed address": Slip("verifier.party-a.example:7443", "verifier.party-a.example", "treaty-endpoint", nth=0),
    "port out of range": Slip("verifier.party-a.example:7443", "verifier.party-a.example:70000", "treaty-endpoint"),
    "malformed url": Slip('"https://verifier.party-a.example"', '"ftp://x"', "treaty-url"),
    "url with a slash": Slip('"https://verifier.party-a.example"', '"https://x/"', "treaty-url"),
    "empty article": Slip('article = "Art. 5"', 'article = ""', "treaty-text"),
    "malformed disclosure key": Slip(
        'url = "https://verifier.party-a.example"',
        'disclosure_key = "AAAA"\nurl = "https://verifier.party-a.example"',
        "treaty-disclosure-key",
        at="disclosure_key = ",
    ),
    "a disclosure key that is no base64": Slip(
        'url = "https://verifier.party-a.example"',
        'disclosure_key = "not base64"\nurl = "https://verifier.party-a.example"',
        "treaty-disclosure-key",
        at="disclosure_key = ",
    ),
    "a disclosure key twice": Slip(
        "[[verifier]]",
        DISCLOSED + "[[verifier]]",
        "treaty-key-duplicate",
        at=f'disclosure_key = "{"A" * 43}="  # again',
    ),
    "a number for a key": Slip(f'"{LAB_1}"', "5", "treaty-key"),
    "malformed pointer": Slip("fields = []", 'fields = ["tokens"]', "treaty-form"),
    "unknown profile": Slip('profile = "free"', 'profile = "eu"', "treaty-choice"),
    # the version
    "version 0": Slip("version = 1", "version = 0", "treaty-version"),
    "version 1 with a past": Slip(f'previous = "{"0" * 64}"', f'previous = "{"1" * 64}"', "treaty-version"),
    "version 1 from a later period": Slip("effective_period = 0", "effective_period = 7", "treaty-effective-period"),
    "version 2 without a past": Slip("version = 1\n", "version = 2\n", "treaty-version", at="previous = "),
    # time
    "an empty period": Slip("period_ms = 3_600_000", "period_ms = 0", "treaty-grid"),
    "a deadline of zero": Slip("save_ms = 3_600_000", "save_ms = 0", "treaty-deadline-zero"),
    "heartbeat longer than a deadline": Slip(
        "heartbeat_ms = 60_000", "heartbeat_ms = 600_000", "treaty-deadline-order"
    ),
    "heartbeat longer than the period": Slip(
        "period_ms = 3_600_000", "period_ms = 50_000", "treaty-deadline-order", at="heartbeat_ms = 60_000"
    ),
    "checkpoint longer than the report": Slip(
        "checkpoint_ms = 30_000", "checkpoint_ms = 600_000", "treaty-deadline-order"
    ),
    "skew longer than a deadline": Slip("skew_ms = 5_000", "skew_ms = 8_000_000", "treaty-deadline-order"),
    "stop longer than the notice": Slip(
        "notice_ms = 3_600_000", "notice_ms = 1_000", "treaty-deadline-order", at="stop_ms = 600_000"
    ),
    "stop longer than the acknowledgement": Slip(
        "acknowledge_ms = 7_200_000", "acknowledge_ms = 500_000", "treaty-deadline-order", at="stop_ms = 600_000"
    ),
    # limits and goals
    "a child cap of one": Slip("child_cap = 8", "child_cap = 1", "treaty-limit"),
    "no lines": Slip("line_count = 32", "line_count = 0", "treaty-limit"),
    "certain detection": Slip("numerator = 95, denominator = 100", "numerator = 100, denominator = 100", "treaty-goal"),
    "nothing is significant": Slip(
        'significant_quantity_flop = "10000000000000000000000000"', 'significant_quantity_flop = "0"', "treaty-goal"
    ),
    "no time": Slip("timeliness_ms = 2_592_000_000", "timeliness_ms = 0", "treaty-goal"),
    # quorums
    "too many liars": Slip("liars = 1", "liars = 2", "treaty-quorum-liars", expected="at most 1 with 4"),
    "witness quorums that need not meet": Slip(
        "witnesses = 3", "witnesses = 2", "treaty-quorum-witnesses", expected="3 to 4"
    ),
    "more witnesses than verifiers": Slip("witnesses = 3", "witnesses = 5", "treaty-quorum-witnesses"),
    "receipts that need not meet the audit": Slip("receipts = 3", "receipts = 2", "treaty-quorum-receipts"),
    "an audit of no log": Slip("audit = 3", "audit = 0", "treaty-quorum-receipts"),
    "orders by half": Slip("orders = 2", "orders = 1", "treaty-quorum-orders", expected="2 to 2"),
    "orders by more than all": Slip("orders = 2", "orders = 3", "treaty-quorum-orders"),
    "amendments by half": Slip("amendments = 2", "amendments = 1", "treaty-quorum-amendments"),
    # who takes part
    "a name twice": Slip('name = "observatory.example"', 'name = "institute.example"', "treaty-name-duplicate", nth=0),
    "a threshold's name twice": Slip('name = "frontier"', 'name = "WATCHED"', "treaty-name-duplicate"),
    "unknown party of a lab": Slip(
        'party = "party-b.example"', 'party = "party-z.example"', "treaty-party-unknown", expected="party-b.example"
    ),
    "a lab run by a third party": Slip('party = "party-b.example"', 'party = "meter.example"', "treaty-party-unknown"),
    "unknown runner of a verifier": Slip(
        'party = "institute.example"', 'party = "nobody.example"', "treaty-party-unknown"
    ),
    "a key with another name": Slip(str(LAB_2), str(cast.vkey("lab-3.party-b.example")), "treaty-key-name"),
    "one key in two roles": Slip(
        str(LAB_2),
        str(type(LAB_2)(LAB_2.name, LAB_2.type, LAB_1.public_key)),
        "treaty-key-duplicate",
    ),
    "a log key as witness key": Slip(
        str(cast.vkey(WEAK, "witness")),
        str(type(LAB_1)(f"{WEAK}/witness", 4, cast.vkey(WEAK, "log").public_key)),
        "treaty-key-duplicate",
    ),
    "a key of small order": Slip(str(LAB_2), str(type(LAB_2)(LAB_2.name, LAB_2.type, bytes(32))), "treaty-key-weak"),
    "an address twice": Slip(
        "verifier.party-b.example:7443", "verifier.party-a.example:7443", "treaty-endpoint-duplicate"
    ),
    # compute
    "a chip that computes nothing": Slip('"312000000000000"', '"0"', "treaty-chip-class", at='peak_flop_per_s = "0"'),
    "idle above work": Slip("idle_watts = 60", "idle_watts = 600", "treaty-chip-class"),
    "no power": Slip("board_watts = 700", "board_watts = 0", "treaty-chip-class"),
    "no equivalent": Slip(
        "numerator = 312, denominator = 989", "numerator = 0, denominator = 989", "treaty-chip-class"
    ),
    "a PUE below one": Slip("numerator = 13, denominator = 10", "numerator = 9, denominator = 10", "treaty-pue"),
    "thresholds out of order": Slip(
        'flop = "1000000000000000000000000" ',
        'flop = "20000000000000000000000000" ',
        "treaty-threshold-order",
        at='flop = "10000000000000000000000000"    # 1e25',
    ),
    "a threshold of zero": Slip('flop = "1000000000000000000000000" ', 'flop = "0" ', "treaty-threshold"),
    "an activity twice": Slip('activities = ["training"]', 'activities = ["training", "training"]', "treaty-threshold"),
    # rules
    "unknown rule": Slip('rule = "late"', 'rule = "guilt"', "treaty-rule-unknown", expected="equivocation"),
    "a rule twice": Slip('rule = "late"', 'rule = "imbalance" ', "treaty-rule-duplicate"),
    "a parameter missing": Slip("presumed_permille = 300", "#", "treaty-rule-parameter", at="[rule.parameters]"),
    "a parameter negative": Slip('k_joules = "3600000"', 'k_joules = "-1"', "treaty-rule-parameter"),
    "a parameter of the wrong form": Slip('k_joules = "3600000"', "k_joules = 3600000", "treaty-rule-parameter"),
    "a parameter that is a float": Slip('k_joules = "3600000"', "k_joules = 2.5", "treaty-type"),
    "a parameter nobody reads": Slip(
        'article = "Art. 5"\nparameters = {}',
        'article = "Art. 5"\nparameters = { x = 1 }',
        "treaty-rule-parameter",
        at="parameters = { x = 1 }",
    ),
    # secrets
    "sealed to nobody": Slip(
        "fields = []", 'fields = ["/predicate/lines/*/tokens"]', "treaty-sealing", at="holders = 2"
    ),
    "sealed where no leaf can be": Slip("fields = []", 'fields = ["/predicate/start"]', "treaty-sealing-field"),
}


@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS.keys())
def test_a_mistake_is_reported_with_its_code_at_its_line(slip: Slip) -> None:
    text, line = slip.apply()
    loaded = load_toml(text)
    assert loaded.document is None
    codes = {(problem.line, problem.mistake.code) for problem in loaded.problems}
    assert (line, slip.code) in codes, "\n".join(map(str, loaded.problems))
    found = next(p for p in loaded.problems if (p.line, p.mistake.code) == (line, slip.code))
    assert slip.expected in str(found)
    assert found.mistake.message
    assert found.mistake.expected or found.mistake.fix


def test_a_treaty_with_problems_has_no_document_to_give() -> None:
    with pytest.raises(DocumentError, match="treaty-quorum-orders"):
        load_toml(TEXT.replace("orders = 2", "orders = 1")).require()


def test_the_unchanged_template_has_no_mistake_and_no_warning() -> None:
    loaded = load_toml(TEXT)
    assert (loaded.problems, loaded.warnings) == ((), ())


@pytest.mark.parametrize("key", ["party", "verifier", "chip_class"])
def test_a_treaty_without_parties_verifiers_or_chips_is_a_mistake(key: str) -> None:
    kept: list[str] = []
    skip = False
    for line in TEXT.splitlines(keepends=True):
        if line.startswith("["):
            skip = line.startswith(f"[[{key}]]")
        kept.append("\n" if skip else line)
    problems = load_toml("".join(kept)).problems
    assert f"treaty-{key.replace('_', '-')}-missing" in {problem.mistake.code for problem in problems}


def test_every_mistake_is_reported_at_once_in_the_order_of_the_file() -> None:
    text = (
        TEXT.replace("liars = 1 ", "liars = 2 ")
        .replace("orders = 2 ", "orders = 1 ")
        .replace("skew_ms = 5_000", "skew_ms = 0")
    )
    problems = load_toml(text).problems
    assert [problem.line for problem in problems] == sorted(problem.line for problem in problems)
    assert {"treaty-quorum-liars", "treaty-quorum-orders", "treaty-deadline-zero"} <= {p.mistake.code for p in problems}


def test_a_misspelt_key_names_the_likely_one() -> None:
    problem = next(p for p in load_toml(TEXT.replace("liars = 1", "liers = 1")).problems if "unknown" in p.mistake.code)
    assert problem.mistake.fix == "did you mean liars?"


def test_a_root_key_below_a_table_is_told_where_it_belongs() -> None:
    text = TEXT.replace('silence = "continue"\n', "").replace("[goals]\n", '[goals]\nsilence = "stop"\n')
    problem = next(p for p in load_toml(text).problems if p.mistake.code == "treaty-unknown-key")
    assert "above the first [table]" in problem.mistake.fix
    assert "[goals]" in problem.mistake.fix


def test_a_treaty_too_large_for_a_statement_is_sent_to_the_annexes() -> None:
    many = "".join(f'[[annex]]\nname = "a{i}"\ndigest = "{"0" * 64}"\n' for i in range(700))
    problem = next(p for p in load_toml(TEXT + many).problems if p.mistake.code == "treaty-too-large")
    assert "annexes" in problem.mistake.fix


@pytest.mark.parametrize(
    "text",
    ["", "a = [" + "[" * 5000, "x = " + "9" * 5000, "\x00", "#" * (MAX_TOML + 1), "[[party]]\n" * 2000, "party = 3"],
)
def test_hostile_text_is_reported_and_never_raises(text: str) -> None:
    loaded = load_toml(text)
    assert loaded.document is None
    assert loaded.problems
    assert all(problem.line >= 1 and problem.mistake.code for problem in loaded.problems)


@given(st.text(max_size=60))
def test_any_text_is_reported_and_never_raises(text: str) -> None:
    assert load_toml(text).document is None


@given(st.integers(0, len(TEXT) - 1), st.sampled_from("\"'[]{}=#.,\n\\0x-"))
def test_any_one_character_changed_is_read_or_reported(at: int, character: str) -> None:
    loaded = load_toml(TEXT[:at] + character + TEXT[at + 1 :])
    assert (loaded.document is None) == bool(loaded.problems)


# Where keys stand ----------------------------------------------------------------------------------------------------

TRICKY = '''# comment with [brackets] and = "signs"
plain = 1 # [not.a.table]
"quoted key" = 'literal # not a comment'
dotted.key = true
text = """
[not.a.table]
x = 1 \\""" still inside
""""
raw = \'\'\'
[[nor.this]]
\'\'\'
list = [
  1, # one
  [2, 3],
  { inner = "}", deep = [ { x = 1 } ] },
]
date = 1979-05-27 07:32:00
[table.sub]
a = 'x'
[[row]]
b = 1
[row.more]
c = 2
[[row.item]]
d = 3
[[row.item]]
d = 4
[[row]]
b = 2
[[row.item]]
d = 5
'''


def test_lines_are_found_in_tricky_toml() -> None:
    tomllib.loads(TRICKY)
    lines = locate(TRICKY)
    expected: dict[Path, int] = {
        ("plain",): 2,
        ("quoted key",): 3,
        ("dotted", "key"): 4,
        ("text",): 5,
        ("raw",): 9,
        ("list", 0): 13,
        ("list", 1, 1): 14,
        ("list", 2, "deep", 0, "x"): 15,
        ("date",): 17,
        ("table", "sub", "a"): 19,
        ("row", 0, "b"): 21,
        ("row", 0, "more", "c"): 23,
        ("row", 0, "item", 1, "d"): 27,
        ("row", 1, "b"): 29,
        ("row", 1, "item", 0, "d"): 31,
        ("row", 1, "nothing", 5): 28,
    }
    assert {path: lines.of(path) for path in expected} == expected


_NAME = st.text("abc-_ .\"'#[]=é", min_size=1, max_size=5)


@given(st.lists(st.tuples(_NAME, st.text("x#[]{}'\",\n\\=", max_size=8)), max_size=12, unique_by=lambda pair: pair[0]))
def test_every_key_is_found_at_the_line_where_it_was_written(pairs: list[tuple[str, str]]) -> None:
    text, line = "", 1
    expected: dict[Path, int] = {}
    for number, (key, value) in enumerate(pairs):
        gap = "\n" * (number % 3) + "# [x] = 1\n" * (number % 2)
        row = f"{_basic(key)} = {_basic(value) if number % 2 else '[ ' + _basic(value) + ',' + chr(10) + ' 1 ]'}\n"
        line += gap.count("\n")
        expected[(key,)] = line
        line += row.count("\n")
        text += gap + row
    assert tomllib.loads(text).keys() == {key for key, _ in pairs}
    lines = locate(text)
    assert {path: lines.of(path) for path in expected} == expected


def _basic(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def test_a_problem_reads_as_one_line_and_as_json() -> None:
    problem: Problem = load_toml(TEXT.replace("orders = 2", "orders = 1")).problems[0]
    assert str(problem).startswith(f"line {problem.line}: treaty-quorum-orders: quorum.orders: ")
    assert "\n" not in str(problem)
    assert problem.as_dict()["path"] == "quorum.orders"
    assert problem.as_dict()["found"] == "1"
