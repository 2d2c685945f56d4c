"""What is built can be opened by those it is for: verifiers, nodes, the meter; ports stay reserved."""

from __future__ import annotations

import socket
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from brakeline.ledger import keyfile
from brakeline.node.setup import open_site
from brakeline.testnet.build import METER, METER_SETTINGS, PARTIES, build
from brakeline.testnet.ca import ThrowawayCA
from brakeline.testnet.meter import Settings
from brakeline.testnet.plan import draw
from brakeline.testnet.ports import LOOPBACK, Ports
from brakeline.verifier.config import load_config
from brakeline.verifier.keys import load_signers, load_terms
from cryptography import x509

NOW = 1_767_225_600_000
PLAN = draw(seed=2, labs=3, cheats=2, evidence=True)


def test_every_party_can_open_what_was_made_for_it(tmp_path: Path) -> None:
    with Ports() as ports:
        net = build(tmp_path, PLAN, 4, lambda: NOW, ports)
    for verifier in net.document.verifiers:
        folder = net.verifier(verifier.name)
        config = load_config(folder)
        terms = load_terms(folder, config)
        assert terms.document.digest == net.pin
        load_signers(folder, config, terms.own, None)
    for lab in PLAN.labs:
        settings, site = open_site(net.lab(lab.name), None, lambda: NOW)
        assert (site.name, settings.pin) == (lab.site, net.pin)
        assert site.first_period() == 0
        assert [item.name for item in site.journal.envelopes()] == ["enrolment", "inventory"]
        site.journal.close()
    metering = Settings.model_validate_json((net.meter / METER_SETTINGS).read_bytes())
    assert set(metering.sites) == {lab.site for lab in PLAN.labs}
    keys = {name: keyfile.read_signer(net.keys / f"{name}.pem", None).public_key for name in PARTIES}
    assert keys == {name: vkey.public_key for name, vkey in net.document.party_keys().items()}
    assert (net.meter / f"{METER}.pem").is_file()


def test_private_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    with Ports() as ports:
        build(tmp_path, PLAN, 2, lambda: NOW, ports)
    secrets = [*tmp_path.rglob("*.key"), *(tmp_path / "keys").glob("*.pem"), *tmp_path.glob("*/*/keys/*.pem")]
    assert len(secrets) > 10
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


def test_reserved_ports_differ_can_be_listened_on_and_are_given_to_nobody_else() -> None:
    with Ports() as ports:
        numbers = ports.take(8)
        assert len(set(numbers)) == 8
        with Ports() as others:
            assert set(others.take(200)).isdisjoint(numbers)
        for _ in range(2):  # a server that was killed gets its port back
            address = (LOOPBACK, numbers[0])
            with socket.create_server(address) as server, socket.create_connection(address) as client:
                assert client.getpeername() == server.getsockname()
        with socket.socket() as held, pytest.raises(OSError, match="in use"):
            held.bind((LOOPBACK, numbers[1]))  # without SO_REUSEADDR nobody gets it


def test_a_certificate_names_its_party_and_is_issued_by_the_authority(tmp_path: Path) -> None:
    ca = ThrowawayCA(datetime(2026, 1, 1, tzinfo=UTC))
    identity = ca.issue("lab-1.party-a.example", tmp_path)
    certificate = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
    authority = x509.load_pem_x509_certificate(identity.ca.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["lab-1.party-a.example", "localhost"]
    certificate.verify_directly_issued_by(authority)
    assert stat.S_IMODE(identity.key.stat().st_mode) == 0o600
