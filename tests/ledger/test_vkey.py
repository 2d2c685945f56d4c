"""Verifier keys: the syntax of signed-note, read canonically."""

from __future__ import annotations

import base64
import hashlib

import pytest
from brakeline.ledger.errors import VKeyError
from brakeline.ledger.vkey import TYPE_LOG, TYPE_STATEMENT, TYPE_WITNESS, VKey, is_key_name
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cast import vkey

KEYS = [vkey("log.example", purpose) for purpose in ("log", "witness", "statement")]


def test_the_specifications_example_key_is_read() -> None:
    key = VKey.parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    assert (key.name, key.type, key.id.hex()) == ("example.com/foo", TYPE_LOG, "530d903a")
    assert key.keyid == hashlib.sha256(key.public_key).hexdigest()


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_a_key_survives_writing_and_reading(key: VKey) -> None:
    assert VKey.parse(str(key)) == key


def test_the_key_id_hashes_name_newline_type_and_material() -> None:
    for key, material in (
        (KEYS[0], b"\x01" + KEYS[0].public_key),
        (KEYS[1], b"\x04" + KEYS[1].public_key),
        (KEYS[2], b"\xffbrakeline/statement/v1" + KEYS[2].public_key),
    ):
        assert key.id == hashlib.sha256(key.name.encode() + b"\n" + material).digest()[:4]
        assert str(key).endswith(base64.b64encode(material).decode())


def test_one_key_in_three_types_has_three_ids() -> None:
    ids = {VKey("a", kind, KEYS[0].public_key).id for kind in (TYPE_LOG, TYPE_WITNESS, TYPE_STATEMENT)}
    assert len(ids) == 3


@given(st.sampled_from(KEYS), st.data())
def test_no_other_spelling_is_read(key: VKey, data: st.DataObject) -> None:
    text = str(key)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(max_codepoint=0x2FF).filter(lambda c: c != text[at]))
    with pytest.raises(VKeyError):
        VKey.parse(text[:at] + other + text[at + 1 :])
    with pytest.raises(VKeyError):
        VKey.parse(text[:at] + text[at + 1 :])
    with pytest.raises(VKeyError):
        VKey.parse(text[:at] + other + text[at:])


@given(st.text(max_size=60))
def test_arbitrary_text_is_refused_with_a_code(text: str) -> None:
    with pytest.raises(VKeyError, match="vkey-malformed"):
        VKey.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        "name+00000000+",
        "name+00000000+!!",
        "name+00000000+/2Zvbw==",  # type 0xff of somebody else
        "n" * 400 + "+00000000+AQ==",
    ],
)
def test_what_is_not_a_key_is_refused(text: str) -> None:
    with pytest.raises(VKeyError, match="vkey-malformed"):
        VKey.parse(text)


@pytest.mark.parametrize(
    ("name", "kind", "key"),
    [
        ("", TYPE_LOG, bytes(32)),
        ("a b", TYPE_LOG, bytes(32)),
        ("a+b", TYPE_LOG, bytes(32)),
        ("a\u200bb", TYPE_LOG, bytes(32)),
        ("a\ud800", TYPE_LOG, bytes(32)),
        ("a", 2, bytes(32)),
        ("a", TYPE_LOG, bytes(31)),
    ],
)
def test_a_key_with_wrong_fields_cannot_be_made(name: str, kind: int, key: bytes) -> None:
    with pytest.raises(VKeyError, match="vkey-malformed"):
        VKey(name, kind, key)


@given(st.characters())
def test_key_names_exclude_spaces_and_plus_and_nothing_printable_else(character: str) -> None:
    refused = character.isspace() or character == "+" or character < " " or "\ud800" <= character <= "\udfff"
    assert is_key_name(character) != refused
    assert not is_key_name("")
