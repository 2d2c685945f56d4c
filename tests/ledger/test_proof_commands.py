"""``brakeline ledger proof``: receipts made from a copy, checked by nobody's leave, and a log held to its word."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from brakeline.ledger.checkpoint import Checkpoint, sign_checkpoint
from brakeline.ledger.commands import app
from brakeline.ledger.entry import Entry, Kind, client_source, first_previous, peer_source
from brakeline.ledger.errors import BrakelineError, DivergenceError, NoteError, ProofError, SourceError
from brakeline.ledger.merkle import verify_consistency
from brakeline.ledger.policy import quorum_policy
from brakeline.ledger.proof import Receipt, verify_receipt
from brakeline.ledger.prove import check_consistency, make_receipt
from brakeline.ledger.source import DirectorySource
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.ledger.logs import KEY, ORIGIN, SIGNER, TIME, WITNESSES, chain, cosigned, policy, write_log
from tests.support.cast import vkey

SIZES = (1, 2, 255, 256, 257, 600)


def run(*words: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["proof", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def written(directory: Path, size: int, word: str = "entry", *cosigners: str) -> Path:
    """A log of *size* entries as tiles, its checkpoint cosigned."""
    note = write_log(directory, [entry.encode() for entry in chain(size, word)])
    (directory / "checkpoint").write_bytes(cosigned(note, *cosigners))
    return directory


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("copy"), 600)


@pytest.fixture(scope="module")
def terms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("terms") / "witnesses.policy"
    path.write_text(policy().render())
    return path


@pytest.mark.parametrize("size", SIZES)
def test_every_receipt_made_from_a_copy_verifies(size: int, tmp_path: Path) -> None:
    source = DirectorySource(written(tmp_path / "log", size))
    for index in {0, 1, 254, 255, 256, 511, 512, size - 2, size - 1} & set(range(size)):
        verified = verify_receipt(make_receipt(source, index, KEY), KEY, policy())
        assert verified.entry == chain(size)[index]
        assert len(verified.cosignatures) == 4


def test_a_receipt_is_made_and_checked_without_asking_anybody(copy: Path, terms: Path, tmp_path: Path) -> None:
    out = tmp_path / "receipt"
    run("make", copy, "--index", "511", "--vkey", str(KEY), "--out", out)
    assert out.read_bytes() == run("make", copy, "--index", "511").encode()
    shown = run("check", out, "--policy", terms)
    entry = chain(600)[511]
    for word in (f"entry 511 stands in {ORIGIN} at size 600", entry.digest.hex(), "4 of the policy's 4 witnesses"):
        assert word in shown
    for name in WITNESSES:
        assert f"2026-01-01T00:00:00Z  {name}/witness" in shown
    value = json.loads(run("check", out, "--policy", terms, "--format", "json"))
    assert (value["origin"], value["index"], value["size"]) == (ORIGIN, 511, 600)
    assert value["entry"]["digest"] == entry.digest.hex()
    assert value["entry"]["received_at"] == TIME + 511
    assert [item["witness"] for item in value["cosignatures"]] == [f"{name}/witness" for name in WITNESSES]
    assert {item["time"] for item in value["cosignatures"]} == {TIME // 1000}


def test_the_key_comes_from_the_policy_or_from_the_person(copy: Path, terms: Path, tmp_path: Path) -> None:
    receipt, keyless = tmp_path / "receipt", tmp_path / "keyless.policy"
    run("make", copy, "--index", "3", "--out", receipt)
    keyless.write_text("\n".join(line for line in terms.read_text().splitlines() if not line.startswith("log ")))
    with pytest.raises(ProofError, match="proof-unknown-log"):
        run("check", receipt, "--policy", keyless)
    assert "it holds: entry 3" in run("check", receipt, "--policy", keyless, "--vkey", str(KEY))
    with pytest.raises(NoteError, match="note-"):
        run("check", receipt, "--policy", terms, "--vkey", str(vkey("other.example", "log")))


def test_a_receipt_short_of_witnesses_does_not_hold(tmp_path: Path, terms: Path) -> None:
    copy = written(tmp_path / "log", 5, "entry", *WITNESSES[:2])
    run("make", copy, "--index", "3", "--out", tmp_path / "receipt")
    with pytest.raises(ProofError, match="proof-quorum"):
        run("check", tmp_path / "receipt", "--policy", terms)
    nobody = tmp_path / "nobody.policy"
    nobody.write_text(quorum_policy([KEY], [], 0).render())
    assert "cosigned  by 0 of the policy's 0 witnesses" in run("check", tmp_path / "receipt", "--policy", nobody)


def test_who_brought_an_entry_is_told_and_cannot_write_on_the_terminal(tmp_path: Path, terms: Path) -> None:
    sources = (b"", client_source("lab.example"), peer_source("peer.example", 7), b"\x1b[2J", b"\xff", b"name\x00short")
    previous, entries = first_previous(ORIGIN), list[Entry]()
    for index, source in enumerate(sources):
        entries.append(Entry(index, previous, TIME, Kind.STATEMENT, source, b""))
        previous = entries[-1].digest
    note = write_log(tmp_path / "log", [entry.encode() for entry in entries])
    (tmp_path / "log/checkpoint").write_bytes(cosigned(note))
    told: list[str] = []
    for index in range(len(sources)):
        run("make", tmp_path / "log", "--index", str(index), "--out", tmp_path / "receipt")
        told.append(run("check", tmp_path / "receipt", "--policy", terms).partition("clock, from ")[2].split("\n")[0])
    assert told[:3] == ["the log itself", "lab.example", "peer.example, entry 7 there"]
    assert told[3:] == [r"\x1b[2J", "ff", b"name\x00short".hex()]


@given(data=st.data())
def test_no_mutated_receipt_holds(receipt: bytes, data: st.DataObject) -> None:
    mutations: list[Callable[[bytes, int, int], bytes]] = [
        lambda raw, at, bit: raw[:at] + bytes((raw[at] ^ 1 << bit,)) + raw[at + 1 :],
        lambda raw, at, _: raw[:at],
        lambda raw, at, bit: raw[:at] + bytes((bit,)) + raw[at:],
        lambda raw, at, bit: raw[:at] + raw[at + 1 + bit :],
    ]
    mutate = data.draw(st.sampled_from(mutations))
    changed = mutate(receipt, data.draw(st.integers(0, len(receipt) - 1)), data.draw(st.integers(0, 7)))
    try:
        verified = verify_receipt(changed, KEY, policy())
    except BrakelineError:
        return
    # What a quorum does not need, a witness's name or line, may be lost: what is proven must be the same.
    assert verified.entry == chain(300)[17]
    assert (verified.checkpoint.size, len(verified.cosignatures) >= 3) == (300, True)


@pytest.fixture(scope="module")
def receipt(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_receipt(DirectorySource(written(tmp_path_factory.mktemp("receipt"), 300)), 17)


def test_a_receipt_of_another_entry_or_place_is_refused(receipt: bytes) -> None:
    parsed = Receipt.parse(receipt)
    other = chain(300, "other")[17].encode()
    for changed, code in (
        (Receipt(18, parsed.extra, parsed.proof, parsed.checkpoint), "proof-index"),
        (Receipt(17, other, parsed.proof, parsed.checkpoint), "proof-"),
        (Receipt(17, parsed.extra, parsed.proof[1:], parsed.checkpoint), "proof-"),
        (Receipt(17, parsed.extra, (*parsed.proof, bytes(32)), parsed.checkpoint), "proof-"),
        (Receipt(17, parsed.extra, parsed.proof[::-1], parsed.checkpoint), "proof-"),
        (Receipt(17, None, parsed.proof, parsed.checkpoint), "proof-no-entry"),
    ):
        with pytest.raises(ProofError, match=code):
            verify_receipt(changed.render(), KEY, policy())


def test_no_receipt_is_made_of_what_is_not_there_or_not_sound(copy: Path, tmp_path: Path) -> None:
    source = DirectorySource(copy)
    for index in (-1, 600, 2**63):
        with pytest.raises(ProofError, match="proof-no-such-entry"):
            make_receipt(source, index)
    with pytest.raises(ProofError, match="not empty"):
        make_receipt(DirectorySource(written(tmp_path / "empty", 0)), 0)
    with pytest.raises(NoteError):
        make_receipt(source, 0, vkey("other.example", "log"))
    damaged = written(tmp_path / "damaged", 300)
    bundle = damaged / "tile/entries/000"
    bundle.write_bytes(bundle.read_bytes().replace(b"entry 7", b"entry 8", 1))
    with pytest.raises(DivergenceError, match="replay-entry"):
        make_receipt(DirectorySource(damaged), 7)
    assert verify_receipt(make_receipt(DirectorySource(damaged), 8), KEY, policy()).entry.index == 8


@pytest.mark.parametrize("old", [0, 1, 255, 256, 300, 599, 600])
def test_a_log_that_grew_still_contains_its_old_checkpoint(copy: Path, tmp_path: Path, old: int) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(write_log(tmp_path / "old", [entry.encode() for entry in chain(old)]))
    result = check_consistency(kept.read_bytes(), DirectorySource(copy), KEY)
    verify_consistency(old, 600, result.proof, result.old.root, result.new.root)
    assert "consistent: the 600 entries" in run("consistency", kept, copy, "--vkey", str(KEY))
    value = json.loads(run("consistency", kept, copy, "--vkey", str(KEY), "--format", "json"))
    assert (value["consistent"], value["old"]["size"], value["new"]["size"]) == (True, old, 600)
    assert value["proof"] == [item.hex() for item in result.proof]


@pytest.mark.parametrize("old", [1, 256, 300, 600])
def test_a_fork_is_exit_code_1_and_both_checkpoints_are_shown(copy: Path, tmp_path: Path, old: int) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(write_log(tmp_path / "fork", [entry.encode() for entry in chain(old, "other")]))
    shown = run("consistency", kept, copy, "--vkey", str(KEY), code=1)
    assert shown.startswith(f"log-forked: {ORIGIN} has signed two histories")
    assert kept.read_text() in shown
    value = json.loads(run("consistency", kept, copy, "--vkey", str(KEY), "--format", "json", code=1))
    assert value["evidence"] == [kept.read_text(), (copy / "checkpoint").read_text()]


def test_an_older_copy_decides_nothing(copy: Path, tmp_path: Path) -> None:
    older = written(tmp_path / "older", 20)
    with pytest.raises(SourceError, match="source-behind"):
        run("consistency", copy / "checkpoint", older, "--vkey", str(KEY))


def test_what_the_log_did_not_sign_accuses_nobody(copy: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    forged = sign_checkpoint(Checkpoint(ORIGIN, 5, bytes(32)), KEY, SIGNER).replace(b"\n5\n", b"\n6\n")
    kept.write_bytes(forged)
    with pytest.raises(NoteError, match="note-signature-invalid"):
        run("consistency", kept, copy, "--vkey", str(KEY))


def test_a_receipt_that_does_not_hold_is_exit_code_3_with_a_code(receipt: bytes, terms: Path, tmp_path: Path) -> None:
    (tmp_path / "receipt").write_bytes(receipt.replace(b"index 17\n", b"index 18\n"))
    words = ["ledger", "proof", "check", str(tmp_path / "receipt"), "--policy", str(terms)]
    command = [sys.executable, "-c", "from brakeline.cli import main; main()", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error proof-index: ")


@pytest.mark.parametrize("command", ["make", "check", "consistency"])
def test_help_has_an_example(command: str) -> None:
    assert f"Example: brakeline ledger proof {command} " in " ".join(run(command, "--help").split())
