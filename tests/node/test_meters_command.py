"""``brakeline node meters``: every meter with what it sees, real readings of this machine, gaps with their reasons."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from brakeline.node.commands import app
from brakeline.node.meters.kept import Kept
from typer.testing import CliRunner

from tests.node.test_meters_dcgm import NEW, ONE
from tests.node.test_meters_slurm import JOBS


@pytest.fixture
def exporter() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/metrics" else 500)
            self.end_headers()
            self.wfile.write(NEW.encode())

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def run(*arguments: str) -> dict[str, dict[str, object]]:
    result = CliRunner().invoke(app, ["meters", "--for", "0", "--format", "json", *arguments])
    assert result.exit_code == 0, result.output
    return {item["name"]: item for item in json.loads(result.stdout)["meters"]}


def test_every_meter_says_what_it_sees_and_reads_or_says_why_not(
    exporter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    (tmp_path / "sacct.txt").write_text(JOBS)
    found = run(
        "--dcgm", f"{exporter}/metrics", "--sacct", str(tmp_path / "sacct.txt"), "--keep", str(tmp_path / "raw")
    )
    assert list(found) == ["process-tree", "cgroup", "nvml", "dcgm", "slurm"]
    for item in found.values():
        assert item["sees"]
        assert item["misses"]
        assert ("problem" in item) != ("counters" in item)
    assert "brakeline[nvml]" in json.dumps(found["nvml"]["problem"])
    assert {"of": ONE, "quantity": "energy-mj", "value": "123456789012"} in list(_counters(found["dcgm"]))
    for name in ("process-tree", "dcgm", "slurm"):
        assert Kept(tmp_path / "raw").commitment(name, 0, 2**42) == found[name]["commitment"]


def _counters(item: dict[str, object]) -> list[object]:
    counters = item["counters"]
    assert isinstance(counters, list)
    return counters


def test_an_exporter_that_answers_with_an_error_is_not_read(exporter: str) -> None:
    assert "answered 500" in json.dumps(run("--dcgm", f"{exporter}/other")["dcgm"]["problem"])


def test_people_read_unknown_where_a_figure_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "dcgm.txt").write_text(f'DCGM_FI_DEV_POWER_USAGE{{UUID="{ONE}"}} NaN\n')
    result = CliRunner().invoke(app, ["meters", "--for", "0", "--dcgm", str(tmp_path / "dcgm.txt")])
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stdout.splitlines() if "dcgm-blank" in line]
    assert "unknown" in line
    assert " 0 " not in line
