"""Processes of a testnet: awaited, killed, started again, and none left behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest
from brakeline.testnet.processes import Errand, Errands, ProcessError, Troupe, unbroken

READY = "import signal,time\nprint('{\"ready\": {}}', flush=True)\nsignal.pause()"
STUBBORN = "import signal,time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY
PARENT = (
    "import subprocess,sys,signal\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'], start_new_session=True)\n"
    "print(child.pid, flush=True)\n" + READY
)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_a_process_is_awaited_by_its_ready_line_and_gone_afterwards(tmp_path: Path) -> None:
    with Troupe(tmp_path) as troupe:
        pids = [troupe.start(name, python(READY)).process.pid for name in ("a", "b")]
        troupe.await_ready(["a", "b"])
        troupe.check()
    assert all(gone(pid) for pid in pids)
    assert (tmp_path / "a.out").read_text().startswith('{"ready"')


def test_nothing_is_left_behind_when_the_block_ends_by_an_error(tmp_path: Path) -> None:
    pids: list[int] = []

    def interrupted() -> None:
        with Troupe(tmp_path) as troupe:
            actor = troupe.start("parent", python(PARENT))
            troupe.await_ready(["parent"])
            pids.extend([actor.process.pid, int(actor.said().split()[0])])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids), "also what a process started in a session of its own"


@pytest.fixture
def interruptible() -> Generator[None]:
    """SIGINT raises KeyboardInterrupt, also in a background job of a shell, which would ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_signal_waits_until_what_must_not_be_broken_is_over() -> None:
    done: list[str] = []

    def interrupted() -> None:
        with unbroken():
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == ["all of it"]


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    with Troupe(tmp_path) as troupe:
        pid = troupe.start("stubborn", python(STUBBORN)).process.pid
        troupe.await_ready(["stubborn"])
        troupe.stop(["stubborn"], timeout_s=0.2)
        assert gone(pid)


def test_a_process_that_ends_before_it_is_ready_is_told_with_what_it_said(tmp_path: Path) -> None:
    with Troupe(tmp_path) as troupe:
        troupe.start("broken", python("import sys; sys.exit('no such treaty')"))
        with pytest.raises(ProcessError, match="no such treaty") as caught:
            troupe.await_ready(["broken"])
    assert caught.value.code == "process-ended"


def test_a_process_that_is_not_ready_in_time_is_told(tmp_path: Path) -> None:
    with Troupe(tmp_path) as troupe:
        troupe.start("slow", python("import signal; signal.pause()"))
        with pytest.raises(ProcessError) as caught:
            troupe.await_ready(["slow"], timeout_s=0.1)
    assert caught.value.code == "process-slow"


def test_a_killed_process_can_be_started_again_and_its_old_ready_line_does_not_count(tmp_path: Path) -> None:
    with Troupe(tmp_path) as troupe:
        first = troupe.start("a", python(READY)).process.pid
        troupe.await_ready(["a"])
        troupe.kill("a")
        with pytest.raises(ProcessError):
            troupe.check()
        again = troupe.restart("a")
        assert again.process.pid != first
        assert again.began_at > 0
        troupe.await_ready(["a"])
        troupe.check()


def test_a_process_can_be_talked_to(tmp_path: Path) -> None:
    with Troupe(tmp_path) as troupe:
        troupe.start("echo", python("import sys\nfor line in sys.stdin: print(line, end='', flush=True)"), talk=True)
        troupe.tell("echo", '{"ready": {}}')
        troupe.await_ready(["echo"])
        troupe.start("deaf", python(READY))
        with pytest.raises(ValueError, match="talked to"):
            troupe.tell("deaf", "hello")


def test_the_child_of_a_process_is_known_once_it_is_there(tmp_path: Path) -> None:
    with Troupe(tmp_path) as troupe:
        parent = troupe.start("parent", python(PARENT))
        troupe.await_ready(["parent"])
        assert troupe.child_of("parent") == int(parent.said().split()[0])
        troupe.start("childless", python(READY))
        assert troupe.child_of("childless") is None
        troupe.kill("childless")
        assert troupe.child_of("childless") is None


def test_a_name_is_given_to_one_running_process_only(tmp_path: Path) -> None:
    with Troupe(tmp_path) as troupe:
        troupe.start("a", python(READY))
        with pytest.raises(ValueError, match="running"):
            troupe.start("a", python(READY))


def test_a_command_is_run_to_its_end(tmp_path: Path) -> None:
    with Troupe(tmp_path) as troupe:
        assert troupe.run("sum", python("print(1 + 1); raise SystemExit(4)")) == (4, b"2\n")
        troupe.check()
        with pytest.raises(ProcessError):
            troupe.run("long", python("import signal; signal.pause()"), timeout_s=0.2)


def complete(errands: Errands, now: int = 10) -> list[str]:
    started: list[str] = []
    deadline = time.monotonic() + 60
    while not errands.done and time.monotonic() < deadline:
        name = errands.go_on(now)
        started += [name] if name else []
        time.sleep(0.01)
    return started


def test_errands_run_one_after_the_other_not_before_their_time(tmp_path: Path) -> None:
    line = f"open({os.fspath(tmp_path / 'order')!r}, 'a').write"
    with Troupe(tmp_path / "output") as troupe:
        errands = Errands(troupe, [Errand("a", python(f"{line}('a')")), Errand("b", python(f"{line}('b')"), 11)])
        assert errands.go_on(10) == "a"
        troupe["a"].process.wait()
        assert errands.go_on(10) == ""
        assert not errands.done
        assert complete(errands, 11) == ["b"]
    assert (tmp_path / "order").read_text() == "ab"


def test_an_errand_that_fails_is_tried_again_as_often_as_it_may(tmp_path: Path) -> None:
    mark = os.fspath(tmp_path / "mark")
    once = f"import os,sys\nif not os.path.exists({mark!r}): open({mark!r}, 'w'); sys.exit(4)"
    with Troupe(tmp_path / "output") as troupe:
        assert complete(Errands(troupe, [Errand("a", python(once), tries=2)])) == ["a", "a"]
        with pytest.raises(ProcessError) as caught:
            complete(Errands(troupe, [Errand("b", python("raise SystemExit(4)"), tries=2)]))
    assert caught.value.code == "process-failed"
