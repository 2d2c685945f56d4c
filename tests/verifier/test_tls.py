"""Identity: from the certificate of every single call, and from nothing else."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
import trustme
from brakeline.verifier.errors import CallError, TlsError
from brakeline.verifier.tls import Identity, IdentityCheck, Role, certificate_days_left, server_credentials
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

NOW = int(datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC).timestamp() * 1000)
ROLES = {"lab-1.party-a.example": Role.LAB, "party-a.example": Role.PARTY}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def context(certificate: trustme.LeafCert) -> dict[str, list[bytes]]:
    pems = [pem.bytes() for pem in certificate.cert_chain_pems]
    return {"x509_pem_cert": pems[:1], "x509_pem_cert_chain": [b"".join(pems)]}


def checker(tmp_path: Path, authority: trustme.CA, now: int = NOW) -> IdentityCheck:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return IdentityCheck(tmp_path / "ca.pem", ROLES, lambda: now)


def code_of(check: IdentityCheck, given: dict[str, list[bytes]]) -> str:
    with pytest.raises(CallError) as caught:
        check.identify(given)
    return caught.value.code


def test_a_dns_name_that_the_treaty_names_is_the_identity(tmp_path: Path, authority: trustme.CA) -> None:
    given = context(authority.issue_cert("lab-1.party-a.example", "localhost"))
    check = checker(tmp_path, authority)
    assert check.identify(given) == Identity("lab-1.party-a.example", Role.LAB)
    assert check.identify(given) == Identity("lab-1.party-a.example", Role.LAB)


def test_a_common_name_is_not_an_identity(tmp_path: Path, authority: trustme.CA) -> None:
    given = context(authority.issue_cert("elsewhere.example", common_name="lab-1.party-a.example"))
    assert code_of(checker(tmp_path, authority), given) == "identity-unknown"


def test_two_names_of_the_treaty_are_no_identity(tmp_path: Path, authority: trustme.CA) -> None:
    given = context(authority.issue_cert(*ROLES))
    assert code_of(checker(tmp_path, authority), given) == "identity-ambiguous"


@pytest.mark.parametrize("given", [{}, {"x509_pem_cert": [b"no certificate"]}])
def test_no_readable_certificate_is_no_identity(
    tmp_path: Path, authority: trustme.CA, given: dict[str, list[bytes]]
) -> None:
    assert code_of(checker(tmp_path, authority), given) == "identity-missing"


def test_a_connection_outlives_a_rotated_ca_but_its_calls_do_not(tmp_path: Path, authority: trustme.CA) -> None:
    given = context(authority.issue_cert("lab-1.party-a.example"))
    check = checker(tmp_path, authority)
    check.identify(given)
    (tmp_path / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes() + b"\n")
    assert code_of(check, given) == "identity-untrusted"


def test_an_expired_certificate_is_refused_although_the_connection_stands(
    tmp_path: Path, authority: trustme.CA
) -> None:
    soon = datetime.datetime(2026, 6, 2, tzinfo=datetime.UTC)
    given = context(authority.issue_cert("lab-1.party-a.example", not_after=soon))
    checker(tmp_path, authority).identify(given)
    assert code_of(checker(tmp_path, authority, NOW + 2 * 86_400_000), given) == "identity-expired"


def test_an_intermediate_of_the_ca_is_followed(tmp_path: Path, authority: trustme.CA) -> None:
    given = context(authority.create_child_ca().issue_cert("party-a.example"))
    assert checker(tmp_path, authority).identify(given) == Identity("party-a.example", Role.PARTY)


def test_a_server_certificate_that_grpc_cannot_use_is_named(tmp_path: Path, authority: trustme.CA) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([])
    day = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, day, day + datetime.timedelta(9))
    pem = builder.sign(key, None).public_bytes(serialization.Encoding.PEM)
    (tmp_path / "server.pem").write_bytes(pem)
    with pytest.raises(TlsError) as caught:
        server_credentials(tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "ca.pem")
    assert caught.value.code == "tls-key-type"
    assert certificate_days_left(tmp_path / "server.pem", NOW) == 9


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TlsError) as caught:
        server_credentials(tmp_path / "none.pem", tmp_path / "none.key", tmp_path / "none.pem")
    assert caught.value.code == "tls-file"
