"""The commands as people type them: init, status, and mistakes that say what to do."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import trustme
from brakeline.ledger import keyfile
from brakeline.node import config
from brakeline.node.commands import app
from brakeline.node.setup import open_site
from brakeline.treaty.statements import Enrolment, Inventory
from typer.testing import CliRunner

from tests.node import house
from tests.support import cast

RUNNER = CliRunner()


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    document = house.treaty(house.now_ms())
    (tmp_path / "treaty.dsse.json").write_bytes(cast.treaty_envelope(document).to_dsse_json())
    seed = hashlib.sha256(f"brakeline tests/statement/{cast.LABS[0]}".encode()).digest()
    assert keyfile.write_key(tmp_path / "root.pem", seed, None).public_key == cast.signer(cast.LABS[0]).public_key
    house.issue(trustme.CA(), tmp_path / "tls")
    found = ["init", "--dir", str(tmp_path / "node"), "--treaty", str(tmp_path / "treaty.dsse.json")]
    found += ["--pin", document.digest, "--site", cast.SITE, "--root-key", str(tmp_path / "root.pem")]
    return [*found, "--chips", "cpu-core=2", "--tls-dir", str(tmp_path / "tls"), "--format", "json"]


def test_init_signs_enrolment_and_inventory_and_status_reads_them(options: list[str], tmp_path: Path) -> None:
    made = RUNNER.invoke(app, options)
    assert made.exit_code == 0, made.output
    assert set(json.loads(made.stdout)["statements"]) == {"enrolment", "inventory"}
    _, site = open_site(tmp_path / "node", None, house.now_ms)
    predicates = [statement.predicate for statement in house.statements(site)]
    assert isinstance(predicates[0], Enrolment)
    assert isinstance(predicates[1], Inventory)
    found = json.loads(RUNNER.invoke(app, ["status", "--dir", str(tmp_path / "node"), "--format", "json"]).stdout)
    assert (found["statements"], found["with_receipt_quorum"], found["last_period"]) == (2, 0, None)
    assert found["verifiers"][cast.VERIFIERS[0]]["open"] == 2
    site.journal.close()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"--pin": "0" * 64}, "treaty-not-pinned"),
        ({"--site": "lab-9.party-a.example/site-1"}, "node-lab-unknown"),
        ({"--site": "lab-2.party-b.example/site-1"}, "node-root-key"),
        ({"--site": "nonsense"}, "name-malformed"),
        ({"--chips": "gpu=2"}, "node-chip-class"),
        ({"--treaty": "/nowhere"}, "file-error"),
    ],
)
def test_a_wrong_option_is_refused_by_its_code(options: list[str], change: dict[str, str], code: str) -> None:
    for name, value in change.items():
        options[options.index(name) + 1] = value
    made = RUNNER.invoke(app, options)
    assert made.exit_code == 3
    assert code in made.stderr


def test_a_folder_with_a_node_is_never_overwritten(options: list[str]) -> None:
    assert RUNNER.invoke(app, options).exit_code == 0
    again = RUNNER.invoke(app, options)
    assert again.exit_code == 3
    assert "node-exists" in again.stderr


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ("site = \n\n", "config-toml", "line 1"),
        ('site = "lab.a.example/s"\npin = "x"\n', "config-value", "line 2"),
        ('site = "lab.a.example/s"\n', "config-value", "pin"),
        (f'site = "lab.a.example/s"\npin = "{"0" * 64}"\ncolour = 1\n', "config-value", "line 3"),
    ],
)
def test_a_mistake_in_the_configuration_is_named_with_its_line(
    tmp_path: Path, text: str, code: str, where: str
) -> None:
    (tmp_path / config.FILE).write_text(text)
    with pytest.raises(config.ConfigError) as caught:
        config.load(tmp_path / config.FILE)
    assert caught.value.code == code
    assert where in str(caught.value)
