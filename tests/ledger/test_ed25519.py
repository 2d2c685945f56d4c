"""One rule for every signature: strict, and decided alike by libsodium and OpenSSL.

The edge cases are made here from the group itself: all encodings of small-order points (those of the ZIP-215 vectors),
and a grid of keys and commitments with torsion, for both the cofactorless and the cofactored equation.
"""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from brakeline.ledger import ed25519
from brakeline.ledger.ed25519 import SeedSigner, check_registrable, point_ok, verify, verify_openssl
from brakeline.ledger.errors import KeyUnfitError
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger import reference
from tests.ledger.reference import BASE, L, P, add, encode, multiply

TORSION = reference.torsion_points()
MESSAGE = b"a statement"


def small_order_encodings() -> set[bytes]:
    """Every 32-byte string that some library decodes to a point of small order: 8 canonical, 6 not."""
    ys = {y for _, y in TORSION}
    spelled = {y + extra for y in ys for extra in (0, P) if y + extra < 2**255}
    return {(y | sign << 255).to_bytes(32, "little") for y in spelled for sign in (0, 1)}


def agreed(key: bytes, message: bytes, signature: bytes) -> bool:
    verdict = verify(key, message, signature)
    assert verify_openssl(key, message, signature) == verdict
    return verdict


def registrable(key: bytes) -> bool:
    try:
        check_registrable(key)
    except KeyUnfitError:
        return False
    return True


def test_the_196_pairs_of_small_order_encodings_are_all_rejected() -> None:
    encodings = small_order_encodings()
    assert len(encodings) == 14
    assert not any(point_ok(item) or registrable(item) for item in encodings)
    verdicts = Counter(agreed(a, b"Zcash", r + bytes(32)) for a in encodings for r in encodings)
    assert verdicts == {False: 196}


def challenge(r: bytes, a: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + a + message).digest(), "little") % L


def test_a_key_with_torsion_is_never_registered_and_its_signatures_are_decided_alike() -> None:
    """8 x 8 torsion components of A and R, three messages, S made to satisfy the cofactored equation."""
    secret, nonce = 0x1234567, 0x7654321
    outcome: Counter[tuple[bool, bool, bool]] = Counter()
    plain_a, plain_r = multiply(secret, BASE), multiply(nonce, BASE)
    for i, key_part in enumerate(TORSION):
        a = encode(add(plain_a, key_part))
        for j, commitment_part in enumerate(TORSION):
            r = encode(add(plain_r, commitment_part))
            for message in (b"", b"one", b"two"):
                h = challenge(r, a, message)
                signature = r + ((nonce + h * secret) % L).to_bytes(32, "little")
                cofactorless = (j + h * i) % 8 == 0
                verdict = agreed(a, message, signature)
                assert verdict == cofactorless
                outcome[i == 0, j == 0, registrable(a) and verdict] += 1
    # Of what satisfies the cofactored equation only an honest key with an honest commitment is accepted.
    assert outcome == {
        (True, True, True): 3,
        (True, False, False): 21,
        (False, True, False): 21,
        (False, False, False): 147,
    }


def test_a_key_that_is_refused_says_what_to_do() -> None:
    with pytest.raises(KeyUnfitError, match=r"key-unregistrable: .* Make a new key"):
        check_registrable(bytes(32))


def test_points_that_are_not_canonical_or_not_on_the_curve_are_refused() -> None:
    off_curve = next(y for y in range(2, 100) if reference.x_of(y) is None)
    for y in (P, P + 1, P + 3, 2**255 - 1):
        assert not point_ok(y.to_bytes(32, "little"))
        assert not registrable(y.to_bytes(32, "little"))
    assert not registrable(off_curve.to_bytes(32, "little"))
    assert not agreed(off_curve.to_bytes(32, "little"), MESSAGE, SeedSigner(bytes(32)).sign(MESSAGE))


def test_a_signature_with_s_plus_the_group_order_is_refused() -> None:
    signer = SeedSigner(bytes(32))
    signature = signer.sign(MESSAGE)
    assert agreed(signer.public_key, MESSAGE, signature)
    malleable = signature[:32] + (int.from_bytes(signature[32:], "little") + L).to_bytes(32, "little")
    assert not agreed(signer.public_key, MESSAGE, malleable)


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), bytes(64)])
def test_keys_of_another_length_are_refused(key: bytes) -> None:
    assert not registrable(key)
    assert not agreed(key, MESSAGE, SeedSigner(bytes(32)).sign(MESSAGE))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.integers(0, 8 * 96 - 1))
def test_any_flipped_bit_of_key_or_signature_is_refused(seed: bytes, message: bytes, bit: int) -> None:
    signer = SeedSigner(seed)
    assert registrable(signer.public_key)
    signature = signer.sign(message)
    assert agreed(signer.public_key, message, signature)
    both = bytearray(signer.public_key + signature)
    both[bit // 8] ^= 1 << bit % 8
    assert not agreed(bytes(both[:32]), message, bytes(both[32:]))
    assert not agreed(signer.public_key, message + b"\0", signature)


@given(st.binary(max_size=70), st.binary(max_size=70), st.binary(max_size=40))
def test_arbitrary_bytes_are_decided_alike_and_never_valid(key: bytes, signature: bytes, message: bytes) -> None:
    assert not agreed(key, message, signature)


def test_signing_is_rfc_8032s() -> None:
    """Test 2 of RFC 8032, section 7.1."""
    signer = SeedSigner(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    assert signer.public_key.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert signer.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert ed25519.verify(signer.public_key, b"\x72", signer.sign(b"\x72"))
