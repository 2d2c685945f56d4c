"""All verifiers of a treaty started at one moment, on the stores they have; also with one dead, and with one whose log
is yesterday's. Whoever waits for the others' memory must not wait for somebody who waits for him.
"""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest
from brakeline.audit.report import AuditReport
from brakeline.ledger.backup import CHECKPOINTS, LOG
from brakeline.ledger.checkpoint import Checkpoint
from brakeline.ledger.checkpoint_store import read_slot
from brakeline.ledger.note import MAX_NOTE, parse
from brakeline.ledger.source import CHECKPOINT, DirectorySource

from tests.testnet.network import Network, network, sizes

pytestmark = pytest.mark.timeout(300)


def grown(trial: Network, names: list[str]) -> None:
    """Wait until the logs *names* show more than they do now, signed and cosigned by a quorum; nobody is accused."""
    before = sizes(trial.until(lambda report: set(names) <= set(sizes(report))))

    def longer(report: AuditReport) -> bool:
        now = sizes(report)
        return all(now.get(name, 0) > before[name] for name in names)

    trial.until(longer)


def refuses(trial: Network, name: str) -> str:
    """Wait until a verifier that was started has ended; return what it said."""
    actor = trial.troupe[name]
    assert actor.process.wait(60) == 3
    assert b"ready" not in actor.said()
    return actor.err.read_text("utf-8")


def kill_once_mirrored(trial: Network, name: str, mirror: Path) -> None:
    """SIGKILL a verifier at a moment when *mirror*, a peer's, holds all that it has signed."""
    process, store = trial.troupe[name].process, trial.net.verifier(name) / CHECKPOINTS
    deadline = time.monotonic() + 60
    while True:
        trial.stopped.append(name)
        process.send_signal(signal.SIGSTOP)
        if size_of(read_slot(store, "signed")) == size_of(DirectorySource(mirror).read(CHECKPOINT, MAX_NOTE)):
            break
        process.send_signal(signal.SIGCONT)
        trial.stopped.remove(name)
        assert time.monotonic() < deadline
        time.sleep(0.1)
    trial.troupe.kill(name)
    trial.stopped.remove(name)


def size_of(note: bytes | None) -> int:
    return 0 if note is None else Checkpoint.parse_text(parse(note).text).size


def put_back(directory: Path, backup: Path, *stores: str) -> None:
    """Replace *stores* in *directory* by what they were when *backup* was copied, their journals included."""
    for store in stores:
        for path in directory.glob(f"{store}*"):
            path.unlink()
        for path in backup.glob(f"{store}*"):
            shutil.copy2(path, directory)


def test_a_cold_start_of_all_verifiers_at_once_comes_up_also_with_one_dead(tmp_path: Path) -> None:
    with network(tmp_path) as trial:
        trial.start([*trial.verifiers, *trial.nodes])
        trial.until(lambda report: all(log.entries.get("statement", 0) >= 4 for log in report.logs))
        receipts = trial.receipts()
        for names in (trial.verifiers[1:], trial.verifiers):
            for name in trial.verifiers:
                trial.troupe.kill(name)
            trial.start(names)
            grown(trial, names)
        trial.until_all_hold(receipts)


def test_a_verifier_with_yesterdays_log_refuses_to_sign_while_the_others_go_on(tmp_path: Path) -> None:
    with network(tmp_path) as trial:
        name, *others = trial.verifiers
        directory = trial.net.verifier(name)
        mirror = trial.net.verifier(others[0]) / "mirror" / name
        trial.start(trial.verifiers)
        trial.troupe.kill(name)
        shutil.copytree(directory, tmp_path / "yesterday")
        trial.start([name])
        grown(trial, trial.verifiers)
        kill_once_mirrored(trial, name, mirror)
        for other in others:
            trial.troupe.kill(other)
        shutil.copytree(directory, tmp_path / "today")

        put_back(directory, tmp_path / "yesterday", LOG)
        trial.launch(trial.verifiers)  # a cold start, and one of them must not come up
        trial.troupe.await_ready(others, 90.0)
        assert "store-behind" in refuses(trial, name)
        grown(trial, others)

        put_back(directory, tmp_path / "yesterday", CHECKPOINTS)  # now only the witnesses know
        trial.launch([name])
        assert "boot-log-behind" in refuses(trial, name)

        put_back(directory, tmp_path / "today", CHECKPOINTS)
        vkey = (directory / "keys" / "log.pem.vkey").read_text("ascii").strip()
        code, said = trial.brakeline("ledger", "catch-up", str(directory), "--from", str(mirror), "--vkey", vkey)
        assert code == 0, (said, trial.troupe["ledger-catch-up"].err.read_text("utf-8"))
        trial.start([name])
        grown(trial, trial.verifiers)
