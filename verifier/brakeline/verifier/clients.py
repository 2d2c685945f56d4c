"""Ways to witnesses: our own in this process, the others' over HTTP. Answers are bounded and never trusted here."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass

import httpx
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.note import MAX_NOTE
from brakeline.ledger.vkey import VKey
from brakeline.verifier.witness import Answer, Witness

MAX_ANSWER = MAX_NOTE
"""Bytes read of any answer of another verifier's witness: signature lines, or a checkpoint."""


@dataclass(frozen=True, slots=True)
class OwnWitness:
    """The witness in this process; a thread does its disk work."""

    witness: Witness

    @property
    def key(self) -> VKey:
        """The witness's verifier key."""
        return self.witness.key

    async def add(self, body: bytes) -> Answer:
        """Ask it to cosign (``OSError`` when its store fails)."""
        try:
            return await asyncio.to_thread(self.witness.add_checkpoint, body)
        except BrakelineError as error:
            raise OSError(str(error)) from None


@dataclass(frozen=True, slots=True)
class HttpWitness:
    """Another verifier's witness at ``<url>/add-checkpoint``."""

    key: VKey
    url: str
    client: httpx.AsyncClient

    async def add(self, body: bytes) -> Answer:
        """Ask it to cosign (``OSError`` when there is no whole answer)."""
        return await _call(self.client, "POST", f"{self.url}/add-checkpoint", body)

    async def remembers(self, origin: str) -> bytes | None:
        """Return the note it last cosigned of the log *origin*, None when it remembers none (tlog-witness retrieval).

        Raises:
            OSError: no answer, or one that is neither 200 nor 404.
        """
        name = hashlib.sha256(origin.encode()).hexdigest()
        answer = await _call(self.client, "GET", f"{self.url}/{name}/checkpoint", b"")
        if answer.status == 404:
            return None
        if answer.status == 200:
            return answer.body
        raise OSError(f"{self.url} answered {answer.status}")


async def _call(client: httpx.AsyncClient, method: str, url: str, body: bytes) -> Answer:
    try:
        async with client.stream(method, url, content=body) as response:
            data = bytearray()
            async for chunk in response.aiter_bytes():
                data += chunk
                if len(data) > MAX_ANSWER:
                    raise OSError(f"{url} answered more than {MAX_ANSWER} bytes")
            return Answer(response.status_code, bytes(data), response.headers.get("content-type", ""))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(f"{url}: {error or type(error).__name__}") from None


def make_client(timeout_s: float) -> httpx.AsyncClient:
    """Return an HTTP client for witnesses: no proxies from the environment, no redirects, every wait bounded."""
    return httpx.AsyncClient(timeout=timeout_s, trust_env=False, follow_redirects=False)
