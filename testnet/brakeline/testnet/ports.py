"""Loopback ports that stay reserved for as long as a testnet lives.

A port that was free a moment ago may be taken by the time a server binds it, and a server that was killed wants its
port back. So the sockets stay bound here, with SO_REUSEADDR and not listening: Linux then gives these ports to nobody
who asks for *any* port, and lets a server that asks for *this* port (SO_REUSEADDR too) listen on it.
"""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"


class Ports:
    """Reserved ports; closing gives them back."""

    def __init__(self) -> None:
        """Reserve nothing yet."""
        self._held: list[socket.socket] = []

    def take(self, count: int) -> list[int]:
        """Reserve *count* further ports and return their numbers."""
        fresh: list[int] = []
        for _ in range(count):
            held = socket.socket()
            self._held.append(held)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((LOOPBACK, 0))
            fresh.append(int(held.getsockname()[1]))
        return fresh

    def close(self) -> None:
        """Give every port back."""
        for held in self._held:
            held.close()
        self._held.clear()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
