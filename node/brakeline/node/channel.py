"""The asyncio side of the hook channel: a bounded Unix socket of JSON lines, and the messages on it.

The protocol is docs/spec/hook.md: what programs say, what the node says, and what a meter
(:mod:`brakeline.node.relay`), which stands between them, does with it.

Bounds: 4096 bytes a line; a peer that sends a longer line, or is not read from for long (64 KiB unsent), is closed.
What a local program sends is not trusted further than its own figures go: malformed lines close the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast

from brakeline.ledger.errors import BrakelineError
from brakeline.node.hook import MAX_LINE
from brakeline.treaty.statements import Activity

MAX_UNSENT = 64 * 1024
_SESSION = re.compile(r"[0-9a-f]{32}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,39}", re.ASCII)
_ROLE = re.compile("hook|meter")
MAX_RANKS = 65_536
_DECIMALS = ("flop", "tokens", "recomputed", "chip_ms")
_WORKLOAD = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,127}", re.ASCII)


class ChannelError(BrakelineError):
    """A peer on the local socket does not speak the protocol (codes ``channel-*``)."""


@dataclass(frozen=True, slots=True)
class Hello:
    """A peer introduces itself. ``workload`` and ``activity`` may be unknown to a meter until a hook declares them.

    Attributes:
        job: name that all ranks of one distributed job share; "" for a process that stops by itself.
        rank, ranks: which of how many.
    """

    role: Literal["hook", "meter"]
    session: str
    workload: str
    activity: Activity
    job: str = ""
    rank: int = 0
    ranks: int = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """Cumulative counters of a session at an instant.

    Attributes:
        n: number within the session, from 1.
        at: Unix ms.
        busy_ms: chip-milliseconds in use since the session began (core time for a CPU class).
        steps, flop, tokens: as the program reports them; None when it never did. Of a program that reports steps, FLOP
            of None are unknown.
        workload, activity: what the time since the sample before was spent on.
        recomputed: FLOP beside those of the model, of forward work done again in the backward.
    """

    n: int
    at: int
    busy_ms: int
    workload: str
    activity: Activity
    steps: int | None = None
    flop: int | None = None
    tokens: int | None = None
    recomputed: int | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """A workload has stopped on an order after *step*; *freeze* commits to weights and optimiser state.

    Attributes:
        at: when that step had ended, Unix ms.
        agreed_at: when it was known that it would be the last; None: not said.
        durable_at: when the checkpoint was durable; None: it is not yet.
        final: whether this is all that will be said: what has no digest yet will have none.
    """

    order: str
    step: int
    freeze: str | None
    at: int
    agreed_at: int | None = None
    durable_at: int | None = None
    final: bool = False


@dataclass(frozen=True, slots=True)
class Slowed:
    """A workload keeps to the ceiling of an order from *step* on."""

    order: str
    step: int
    at: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """A workload goes on after *step* from a state of digest *freeze* (None: it cannot say)."""

    step: int
    freeze: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Accept:
    """A rank will start no step after *step* unless another is proposed."""

    order: str
    step: int


@dataclass(frozen=True, slots=True)
class Passed:
    """A rank cannot stop at what was proposed: it is in *step* already."""

    order: str
    step: int


@dataclass(frozen=True, slots=True)
class End:
    """The session is over; ``n``: the last sample's number."""

    n: int
    at: int


@dataclass(frozen=True, slots=True)
class Pause:
    """An order binds; no further optimiser step may start, or, where *step* is said, none after it."""

    order: str
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Propose:
    """An order binds; is no rank past *step*? No step after it may start before the node has said more."""

    order: str
    step: int


@dataclass(frozen=True, slots=True)
class Slow:
    """An order sets a ceiling: at most *chip_ms* of chip time from *begin* to *end* (Unix ms)."""

    order: str
    chip_ms: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Resume:
    """No order binds. *freeze* and *step*: what this workload stopped with, when nothing went on from it yet."""

    freeze: str | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """Samples up to ``n`` are durable."""

    n: int


