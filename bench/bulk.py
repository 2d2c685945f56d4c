"""A replayable log of any size, made without a verifier: for how replay grows, and what memory it takes.

What it is: the log that an honest verifier would have of eight sites, each with its books of one period after the
other, written straight into a directory in tlog-tiles layout. Every signature, link, tile, root and cosignature is
real; a heartbeat stands after every :data:`BEAT` statements. What it is not: a measurement of ingest. To be cheap it
fills the figures that change (period, position, parent) into the bytes of one statement, which the strict reader then
has to accept on replay.

    python -m bench.bulk 1000000 S folder    # prints entries, log, treaty and pin, for brakeline audit replay
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from brakeline.ledger.checkpoint import Checkpoint, add_signatures, cosign, sign_checkpoint
from brakeline.ledger.ed25519 import Signer
from brakeline.ledger.entry import Entry, Kind, RawSignature, client_source, encode_signed, first_previous
from brakeline.ledger.export import write_file
from brakeline.ledger.merkle import leaf_hash
from brakeline.ledger.source import CHECKPOINT
from brakeline.ledger.tiles import TILE_WIDTH, encode_bundle, entries_path
from brakeline.ledger.treebuilder import TileBuilder
from brakeline.ledger.vkey import TYPE_LOG, TYPE_WITNESS, VKey
from brakeline.testnet import terms
from brakeline.treaty.document import TreatyDocument, load_toml
from brakeline.treaty.envelope import pae
from brakeline.treaty.logbody import Heartbeat

from bench.house import LABS, METER, PARTIES, VERIFIER, far_terms, sign_treaty
from bench.payloads import Payload, SiteChain, signer, statement_key

BEAT = 512
"""Statements between two heartbeats."""
START = 1_700_000_000_000
"""Unix ms at which period 0 begins."""


class Bulk:
    """A treaty of one verifier, and its log below *folder*: ``log/`` and ``treaty.json``."""

    def __init__(self, folder: Path) -> None:
        """Write the signed treaty."""
        self.log, self.treaty = folder / "log", folder / "treaty.json"
        self._key, self._witness = signer(VERIFIER), signer(f"{VERIFIER}/witness")
        self._vkey = VKey(VERIFIER, TYPE_LOG, self._key.public_key)
        self._witness_vkey = VKey(f"{VERIFIER}/witness", TYPE_WITNESS, self._witness.public_key)
        self.document = self._document()
        signers = [signer(name) for name in (*PARTIES, *LABS, METER)]
        self._signed_treaty = sign_treaty(self.document, [*signers, self._key, self._witness])
        write_file(self.treaty, self._signed_treaty.to_dsse_json())

    def write(self, statements: int, payload: Payload) -> int:
        """Write a log of *statements* usage statements and what belongs to them; return its entries."""
        builder, bundle, leaves = TileBuilder(), list[bytes](), list[bytes]()
        previous, size, now = first_previous(VERIFIER), 0, START

        def note() -> bytes:
            self._tiles(builder, leaves)
            text = sign_checkpoint(Checkpoint(VERIFIER, size, builder.root()), self._vkey, self._key)
            return add_signatures(text, [cosign(text, self._witness_vkey, self._witness, now // 1000)])

        for kind, body, source, at_ms in self._entries(statements, payload):
            now = max(now, at_ms)
            if kind is Kind.HEARTBEAT:
                published = note().decode() if size else None
                body = Heartbeat(checkpoint=published, mirrored=()).body
            entry = Entry(size, previous, now, kind, source, body)
            data, previous = entry.encode(), entry.digest
            bundle.append(data)
            size += 1
            leaves.append(leaf_hash(data))
            if len(bundle) == TILE_WIDTH:
                write_file(self.log / entries_path((size - 1) // TILE_WIDTH), encode_bundle(bundle))
                bundle = []
        if bundle:
            write_file(self.log / entries_path(size // TILE_WIDTH, len(bundle)), encode_bundle(bundle))
        write_file(self.log / CHECKPOINT, note())
        for ref, data in builder.partial().items():
            write_file(self.log / ref.path, data)
        return size

    def _tiles(self, builder: TileBuilder, leaves: list[bytes]) -> None:
        """Put *leaves* into the tree, and write the tiles that are full now."""
        for ref, data in builder.extend(leaves).items():
            if ref.width == TILE_WIDTH:
                write_file(self.log / ref.path, data)
        leaves.clear()

    def _entries(self, statements: int, payload: Payload) -> Iterator[tuple[Kind, bytes, bytes, int]]:
        yield Kind.TREATY, self._signed_treaty.to_body(), b"", START
        chains = {lab: SiteChain(lab, self.document) for lab in LABS}
        books: list[Iterator[bytes]] = []
        for lab, chain in chains.items():
            for envelope in chain.opening():
                yield Kind.STATEMENT, envelope.to_body(), client_source(lab), START
            books.append(_bodies(chain, payload, self.document))
        yield Kind.HEARTBEAT, b"", b"", START
        for number in range(statements):
            period, place = divmod(number, len(LABS))
            arrived = self.document.grid.end_of(period).value
            yield Kind.STATEMENT, next(books[place]), client_source(LABS[place]), arrived
            if number % BEAT == BEAT - 1 or number == statements - 1:
                yield Kind.HEARTBEAT, b"", b"", arrived

    def _document(self) -> TreatyDocument:
        cast = terms.Cast(
            parties=[(name, str(statement_key(name))) for name in PARTIES],
            labs=[(lab, lab.partition(".")[2], str(statement_key(lab))) for lab in LABS],
            third_parties=[(METER, "meter", str(statement_key(METER)))],
            verifiers=[
                terms.VerifierAddress(
                    VERIFIER, PARTIES[0], str(self._vkey), str(self._witness_vkey), "http://127.0.0.1:1", "127.0.0.1:1"
                )
            ],
        )
        return load_toml(far_terms(terms.render(cast, START))).require()


def _bodies(chain: SiteChain, payload: Payload, document: TreatyDocument) -> Iterator[bytes]:
    """Yield the bodies of the books of one site, for ever: the second statement, with what changes filled in."""
    key: Signer = signer(chain.site)
    keyid = hashlib.sha256(key.public_key).hexdigest()
    (pattern,) = chain.books(payload, 1)
    text, length = pattern.payload.decode(), document.grid.period.value
    inventory = chain.inventory
    previous, sequence, first = inventory, 1, document.grid.start.value
    head, middle = text.split(f'"previous":"{inventory}","sequence":{sequence},"start":{first},')
    before, after = head.split(f'"end":{first + length},')
    while True:
        period = sequence - 1
        start = first + period * length
        place = f'"previous":"{previous}","sequence":{sequence},"start":{start},'
        data = f'{before}"end":{start + length},{after}{place}{middle}'.encode()
        yield encode_signed([RawSignature(keyid, key.sign(pae(data)))], data)
        previous, sequence = hashlib.sha256(data).hexdigest(), sequence + 1


if __name__ == "__main__":
    made = Bulk(Path(sys.argv[3]))
    print(made.write(int(sys.argv[1]), Payload(sys.argv[2])), made.log, made.treaty, made.document.digest)
