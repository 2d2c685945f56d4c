"""Checkpoints and v1 cosignatures: canonical text, and no signature of a known key that fails."""

from __future__ import annotations

import pytest
from brakeline.ledger import note
from brakeline.ledger.checkpoint import (
    MAX_TIMESTAMP,
    Checkpoint,
    add_signatures,
    cosign,
    cosignature_message,
    open_checkpoint,
    sign_checkpoint,
)
from brakeline.ledger.errors import NoteError
from brakeline.ledger.note import Note, NoteSignature
from brakeline.ledger.vkey import TYPE_WITNESS, VKey
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cast import signer, vkey

ORIGIN = "verifier-1.example"
LOG = vkey(ORIGIN, "log")
NAMES = [f"verifier-{i}.example" for i in range(1, 5)]
WITNESSES = [vkey(name, "witness") for name in NAMES]
CHECKPOINT = Checkpoint(ORIGIN, 20852163, bytes(range(32)))
NOTE = sign_checkpoint(CHECKPOINT, LOG, signer(ORIGIN, "log"))
TIME = 1_679_315_147


def cosigned(*names: str, data: bytes = NOTE, at: int = TIME) -> bytes:
    return add_signatures(data, [cosign(data, vkey(n, "witness"), signer(n, "witness"), at) for n in names])


def refusal(data: bytes, *witnesses: VKey, log: VKey = LOG) -> str:
    with pytest.raises(NoteError) as caught:
        open_checkpoint(data, log, witnesses)
    return caught.value.code


def test_the_text_is_the_specifications() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    checkpoint = Checkpoint.parse_text(text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.render_text() == text
    assert cosignature_message(text, TIME).decode() == f"cosignature/v1\ntime {TIME}\n{text}"


@given(
    st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.integers(0, 2**63),
    st.binary(min_size=32, max_size=32),
    st.lists(st.text(st.characters(exclude_characters="\n"), min_size=1, max_size=9), max_size=3),
)
def test_a_checkpoint_survives_writing_and_reading(origin: str, size: int, root: bytes, more: list[str]) -> None:
    checkpoint = Checkpoint(origin, size, root, tuple(more))
    assert Checkpoint.parse_text(checkpoint.render_text()) == checkpoint


ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"o\n1\n{ROOT}",
        f"o\n1\n{ROOT}\n\n",
        f"o\n1\n{ROOT}\n\nx\n",
        f"\n1\n{ROOT}\n",
        "o\n1\n",
        f"o\n01\n{ROOT}\n",
        f"o\n+1\n{ROOT}\n",
        f"o\n1_0\n{ROOT}\n",
        f"o\n-1\n{ROOT}\n",
        f"o\n٣\n{ROOT}\n",
        f"o\n{2**63 + 1}\n{ROOT}\n",
        f"o\n{10**30}\n{ROOT}\n",
        f"o\n1\n{ROOT[:-1]}\n",
        f"o\n1\n{ROOT[:-4]}\n",
        f"o\n1\n{ROOT[:-2]}J=\n",
        f"o\n1\n {ROOT}\n",
        "o\n1\n!!\n",
    ],
)
def test_what_is_not_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError, match="checkpoint-malformed"):
        Checkpoint.parse_text(text)


def test_a_signed_note_that_is_no_checkpoint_is_refused() -> None:
    text = "not a checkpoint\n"
    data = Note(text, (note.sign(text, LOG, signer(ORIGIN, "log")),)).render()
    assert refusal(data) == "checkpoint-malformed"


def test_a_cosigned_checkpoint_opens_with_its_witnesses_and_times() -> None:
    opened = open_checkpoint(cosigned(*NAMES), LOG, WITNESSES)
    assert opened.checkpoint == CHECKPOINT
    assert dict(opened.cosignatures) == dict.fromkeys(WITNESSES, TIME)


