"""Authors who seal, for tests: as :class:`tests.support.cast.Author`, with leaves of what they say sealed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable, Iterator

from brakeline.ledger.ed25519 import Signer
from brakeline.treaty.disclosure import Disclosure, disclosure_of, open_payload
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.sealing import PATTERNS, seal_payload
from brakeline.treaty.statements import Predicate, Statement, encode_statement
from brakeline.treaty.strictjson import JsonObject, JsonValue, parse_object
from nacl.public import PrivateKey

from tests.support import cast
from tests.support.cast import Author

FIGURES = tuple(f"/predicate/lines/*/{name}" for name in ("flop_hardware", "flop_model", "joules", "tokens"))
"""What the template lets a site seal."""


def disclosure_key(name: str) -> PrivateKey:
    """Return the disclosure key of a verifier of the cast."""
    return PrivateKey(hashlib.sha256(f"brakeline tests/disclosure/{name}".encode()).digest())


def terms(fields: Collection[str] = PATTERNS, **changes: JsonValue) -> dict[str, JsonValue]:
    """Return the cast's treaty as JSON, in which *fields* may be sealed and every verifier can open them."""
    verifiers = cast.json_lines(cast.terms()["verifier"])
    for item in verifiers:
        public = disclosure_key(str(item["name"])).public_key
        item["disclosure_key"] = base64.b64encode(bytes(public)).decode()
    patterns: list[JsonValue] = [*sorted(fields)]
    sealing: JsonObject = {"fields": patterns, "holders": 3}
    rows: list[JsonValue] = [*verifiers]
    given: JsonObject = {"sealing": sealing, "verifier": rows, **changes}
    return cast.terms(**given)


def document(fields: Collection[str] = PATTERNS, **changes: JsonValue) -> TreatyDocument:
    """Return :func:`terms` as a document."""
    return TreatyDocument.from_json(terms(fields, **changes))


class SealingAuthor(Author):
    """Seals what ``seal`` names in each of its statements, and keeps the disclosures by statement digest."""

    def __init__(self, name: str, treaty: TreatyDocument, seal: Collection[str] | None = None) -> None:
        super().__init__(name, treaty)
        self.seal: Collection[str] = treaty.sealing.fields if seal is None else seal
        self.disclosures: dict[str, Disclosure] = {}
        self._salts = _salts(name)

    def say(self, predicate: Predicate, *more: Signer, advance: bool = True) -> Envelope:
        """Seal, sign; with *advance* the next statement is its child."""
        name = type(predicate).__name__.lower()
        value = parse_object(encode_statement(predicate))
        lines = self.treaty.limits.line_count
        payload, opened = seal_payload(value, name, self.seal, lines, lambda: next(self._salts))
        signed = cast.envelope(payload, self.key, *more)
        if opened:
            self.disclosures[signed.digest] = disclosure_of(payload, opened)
        if advance:
            self.sequence += 1
            self.previous = signed.digest
        return signed

    def opened(self, said: Iterable[Envelope]) -> list[Statement]:
        """Return what was *said* as whoever holds all disclosures reads it."""
        return [
            open_payload(item.payload, self.disclosures[item.digest])
            if item.digest in self.disclosures
            else cast.read(item)
            for item in said
        ]


def _salts(name: str) -> Iterator[bytes]:
    number = 0
    while True:
        yield hashlib.sha256(f"salt/{name}/{number}".encode()).digest()
        number += 1
