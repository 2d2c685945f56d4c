"""A log that dies for real, again and again: a process is killed, or the file system below it goes away, at random.

Not a test but what two tests run, as a process of its own: one thread, so that it may fork the writers that it kills.

    python -m tests.ledger.crash.lives kill  DIRECTORY --seed 7 --lives 100
    python -m tests.ledger.crash.lives power DIRECTORY --seed 7 --lives 20 [--careless]

A writer appends to the log in its directory as fast as it can and reports each acknowledgement (size, root) through a
pipe, after ``append`` has returned. Whatever came out of the pipe was promised. The last line printed is a JSON object.

``power`` makes an ext4 file system in a file, mounts it, and ends each life with the ioctl behind ``xfs_io -x -c
shutdown``: from that instant nothing reaches the disk, and what was not synced is gone when it is mounted again. It
needs root and runs in a mount namespace of its own (``unshare --mount``), so that its mounts end with it. With
``--careless`` every life has a new log, with SQLite's ``synchronous=OFF``: the control, which must lose.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import apsw
from brakeline.ledger.checkpoint import open_checkpoint
from brakeline.ledger.errors import LedgerError

from tests.ledger.crash import judge
from tests.ledger.crash.disk import small_wal
from tests.ledger.crash.workload import ORIGIN, Promises, batch, make_directories, opened
from tests.support.cast import START, vkey

IMAGE_BYTES = 128 << 20
SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN, the same number as XFS_IOC_GOINGDOWN: _IOR('X', 125, __u32)."""
LOGFLUSH, NOLOGFLUSH = 1, 2
"""With LOGFLUSH the journal is committed first (as if its timer had just fired); with NOLOGFLUSH not."""

UNDOCUMENTED = 70
"""Exit status of a writer that met anything but a LedgerError."""

_ACKNOWLEDGEMENT = struct.Struct(">Q32s")


class Kill:
    """The death of the process alone."""

    patience = 0.0
    """Seconds for which a writer may live on and meet the consequences, before it is killed."""

    def __call__(self, random: Random) -> None:
        """Do nothing: the kill follows."""


class Cut:
    """The death of the file system at a mount point; what the writer makes of that may be no crash of its own."""

    patience = 2.0

    def __init__(self, mount_point: Path, *, careless: bool) -> None:
        """Cut the power of *mount_point*; the journal is never flushed first when *careless*."""
        self._mount_point = mount_point
        self._careless = careless

    def __call__(self, random: Random) -> None:
        """Shut the file system down."""
        descriptor = os.open(self._mount_point, os.O_RDONLY)
        try:
            how = LOGFLUSH if not self._careless and random.random() < 0.25 else NOLOGFLUSH
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", how))
        finally:
            os.close(descriptor)


@dataclass
class Result:
    """What the lives came to."""

    lives: int = 0
    acknowledged: int = 0
    entries: int = 0
    problems: list[str] = field(default_factory=list)


def write_until_death(directory: Path, pipe: int, random: Random, *, careless: bool) -> None:
    """Append and report until killed, or until the disk fails."""
    if random.random() < 0.5:
        apsw.connection_hooks.append(small_wal)
    try:
        with opened(directory, careless=careless) as sequencer:
            for instant in range(START, START + 1_000_000):
                note = sequencer.append(batch(random), instant).note
                checkpoint = open_checkpoint(note, vkey(ORIGIN, "log")).checkpoint
                os.write(pipe, _ACKNOWLEDGEMENT.pack(checkpoint.size, checkpoint.root))
    except LedgerError as error:
        os.write(2, f"writer: {error}\n".encode())


