"""Pressing and releasing the brake, the way it goes between states: one party drafts, each signs, anybody submits.

Every step is a command that a party would type, with its own key; the payload is a file that is carried from one to the
other. Nothing here knows who obeys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brakeline.testnet.build import PARTIES, Testnet
from brakeline.testnet.processes import BRAKELINE, Errand

LEAD_MS = 4_000
"""Drafting and signing begin this long before the order is submitted."""
LASTS = 1_000
"""Periods until an order expires: longer than any play."""


@dataclass(frozen=True)
class Press:
    """An order of the play.

    Attributes:
        kind: pause or resume; also the name of its folder and commands.
        effective: its effective period.
        reason: on the public record.
        lifts: digests of what it ends.
    """

    kind: str
    effective: int
    reason: str
    lifts: Sequence[str] = ()

    @property
    def draft(self) -> str:
        """The name of the errand that drafts it."""
        return f"{self.kind}-draft"

    @property
    def submit(self) -> str:
        """The name of the errand that submits it."""
        return f"{self.kind}-submit"

    def errands(self, net: Testnet, out: Path, submit_at: int) -> list[Errand]:
        """Return the commands that draft, sign and submit it at *submit_at* (Unix ms), leaving files below *out*."""
        folder = out / self.kind
        folder.mkdir(exist_ok=True)
        payload, envelope = folder / "order.json", folder / "order.dsse.json"
        treaty = ["--treaty", str(net.toml)]
        when = ["--effective-period", str(self.effective), "--expiry-period", str(self.effective + LASTS)]
        ends = [word for digest in self.lifts for word in ("--lifts", digest)]
        draft = ["brake", "draft", *treaty, "--kind", self.kind, *when, *ends, "--reason", self.reason]
        errands = [Errand(self.draft, [*BRAKELINE, *draft, "--out", str(payload)], submit_at - LEAD_MS)]
        for party in PARTIES:
            key = ["--key", str(net.keys / f"{party}.pem")]
            sign = ["brake", "sign", str(payload), *treaty, *key, "--out", str(envelope)]
            errands.append(Errand(f"{self.kind}-sign-{party}", [*BRAKELINE, *sign]))
        terms = ["--treaty", str(net.treaty), "--pin", net.pin, "--tls-dir", str(net.tls)]
        where = ["--receipts", str(out / "receipts" / self.kind), "--timeout", "8"]
        submit = [*BRAKELINE, "node", "submit", str(envelope), *terms, *where]
        return [*errands, Errand(self.submit, submit, submit_at, tries=5)]
