"""The comparison with the independent checker can fail: it tells a difference where there is one."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from brakeline.audit.replay import read_sources
from brakeline.ledger.entry import Kind
from brakeline.treaty.succession import Succession

from tests.support import agreement, cast, worlds


def test_a_difference_between_audit_and_checker_is_told(tmp_path: Path) -> None:
    honest, lying = worlds.honest(), worlds.cheating()
    lying.logs[0].append(lying.now_ms, Kind.STATEMENT, lying.logs[0].entries[2].body)
    lying.logs[0].publish(lying.now_ms)
    treaty = honest.document.to_json()
    with ExitStack() as stack:
        paths = [honest.export(tmp_path / "honest")[0], *lying.export(tmp_path / "lying")[:2]]
        good, bad, found = read_sources(stack, [str(path) for path in paths], Succession(honest.document))
        for copy, path in zip((good, bad, found), paths, strict=True):
            assert list(agreement.differences(copy, path, treaty)) == []
        assert "the checker" in next(agreement.differences(good, paths[1], treaty))
        assert "misconduct" not in str(good.copy.report.state)
        assert list(agreement.differences(bad, paths[0], treaty)) != []
        assert any("imbalance" in text for text in agreement.differences(found, paths[0], treaty))
        (tmp_path / "honest" / cast.VERIFIERS[0] / "checkpoint").write_bytes(b"no note")
        assert list(agreement.differences(good, paths[0], treaty)) != []