def live(directory: Path, random: Random, death: Kill | Cut, *, careless: bool) -> list[tuple[int, bytes]]:
    """Let a writer live until a random moment; return what it acknowledged: (size, root)."""
    make_directories(directory)
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(source)
        try:
            write_until_death(directory, sink, random, careless=careless)
            os._exit(0)
        except BaseException:  # noqa: BLE001  whatever it is, a forked child must not go on as its parent
            traceback.print_exc()
        finally:
            os._exit(UNDOCUMENTED)
    os.close(sink)
    data = b""
    wanted = random.choice((0, 1, 2, 3, 5, 8, 13)) * _ACKNOWLEDGEMENT.size
    while len(data) < wanted and (chunk := os.read(source, wanted - len(data))):
        data += chunk
    # The moment: anywhere within the next batch, or, with nothing acknowledged, within opening the log.
    select.select([], [], [], random.uniform(0, 0.008 if wanted else 0.03))
    death(random)
    while select.select([source], [], [], death.patience)[0] and (chunk := os.read(source, 65_536)):
        data += chunk
    os.kill(child, signal.SIGKILL)
    while chunk := os.read(source, 65_536):
        data += chunk
    os.close(source)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) == UNDOCUMENTED:
        raise RuntimeError("the writer ended with an error that is no LedgerError")
    return list(_ACKNOWLEDGEMENT.iter_unpack(data))


def judged(directory: Path, promises: Promises, acknowledged: list[tuple[int, bytes]], result: Result) -> bool:
    """Open the log after a death, hold it against all it ever promised, and promise what it holds now."""
    held = len(promises.acknowledged)
    promises.signed += [(0, size, root) for size, root in acknowledged]
    recovered = judge.recover(directory, promises)
    result.lives += 1
    result.acknowledged += max(0, max((size for size, _ in acknowledged), default=0) - held)
    result.entries = len(recovered.entries)
    result.problems += [f"life {result.lives}: {problem}" for problem in recovered.problems]
    promises.acknowledged = [(0, entry) for entry in recovered.entries]
    return not recovered.problems


def kills(directory: Path, seed: int, lives: int) -> Result:
    """Kill a writer *lives* times (SIGKILL); every life goes on with the same log."""
    random, result, promises = Random(seed), Result(), Promises()
    while result.lives < lives:
        acknowledged = live(directory, random, Kill(), careless=False)
        if not judged(directory, promises, acknowledged, result):
            break
        random.seed(random.getrandbits(64))
    return result


def power_cuts(directory: Path, seed: int, lives: int, *, careless: bool) -> Result:
    """Cut the power under a writer *lives* times; every life goes on with the same log, unless *careless*."""
    random, result, promises = Random(seed), Result(), Promises()
    image, mount_point = directory / "disk.img", directory / "disk"
    make_disk(image, mount_point)
    while result.lives < lives:
        log = mount_point / (f"log-{result.lives}" if careless else "log")
        with mounted(image, mount_point):
            acknowledged = live(log, random, Cut(mount_point, careless=careless), careless=careless)
        with mounted(image, mount_point):
            sound = judged(log, Promises() if careless else promises, acknowledged, result)
        if not sound and not careless:
            break
        random.seed(random.getrandbits(64))
    return result


def make_disk(image: Path, mount_point: Path) -> None:
    """Make an ext4 file system in the file *image*."""
    mount_point.mkdir()
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)


@contextmanager
def mounted(image: Path, mount_point: Path) -> Iterator[None]:
    """Mount *image*; its loop device goes away with the mount."""
    subprocess.run(["mount", "-t", "ext4", "-o", "loop", image, mount_point], check=True)
    try:
        yield
    finally:
        unmount(mount_point)


def unmount(mount_point: Path) -> None:
    """Unmount, once nothing holds the file system any more."""
    for attempt in range(50):
        if subprocess.run(["umount", mount_point], check=False, stderr=subprocess.DEVNULL).returncode == 0:
            return
        time.sleep(0.01 * (attempt + 1))
    subprocess.run(["umount", "--lazy", mount_point], check=True)


def main() -> None:
    """Run the lives that the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("how", choices=("kill", "power", "probe"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lives", type=int, default=20)
    parser.add_argument("--careless", action="store_true")
    given = parser.parse_args()
    if given.how == "probe":
        image, mount_point = given.directory / "disk.img", given.directory / "disk"
        make_disk(image, mount_point)
        with mounted(image, mount_point):
            return
    if given.how == "kill":
        result = kills(given.directory, given.seed, given.lives)
    else:
        result = power_cuts(given.directory, given.seed, given.lives, careless=given.careless)
    print(json.dumps(vars(result)))


if __name__ == "__main__":
    main()
