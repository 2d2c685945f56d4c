"""A verifier that lies, as a process: ``python -m brakeline.testnet.liars --dir DIR --act omission --about SITE``.

It is the verifier's own code with one dishonest part put in from outside; the verifier has no switch for any of this.
All else stays as it is: it speaks gRPC and HTTP, witnesses its peers, mirrors them, and signs what it does.

============  =======================================================================================================
act           what it does
============  =======================================================================================================
omission      says that it mirrored its peers' logs, and never lets a statement of one author into its own
backdating    dates its entries ``--lag-ms`` before the truth, whatever its witnesses' cosignatures say
misjudging    leaves out of its log every finding that its rules reach
fork          when the file ``lie`` appears in its folder, shows another history from then on: its own, in which no
              site has ever reported
============  =======================================================================================================
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from brakeline.ledger.checkpoint import Checkpoint, add_signatures, cosign, sign_checkpoint
from brakeline.ledger.entry import Entry, Kind, first_previous
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.export import write_file
from brakeline.ledger.serve import LogServer
from brakeline.ledger.serve import run as serve
from brakeline.ledger.source import CHECKPOINT
from brakeline.ledger.tiles import TILE_WIDTH, encode_bundle, entries_path
from brakeline.ledger.treebuilder import TileBuilder
from brakeline.treaty.admission import NotYet
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.logbody import Heartbeat, parse_heartbeat
from brakeline.treaty.statements import Usage, parse_statement
from brakeline.verifier.config import Config, load_config
from brakeline.verifier.intake import Outcome, Submission
from brakeline.verifier.keys import Signers, Terms, load_signers, load_terms
from brakeline.verifier.loop import Committed
from brakeline.verifier.server import VerifierServer, run, unix_ms
from brakeline.verifier.state import LogState
from brakeline.verifier.storage import Storage

LIE = "lie"
"""The file that makes a forking verifier fork."""
OTHER = "other-history"
POLL_S = 0.1


class Deaf(LogState):
    """A log that treats every statement of one author as if it had never come."""

    about = ""

    def commit(self, batches: Sequence[Sequence[Submission]], heartbeat: Heartbeat | None) -> Committed:
        """Commit what others signed; everything of the author is *not yet*, for ever."""
        heard = [[item for item in batch if not self._is_about(item)] for batch in batches]
        committed = super().commit(heard, heartbeat)
        outcomes: list[list[Outcome]] = []
        for batch, answers in zip(batches, committed.outcomes, strict=True):
            left = iter(answers)
            never = NotYet("parent-unknown", "the statement's parent is not in this log")
            outcomes.append([never if self._is_about(item) else next(left) for item in batch])
        return Committed(outcomes, committed.signed, committed.announced, committed.findings)

    def _is_about(self, item: Submission) -> bool:
        try:
            authored = parse_statement(item.envelope.payload).authored
        except BrakelineError:
            return False
        return authored is not None and authored.author == self.about


class Omitting(VerifierServer):
    """Mirrors its peers, says so, and lets nothing of one author into its own log."""

    about = ""

    def _open_state(self, storage: Storage) -> LogState:
        state = Deaf(self._terms.document, storage, self._judge, self._guard.stamp)
        state.about = self.about
        return state


class Backdating(VerifierServer):
    """Dates what it appends before the truth, and embeds its witnesses' contradiction of it."""

    lag_ms = 0

    def _open_state(self, storage: Storage) -> LogState:
        stamp = lambda last: max(last, unix_ms() - self.lag_ms)  # noqa: E731
        return LogState(self._terms.document, storage, self._judge, stamp)

    def _to_embed(self) -> str | None:
        current = self.publication.current
        return None if current is None else current.note.decode("utf-8")


class Silent(LogJudge):
    """Judges, and keeps every finding to itself."""

    def heartbeat(self) -> list[bytes]:
        """Return nothing, whatever is due."""
        super().heartbeat()
        return []


class Turned(Exception):
    """The moment has come from which a forking verifier shows its other history."""


