"""A lab that cheats clumsily, as a process: ``python -m brakeline.testnet.cheat --dir DIR --imbalance 2 --second 3``.

It is the node's own code with three lies put in from outside: the books of one period do not balance, another period
gets a second, different version, and an order is acknowledged and not passed on to the training. The node itself has no
switch for any of this.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from brakeline.ledger import keyfile
from brakeline.ledger.ed25519 import Signer
from brakeline.ledger.entry import RawSignature
from brakeline.node import config
from brakeline.node.brake import Seen
from brakeline.node.journal import Claim, Journal, Outgoing
from brakeline.node.service import Node
from brakeline.node.setup import JOURNAL, KEY, TREATY, load_treaty
from brakeline.node.site import Position, Site
from brakeline.node.tls import TlsFiles
from brakeline.treaty.admission import Admitted, admit
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope, pae
from brakeline.treaty.quantities import ChipMs, InstantMs, Rational
from brakeline.treaty.statements import Acknowledgement, Order, Usage, UsageLine, encode_statement, parse_statement


def now_ms() -> int:
    """Return the wall clock in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def halved(line: UsageLine) -> UsageLine:
    """Return *line* with half of its chip time gone."""
    times = tuple(item.model_copy(update={"value": ChipMs(item.value.value // 2)}) for item in line.chip_ms)
    return line.model_copy(update={"chip_ms": times})


class ClumsySite(Site):
    """A site whose books lie twice."""

    def __init__(
        self, name: str, document: TreatyDocument, journal: Journal, signer: Signer, *, imbalance: int, second: int
    ) -> None:
        """Lie in the periods *imbalance* and *second*."""
        super().__init__(name, document, journal, signer, now_ms)
        self._key = signer
        self._imbalance, self._second = imbalance, second

    def sign_usage(self, usage: Usage) -> Envelope:
        """Sign books beside the journal, which exists to make exactly this impossible."""
        payload = encode_statement(usage)
        signature = RawSignature(self.keyid, self._key.sign(pae(payload)))
        return Envelope(payload, (signature,))

    def book_period(
        self,
        period: int,
        *,
        serials: dict[str, tuple[str, ...]] | None = None,
        utilisation: dict[str, Rational] | None = None,
        slots: int = 4,
    ) -> Outgoing:
        """Book as an honest node does, and lie where the plan says so."""
        if period == self._imbalance:
            holding, books = self.period_books(period, serials=serials, utilisation=utilisation, slots=slots)
            lies = replace(books, lines=(*books.lines[:-1], halved(books.lines[-1])))
            return self.sign_books(period, holding, lies)
        booked = super().book_period(period, serials=serials, utilisation=utilisation, slots=slots)
        if period == self._second:
            usage = parse_statement(Envelope.from_body(booked.body).payload).predicate
            if isinstance(usage, Usage):
                self.spool(self.sign_usage(self._other_version(usage)))
        return booked

    def _other_version(self, usage: Usage) -> Usage:
        """Return balanced books under another name of the first workload: plausible, and not what was signed before."""
        first, rest = usage.lines[0], usage.lines[1:]
        renamed = first.model_copy(update={"workload": "a-quieter-story"})
        return usage.model_copy(update={"lines": (renamed, *rest)})


class DefiantNode(Node):
    """A node that acknowledges orders and lets the training go on."""

    def see(self, envelope: Envelope, source: str) -> Seen:
        """Acknowledge an order as obeyed; tell no program."""
        site = self._site
        outcome = admit(site.register, envelope, now_ms=now_ms())
        if not isinstance(outcome, Admitted) or not isinstance(outcome.statement.predicate, Order):
            return Seen("order-none")
        digest, seen = envelope.digest, now_ms()
        if digest in site.journal.acknowledged():
            return Seen("order-binds")
        site.journal.see_order(digest, envelope.to_body(), seen, source)

        def build(at: Position) -> Acknowledgement:
            return Acknowledgement(
                author=at.author,
                sequence=at.sequence,
                previous=at.previous,
                treaty=at.treaty,
                order=digest,
                seen_at=InstantMs(seen),
                stopped_at=InstantMs(seen),
                workloads=(),
            )

        site.sign_and_spool(build, claim=Claim(order=digest))
        self._wake_senders()
        return Seen("order-binds", new=True)


async def run(folder: Path, site: ClumsySite, settings: config.NodeConfig) -> None:
    """Run the node until SIGTERM; print the ready line."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tls = TlsFiles.within(folder / settings.tls.folder)
    node = DefiantNode(folder, settings, site, tls, now_ms)
    await node.run(lambda: print(json.dumps({"ready": {"site": site.name}}), flush=True), stop)


def main() -> int:
    """Read the command line and cheat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--imbalance", type=int, required=True)
    parser.add_argument("--second", type=int, required=True)
    options = parser.parse_args()
    folder: Path = options.dir
    settings = config.load(folder / config.FILE)
    document = load_treaty((folder / TREATY).read_bytes(), settings.pin)
    signer = keyfile.read_signer(folder / KEY, None)
    with Journal(folder / JOURNAL) as journal:
        site = ClumsySite(settings.site, document, journal, signer, imbalance=options.imbalance, second=options.second)
        asyncio.run(run(folder, site, settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
