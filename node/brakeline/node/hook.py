"""What a training process imports: reports steps to the node, and learns when to stop. Standard library only.

Use, in a training loop::

    hook = Hook.connect(workload="char-lm", activity="training")
    while steps_left:
        train_one_step()
        if not hook.step(flop=FLOP_OF_STEP, tokens=TOKENS_OF_STEP):
            digest = save_weights_and_optimiser_state()          # by the program's own means
            hook.stopped(step=step, freeze=digest)               # SHA-256, lowercase hex
            hook.wait()                                          # returns when the order no longer binds
    hook.close()

*What it is.* A client of the Unix socket that the environment variable ``BRAKELINE_HOOK`` names. ``step`` adds to
counters in memory and looks at the socket without ever waiting on it; a background thread sends the newest counters a
few times a second, and connects again when the node was restarted. Counters are cumulative, so a lost message loses
nothing. An order whose bytes have reached this process before ``step`` is called makes that call return False: no
further optimiser step starts. Without ``BRAKELINE_HOOK`` everything here does nothing and ``step`` returns True.
While the node is away the last order it gave stays in force.

*What it is not.* A meter of energy or of other processes, nor protection against a program that lies about its FLOP
or ignores the answer: that shows in the books and in other people's meters, not here. It does not survive ``fork``
without ``exec``: connect in the process that trains.

The channel, for hooks in other languages: a stream socket, one JSON object a line, UTF-8, at most 4096 bytes a line.
From the program: ``{"op":"hello","v":1,"role":"hook","session":<32 hex>,"workload":..,"activity":..,"pid":..}`` first;
``{"op":"sample","n":<count>,"at":<Unix ms>,"busy_ms":..,"steps":..,"flop":"<decimal>","tokens":"<decimal>",
"workload":..,"activity":..}`` with counters since the session began (busy_ms: CPU milliseconds of this process and its
waited-for children); ``{"op":"stopped","order":<digest>,"step":..,"freeze":<64 hex, or absent>,"at":..}``;
``{"op":"end","at":..}``. From the node: ``{"op":"pause","order":<digest>}``, ``{"op":"resume"}`` (either directly after
the hello, and whenever it changes), ``{"op":"ack","n":..}``. Unknown ``op`` and unknown members are ignored.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
import time
from typing import Final, cast

ENVIRONMENT: Final = "BRAKELINE_HOOK"
MAX_LINE: Final = 4096
FLUSH_S: Final = 0.05
"""How often the background thread sends counters that changed."""
PAUSED: Final = "other"
"""How the time of a program is booked from the moment it was told to stop: saving, waiting."""
RECONNECT_S: Final = 0.2
"""How often it tries a local socket that is not there."""


class HookError(Exception):
    """Something the training process must not go on with; fields as those of every error of brakeline.

    Attributes:
        code: stable, kebab-case.
        message: one sentence.
        expected, found: what was looked for, and what was there.
        fix: what to do about it.
    """

    def __init__(self, *, code: str, message: str, expected: str = "", found: str = "", fix: str = "") -> None:
        """Make an error; all fields are plain text."""
        self.code, self.message, self.expected, self.found, self.fix = code, message, expected, found, fix
        super().__init__(code, message, expected, found, fix)

    def __str__(self) -> str:
        """Return ``code: message (expected ..., found ...). fix``."""
        return f"{self.code}: {self.message} (expected {self.expected}, found {self.found}). {self.fix}"


class Hook:
    """One training process's line to the node. Thread-safe; every call returns at once, except :meth:`wait`."""

    def __init__(self, path: str | None, workload: str, activity: str) -> None:
        """Use :meth:`connect`. ``path`` None: a hook that does nothing."""
        self._path = path
        self._workload, self._activity = workload, activity
        self._label = activity
        self._session = os.urandom(16).hex()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._in, self._out = bytearray(), bytearray()
        self._steps = self._flop = self._tokens = self._sent = 0
        self._dirty = self._ran_on = False
        self._order: str | None = None
        self._stopped: dict[str, object] | None = None
        self._running = threading.Event()
        self._running.set()
        self._told = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def connect(
        cls, *, workload: str, activity: str = "training", path: str | None = None, wait_s: float = 0.5
    ) -> Hook:
        """Return a hook that talks to the node at *path* (default: ``BRAKELINE_HOOK``; without either, a no-op).

        Waits at most *wait_s* for the node's first word, so that a program started under an order does not begin.
        A node that cannot be reached raises nothing: the hook keeps trying in the background.
        """
        hook = cls(path or os.environ.get(ENVIRONMENT) or None, workload, activity)
        if hook._path is not None:
            hook._thread = threading.Thread(target=hook._pump, name="brakeline-hook", daemon=True)
            hook._thread.start()
            hook._told.wait(wait_s)
        return hook

    def step(self, *, flop: int = 0, tokens: int = 0) -> bool:
        """Count one finished optimiser step and what it used; say whether the next one may start."""
        with self._lock:
            self._steps += 1
            self._flop += flop
            self._tokens += tokens
            self._dirty = True
            if self._socket is not None:
                self._receive()
            if self._order is not None and self._label == PAUSED:
                self._label, self._ran_on = (
                    self._activity,
                    True,
                )  # the program goes on all the same: booked as what it is
            elif self._order is not None and not self._ran_on:
                self._queue_sample()  # what was used until now was the activity; saving and waiting are not
                self._label = PAUSED
                self._send()
        return self._running.is_set()

    @property
    def order(self) -> str | None:
        """The digest of the order that binds this process, or None."""
        return self._order

    @property
    def steps(self) -> int:
        """Steps counted so far."""
        return self._steps

    def stopped(self, *, step: int, freeze: str | None = None) -> None:
        """Tell the node that no step after *step* started; *freeze*: SHA-256 of weights and optimiser state (hex)."""
        with self._lock:
            if self._order is None:
                return
            message: dict[str, object] = {"op": "stopped", "order": self._order, "step": step, "at": _now_ms()}
            if freeze is not None:
                message["freeze"] = freeze
            self._stopped = message
            self._dirty = True
            self._queue_sample()
            self._queue(json.dumps(message))
            self._send()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until no order binds (True) or *timeout_s* has passed or the hook was closed (False)."""
        return self._running.wait(timeout_s) and not self._closing.is_set()

    def close(self, timeout_s: float = 1.0) -> None:
        """Send the last counters and say goodbye; waits at most *timeout_s* for the socket to take them."""
        if self._thread is None or self._closing.is_set():
            return
        with self._lock:
            self._dirty = True
            self._queue_sample()
            self._queue(json.dumps({"op": "end", "at": _now_ms()}))
        self._closing.set()
        self._running.set()
        self._thread.join(timeout_s)

    def __enter__(self) -> Hook:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    # -- below: the socket; everything with the lock held, except waiting -------------------------------------------

    def _pump(self) -> None:
        while not (self._closing.is_set() and not self._out):
            current = self._socket
            if current is None:
                if self._closing.is_set():
                    return
                if not self._open():
                    self._closing.wait(RECONNECT_S)
                continue
            with contextlib.suppress(OSError, ValueError):
                select.select([current], [], [], 0.005 if self._closing.is_set() else FLUSH_S)
            with self._lock:
                self._receive()
                self._queue_sample()
                self._send()
        with self._lock:
            self._drop()

    def _open(self) -> bool:
        fresh = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _connect(fresh, self._path or "")
        except OSError:
            fresh.close()
            return False
        fresh.setblocking(False)
        with self._lock:
            self._socket, self._dirty = fresh, True
            self._in.clear()
            self._out.clear()
            hello = {"op": "hello", "v": 1, "role": "hook", "session": self._session, "pid": os.getpid()}
            self._queue(json.dumps({**hello, "workload": self._workload, "activity": self._activity}))
            self._queue_sample()
            if self._stopped is not None:
                self._queue(json.dumps(self._stopped))
            self._send()
        return True

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _queue(self, line: str) -> None:
        if self._socket is not None:
            self._out += line.encode() + b"\n"

    def _queue_sample(self) -> None:
        if not self._dirty or (len(self._out) > MAX_LINE and not self._closing.is_set()):
            return  # nothing new, or the node reads slowly: the counters are cumulative, the next sample has it all
        self._sent += 1
        self._dirty = False
        times = os.times()
        busy = round(1000 * (times.user + times.system + times.children_user + times.children_system))
        sample = {"op": "sample", "n": self._sent, "at": _now_ms(), "busy_ms": busy, "steps": self._steps}
        labels = {"workload": self._workload, "activity": self._label}
        self._queue(json.dumps({**sample, "flop": str(self._flop), "tokens": str(self._tokens), **labels}))

    def _send(self) -> None:
        while self._out and self._socket is not None:
            try:
                sent = self._socket.send(self._out)
            except BlockingIOError:
                return
            except OSError:
                self._drop()
                return
            del self._out[:sent]

    def _receive(self) -> None:
        while self._socket is not None:
            try:
                data = self._socket.recv(MAX_LINE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._drop()
                return
            self._in += data
            *lines, rest = bytes(self._in).split(b"\n")
            self._in = bytearray(rest[:MAX_LINE])
            for line in lines:
                self._obey(line)

    def _obey(self, line: bytes) -> None:
        try:
            value: object = json.loads(line)
        except ValueError:
            return
        message = cast("dict[str, object]", value) if isinstance(value, dict) else {}
        order = message.get("order")
        if message.get("op") == "pause" and isinstance(order, str):
            if self._stopped is not None and order != self._order:  # a second order while stopped: say so again
                self._stopped["order"] = order
                self._queue(json.dumps(self._stopped))
            self._order = order
            if self._steps == 0:
                self._label = PAUSED
            self._running.clear()
            self._told.set()
        elif message.get("op") == "resume":
            self._order = self._stopped = None
            self._label, self._ran_on = self._activity, False
            self._dirty = True
            self._running.set()
            self._told.set()


def _connect(unconnected: socket.socket, path: str) -> None:
    """Connect, also where the path is longer than the 107 bytes that a socket address holds."""
    if len(os.fsencode(path)) <= 107:
        unconnected.connect(path)
        return
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    try:
        unconnected.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    finally:
        os.close(folder)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
