"""Signed notes to the letter of the specification; its worked example; whatever an attacker changes is refused."""

from __future__ import annotations

import pytest
from brakeline.ledger import note
from brakeline.ledger.errors import NoteError
from brakeline.ledger.note import Note, NoteSignature
from brakeline.ledger.vkey import TYPE_LOG, VKey
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.cast import signer, vkey

EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
"""The worked example of the signed-note specification."""

TEXT = "one line\n\nand another\n"
NAMES = [f"log-{i}.example" for i in range(3)]
KEYS = [vkey(name, "log") for name in NAMES]


def signed(*names: str, text: str = TEXT) -> Note:
    return Note(text, tuple(note.sign(text, vkey(name, "log"), signer(name, "log")) for name in names))


def refusal(data: bytes, *keys: VKey) -> str:
    with pytest.raises(NoteError) as caught:
        note.verify(note.parse(data), keys)
    return caught.value.code


def test_the_specifications_worked_example_verifies() -> None:
    key = VKey.parse(EXAMPLE_KEY)
    parsed = note.parse(EXAMPLE_NOTE)
    assert note.verify(parsed, [key]) == [key]
    assert parsed.text == "This is an example message.\n"
    assert parsed.render() == EXAMPLE_NOTE


def test_a_note_survives_writing_and_reading() -> None:
    item = signed(*NAMES)
    assert note.parse(item.render()) == item
    assert note.verify(item, KEYS) == KEYS


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_flipped_byte_is_refused_or_leaves_no_known_signature(at: int, mask: int) -> None:
    data = bytearray(EXAMPLE_NOTE)
    data[at % len(data)] ^= mask
    assert refusal(bytes(data), VKey.parse(EXAMPLE_KEY)) in (
        "note-malformed",
        "note-signature-invalid",
        "note-unsigned",
    )


@given(st.text(st.characters(exclude_categories=["Cs"], min_codepoint=32) | st.just("\n"), max_size=80))
@example("")
@example("\n")
@example("\n\n— x AAAAAAA=\n")
def test_any_text_that_ends_in_a_newline_can_be_signed(body: str) -> None:
    text = body + "\n"
    item = signed(NAMES[0], text=text)
    assert note.parse(item.render()) == item
    assert note.verify(note.parse(item.render()), KEYS) == KEYS[:1]


def test_unknown_keys_are_ignored_even_with_a_known_name_or_id() -> None:
    garbage = bytes(64)
    strangers = (
        NoteSignature(NAMES[0], b"\0\0\0\0", garbage),  # a known name, another id
        NoteSignature("stranger.example", KEYS[0].id, garbage),  # a known id, another name
        NoteSignature("ünïcode.example/\u200b\U000e0001", b"\1\2\3\4", b"x"),
    )
    item = Note(TEXT, strangers + signed(NAMES[0]).signatures)
    assert note.verify(note.parse(item.render()), KEYS) == KEYS[:1]
    assert refusal(Note(TEXT, strangers).render(), *KEYS) == "note-unsigned"


def test_a_known_key_that_fails_rejects_the_note_whoever_else_signed() -> None:
    good = signed(*NAMES[:2])
    bad = NoteSignature(NAMES[2], KEYS[2].id, signed(NAMES[2], text="other\n").signatures[0].signature)
    for signatures in ((bad, *good.signatures), (*good.signatures, bad)):
        assert refusal(Note(TEXT, signatures).render(), *KEYS) == "note-signature-invalid"
        assert note.verify(Note(TEXT, signatures), KEYS[:2]) == KEYS[:2]


def test_every_signature_of_a_known_key_must_verify_but_counts_once() -> None:
    good = signed(NAMES[0]).signatures[0]
    bad = NoteSignature(good.name, good.id, bytes(64))
    assert note.verify(Note(TEXT, (good, good)), KEYS) == KEYS[:1]
    assert refusal(Note(TEXT, (good, bad)).render(), *KEYS) == "note-signature-invalid"
    assert refusal(Note(TEXT, (good,)).render()) == "note-unsigned"


