"""Cases of evidence under an amended treaty: keys that only version 2 names, and witnesses that it no longer does.

Version 2 governs from period 1, in which the story's log stands; it lets a lab in, and puts another verifier in the
place of the third.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from brakeline.audit.conformance.case import VALID, Case
from brakeline.audit.evidence.bundle import FORMAT, Backdating, Bundle, Equivocation
from brakeline.audit.evidence.bundle import render as render_bundle
from brakeline.audit.story import (
    PARTIES,
    START,
    VERIFIERS,
    Story,
    hash_reader,
    root_of_entries,
    terms,
)
from brakeline.audit.story import signer as make_signer
from brakeline.audit.story import vkey as make_vkey
from brakeline.ledger.checkpoint import Checkpoint, add_signatures, cosign, sign_checkpoint
from brakeline.ledger.entry import RawSignature
from brakeline.ledger.merkle import inclusion_proof
from brakeline.ledger.proof import Receipt
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope, pae
from brakeline.treaty.statements import Enrolment, encode_statement
from brakeline.treaty.strictjson import JsonObject, JsonValue

JOINED = "lab-2.party-b.example"
REPLACED, INSTEAD = VERIFIERS[2], "verifier-5.example"
LOG = VERIFIERS[0]
EARLY_S = START // 1000 - 3_600
"""When two witnesses say that they cosigned, an hour before the log's newest entry is dated."""


def amended_cases(story: Story) -> Iterator[Case]:
    """Yield the cases."""
    second = _second(story)
    yield from _equivocations(story, second)
    yield from _backdatings(story, second)


def _second(story: Story) -> TreatyDocument:
    value = terms()
    labs, verifiers = (item if isinstance(item := value[name], list) else [] for name in ("lab", "verifier"))
    lab: JsonObject = {"name": JOINED, "party": PARTIES[1], "root_key": str(make_vkey(JOINED))}
    keys: JsonObject = {name: str(make_vkey(INSTEAD, name.partition("_")[0])) for name in ("log_key", "witness_key")}
    other: list[JsonValue] = [
        {**item, "name": INSTEAD, **keys} if isinstance(item, dict) and item["name"] == REPLACED else item
        for item in verifiers
    ]
    changes: JsonObject = {"version": 2, "previous": story.pin, "effective_period": 1}
    return TreatyDocument.from_json({**value, **changes, "lab": [*labs, lab], "verifier": other})


def _signed(payload: bytes, *keys: tuple[str, str]) -> Envelope:
    return Envelope(
        payload,
        tuple(RawSignature(make_vkey(*key).keyid, make_signer(*key).sign(pae(payload))) for key in keys),
    )


def _ask(story: Story, name: str, why: str, expect: str, bundle: Bundle, later: Sequence[TreatyDocument]) -> Case:
    """Ask about *bundle* of a reader who has pinned the last of *later*, or version 1."""
    new = [(JOINED, "statement"), (INSTEAD, "log"), (INSTEAD, "witness")]
    signers = [*((party, "statement") for party in PARTIES), *new]
    given: JsonObject = {
        "treaty": story.envelopes["treaty"].to_dsse_json().decode(),
        "versions": [_signed(encode_statement(item), *signers).to_dsse_json().decode() for item in later],
        "pin": later[-1].digest if later else story.pin,
        "bundle": render_bundle(bundle).decode(),
    }
    return Case(f"evidence-amended-{name}", "evidence", why, given, expect)


def _equivocations(story: Story, second: TreatyDocument) -> Iterator[Case]:
    """Yield two first statements of a lab that joined, each enrolling another site."""

    def twice(under: str, treaty: str) -> Equivocation:
        one, two = (_enrolled(f"{JOINED}/site-{n}", under).to_dsse_json().decode() for n in (1, 2))
        return Equivocation(format=FORMAT, treaty=treaty, about=JOINED, statements=(one, two))

    bundle = twice(second.digest, second.digest)
    why = "two statements by a key that version 2 names: they convict"
    yield _ask(story, "equivocation", why, VALID, bundle, [second])
    why = "its reader has pinned version 1, and it takes version 2"
    yield _ask(story, "pin-before", why, "evidence", bundle, [])
    why = "the statements are made under version 1, which does not name their key"
    yield _ask(story, "not-named", why, "signer-not-allowed", twice(story.pin, second.digest), [second])


def _enrolled(site: str, treaty: str) -> Envelope:
    value: dict[str, JsonValue] = {"author": JOINED, "sequence": 0, "previous": "0" * 64, "treaty": treaty}
    value |= {"site": site, "action": "begin", "key": str(make_vkey(site)), "effective_period": 1}
    return _signed(encode_statement(Enrolment.model_validate(value)), (JOINED, "statement"), (site, "statement"))


def _backdatings(story: Story, second: TreatyDocument) -> Iterator[Case]:
    """Yield the receipt of a newest entry that two witnesses say they cosigned an hour before it is dated."""

    def seen_by(*witnesses: str) -> Backdating:
        entries = story.entries
        checkpoint = Checkpoint(LOG, len(entries), root_of_entries(entries))
        note = sign_checkpoint(checkpoint, make_vkey(LOG, "log"), make_signer(LOG, "log"))
        by = [(make_vkey(name, "witness"), make_signer(name, "witness")) for name in witnesses]
        note = add_signatures(note, [cosign(note, key, signer, EARLY_S) for key, signer in by])
        newest = len(entries) - 1
        proof = tuple(inclusion_proof(newest, len(entries), hash_reader(entries)))
        receipt = Receipt(newest, entries[newest].encode(), proof, note).render().decode()
        return Backdating(format=FORMAT, treaty=second.digest, about=LOG, receipt=receipt)

    why = "more witnesses of the version in force than may lie had seen the entry before its time: it convicts"
    yield _ask(story, "backdating", why, VALID, seen_by(VERIFIERS[1], VERIFIERS[3]), [second])
    why = "one of the witnesses is no longer one when the entry is dated, and f may lie"
    yield _ask(story, "witness-left", why, "evidence", seen_by(VERIFIERS[1], REPLACED), [second])
