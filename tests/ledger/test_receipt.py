"""Receipts: a tlog-proof that stands alone, judged offline, and refused after any change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from brakeline.ledger.checkpoint import Checkpoint, sign_checkpoint
from brakeline.ledger.errors import EntryError, LedgerError, NoteError, ProofError
from brakeline.ledger.proof import MAX_RECEIPT, Receipt, verify_receipt
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger import reference
from tests.ledger.logs import KEY, SIGNER, WITNESSES, chain, cosigned, policy
from tests.support.cast import vkey

SIZE = 7
ENTRIES = chain(SIZE)
LEAVES = [entry.leaf_hash for entry in ENTRIES]
NOTE = cosigned(sign_checkpoint(Checkpoint(KEY.name, SIZE, reference.mth(LEAVES)), KEY, SIGNER))


def receipt(index: int, note: bytes = NOTE) -> Receipt:
    return Receipt(index, ENTRIES[index].encode(), tuple(reference.path(index, LEAVES)), note)


GOOD = receipt(5)


def refusal(data: bytes) -> str:
    with pytest.raises(LedgerError) as caught:
        verify_receipt(data, KEY, policy())
    return caught.value.code


@pytest.mark.parametrize("index", range(SIZE))
def test_a_receipt_proves_its_entry_offline(index: int) -> None:
    verified = verify_receipt(receipt(index).render(), KEY, policy(4))
    assert verified.entry == ENTRIES[index]
    assert verified.checkpoint.size == SIZE
    assert {key.name for key in verified.cosignatures} == {f"{name}/witness" for name in WITNESSES}


def test_the_text_is_the_specifications() -> None:
    lines = GOOD.render().decode().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1].startswith("extra ")
    assert lines[2] == "index 5"
    assert lines[3 + len(GOOD.proof)] == ""
    assert GOOD.render().endswith(NOTE)


def test_a_receipt_survives_writing_and_reading() -> None:
    for item in (GOOD, replace(GOOD, extra=None), replace(GOOD, proof=()), replace(GOOD, index=2**63 - 1)):
        assert Receipt.parse(item.render()) == item


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_flipped_byte_is_refused_or_costs_a_cosignature(at: int, mask: int) -> None:
    data = bytearray(GOOD.render())
    data[at % len(data)] ^= mask
    try:
        verified = verify_receipt(bytes(data), KEY, policy())
    except LedgerError:
        return
    assert verified.entry == ENTRIES[5]
    assert len(verified.cosignatures) == 3
    assert refusal_under_all_four(bytes(data)) == "proof-quorum"


def refusal_under_all_four(data: bytes) -> str:
    with pytest.raises(ProofError) as caught:
        verify_receipt(data, KEY, policy(4))
    return caught.value.code


@given(st.data())
def test_any_cut_or_doubled_line_is_refused(data: st.DataObject) -> None:
    lines = GOOD.render().split(b"\n")
    at = data.draw(st.integers(0, len(lines) - 1))
    cosignatures = range(len(lines) - 1 - len(WITNESSES), len(lines) - 1)
    if at not in cosignatures:
        refusal(b"\n".join(lines[:at] + lines[at + 1 :]))
        if at != len(lines) - 2 - len(WITNESSES):  # a repeated signature of the log is valid twice
            refusal(b"\n".join(lines[:at] + lines[at : at + 1] + lines[at:]))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_with_a_code(data: bytes) -> None:
    with pytest.raises(ProofError, match="proof-malformed"):
        Receipt.parse(data)


def test_too_few_witnesses_are_refused() -> None:
    note = sign_checkpoint(Checkpoint(KEY.name, SIZE, reference.mth(LEAVES)), KEY, SIGNER)
    assert refusal(receipt(5, cosigned(note, *WITNESSES[:2])).render()) == "proof-quorum"
    assert refusal(receipt(5, note).render()) == "proof-quorum"
    assert verify_receipt(receipt(5, note).render(), KEY, policy(0)).cosignatures == {}


def test_a_receipt_without_its_entry_is_refused() -> None:
    assert refusal(replace(GOOD, extra=None).render()) == "proof-no-entry"
    with pytest.raises(ProofError, match="proof-malformed"):
        Receipt.parse(GOOD.render().replace(b"extra " + GOOD.render().split(b"\n")[1][6:], b"extra "))


def test_an_entry_of_another_index_is_refused() -> None:
    assert refusal(replace(GOOD, extra=ENTRIES[4].encode()).render()) == "proof-index"
    assert refusal(replace(GOOD, index=4).render()) == "proof-index"


def test_an_entry_that_the_tree_does_not_hold_is_refused() -> None:
    forged = replace(ENTRIES[5], body=b"forged")
    assert refusal(replace(GOOD, extra=forged.encode()).render()) == "proof-root-mismatch"
    assert refusal(replace(GOOD, proof=GOOD.proof[:-1]).render()) == "proof-length"
    beyond = replace(ENTRIES[5], index=SIZE)
    assert refusal(replace(GOOD, index=SIZE, extra=beyond.encode()).render()) == "proof-range"


def test_a_receipt_of_another_log_or_with_a_bad_note_is_refused() -> None:
    with pytest.raises(NoteError, match="note-unsigned"):
        verify_receipt(GOOD.render(), vkey("verifier-2.example", "log"), policy())
    assert refusal(replace(GOOD, checkpoint=b"nothing\n").render()) == "note-malformed"
    with pytest.raises(EntryError, match="entry-malformed"):
        verify_receipt(replace(GOOD, extra=b"x").render(), KEY, policy())


HASH = b"gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ="


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"c2sp.org/tlog-proof@v2\nindex 0",
        b"c2sp.org/tlog-proof@v1",
        b"c2sp.org/tlog-proof@v1\nindex 00",
        b"c2sp.org/tlog-proof@v1\nindex -1",
        b"c2sp.org/tlog-proof@v1\nindex 1 ",
        b"c2sp.org/tlog-proof@v1\n0",
        b"c2sp.org/tlog-proof@v1\nindex 99999999999999999999",
        b"c2sp.org/tlog-proof@v1\nindex 0\nextra AAAA",
        b"c2sp.org/tlog-proof@v1\nextra !\nindex 0",
        b"c2sp.org/tlog-proof@v1\nextra AAB=\nindex 0",
        b"c2sp.org/tlog-proof@v1\nextra \nindex 0",
        b"c2sp.org/tlog-proof@v1\nindex 0\nAAAA",
        b"c2sp.org/tlog-proof@v1\nindex 0\n" + b"\n".join([HASH] * 64),
        "c2sp.org/tlog-proof@v1\nindex ٣".encode(),
    ],
)
def test_what_is_not_a_receipt_is_refused(head: bytes) -> None:
    with pytest.raises(ProofError, match="proof-malformed"):
        Receipt.parse(head + b"\n\n" + NOTE)


def test_a_receipt_that_is_too_large_is_refused() -> None:
    with pytest.raises(ProofError, match="proof-too-large"):
        Receipt.parse(bytes(MAX_RECEIPT + 1))


def test_63_hashes_and_the_largest_entry_fit() -> None:
    largest = Receipt(0, bytes(65_535), (bytes(32),) * 63, NOTE)
    assert Receipt.parse(largest.render()) == largest
