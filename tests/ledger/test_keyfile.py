"""Key files: encrypted, private, never overwritten, with the public key beside."""

from __future__ import annotations

from pathlib import Path

import pytest
from brakeline.ledger import keyfile
from brakeline.ledger.ed25519 import verify
from brakeline.ledger.errors import StoreError
from brakeline.ledger.keyfile import read_signer, read_vkey, vkey_path, write_key, write_private, write_vkey
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.support.cast import vkey

SEED = bytes(range(32))


def refusal(path: Path, passphrase: bytes | None = None) -> str:
    with pytest.raises(StoreError) as caught:
        read_signer(path, passphrase)
    return caught.value.code


@pytest.mark.parametrize("passphrase", [None, b"correct horse", "ünïcode".encode()])
def test_a_key_survives_writing_and_reading(tmp_path: Path, passphrase: bytes | None) -> None:
    path = tmp_path / "key.pem"
    written = write_key(path, SEED, passphrase)
    signer = read_signer(path, passphrase)
    assert signer.public_key == written.public_key
    assert verify(written.public_key, b"m", signer.sign(b"m"))
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_bytes()
    assert text.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY" if passphrase else b"-----BEGIN PRIVATE KEY")
    assert SEED not in text


def test_fresh_keys_differ() -> None:
    assert len({keyfile.generate() for _ in range(8)}) == 8


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    write_key(path, SEED, None)
    before = path.read_bytes()
    for write in (lambda: write_key(path, bytes(32), None), lambda: write_private(path, b"other")):
        with pytest.raises(StoreError, match="key-file-exists"):
            write()
    assert path.read_bytes() == before
    dangling = tmp_path / "link.pem"
    dangling.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="key-file-exists"):
        write_key(dangling, SEED, None)
    assert not (tmp_path / "elsewhere").exists()


def test_a_write_that_fails_leaves_no_half_written_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with pytest.raises(TypeError):
        write_private(path, None)  # type: ignore[arg-type]
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        write_private(tmp_path / "nowhere" / "key.pem", b"x")


def test_an_empty_passphrase_protects_nothing_and_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="key-file-passphrase"):
        write_key(tmp_path / "key.pem", SEED, b"")
    assert not (tmp_path / "key.pem").exists()


def test_the_wrong_passphrase_is_refused_either_way_round(tmp_path: Path) -> None:
    locked, open_ = tmp_path / "locked.pem", tmp_path / "open.pem"
    write_key(locked, SEED, b"right")
    write_key(open_, SEED, None)
    assert refusal(locked, b"wrong") == "key-file-passphrase"
    assert refusal(locked) == "key-file-passphrase"
    assert refusal(open_, b"any") == "key-file-passphrase"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.pem"
    write_key(path, SEED, None)
    path.chmod(mode)
    assert refusal(path) == "key-file-permissions"


def pem(key: X25519PrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_what_is_no_ed25519_key_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.pem") == "key-file-unreadable"
    cases = {
        "x25519.pem": (pem(X25519PrivateKey.generate()), "key-file-unreadable"),
        "garbage.pem": (b"garbage", "key-file-passphrase"),
        "large.pem": (bytes(keyfile.MAX_FILE + 1), "key-file-unreadable"),
        "unknown.pem": (
            b"-----BEGIN PRIVATE KEY-----\nMBECAQAwCAYGKgMEBQYHBAIEAA==\n-----END PRIVATE KEY-----\n",
            "key-file-unreadable",
        ),
    }
    for name, (data, code) in cases.items():
        write_private(tmp_path / name, data)
        assert refusal(tmp_path / name) == code, name


def test_the_public_key_stands_beside(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    key = vkey("log.example", "log")
    write_vkey(path, key)
    assert vkey_path(path) == tmp_path / "key.pem.vkey"
    assert vkey_path(path).read_text() == f"{key}\n"
    assert read_vkey(path) == key


def test_a_missing_or_garbled_public_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="key-file-unreadable"):
        read_vkey(tmp_path / "key.pem")
    (tmp_path / "key.pem.vkey").write_bytes(b"\xff")
    with pytest.raises(StoreError, match="key-file-unreadable"):
        read_vkey(tmp_path / "key.pem")