def test_a_signature_of_a_witness_or_statement_key_is_not_a_notes() -> None:
    item = signed(NAMES[0])
    others = [VKey(NAMES[0], kind, KEYS[0].public_key) for kind in (0x04, 0xFF)]
    assert refusal(item.render(), *others) == "note-unsigned"
    with pytest.raises(ValueError, match="type 0x01"):
        note.sign(TEXT, others[0], signer(NAMES[0], "log"))
    with pytest.raises(ValueError, match="type 0x01"):
        note.sign(TEXT, KEYS[0], signer(NAMES[1], "log"))


@pytest.mark.parametrize("count", [16, 17, note.MAX_SIGNATURES])
def test_sixteen_and_more_signatures_are_accepted(count: int) -> None:
    names = [f"log-{i}.example" for i in range(count)]
    item = signed(*names)
    assert len(note.verify(note.parse(item.render()), [vkey(name, "log") for name in names])) == count


def test_sixteen_signatures_of_post_quantum_size_are_accepted() -> None:
    large = tuple(NoteSignature(f"pq-{i}.example", b"\6\0\0" + bytes([i]), bytes(4_950)) for i in range(16))
    item = Note(TEXT, signed(NAMES[0]).signatures + large)
    assert note.verify(note.parse(item.render()), KEYS) == KEYS[:1]


def test_too_many_signatures_and_too_large_notes_are_refused() -> None:
    line = signed(NAMES[0]).signatures[0]
    with pytest.raises(NoteError, match="note-malformed"):
        note.parse(Note(TEXT, (line,) * (note.MAX_SIGNATURES + 1)).render())
    with pytest.raises(NoteError, match="note-too-large"):
        note.parse(bytes(note.MAX_NOTE + 1))


SIGNATURE = "— example.com/foo Uw2QOkn8srU="


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\n\n",
        f"text\n{SIGNATURE}\n".encode(),
        f"text\n\n{SIGNATURE}".encode(),
        f"text\n\n{SIGNATURE}\n ".encode(),
        f"text\r\n\n{SIGNATURE}\n".encode(),
        f"te\x00xt\n\n{SIGNATURE}\n".encode(),
        b"te\xffxt\n\n" + SIGNATURE.encode() + b"\n",
        f"text\n\n{SIGNATURE}\nmore\n".encode(),
        b"text\n\n- example.com/foo Uw2QOkn8srU=\n",
        "text\n\n—example.com/foo Uw2QOkn8srU=\n".encode(),
        "text\n\n— example.com/foo  Uw2QOkn8srU=\n".encode(),
        "text\n\n— exa+mple Uw2QOkn8srU=\n".encode(),
        "text\n\n—  Uw2QOkn8srU=\n".encode(),
        "text\n\n— exa\u00a0mple Uw2QOkn8srU=\n".encode(),
        "text\n\n— example.com/foo Uw2QOkn8srU\n".encode(),
        "text\n\n— example.com/foo Uw2QOkn8srV=\n".encode(),  # trailing bits
        "text\n\n— example.com/foo Uw2Q-kn8srU=\n".encode(),
        "text\n\n— example.com/foo Uw2QOg==\n".encode(),  # a key id and nothing signed
        "text\n\n— example.com/foo\n".encode(),
    ],
)
def test_what_is_not_a_note_is_refused(data: bytes) -> None:
    with pytest.raises(NoteError, match="note-malformed"):
        note.parse(data)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_with_a_code(data: bytes) -> None:
    with pytest.raises(NoteError, match="note-malformed"):
        note.parse(data)


def test_messages_show_foreign_names_without_control_characters() -> None:
    item = Note(TEXT, (NoteSignature("evil\x9b\u202e", b"1234", b"x"),))
    with pytest.raises(NoteError) as caught:
        note.verify(note.parse(item.render()), [VKey("a", TYPE_LOG, bytes(32))])
    assert "\x9b" not in str(caught.value)
    assert str(caught.value).isprintable()
