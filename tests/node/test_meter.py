"""CPU time of a process tree: children that came and went are counted, and nothing is counted twice."""

from __future__ import annotations

import subprocess
import sys
import time

from brakeline.node.meter import ProcessTree

BURN = "import time\nwhile time.process_time() < {s}: pass\n"
PARENT = """
import subprocess, sys, time
burn = {burn!r}
for _ in range(2):
    subprocess.run([sys.executable, "-c", burn])
subprocess.Popen([sys.executable, "-c", burn])
{after}
"""


def meter(code: str) -> int:
    """Return what a meter in a process of its own says of a command's tree, once all of it has ended."""
    script = f"""
import os, subprocess, sys, time
from brakeline.node.meter import ProcessTree, become_subreaper, reap_orphans
become_subreaper()
child = subprocess.Popen([sys.executable, "-c", {code!r}])
tree, last = ProcessTree(child.pid), 0
while True:
    now = tree.sample()
    assert now >= last
    last = now
    pid, status, usage = os.wait4(child.pid, os.WNOHANG)
    if pid:
        break
    time.sleep(0.05)
tree.finish(round(1000 * (usage.ru_utime + usage.ru_stime)))
while tree.alive():
    time.sleep(0.05)
    last = tree.sample()
    reap_orphans(child.pid)
print(tree.sample())
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_children_and_orphans_are_counted_once() -> None:
    burn = BURN.format(s=0.3)
    found = meter(PARENT.format(burn=burn, after="time.sleep(0.1)"))  # the third child outlives its parent
    assert 850 <= found <= 1_500


def test_a_running_process_is_metered_while_it_runs() -> None:
    child = subprocess.Popen([sys.executable, "-c", BURN.format(s=5)])
    tree = ProcessTree(child.pid)
    deadline = time.monotonic() + 20
    while tree.sample() < 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.kill()
    child.wait()
