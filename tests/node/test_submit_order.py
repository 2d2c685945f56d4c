"""`brake submit` says beforehand what every verifier would refuse; what it hands over is `node submit`'s business."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from brakeline.ledger.errors import BrakelineError
from brakeline.node.send_commands import terms_of
from brakeline.node.setup import load_versions
from brakeline.node.submit_order import app, checked
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.strictjson import JsonValue
from brakeline.treaty.succession import Succession
from typer.testing import CliRunner

from tests.node import house
from tests.support import cast

TREATY = cast.document()


def test_an_order_with_its_quorum_may_go() -> None:
    order = cast.order(TREATY)
    assert checked(order.to_dsse_json(), Succession(TREATY)) == order.digest


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        (cast.order(TREATY, cast.signer(cast.PARTIES[0])), "signatures-too-few"),
        (cast.order(TREATY, *(cast.signer(name, "log") for name in cast.VERIFIERS)), "key-unknown"),
        (cast.order(TREATY, effective=5, expiry=5), "order-periods"),
        (cast.order(cast.document(name="other.treaty.example")), "treaty-unknown"),
        (cast.Author(cast.SITE, TREATY).hold(), "order-not-an-order"),
    ],
)
def test_what_verifiers_would_refuse_is_refused_before_it_is_sent(envelope: Envelope, code: str) -> None:
    with pytest.raises(BrakelineError) as caught:
        checked(envelope.to_dsse_json(), Succession(TREATY))
    assert caught.value.code == code
    assert caught.value.fix


def test_an_order_that_only_a_later_version_binds_may_go_where_that_version_is_known(tmp_path: Path) -> None:
    """By the folder of all versions under either pin, and by a node that follows the amendment."""
    joined = "party-c.example"
    parties: JsonValue = [*cast.json_lines(TREATY.to_json()["party"]), {"name": joined, "key": str(cast.vkey(joined))}]
    second = cast.amended(TREATY, 1, party=parties)
    signers = [cast.signer(name) for name in (*cast.PARTIES, joined)]
    amendment = cast.amendment_envelope(second, *signers)
    order = cast.order(second, *signers[1:])
    with pytest.raises(BrakelineError, match="treaty-unknown"):
        checked(order.to_dsse_json(), Succession(TREATY))
    folder = tmp_path / "versions"
    folder.mkdir()
    (folder / "1.json").write_bytes(cast.treaty_envelope(TREATY).to_dsse_json())
    (folder / "2.json").write_bytes(amendment.to_dsse_json())
    for pin in (TREATY.digest, second.digest):
        terms = terms_of(None, folder, pin, tmp_path)
        assert checked(order.to_dsse_json(), terms.treaty) == order.digest
        assert terms.document == second, "the cast's clock began long ago"
    site = house.make(tmp_path, TREATY, trustme.CA())
    site.follow(amendment)
    site.journal.close()
    terms = terms_of(tmp_path / "node", None, None, None)
    assert checked(order.to_dsse_json(), terms.treaty) == order.digest


def test_versions_that_no_signature_and_no_pin_holds_are_refused(tmp_path: Path) -> None:
    second = cast.amended(TREATY, 1)
    (tmp_path / "1.json").write_bytes(cast.treaty_envelope(TREATY).to_dsse_json())
    (tmp_path / "2.json").write_bytes(cast.amendment_envelope(second, cast.signer(cast.PARTIES[0])).to_dsse_json())
    with pytest.raises(BrakelineError, match="signatures-too-few"):
        load_versions(tmp_path, TREATY.digest)
    with pytest.raises(BrakelineError, match="treaty-not-pinned"):
        load_versions(tmp_path, "0" * 64)
    (tmp_path / "2.json").write_bytes(cast.order(TREATY).to_dsse_json())
    with pytest.raises(BrakelineError, match="treaty-not-pinned"):
        load_versions(tmp_path, TREATY.digest)


def test_the_command_stops_there(tmp_path: Path) -> None:
    treaty, order = tmp_path / "t.json", tmp_path / "order.dsse.json"
    treaty.write_bytes(cast.treaty_envelope(TREATY).to_dsse_json())
    order.write_bytes(cast.order(TREATY, cast.signer(cast.PARTIES[0])).to_dsse_json())
    words = [str(order), "--treaty", str(treaty), "--pin", TREATY.digest, "--tls-dir", str(tmp_path)]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 3, told.output
    assert "signatures-too-few" in told.stderr
