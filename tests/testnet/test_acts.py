"""The table of acts: no lie without a row, no row without a test that plays it, no proof that is not written."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from brakeline.audit.evidence.bundle import Bundle
from brakeline.testnet.acts import ACTS, Act, Proof, Who
from brakeline.testnet.liars import ACTS as LIES
from brakeline.treaty.rule_table import RULES

ROOT = Path(__file__).parents[2]
ALONE = {"fork", "backdating", "dishonoured-receipt", "equivocation"}
WITH_LOG = {"omission", "misjudging"}


def functions(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_lie_of_a_lying_verifier_has_a_row() -> None:
    assert len({act.name for act in ACTS}) == len(ACTS)
    assert set(LIES) <= {act.name for act in ACTS if act.who is Who.VERIFIER}


def test_every_bundle_that_there_is_convicts_in_some_row() -> None:
    bundles = {kind.model_fields["act"].default for kind in Bundle.__args__}
    assert bundles == ALONE | WITH_LOG
    assert {act.named for act in ACTS if act.proof is Proof.ALONE} == ALONE
    assert {act.named for act in ACTS if act.proof is Proof.WITH_LOG} == WITH_LOG


@pytest.mark.parametrize("act", ACTS, ids=lambda act: str(act.name))
def test_a_row_names_what_an_audit_says_and_tests_that_play_it(act: Act) -> None:
    if act.proof is Proof.FINDING:
        assert act.named in RULES
    assert act.played
    for place in act.played:
        file, _, function = place.partition("::")
        assert function in functions(file), place
