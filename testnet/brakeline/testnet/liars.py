"""A verifier that lies, as a process: ``python -m brakeline.testnet.liars --dir DIR --act omission --about SITE``.

It is the verifier's own code with one dishonest part put in from outside; the verifier has no switch for any of this.
All else stays as it is: it speaks gRPC and HTTP, witnesses its peers, mirrors them, and signs what it does.

==========  ========================================================================================================
act         what it does
==========  ========================================================================================================
omission    says that it mirrored its peers' logs, and never lets a statement of the author ``--about`` into its own
refusal     the same, and never says what it mirrored: no signature of it contradicts another, so nothing is provable
backdating  dates its entries ``--lag-ms`` before the truth, whatever its witnesses' cosignatures say
hiding      leaves out of its log every finding that its rules reach
slander     writes one finding that no rule reaches, about the site ``--about``
fork        keeps two histories under one name and one key. The second, in which no lab has ever said anything, stands
            at ``--face``; the witness of the verifier ``--fooled`` is asked to cosign that one and never sees the first
==========  ========================================================================================================

Forking and omitting start as dishonest as they go on: both histories grow from entry 0, and both are append-only.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from brakeline.ledger.entry import Kind
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.policy import quorum_policy
from brakeline.treaty.admission import NotYet
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.judge import LogJudge, Past
from brakeline.treaty.logbody import Heartbeat
from brakeline.treaty.rules.board import make
from brakeline.treaty.statements import Inventory, Statement, parse_statement
from brakeline.verifier.clients import HttpWitness, OwnWitness
from brakeline.verifier.config import Config
from brakeline.verifier.http import HttpServer, Pages, make_app, origin_hashes
from brakeline.verifier.intake import Outcome, Submission
from brakeline.verifier.keys import Signers, Terms
from brakeline.verifier.loop import Committed
from brakeline.verifier.metrics import Metrics
from brakeline.verifier.publish import Publication, Publisher, Signed
from brakeline.verifier.server import VerifierServer, run, unix_ms
from brakeline.verifier.state import LogState, MakeJudge
from brakeline.verifier.storage import Storage
from brakeline.verifier.witness import Witness
from brakeline.verifier.witness_store import WitnessStore

ACTS = ("omission", "refusal", "backdating", "hiding", "slander", "fork")
OTHER = "other-history"
"""The folder of a forking verifier's second history."""
_NEVER = NotYet("parent-unknown", "the statement's parent is not in this log")


class Deaf(LogState):
    """A log that treats every statement of one author (``""``: of all authors) as if it had never come."""

    about = ""
    discreet = False
    """Whether heartbeats keep to themselves what was mirrored."""

    def commit(self, batches: Sequence[Sequence[Submission]], heartbeat: Heartbeat | None) -> Committed:
        """Commit what others signed; everything of the author is *not yet*, for ever."""
        if heartbeat is not None and self.discreet:
            heartbeat = Heartbeat(checkpoint=heartbeat.checkpoint, mirrored=())
        heard = [[item for item in batch if not self._unheard(item)] for batch in batches]
        committed = super().commit(heard, heartbeat)
        outcomes: list[list[Outcome]] = []
        for batch, answers in zip(batches, committed.outcomes, strict=True):
            left = iter(answers)
            outcomes.append([_NEVER if self._unheard(item) else next(left) for item in batch])
        return Committed(outcomes, committed.signed, committed.announced, committed.findings)

    def _unheard(self, item: Submission) -> bool:
        try:
            authored = parse_statement(item.envelope.payload).authored
        except BrakelineError:
            return False
        return authored is not None and self.about in ("", authored.author)


class Omitting(VerifierServer):
    """Mirrors its peers, says so, and lets nothing of one author into its own log."""

    about = ""
    discreet = False

    def _open_state(self, storage: Storage) -> LogState:
        state = Deaf(self._terms.document, storage, self._judge, self._guard.stamp)
        state.about, state.discreet = self.about, self.discreet
        return state


