"""Witness policies: the tlog-policy text, and that quorums count unique key bytes."""

from __future__ import annotations

from itertools import combinations

import pytest
from brakeline.ledger.errors import PolicyError
from brakeline.ledger.policy import parse, quorum_policy
from brakeline.ledger.vkey import TYPE_LOG, TYPE_WITNESS, VKey
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cast import vkey

LOG = vkey("log.example", "log")
W = {name: vkey(f"{name}.example", "witness") for name in ("X1", "X2", "X3", "Y1", "Y2", "Y3")}
WITNESS_LINES = "".join(f"witness {name} {key}\n" for name, key in W.items())
TWO_LEVELS = f"""
# the specification's example
log {LOG} https://log.example/

\t{WITNESS_LINES}group X-witnesses 2 X1 X2 X3
group Y-witnesses any Y1   Y2 Y3
group X-and-Y all X-witnesses Y-witnesses
 quorum\tX-and-Y
"""


def refusal(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        parse(text)
    return caught.value.code


def test_two_levels_of_groups_hold_as_the_specification_says() -> None:
    policy = parse(TWO_LEVELS)
    assert policy.logs == (LOG,)
    assert policy.urls == {str(LOG): "https://log.example/"}
    for count in range(len(W) + 1):
        for names in combinations(W, count):
            enough = sum(name[0] == "X" for name in names) >= 2 and any(name[0] == "Y" for name in names)
            assert policy.satisfied(W[name] for name in names) == enough


def test_a_policy_survives_writing_and_reading() -> None:
    for text in (TWO_LEVELS, "quorum none", f"witness w {W['X1']} https://w.example\nquorum w\n"):
        policy = parse(text)
        assert parse(policy.render()) == policy
        assert parse(policy.render()).render() == policy.render()


def test_quorum_none_asks_for_nobody() -> None:
    assert parse("quorum none\n").satisfied([])


def test_a_single_witness_can_be_the_quorum() -> None:
    policy = parse(f"witness w {W['X1']}\nquorum w\n")
    assert policy.satisfied([W["X1"]])
    assert not policy.satisfied([W["X2"]])


def test_unique_key_bytes_are_counted_not_names() -> None:
    policy = quorum_policy([LOG], [W["X1"], W["X2"]], 2)
    alias = VKey("alias.example", TYPE_WITNESS, W["X1"].public_key)
    assert not policy.satisfied([W["X1"], W["X1"], alias])
    assert policy.satisfied([alias, W["X2"]])


@pytest.mark.parametrize(("w", "n"), [(0, 0), (0, 3), (1, 1), (2, 3), (3, 4), (6, 6)])
def test_a_quorum_of_w_is_any_w_witnesses(w: int, n: int) -> None:
    witnesses = list(W.values())[:n]
    policy = quorum_policy([LOG], witnesses, w)
    assert parse(policy.render()) == policy
    for count in range(n + 1):
        for some in combinations(witnesses, count):
            assert policy.satisfied(some) == (count >= w)


def test_an_impossible_quorum_cannot_be_made() -> None:
    for w in (3, -1):
        with pytest.raises(PolicyError, match="policy-quorum"):
            quorum_policy([LOG], [W["X1"], W["X2"]], w)
    with pytest.raises(PolicyError, match="policy-duplicate"):
        quorum_policy([LOG, VKey("other", TYPE_LOG, LOG.public_key)], [], 0)


X1, X2 = f"witness X1 {W['X1']}\n", f"witness X2 {W['X2']}\n"
AGAIN = VKey("another-name", TYPE_WITNESS, W["X1"].public_key)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "policy-quorum"),
        (X1, "policy-quorum"),
        ("quorum nobody", "policy-quorum"),
        (f"quorum X1\n{X1}", "policy-quorum"),
        ("quorum none\nquorum none", "policy-duplicate"),
        (f"log {LOG}\nlog {VKey('other', TYPE_LOG, LOG.public_key)}\nquorum none", "policy-duplicate"),
        (f"{X1}witness X3 {AGAIN}\nquorum none", "policy-duplicate"),
        (f"{X1}witness X1 {W['X2']}\nquorum none", "policy-duplicate"),
        (f"witness none {W['X1']}\nquorum none", "policy-duplicate"),
        (f"{X1}group X1 any X1\nquorum none", "policy-duplicate"),
        (f"{X1}{X2}group a 2 X1 X1\nquorum a", "policy-duplicate"),
        (f"{X1}{X2}group a any X1\ngroup b all X1 X2\nquorum b", "policy-duplicate"),
        (f"{X1}group a any X1 none\nquorum a", "policy-malformed"),
        (f"{X1}group a any later\n{X2}quorum a", "policy-malformed"),
        (f"{X1}group a any a\nquorum a", "policy-malformed"),
        (f"{X1}group a any\nquorum X1", "policy-malformed"),
        (f"{X1}group a 0 X1\nquorum a", "policy-quorum"),
        (f"{X1}group a 2 X1\nquorum a", "policy-quorum"),
        (f"{X1}group a 01 X1\nquorum a", "policy-quorum"),
        (f"{X1}group a +1 X1\nquorum a", "policy-quorum"),
        (f"{X1}group a ١ X1\nquorum a", "policy-quorum"),
        (f"{X1}group a {10**30} X1\nquorum a", "policy-quorum"),
        (f"log {W['X1']}\nquorum none", "policy-malformed"),
        (f"witness X1 {LOG}\nquorum none", "policy-malformed"),
        ("log nonsense\nquorum none", "policy-malformed"),
        (f"log {LOG} url more\nquorum none", "policy-malformed"),
        ("allow everyone\nquorum none", "policy-malformed"),
        ("quorum none more", "policy-malformed"),
        ("quorum none\r\n", "policy-malformed"),
        ("quorum none\x00", "policy-malformed"),
        ("#" * 70_000 + "\nquorum none", "policy-malformed"),
        ("\n" * 2_000 + "quorum none", "policy-malformed"),
    ],
)
def test_what_is_not_a_policy_is_refused(text: str, code: str) -> None:
    assert refusal(text) == code


def test_a_mistake_is_named_by_its_line() -> None:
    with pytest.raises(PolicyError, match="line 2: "):
        parse("# fine\nallow everyone\n")


def test_thirty_two_of_each_are_supported() -> None:
    lines = [f"log {vkey(f'log-{i}.example', 'log')} https://log-{i}.example" for i in range(32)]
    lines += [f"witness w{i} {vkey(f'w{i}.example', 'witness')}" for i in range(32)]
    lines += [f"group g{i} 1 w{i}" for i in range(31)]
    lines += ["group all all " + " ".join(f"g{i}" for i in range(31)) + " w31", "quorum all"]
    policy = parse("\n".join(lines))
    assert policy.satisfied(policy.witnesses.values())
    assert not policy.satisfied(list(policy.witnesses.values())[1:])


@given(st.text(max_size=100))
def test_arbitrary_text_is_a_policy_or_refused_with_a_code(text: str) -> None:
    try:
        policy = parse(text)
    except PolicyError as error:
        assert error.code.startswith("policy-")  # noqa: PT017  it may also be a policy
    else:
        assert parse(policy.render()) == policy