def test_cosignatures_of_unknown_witnesses_are_ignored() -> None:
    assert dict(open_checkpoint(cosigned(*NAMES), LOG, WITNESSES[:1]).cosignatures) == {WITNESSES[0]: TIME}
    assert dict(open_checkpoint(cosigned(*NAMES), LOG).cosignatures) == {}


def test_of_two_cosignatures_of_one_witness_the_later_time_counts() -> None:
    data = cosigned(NAMES[0], data=cosigned(NAMES[0], at=TIME + 5))
    assert dict(open_checkpoint(data, LOG, WITNESSES).cosignatures) == {WITNESSES[0]: TIME + 5}


@given(st.integers(0, 71), st.integers(0, 7))
def test_any_flipped_bit_of_a_known_cosignature_rejects_the_whole_note(at: int, bit: int) -> None:
    good = cosign(NOTE, WITNESSES[0], signer(NAMES[0], "witness"), TIME)
    blob = bytearray(good.signature)
    blob[at] ^= 1 << bit
    bad = NoteSignature(good.name, good.id, bytes(blob))
    data = add_signatures(cosigned(NAMES[1]), [bad])
    assert refusal(data, *WITNESSES) == "note-signature-invalid"
    assert dict(open_checkpoint(data, LOG, WITNESSES[1:]).cosignatures) == {WITNESSES[1]: TIME}


@pytest.mark.parametrize("blob", [b"x", bytes(71), bytes(73), b"\xff" * 8 + bytes(64)])
def test_a_cosignature_of_another_shape_is_refused(blob: bytes) -> None:
    data = add_signatures(NOTE, [NoteSignature(WITNESSES[0].name, WITNESSES[0].id, blob)])
    assert refusal(data, *WITNESSES) == "note-signature-invalid"


def test_a_plain_signature_is_no_cosignature() -> None:
    """The header line separates the two: what a log signs can never serve as a witness's word."""
    key = VKey(ORIGIN, TYPE_WITNESS, LOG.public_key)
    stolen = note.parse(NOTE).signatures[0].signature
    data = add_signatures(NOTE, [NoteSignature(key.name, key.id, TIME.to_bytes(8, "big") + stolen)])
    assert refusal(data, key) == "note-signature-invalid"


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_flipped_byte_is_refused_or_leaves_a_cosignature_less(at: int, mask: int) -> None:
    data = bytearray(cosigned(*NAMES[:2]))
    data[at % len(data)] ^= mask
    try:
        opened = open_checkpoint(bytes(data), LOG, WITNESSES)
    except NoteError:
        return
    assert opened.checkpoint == CHECKPOINT
    assert len(opened.cosignatures) == 1


def test_a_checkpoint_of_another_origin_or_log_is_refused() -> None:
    stranger = vkey("stranger.example", "log")
    assert refusal(NOTE, log=stranger) == "note-unsigned"
    text = Checkpoint("another.example", 1, bytes(32)).render_text()
    data = Note(text, (note.sign(text, LOG, signer(ORIGIN, "log")),)).render()
    assert refusal(data) == "checkpoint-origin"


def test_a_signature_line_is_added_once() -> None:
    line = cosign(NOTE, WITNESSES[0], signer(NAMES[0], "witness"), TIME)
    assert add_signatures(add_signatures(NOTE, [line]), [line, line]) == add_signatures(NOTE, [line])


def test_signing_with_the_wrong_key_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="origin"):
        sign_checkpoint(CHECKPOINT, vkey("verifier-2.example", "log"), signer("verifier-2.example", "log"))
    with pytest.raises(ValueError, match="type 0x04"):
        cosign(NOTE, LOG, signer(ORIGIN, "log"), TIME)
    with pytest.raises(ValueError, match="type 0x04"):
        cosign(NOTE, WITNESSES[0], signer(NAMES[1], "witness"), TIME)
    for time in (0, -1, MAX_TIMESTAMP + 1):
        with pytest.raises(ValueError, match="range"):
            cosign(NOTE, WITNESSES[0], signer(NAMES[0], "witness"), time)