FromProgram: TypeAlias = Hello | Sample | Stopped | Slowed | Resumed | Accept | Passed | End
FromNode: TypeAlias = Pause | Propose | Slow | Resume | Ack
Message: TypeAlias = FromProgram | FromNode


def encode(message: Message) -> bytes:
    """Return the line of *message*, newline included."""
    fields: dict[str, object] = {"op": type(message).__name__.lower()}
    if isinstance(message, Hello):
        fields["v"] = 1
    for name in message.__dataclass_fields__:
        value: object = getattr(message, name)
        alone = isinstance(message, Hello) and not message.job and name in ("job", "rank", "ranks")
        if value is not None and value is not False and not alone:
            fields[name] = str(value) if name in _DECIMALS else value
    return json.dumps(fields).encode() + b"\n"


def decode(line: bytes) -> Message | None:
    """Return the message a line carries; None for an ``op`` this version does not know.

    Raises:
        ChannelError: ``channel-malformed``.
    """
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _malformed("one JSON object a line", line)
    fields = _Fields(cast("dict[str, object]", value), line)
    reader = _READERS.get(str(fields.raw.get("op")))
    return reader(fields) if reader is not None else None


@dataclass(frozen=True, slots=True)
class _Fields:
    raw: dict[str, object]
    line: bytes

    def number(self, name: str) -> int:
        value = self.raw.get(name)
        if type(value) is int and 0 <= value < 2**53:
            return value
        raise _malformed(f"{name}: an integer from 0 to 2^53-1", self.line)

    def maybe(self, name: str) -> int | None:
        return self.number(name) if name in self.raw else None

    def maybe_digest(self, name: str) -> str | None:
        return self.text(name, _DIGEST) if name in self.raw else None

    def amount(self, name: str) -> int:
        return int(self.text(name, _DECIMAL))

    def order(self) -> str:
        return self.text("order", _DIGEST)

    def decimal(self, name: str) -> int | None:
        if name not in self.raw:
            return None
        return int(self.text(name, _DECIMAL))

    def text(self, name: str, form: re.Pattern[str]) -> str:
        value = self.raw.get(name)
        if isinstance(value, str) and form.fullmatch(value):
            return value
        raise _malformed(f"{name}: a string of the form {form.pattern}", self.line)

    def labels(self) -> tuple[str, Activity]:
        workload = self.text("workload", _WORKLOAD)
        try:
            return workload, Activity(str(self.raw.get("activity")))
        except ValueError:
            raise _malformed(f"activity: one of {', '.join(Activity)}", self.line) from None


def _hello(fields: _Fields) -> Hello:
    role: Literal["hook", "meter"] = "hook" if fields.text("role", _ROLE) == "hook" else "meter"
    own = fields.text("session", _SESSION), *fields.labels()
    if "job" not in fields.raw:
        return Hello(role, *own)
    job, rank, ranks = fields.text("job", _WORKLOAD), fields.number("rank"), fields.number("ranks")
    if not rank < ranks <= MAX_RANKS:
        raise _malformed(f"rank below ranks, ranks at most {MAX_RANKS}", fields.line)
    return Hello(role, *own, job, rank, ranks)


def _sample(fields: _Fields) -> Sample:
    counters = fields.number("n"), fields.number("at"), fields.number("busy_ms")
    amounts = (fields.decimal(name) for name in ("flop", "tokens", "recomputed"))
    return Sample(*counters, *fields.labels(), fields.maybe("steps"), *amounts)


def _stopped(fields: _Fields) -> Stopped:
    said = fields.order(), fields.number("step"), fields.maybe_digest("freeze"), fields.number("at")
    return Stopped(*said, fields.maybe("agreed_at"), fields.maybe("durable_at"), fields.raw.get("final") is True)


