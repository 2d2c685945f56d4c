"""The committed vectors are what the code writes today, and what the independent checker recomputes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from brakeline.audit import vectors
from brakeline.ledger.proof import verify_receipt
from brakeline.treaty.admission import check_treaty_statement
from brakeline.treaty.envelope import Envelope

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "docs" / "spec" / "vectors"


def checker(directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / "check_log.py"), "vectors", str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_committed_vectors_are_the_ones_the_code_writes(tmp_path: Path) -> None:
    written = vectors.write(tmp_path)
    assert [path.name for path in written] == sorted(path.name for path in COMMITTED.glob("*.json"))
    for path in written:
        assert path.read_bytes() == (COMMITTED / path.name).read_bytes(), path.name


def test_the_independent_checker_recomputes_them() -> None:
    result = checker(COMMITTED)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", sorted(path.name for path in COMMITTED.glob("*.json")))
def test_the_independent_checker_sees_a_changed_vector(name: str, tmp_path: Path) -> None:
    copy = shutil.copytree(COMMITTED, tmp_path / "vectors")
    text = (copy / name).read_text()
    content = json.loads(text)
    case = content["cases"][-1]
    member = next(
        key for key in ("keyid", "digest", "dsse_json", "leaf", "digest_hex", "note", "receipt") if key in case
    )
    case[member] = {"sealed": "0" * 64} if member == "leaf" else str(case[member])[:-2] + "00"
    (copy / name).write_text(json.dumps(content))
    assert checker(copy).returncode == 1


def test_the_treaty_and_the_receipts_of_the_vectors_are_valid_to_us() -> None:
    envelopes = {case["name"]: case for case in json.loads((COMMITTED / "envelope.json").read_text())["cases"]}
    signed = Envelope.from_dsse_json(envelopes["treaty"]["dsse_json"].encode())
    pin = json.loads((COMMITTED / "order.json").read_text())["cases"][0]["treaty"]
    _, document = check_treaty_statement(signed, pin)
    receipts = json.loads((COMMITTED / "receipt.json").read_text())["cases"]
    for case in receipts:
        log = document.verifier(case["origin"])
        assert log is not None
        found = verify_receipt(case["receipt"].encode(), log.log_key, document.witness_policy(case["origin"]))
        assert found.entry.encode().hex() == case["entry_hex"]
        assert len(found.cosignatures) == 3
