"""The reading of a treaty: who learns what, and exactly which coalitions have which power."""

from __future__ import annotations

from itertools import combinations

import pytest
from brakeline.treaty import sealing
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.explain import MAX_LISTED, Coalitions, duration, explain
from brakeline.treaty.strictjson import JsonObject, JsonValue
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import cast
from tests.support import sealing as support

TREATY = cast.document()


def power(document: TreatyDocument, name: str) -> Coalitions:
    """Return the one row of coalitions whose power begins with *name*."""
    (row,) = [item for item in explain(document).coalitions if item.power.startswith(name)]
    return row


def with_parties(count: int, orders: int, runners: tuple[int, ...] = ()) -> TreatyDocument:
    """Return a treaty of *count* parties, of whom *orders* sign orders, that run the four verifiers as in *runners*."""
    names = [f"p{i:02}.example" for i in range(count)]
    quorum: JsonObject = {
        **cast.json_lines([cast.terms()["quorum"]])[0],
        "orders": orders,
        "amendments": count // 2 + 1,
    }
    verifiers: list[JsonValue] = [
        {**verifier, "party": names[runners[i] if runners else 0]}
        for i, verifier in enumerate(cast.json_lines(cast.terms()["verifier"]))
    ]
    party: list[JsonValue] = [{"name": name, "key": str(cast.vkey(name))} for name in names]
    return cast.document(party=party, lab=[], quorum=quorum, verifier=verifiers)


def test_two_of_two_order_together_and_each_blocks_alone() -> None:
    assert power(TREATY, "sign an order").minimal == (cast.PARTIES,)
    assert power(TREATY, "block an order").minimal == tuple((name,) for name in cast.PARTIES)


@given(st.integers(1, 6).flatmap(lambda n: st.tuples(st.just(n), st.integers(n // 2 + 1, n))))
@settings(max_examples=15, deadline=None)
def test_listed_coalitions_are_exactly_the_minimal_ones(size: tuple[int, int]) -> None:
    count, orders = size
    document = with_parties(count, orders)
    everybody = {party.name for party in document.parties}
    can = {frozenset(row) for row in power(document, "sign an order").minimal}
    blocks = {frozenset(row) for row in power(document, "block an order").minimal}
    for k in range(count + 1):
        for members in map(frozenset, combinations(sorted(everybody), k)):
            assert any(row <= members for row in can) == (k >= orders)
            # they block exactly when those who are left cannot order
            assert any(row <= members for row in blocks) == (count - k < orders)


def test_many_coalitions_are_counted_and_not_all_listed() -> None:
    row = power(with_parties(12, 7), "sign an order")
    assert (len(row.minimal), row.total) == (MAX_LISTED, 792)
    assert any("752 more" in line for line in explain(with_parties(12, 7)).lines())


def test_verifiers_count_by_whose_hands_run_them() -> None:
    document = with_parties(3, 2, runners=(0, 0, 1, 2))
    assert power(document, "stop every log").minimal == (("p00.example",), ("p01.example", "p02.example"))
    assert power(document, "show two histories").minimal == (("p00.example",), ("p01.example", "p02.example"))
    assert power(document, "keep an order from binding").minimal == (
        ("p00.example", "p01.example"),
        ("p00.example", "p02.example"),
    )


def test_hands_too_many_to_enumerate_are_said_to_be_so() -> None:
    names = [f"p{i:02}.example" for i in range(11)]
    verifiers: list[JsonValue] = [
        {
            "name": f"v.{name}",
            "party": name,
            "log_key": str(cast.vkey(f"v.{name}", "log")),
            "witness_key": str(cast.vkey(f"v.{name}", "witness")),
            "url": f"http://v.{name}",
            "grpc": f"v.{name}:1",
        }
        for name in names
    ]
    quorum: JsonObject = {"liars": 3, "witnesses": 8, "receipts": 8, "audit": 7, "orders": 6, "amendments": 6}
    party: list[JsonValue] = [{"name": name, "key": str(cast.vkey(name))} for name in names]
    row = power(cast.document(party=party, lab=[], verifier=verifiers, quorum=quorum), "stop every log")
    assert (row.minimal, row.total) == ((), -1)
    assert "too many to list" in row.rule


def test_every_named_key_that_must_sign_is_listed_as_able_to_block_a_version() -> None:
    owners = {owner for (owner,) in power(TREATY, "block a new version as a named key").minimal}
    assert owners == {*cast.LABS, cast.METER, *cast.VERIFIERS}


def test_without_sealing_everybody_reads_every_figure() -> None:
    (public, *_) = explain(TREATY).audiences
    assert any("nothing is sealed" in item for item in public.learns)


def test_with_sealing_only_the_verifiers_that_hold_a_disclosure_key_learn_the_values() -> None:
    verifiers: list[JsonValue] = [
        {**verifier, "disclosure_key": f"{'A' * 40}{i}AA="} if i < 3 else verifier  # the fourth opens nothing
        for i, verifier in enumerate(cast.json_lines(cast.terms()["verifier"]))
    ]
    sealed: JsonObject = {"fields": ["/predicate/lines/*/tokens"], "holders": 2}
    document = cast.document(verifier=verifiers, sealing=sealed)
    public, openers, *_ = explain(document).audiences
    assert any("/predicate/lines/*/tokens" in item for item in public.hidden)
    assert cast.VERIFIERS[2] in openers.who
    assert cast.VERIFIERS[3] not in openers.who
    assert "treaty-warning-sealing" not in {warning.code for warning in document.warnings()}


def test_books_that_would_not_fit_when_sealed_and_padded_are_warned_of() -> None:
    fields = sealing.PATTERNS
    limits: JsonObject = {"child_cap": 3, "line_count": 64}
    assert "treaty-warning-sealing" in {item.code for item in support.document(fields, limits=limits).warnings()}
    assert "treaty-warning-sealing" not in {item.code for item in support.document(fields).warnings()}


def test_timing_says_what_happens_on_silence() -> None:
    assert "go on" in explain(TREATY).timing[-1]
    assert "stop" in explain(cast.document(silence="stop")).timing[-1]


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "0 ms"), (1, "1 ms"), (60_000, "1 min"), (7_200_000, "2 h"), (86_400_000, "1 d")]
)
def test_durations_are_exact(ms: int, text: str) -> None:
    assert duration(ms) == text


def test_the_same_document_reads_the_same_as_text_and_as_json() -> None:
    explanation = explain(TREATY)
    value = explanation.as_dict()
    assert set(value) == {"timing", "audiences", "coalitions"}
    text = "\n".join(explanation.lines())
    for row in explanation.coalitions:
        assert row.power in text
