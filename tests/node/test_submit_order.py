"""`brake submit` says beforehand what every verifier would refuse; what it hands over is `node submit`'s business."""

from __future__ import annotations

from pathlib import Path

import pytest
from brakeline.ledger.errors import BrakelineError
from brakeline.node.submit_order import app, checked
from brakeline.treaty.envelope import Envelope
from typer.testing import CliRunner

from tests.support import cast

TREATY = cast.document()


def test_an_order_with_its_quorum_may_go() -> None:
    order = cast.order(TREATY)
    assert checked(order.to_dsse_json(), TREATY) == order.digest


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
        checked(envelope.to_dsse_json(), TREATY)
    assert caught.value.code == code
    assert caught.value.fix


def test_the_command_stops_there(tmp_path: Path) -> None:
    treaty, order = tmp_path / "t.json", tmp_path / "order.dsse.json"
    treaty.write_bytes(cast.treaty_envelope(TREATY).to_dsse_json())
    order.write_bytes(cast.order(TREATY, cast.signer(cast.PARTIES[0])).to_dsse_json())
    words = [str(order), "--treaty", str(treaty), "--pin", TREATY.digest, "--tls-dir", str(tmp_path)]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 3, told.output
    assert "signatures-too-few" in told.stderr
