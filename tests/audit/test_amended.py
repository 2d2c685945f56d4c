"""An audit of logs in which the treaty was amended, pinned to its first version or to a later one."""

from __future__ import annotations

from pathlib import Path

import pytest
from brakeline.audit.pinned import load_pinned
from brakeline.audit.replay import audit_sources
from brakeline.ledger.errors import BrakelineError

from tests.support import cast, worlds
from tests.support.cast import amended, amendment_envelope, with_rule
from tests.support.toml import to_toml

V1 = cast.document(rule=with_rule(cast.document(), "wrong-version", "note"))
V2 = amended(V1, 1, rule=with_rule(V1, "imbalance", "note"))
V3 = amended(V2, 9)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Four logs: chip time left out in every period; version 2 comes when period 1 is on the books already."""
    world = worlds.World(V1)
    world.beat()
    site = worlds.Site(world, cast.SITE)
    for period in range(3):
        world.until(cast.START + (period + 1) * cast.PERIOD + worlds.BEAT)
        if period == 2:
            world.publish(amendment_envelope(V2), to=(1,))
            world.beat(2)
            site.author.treaty = V2
        site.report(period, missing=500)
    world.beat(3)
    return [str(path) for path in world.export(tmp_path_factory.mktemp("logs"))]


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """A folder with every version, one in TOML."""
    (tmp_path / "v1.json").write_bytes(cast.treaty_envelope(V1).to_dsse_json())
    (tmp_path / "v2.toml").write_text(to_toml(V2.to_json()))
    (tmp_path / "v3.json").write_bytes(amendment_envelope(V3).to_dsse_json())
    (tmp_path / "notes.txt").write_text("not a version")
    return tmp_path


@pytest.mark.parametrize("pinned", [V1, V2])
def test_every_period_is_judged_by_its_version_whichever_is_pinned(
    logs: list[str], versions: Path, pinned: object
) -> None:
    pin = V1.digest if pinned is V1 else V2.digest
    treaty = versions / "v1.json" if pinned is V1 else versions
    report = audit_sources(logs, treaty, pin)
    assert [log.state.value for log in report.logs] == ["reproduced"] * 4
    found = {(item.body["rule"], item.body.get("period"), item.body["severity"]) for item in report.findings}
    assert found == {
        ("imbalance", 0, "discrepancy"),
        ("imbalance", 1, "note"),
        ("imbalance", 2, "note"),
        ("wrong-version", 1, "note"),
    }
    assert "treaty-version-lacking" not in {problem.code for problem in report.unchecked}


def test_a_version_that_no_log_holds_is_told(logs: list[str], versions: Path) -> None:
    report = audit_sources(logs, versions, V3.digest)
    assert "treaty-version-lacking" in {problem.code for problem in report.unchecked}
    assert len(report.findings) == 4


def test_a_pin_of_a_later_version_needs_those_before_it(versions: Path) -> None:
    with pytest.raises(BrakelineError, match="treaty-chain"):
        load_pinned(versions / "v2.toml", V2.digest)
    with pytest.raises(BrakelineError, match="treaty-chain"):
        load_pinned(versions / "v3.json", V3.digest)
    (versions / "v2.toml").unlink()
    with pytest.raises(BrakelineError, match=f"expected a file of the version {V2.digest}"):
        load_pinned(versions, V3.digest)
    assert load_pinned(versions, V1.digest).root == V1
