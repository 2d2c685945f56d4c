"""Cables that can be cut: TCP forwarders on loopback, so that processes can be partitioned without any privilege.

    with Links() as links:
        port = links.lay("a->b", target_port)      # connect to port, reach target_port
        links.cut("a->b")                          # connections die, new ones are reset at once
        links.freeze("a->b")                       # nothing arrives any more, and nobody is told
        links.mend("a->b")

One thread with its own event loop carries all traffic. A cut cable resets what it carries, as a firewall that rejects
does. A frozen one delivers nothing, as one that drops: its users wait, as long as their own patience lasts, and what
they sent arrives once it is mended, as if sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

_T = TypeVar("_T")
LOOPBACK = "127.0.0.1"


class _Link:
    def __init__(self, target: int) -> None:
        self.target = target
        self.whole = True
        self.flows = asyncio.Event()
        self.flows.set()
        self.carried: set[asyncio.StreamWriter] = set()
        self.server: asyncio.Server | None = None

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        self.carried.add(writer)
        try:
            await self.flows.wait()
            if self.whole:
                there, back = await asyncio.open_connection(LOOPBACK, self.target)
                ends.add(back)
                self.carried.add(back)
                await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        except (OSError, asyncio.CancelledError):
            pass  # nobody listens at the other end; or everything is being closed, and asyncio would log it
        finally:
            self.carried -= ends
            for end in ends:
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self.flows.wait()
                writer.write(data)
                await writer.drain()
            await self.flows.wait()
            writer.write_eof()


class Links:
    """Named cables, all whole at first."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._links: dict[str, _Link] = {}

    def lay(self, name: str, target: int) -> int:
        """Lay the cable *name* to the port *target* of this machine; return the port where it begins."""
        return self._do(self._lay(name, target))

    def cut(self, name: str) -> None:
        """Cut a cable: what it carries dies."""
        self._do(self._cut(name))

    def freeze(self, name: str) -> None:
        """Let a cable deliver nothing: connections stay, new ones begin and hear nothing."""
        self._do(self._freeze(name))

    def mend(self, name: str) -> None:
        """Mend a cable: for new connections when it was cut, for all when it was frozen."""
        self._do(self._mend(name))

    @property
    def names(self) -> list[str]:
        """All cables, sorted."""
        return sorted(self._links)

    async def _lay(self, name: str, target: int) -> int:
        link = self._links[name] = _Link(target)
        link.server = await asyncio.start_server(link.carry, LOOPBACK, 0)
        return int(link.server.sockets[0].getsockname()[1])

    async def _cut(self, name: str) -> None:
        link = self._links[name]
        link.whole = False
        for end in list(link.carried):
            end.transport.abort()

    async def _freeze(self, name: str) -> None:
        self._links[name].flows.clear()

    async def _mend(self, name: str) -> None:
        link = self._links[name]
        link.whole = True
        link.flows.set()

    async def _close(self) -> None:
        for link in self._links.values():
            if link.server is not None:
                link.server.close()
            for end in list(link.carried):
                end.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