class Refusing(Omitting):
    """Lets nothing of one author into its own log, and does not say whether it has seen any of it."""

    discreet = True


class Backdating(VerifierServer):
    """Dates what it appends before the truth, and embeds its witnesses' contradiction of it."""

    lag_ms = 0

    def _open_state(self, storage: Storage) -> LogState:
        return LogState(self._terms.document, storage, self._judge, self._late, self._vault)

    def _late(self, last_ms: int) -> int:
        return max(last_ms, unix_ms() - self.lag_ms)

    def _to_embed(self) -> str | None:
        current = self.publication.current
        return None if current is None else current.note.decode("utf-8")


class Hiding(LogJudge):
    """Judges, and keeps every finding to itself."""

    def heartbeat(self) -> list[bytes]:
        """Return nothing, whatever is due."""
        super().heartbeat()
        return []


class Slandering(LogJudge):
    """Judges, and says once of a site that has declared its chips that it booked none of their time."""

    def __init__(self, document: TreatyDocument, past: Past, about: str) -> None:
        """Slander *about*."""
        super().__init__(document, past=past)
        self._document = document
        self._about = about
        self._inventory = ""
        self._chip_class = ""
        self._said = False

    def add(self, index: int, kind: Kind, statement: Statement | None) -> None:
        """Take the entry at *index* in, and note the site's inventory."""
        super().add(index, kind, statement)
        said = None if statement is None else statement.predicate
        if statement is not None and isinstance(said, Inventory) and said.author == self._about:
            self._inventory = statement.digest
            self._chip_class = said.chips[0].chip_class

    def heartbeat(self) -> list[bytes]:
        """Return what is due and, once, what is not."""
        due = super().heartbeat()
        terms = self._document.rule("imbalance")
        if self._said or not self._inventory or terms is None:
            return due
        self._said = True
        figures = {"class": self._chip_class, "booked_chip_ms": 0, "due_chip_ms": 1}
        invented = make(terms, self._about, period=0, statements=[self._inventory], figures=figures)
        return sorted([*due, invented.body], key=lambda body: hashlib.sha256(body).digest())


class TwoFaced(LogState):
    """A log that keeps a second history behind its own, from the same submissions."""

    def __init__(
        self,
        document: TreatyDocument,
        storage: Storage,
        judge: MakeJudge,
        stamp: Callable[[int], int],
        *,
        other: LogState,
        tell: Callable[[Signed], None],
        embed: Callable[[], str | None],
    ) -> None:
        """Keep *other* too; *tell* is given each checkpoint of it, *embed* returns the one for its next heartbeat."""
        super().__init__(document, storage, judge, stamp)
        self._other = other
        self._tell = tell
        self._embed = embed

    def commit(self, batches: Sequence[Sequence[Submission]], heartbeat: Heartbeat | None) -> Committed:
        """Commit to both; answer with what the first says."""
        committed = super().commit(batches, heartbeat)
        beat = None if heartbeat is None else Heartbeat(checkpoint=self._embed(), mirrored=())
        self._tell(self._other.commit(batches, beat).signed)
        return committed


