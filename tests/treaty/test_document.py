"""The treaty document: one value in three forms, sane or not at all."""

from __future__ import annotations

import hashlib
import json

import pytest
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.document import ZERO_DIGEST, TreatyDocument, load_toml
from brakeline.treaty.document_checks import succession_mistakes
from brakeline.treaty.document_warnings import find_warnings
from brakeline.treaty.errors import DocumentError, JsonError
from brakeline.treaty.quantities import DurationMs, Flop, InstantMs, Rational
from brakeline.treaty.rule_table import RULES
from brakeline.treaty.strictjson import JsonObject, JsonValue, canonical
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.support import cast
from tests.support.toml import to_toml

TREATY = cast.document()


@st.composite
def documents(draw: st.DrawFn) -> JsonObject:
    """Draw the JSON of a sane treaty: any number of members, any quorums and times that fit together."""
    parties = [f"party-{i}.example" for i in range(draw(st.integers(1, 5)))]
    n = draw(st.integers(1, 7))
    f = draw(st.integers(0, (n - 1) // 3))
    w = draw(st.integers((n + f) // 2 + 1, n))
    k1 = draw(st.integers(f + 1, n))
    k2 = draw(st.integers(n + f + 1 - k1, n))
    quorum = st.integers(len(parties) // 2 + 1, len(parties))
    times = sorted(draw(st.lists(st.integers(1, 10**9), min_size=6, max_size=6, unique=True)))
    short, stop, notice, *longer = times
    deadlines: dict[str, JsonValue] = dict.fromkeys(
        ("report_ms", "takeover_ms", "acknowledge_ms", "disclosure_ms", "reply_ms", "save_ms"), longer[0] + 1
    )
    deadlines |= {"heartbeat_ms": short, "checkpoint_ms": short, "skew_ms": short, "stop_ms": stop, "notice_ms": notice}
    verifiers: list[JsonValue] = []
    for i in range(n):
        name = f"v{i}.example"
        verifier: dict[str, JsonValue] = {
            "name": name,
            "party": draw(st.sampled_from(parties)),
            "log_key": str(cast.vkey(name, "log")),
            "witness_key": str(cast.vkey(name, "witness")),
            "url": f"http://127.0.0.1:{1000 + i}/logs",
            "grpc": f"[::1]:{2000 + i}",
        }
        verifiers.append(verifier)
    labs = [f"lab-{i}.example" for i in range(draw(st.integers(0, 3)))]
    text = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=20)
    return cast.terms(
        silence=draw(st.sampled_from(["continue", "stop"])),
        grid={"start": draw(st.integers(0, 2**53 - 1)), "period_ms": draw(st.integers(short, 2**53 - 1))},
        deadlines=deadlines,
        quorum={
            "liars": f,
            "witnesses": w,
            "receipts": k1,
            "audit": k2,
            "orders": draw(quorum),
            "amendments": draw(quorum),
        },
        party=[{"name": name, "key": str(cast.vkey(name))} for name in parties],
        lab=[
            {"name": name, "party": draw(st.sampled_from(parties)), "root_key": str(cast.vkey(name))} for name in labs
        ],
        third_party=[],
        verifier=verifiers,
        threshold=[
            {
                "name": "line",
                "flop": str(draw(st.integers(1, 10**40 - 1))),
                "activities": ["training", "other"],
                "article": draw(text),
            }
        ],
    )


@given(documents())
@settings(max_examples=60, deadline=None)
def test_every_sane_document_survives_toml_model_and_canonical_json_with_one_digest(value: JsonObject) -> None:
    document = TreatyDocument.from_json(value)
    again = TreatyDocument.from_canonical(document.to_canonical())
    from_toml = load_toml(to_toml(value))
    assert again == document == from_toml.require()
    assert again.to_canonical() == canonical(value) == from_toml.require().to_canonical()
    assert document.digest == hashlib.sha256(canonical(value)).hexdigest() == from_toml.require().digest


def test_canonical_json_is_what_any_json_library_writes_with_sorted_keys() -> None:
    value = json.loads(TREATY.to_canonical())
    assert (
        json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == TREATY.to_canonical()
    )
    assert b"null" not in TREATY.to_canonical()


def test_members_are_exact_types() -> None:
    assert TREATY.grid.start_of(2) == InstantMs(cast.START + 2 * cast.PERIOD)
    assert TREATY.deadlines.report_ms == DurationMs(15_000)
    assert TREATY.goals.significant_quantity_flop == Flop(10**15)
    assert TREATY.counting.margin == Rational(30, 100)


def test_accessors_find_what_the_document_names_and_nothing_else() -> None:
    assert TREATY.party_keys() == {name: cast.vkey(name) for name in cast.PARTIES}
    lab, verifier, chip, rule = (
        TREATY.lab(cast.LABS[0]),
        TREATY.verifier_by_origin(cast.VERIFIERS[1]),
        TREATY.chip_class("cpu-core"),
        TREATY.rule("energy-gap"),
    )
    assert lab is not None
    assert lab.root_key == cast.vkey(cast.LABS[0])
    assert verifier is not None
    assert verifier.origin == cast.VERIFIERS[1]
    assert chip is not None
    assert chip.peak_flop_per_s == Flop(10**11)
    assert rule is not None
    assert rule.integer("k_joules") == 40
    assert TREATY.party("nobody.example") is None
    assert TREATY.third_party(cast.METER) is not None
    assert TREATY.lab("nobody.example") is None
    assert TREATY.rule("no-such-rule") is None
    with pytest.raises(DocumentError, match="treaty-origin-unknown"):
        TREATY.witness_policy("nobody.example")


def test_named_keys_are_all_ed25519_keys_of_the_document() -> None:
    named = TREATY.all_statement_and_log_keys()
    assert len(named) == len(cast.PARTIES) + len(cast.LABS) + 1 + 2 * len(cast.VERIFIERS)
    assert {item.role for item in named.values()} == {"party", "lab-root", "third-party", "log", "witness"}
    assert all(keyid == hashlib.sha256(item.key.public_key).hexdigest() for keyid, item in named.items())


def test_the_witness_policy_is_satisfied_by_the_quorum_and_not_by_one_fewer() -> None:
    policy = TREATY.witness_policy(cast.VERIFIERS[0])
    keys = [cast.vkey(name, "witness") for name in cast.VERIFIERS]
    assert policy.satisfied(keys[:3])
    assert not policy.satisfied(keys[:2])
    assert TREATY.receipt_policy == (3, 3, cast.VERIFIERS)


def test_a_member_left_out_of_the_wire_form_is_refused_so_that_the_pin_is_one() -> None:
    value = cast.terms()
    del value["annex"]
    with pytest.raises(DocumentError, match="treaty-missing"):
        TreatyDocument.from_canonical(canonical(value))


def test_white_space_and_order_are_refused_by_the_reader_of_canonical_bytes() -> None:
    with pytest.raises(JsonError, match="json-not-canonical"):
        TreatyDocument.from_canonical(json.dumps(cast.terms()).encode())


def test_a_document_that_is_not_sane_has_no_instance_however_it_is_built() -> None:
    value = cast.terms(quorum={"liars": 1, "witnesses": 2, "receipts": 3, "audit": 3, "orders": 2, "amendments": 2})
    for build in (TreatyDocument.from_json, TreatyDocument.model_validate):
        with pytest.raises(DocumentError, match="treaty-quorum-witnesses"):
            build(value)


def test_a_document_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        setattr(TREATY, "version", 2)  # a type checker would refuse the plain assignment


def test_any_change_of_any_leaf_changes_the_digest() -> None:
    assert TreatyDocument.from_json(cast.terms(silence="stop")).digest != TREATY.digest


def test_a_successor_names_its_predecessor_and_governs_later_periods() -> None:
    after = cast.document(version=2, previous=TREATY.digest, effective_period=10)
    assert succession_mistakes(TREATY, after) == ()
    grid: JsonObject = {"start": cast.START, "period_ms": cast.PERIOD * 2}
    other = cast.document(name="other.example", version=3, previous="1" * 64, effective_period=1, grid=grid)
    assert [m.path[0] for m in succession_mistakes(after, other)] == [
        "name",
        "previous",
        "effective_period",
        "grid",
    ]
    assert [m.path[0] for m in succession_mistakes(TREATY, cast.document())] == [
        "version",
        "previous",
        "effective_period",
    ]


def test_warnings_name_what_is_allowed_and_probably_not_meant() -> None:
    quorum: JsonObject = {"liars": 1, "witnesses": 4, "receipts": 3, "audit": 3, "orders": 2, "amendments": 2}
    goals = {**cast.json_lines([cast.terms()["goals"]])[0], "timeliness_ms": 5}
    rules: list[JsonValue] = [rule for rule in cast.json_lines(cast.terms()["rule"]) if rule["rule"] != "late"]
    document = cast.document(quorum=quorum, third_party=[], threshold=[], rule=rules, goals=goals)
    codes = {mistake.code for mistake in find_warnings(document)}
    assert codes == {
        "treaty-warning-liveness",
        "treaty-warning-one-hand",
        "treaty-warning-timeliness",
        "treaty-warning-rule-absent",
        "treaty-warning-no-meter",
        "treaty-warning-no-evaluator",
        "treaty-warning-no-threshold",
    }


def test_challenges_without_slots_draw_nothing_and_the_checker_says_so() -> None:
    rule: list[JsonValue] = [
        *(item for item in cast.json_lines(cast.terms()["rule"]) if item["rule"] != "false-opening"),
        {"rule": "unopened-challenge", "severity": "note", "article": "Art. 9", "parameters": {"open_ms": 1}},
    ]
    assert "treaty-warning-no-slots" in {mistake.code for mistake in find_warnings(cast.document(rule=rule))}


def test_the_rule_table_has_every_rule_of_this_version() -> None:
    assert set(RULES) == {
        "equivocation",
        "disowned",
        "imbalance",
        "peak-exceeded",
        "threshold",
        "idle-compute",
        "activity-shape",
        "method-gap",
        "muf",
        "energy-gap",
        "missing-period",
        "late",
        "brake-breach",
        "resume-mismatch",
        "inventory-continuity",
        "undeclared-run",
        "unlinked-runs",
        "contradiction",
        "sandbagging-order",
        "autonomy-tripwire",
        "false-opening",
        "unacknowledged-order",
        "unopened-challenge",
        "undisclosed",
        "verifier-conduct",
        "wrong-version",
    }
    assert {rule for rule, row in RULES.items() if row.scope == "reconcile"} == {
        "missing-period",
        "late",
        "brake-breach",
        "unacknowledged-order",
        "unopened-challenge",
        "undisclosed",
        "verifier-conduct",
    }


def test_version_one_begins_with_zeros() -> None:
    assert TREATY.previous == ZERO_DIGEST
    with pytest.raises(BrakelineError, match="treaty-version"):
        cast.document(previous="1" * 64)


def test_values_already_of_their_exact_type_are_taken_as_they_are() -> None:
    counting = {"profile": "free", "margin": Rational(30, 100), "pue": Rational(1, 1)}
    party = [{"name": name, "key": cast.vkey(name)} for name in cast.PARTIES]
    assert TreatyDocument.model_validate({**cast.terms(), "counting": counting, "party": party}) == TREATY
