"""Vectors that others published, decided as they say. They lie beside the checkout and are never copied into it."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path

import pytest
from brakeline.ledger import ed25519
from brakeline.ledger.errors import LedgerError
from brakeline.ledger.merkle import verify_consistency, verify_inclusion

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors"

if not VECTORS.is_dir():  # the module, not its tests: where everything is required, these are still not ours to bring
    pytest.skip("the shared vectors do not lie beside this checkout", allow_module_level=True)


def decided(key: bytes, message: bytes, signature: bytes) -> bool:
    """What the protocol decides: a key that may be registered, and a strict signature; both libraries alike."""
    verdict = ed25519.verify(key, message, signature)
    assert ed25519.verify_openssl(key, message, signature) == verdict
    try:
        ed25519.check_registrable(key)
    except LedgerError:
        return False
    return verdict


def test_speccheck_cases_are_all_rejected() -> None:
    cases = json.loads((VECTORS / "ed25519-speccheck.json").read_bytes())
    outcome = [
        decided(*(bytes.fromhex(case[field]) for field in ("pub_key", "message", "signature"))) for case in cases
    ]
    assert outcome == [False] * 12


def test_wycheproof_cases_are_decided_as_their_result_says() -> None:
    groups = json.loads((VECTORS / "ed25519-wycheproof.json").read_bytes())["testGroups"]
    outcome: Counter[tuple[str, bool]] = Counter()
    for group in groups:
        key = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            verdict = decided(key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            outcome[case["result"], verdict] += 1
    assert outcome == {("valid", True): 88, ("invalid", False): 63}


def raw(text: str | None) -> bytes:
    return base64.b64decode(text or "")


@pytest.mark.parametrize(("kind", "count"), [("inclusion", 98), ("consistency", 98)])
def test_merkle_cases_are_decided_as_want_err_says(kind: str, count: int) -> None:
    files = sorted((VECTORS / "merkle" / kind).rglob("*.json"))
    wrong: list[str] = []
    for file in files:
        case = json.loads(file.read_bytes())
        proof = [raw(item) for item in case["proof"] or ()]
        try:
            if kind == "inclusion":
                leaf, root = raw(case["leafHash"]), raw(case["root"])
                verify_inclusion(case["leafIdx"], case["treeSize"], leaf, proof, root)
            else:
                verify_consistency(case["size1"], case["size2"], proof, raw(case["root1"]), raw(case["root2"]))
            refused = False
        except LedgerError:
            refused = True
        if refused != case["wantErr"]:
            wrong.append(file.name)
    assert (len(files), wrong) == (count, [])