class Forking(VerifierServer):
    """Two logs under one name and one key, each with readers and a witness of its own."""

    face = ""
    fooled = ""

    def __init__(self, directory: Path, config: Config, terms: Terms, signers: Signers) -> None:
        """Prepare both faces; they share the log's keys, and the witness that others ask."""
        super().__init__(directory, config, terms, signers)
        own, folder = terms.own, directory / OTHER
        folder.mkdir(exist_ok=True)
        self._other = Storage(folder, own.log_key, signers.log)
        self._shown = Publication()
        store = WitnessStore(folder / "witness.sqlite")
        self._closes = (self._other.close, store.close)
        mine = Witness(store, {own.origin: own.log_key}, own.witness_key, signers.witness, unix_ms)
        self._accomplice = OwnWitness(mine)
        self._second: Publisher | None = None
        pages = Pages(
            publication=self._shown,
            tile=self._other.tile,
            witness=self._witness,
            origins=lambda: origin_hashes([verifier.origin for verifier in terms.document.verifiers]),
            metrics=Metrics(),
            trouble=lambda: "",
        )
        self._front = HttpServer(make_app(pages), self.face)

    async def start_log(self, peers: Mapping[str, str] | None = None) -> dict[str, str]:
        """Start as any verifier, and show the second history beside."""
        await self._front.start()
        return await super().start_log(peers)

    async def stop(self) -> None:
        """End both faces. Once."""
        if self._stopped:
            return
        await super().stop()
        await self._front.stop()
        for close in self._closes:
            await asyncio.to_thread(close)

    def _open_state(self, storage: Storage) -> LogState:
        document, loop = self._terms.document, asyncio.get_running_loop()

        def tell(signed: Signed) -> None:  # in the writer's thread
            if self._second is not None:
                loop.call_soon_threadsafe(self._second.offer, signed)

        def embed() -> str | None:
            return None if self._shown.current is None else self._shown.current.note.decode("utf-8")

        judge, stamp = self._judge, self._guard.stamp
        other = Deaf(document, self._other, judge, stamp)
        return TwoFaced(document, storage, judge, stamp, other=other, tell=tell, embed=embed)

    def _publisher(self, storage: Storage, others: list[HttpWitness]) -> Publisher:
        fooled = self._terms.document.verifier(self.fooled)
        if fooled is None:
            raise ValueError(f"the treaty names no verifier {self.fooled!r} to be fooled")
        own, believing = self._terms.own, [item for item in others if item.key == fooled.witness_key]

        async def proofs(old: int, new: int) -> list[bytes]:
            return await asyncio.to_thread(self._other.consistency, old, new)

        async def forget(_: Signed) -> None:
            pass

        self._second = Publisher(
            log_key=own.log_key,
            policy=quorum_policy([own.log_key], [own.witness_key, fooled.witness_key], 2),
            witnesses=[self._accomplice, *believing],
            proofs=proofs,
            publication=self._shown,
            store=forget,
            clock=self._guard,
            metrics=Metrics(),
            timeout=self._limits.cosign_timeout_ms / 1000,
            grace=self._limits.cosign_grace_ms / 1000,
        )
        self._spawn(self._second.run())
        return super()._publisher(storage, [item for item in others if item not in believing])


def main(argv: Sequence[str] | None = None) -> int:
    """Run one lying verifier until SIGTERM."""
    parser = argparse.ArgumentParser(description="Run a verifier that lies (for tests and exercises).")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--act", choices=ACTS, required=True)
    parser.add_argument("--about", default="", help="whose statements are left out, or who is slandered")
    parser.add_argument("--lag-ms", type=int, default=8_000, help="how far entries are dated back")
    parser.add_argument("--face", default="", help="host:port where the second history of a fork is shown")
    parser.add_argument("--fooled", default="", help="the verifier whose witness is asked to cosign the second history")
    options = parser.parse_args(argv)
    Omitting.about, Backdating.lag_ms = options.about, options.lag_ms
    Forking.face, Forking.fooled = options.face, options.fooled
    makers: dict[str, Callable[[Path, Config, Terms, Signers], VerifierServer]] = {
        "omission": Omitting,
        "refusal": Refusing,
        "backdating": Backdating,
        "hiding": partial(VerifierServer, judge=lambda document, past: Hiding(document, past=past)),
        "slander": partial(VerifierServer, judge=partial(Slandering, about=options.about)),
        "fork": Forking,
    }

    def ready(addresses: object) -> None:
        print(json.dumps({"ready": addresses}), flush=True)

    run(options.dir, passphrase=None, on_ready=ready, make=makers[options.act])
    return 0


if __name__ == "__main__":
    sys.exit(main())