_READERS: dict[str, Callable[[_Fields], Message]] = {
    "hello": _hello,
    "sample": _sample,
    "stopped": _stopped,
    "slowed": lambda f: Slowed(f.order(), f.number("step"), f.number("at")),
    "resumed": lambda f: Resumed(f.number("step"), f.maybe_digest("freeze"), f.number("at")),
    "accept": lambda f: Accept(f.order(), f.number("step")),
    "passed": lambda f: Passed(f.order(), f.number("step")),
    "end": lambda f: End(f.number("n") if "n" in f.raw else 0, f.number("at")),
    "pause": lambda f: Pause(f.order(), f.maybe("step")),
    "propose": lambda f: Propose(f.order(), f.number("step")),
    "slow": lambda f: Slow(f.order(), f.amount("chip_ms"), f.number("begin"), f.number("end")),
    "resume": lambda f: Resume(f.maybe_digest("freeze"), f.maybe("step")),
    "ack": lambda f: Ack(f.number("n")),
}


def _malformed(expected: str, line: bytes) -> ChannelError:
    return ChannelError(
        code="channel-malformed",
        message="a program on the hook socket sent something that is not of the protocol",
        expected=expected,
        found=repr(line[:120]),
        fix="compare the program with docs/spec/hook.md",
    )


class Peer:
    """One connection: bounded reading by line, writing that never blocks the caller."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Wrap a stream pair."""
        self._reader, self._writer = reader, writer
        self._rest = b""
        self._lines: deque[bytes] = deque()

    def send(self, message: Message) -> None:
        """Queue *message*; a peer with 64 KiB unread is cut off (it will come back, and be told the state anew)."""
        if self._writer.is_closing():
            return
        if self._writer.transport.get_write_buffer_size() > MAX_UNSENT:
            self._writer.transport.abort()
            return
        self._writer.write(encode(message))

    async def receive(self) -> Message | None:
        """Return the next message of a known kind; None when the peer is gone.

        Raises:
            ChannelError: ``channel-malformed``.
        """
        while True:
            if not self._lines and not await self._fill():
                return None
            message = decode(self._lines.popleft())
            if message is not None:
                return message

    async def receive_many(self) -> list[Message]:
        """Return the next message and all that have arrived behind it, so that they share one commit; [] at the end."""
        first = await self.receive()
        if first is None:
            return []
        rest = [decode(line) for line in self._lines]
        self._lines.clear()
        return [first, *(message for message in rest if message is not None)]

    async def _fill(self) -> bool:
        """Read until there is a whole line; False at the end of the stream (an unfinished line is dropped)."""
        while not self._lines:
            try:
                data = await self._reader.read(16 * MAX_LINE)
            except ConnectionError:
                return False
            if not data:
                return False
            *lines, self._rest = (self._rest + data).split(b"\n")
            if any(len(line) > MAX_LINE for line in (*lines, self._rest)):
                raise _malformed(f"lines of at most {MAX_LINE} bytes", self._rest)
            self._lines.extend(lines)
        return True

    async def drain(self) -> None:
        """Wait until the other side has taken what was sent, or is gone."""
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    def close(self) -> None:
        """Close; what is queued is still sent."""
        self._writer.close()


async def serve(path: Path, handle: Callable[[Peer], Awaitable[None]]) -> asyncio.Server:
    """Listen on *path* (mode 0600; a socket left behind there is replaced) and run *handle* for each connection."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        try:
            await handle(peer)
        finally:
            peer.close()

    path.unlink(missing_ok=True)
    with _short(path) as short:
        mask = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(connected, short)
        finally:
            os.umask(mask)


async def connect(path: Path) -> Peer:
    """Connect to the socket at *path* (``OSError`` when nobody listens)."""
    with _short(path) as short:
        return Peer(*await asyncio.open_unix_connection(short))


class _short:  # noqa: N801 - a context manager used like a function
    """A name of at most 107 bytes (what a socket address holds) for a path of any length, by way of its folder."""

    def __init__(self, path: Path) -> None:
        self._path, self._folder = path, -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) <= 107:
            return str(self._path)
        self._folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._folder}/{self._path.name}"

    def __exit__(self, *exc: object) -> None:
        if self._folder >= 0:
            os.close(self._folder)
