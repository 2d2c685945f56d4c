"""Processor time: of a process tree, and of a cgroup (version 2, or version 1's cpuacct).

*A process tree* (:mod:`brakeline.node.meter` says how, and what it cannot see) belongs to whoever started it. *A
cgroup* is the kernel's own account of everything in it and below, also of processes that nobody waited for, so it is
the better meter where a scheduler or systemd makes one for each job. It cannot see what was moved out, or started by a
daemon elsewhere. Neither knows how busy arithmetic units were, and neither sees an accelerator.
"""

from __future__ import annotations

from pathlib import Path

from brakeline.node.meter import ProcessTree
from brakeline.node.meters.protocol import Counter, Gap, Quantity, Reading, Sight, unavailable


class ProcessTreeMeter:
    """CPU time of the tree below a process that this one started."""

    name = "process-tree"
    sight = Sight(
        sees=("user and system time of a process and everything below it, also of children that were waited for",),
        misses=(
            "a process shorter than a sampling interval that its parent never waits for",
            "work handed to a daemon, another machine or an accelerator",
            "how busy the arithmetic units were",
        ),
    )

    def __init__(self, pid: int) -> None:
        """Meter the tree below *pid*."""
        self._pid = pid
        self._tree = ProcessTree(pid)

    def read(self, at_ms: int) -> Reading:
        """Read once (see :class:`~brakeline.node.meters.protocol.Meter`)."""
        value = self._tree.sample() * 1000
        return Reading(self.name, at_ms, (Counter(f"pid {self._pid}", Quantity.CPU_US, value),))

    def close(self) -> None:
        """Do nothing."""


class CgroupMeter:
    """CPU time of one cgroup and everything below it."""

    name = "cgroup"
    sight = Sight(
        sees=("processor time of every process that is or was in the cgroup, by the kernel's own account",),
        misses=(
            "processes moved to another cgroup, and work handed to a daemon, another machine or an accelerator",
            "how busy the arithmetic units were",
        ),
    )

    def __init__(self, directory: Path) -> None:
        """Meter the cgroup whose directory is *directory* (below /sys/fs/cgroup)."""
        self._directory = directory

    def read(self, at_ms: int) -> Reading:
        """Read once (see :class:`~brakeline.node.meters.protocol.Meter`).

        The epoch is the directory's inode: a cgroup that was removed and made again counts from zero.
        """
        source = str(self._directory)
        try:
            epoch = f"inode {self._directory.stat().st_ino}"
            value = _usage_us(self._directory)
        except OSError as error:
            gap = Gap(source, Quantity.CPU_US, "cgroup-unreadable", f"{error.strerror}: the job may be over")
            return Reading(self.name, at_ms, (), (gap,))
        return Reading(self.name, at_ms, (Counter(source, Quantity.CPU_US, value, epoch),))

    def close(self) -> None:
        """Do nothing."""


def own_cgroup(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> Path:
    """Return the directory of the cgroup this process is in: version 2's, else version 1's cpuacct.

    Raises:
        MeterError: ``meter-unavailable`` where there is neither.
    """
    found: dict[str, str] = {}
    try:
        for line in proc.read_text("ascii").splitlines():
            _, controllers, path = line.split(":", 2)
            found |= dict.fromkeys(controllers.split(","), path)
    except (OSError, ValueError) as error:
        raise unavailable(
            "this system has no cgroups that can be read", str(error)[:80], "use a process tree"
        ) from None
    places = [root / found[""].lstrip("/")] if "" in found else []
    if "cpuacct" in found:
        places += [root / name / found["cpuacct"].lstrip("/") for name in ("cpuacct", "cpu,cpuacct")]
        places += [root / name for name in ("cpuacct", "cpu,cpuacct")]  # inside a container its own is the root
    for place in places:
        try:
            _usage_us(place)
        except OSError:
            continue
        return place
    raise unavailable("no cgroup accounts for processor time here", str(found)[:80], "use a process tree")


def _usage_us(directory: Path) -> int:
    """Return the cgroup's CPU time in microseconds (OSError)."""
    try:
        text = (directory / "cpu.stat").read_text("ascii")
    except FileNotFoundError:
        text = ""
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == "usage_usec" and value.isdigit():
            return int(value)
    nanoseconds = (directory / "cpuacct.usage").read_text("ascii").strip()
    if not nanoseconds.isdigit():
        raise OSError(f"{directory}/cpuacct.usage holds no number")
    return int(nanoseconds) // 1000