class Forking(VerifierServer):
    """An honest verifier until the file appears in its folder that makes it turn."""

    async def start_log(self, peers: Mapping[str, str] | None = None) -> dict[str, str]:
        """Start as any verifier, and wait for the moment beside."""
        addresses = await super().start_log(peers)
        self._spawn(self._turn())
        return addresses

    async def _turn(self) -> None:
        while not (self._directory / LIE).exists():
            await asyncio.sleep(POLL_S)
        raise Turned


def show_other_history(directory: Path, on_ready: Callable[[str], None]) -> None:
    """Serve, at the verifier's own address, its log without any books, linked and signed anew; until SIGTERM."""
    config = load_config(directory)
    terms = load_terms(directory, config)
    signers = load_signers(directory, config, terms.own, None)
    storage = Storage(directory, terms.own.log_key, signers.log)
    try:
        published = storage.published()
        size = 0 if published is None else published.size
        entries = [Entry.decode(data) for data in storage.sequencer.store.read_entries(0, size)]
    finally:
        storage.close()
    other = without_books(terms.own.origin, entries)
    write_history(directory / OTHER, other, terms, signers)
    address = urlsplit(terms.own.url)
    serve(LogServer(directory / OTHER, address.hostname or "", address.port or 80), on_ready)


def without_books(origin: str, entries: Sequence[Entry]) -> list[Entry]:
    """Return *entries* linked anew without any usage statement; heartbeats no longer embed the log's own past."""
    other: list[Entry] = []
    for entry in entries:
        if entry.kind is Kind.STATEMENT and _is_usage(entry):
            continue
        previous = other[-1].digest if other else first_previous(origin)
        body = entry.body
        if entry.kind is Kind.HEARTBEAT:
            body = Heartbeat(mirrored=parse_heartbeat(body).mirrored).body
        other.append(replace(entry, index=len(other), previous=previous, body=body))
    return other


def _is_usage(entry: Entry) -> bool:
    return isinstance(parse_statement(Envelope.from_body(entry.body).payload).predicate, Usage)


def write_history(directory: Path, entries: Sequence[Entry], terms: Terms, signers: Signers) -> None:
    """Write *entries* as a log in tlog-tiles layout, signed, and cosigned by the verifier's own witness."""
    builder = TileBuilder()
    tiles = builder.extend([entry.leaf_hash for entry in entries]) | builder.partial()
    for start in range(0, len(entries), TILE_WIDTH):
        part = [entry.encode() for entry in entries[start : start + TILE_WIDTH]]
        write_file(directory / entries_path(start // TILE_WIDTH, len(part)), encode_bundle(part))
    for ref, data in tiles.items():
        write_file(directory / ref.path, data)
    own = terms.own
    note = sign_checkpoint(Checkpoint(own.origin, len(entries), builder.root()), own.log_key, signers.log)
    line = cosign(note, own.witness_key, signers.witness, unix_ms() // 1000)
    write_file(directory / CHECKPOINT, add_signatures(note, [line]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one lying verifier until SIGTERM."""
    parser = argparse.ArgumentParser(description="Run a verifier that lies (for tests and exercises).")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--act", choices=["omission", "backdating", "misjudging", "fork"], required=True)
    parser.add_argument("--about", default="", help="whose statements are omitted")
    parser.add_argument("--lag-ms", type=int, default=8_000)
    options = parser.parse_args(argv)
    Omitting.about, Backdating.lag_ms = options.about, options.lag_ms

    def make(directory: Path, config: Config, terms: Terms, signers: Signers) -> VerifierServer:
        if options.act == "misjudging":
            return VerifierServer(directory, config, terms, signers, judge=Silent)
        kinds = {"omission": Omitting, "backdating": Backdating, "fork": Forking}
        return kinds[options.act](directory, config, terms, signers)

    def ready(addresses: object) -> None:
        print(json.dumps({"ready": addresses}), flush=True)

    try:
        run(options.dir, passphrase=None, on_ready=ready, make=make)
    except Turned:
        show_other_history(options.dir, ready)
    return 0


if __name__ == "__main__":
    sys.exit(main())
