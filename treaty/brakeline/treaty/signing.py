"""Who has signed a file that many must sign (a treaty version, an order), and who is still missing.

Parties sign offline, one after the other, each adding a signature to one envelope file. This module adds a signature
and says where the file stands; whether the result may enter a log is decided by :mod:`brakeline.treaty.admission`
alone. Pure: the signer is passed in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from brakeline.ledger import ed25519
from brakeline.ledger.entry import RawSignature
from brakeline.treaty.envelope import Envelope, pae
from brakeline.treaty.errors import EnvelopeError

if TYPE_CHECKING:
    from brakeline.ledger.ed25519 import Signer
    from brakeline.treaty.document import NamedKey, TreatyDocument


@dataclass(frozen=True, slots=True)
class SigningState:
    """Where the signing of one payload stands.

    Attributes:
        signed: named keys whose signature is there and verifies.
        missing: named keys that may still sign.
        required: of the missing, those without which it cannot be complete, quorum of parties aside.
        parties_signed, parties_needed: the quorum of parties.
        before_signed, before_needed: of an amendment, the quorum of the parties of the version before it; else 0.
        invalid: keyids of named keys whose signature does not verify.
        strangers: keyids that no key of the treaty has, or whose role may not sign this.
    """

    signed: tuple[NamedKey, ...]
    missing: tuple[NamedKey, ...]
    required: tuple[NamedKey, ...]
    parties_signed: int
    parties_needed: int
    invalid: tuple[str, ...]
    strangers: tuple[str, ...]
    before_signed: int = 0
    before_needed: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, invalid or strange."""
        enough = self.parties_signed >= self.parties_needed and self.before_signed >= self.before_needed
        return enough and not (self.required or self.invalid or self.strangers)


def treaty_state(document: TreatyDocument, envelope: Envelope | None) -> SigningState:
    """Return where the signing of a treaty version stands: parties by quorum, and every other key it names."""
    return _state(list(document.named_keys()), document.quorum.amendments, envelope)


def amendment_state(previous: TreatyDocument, document: TreatyDocument, envelope: Envelope | None) -> SigningState:
    """Return where the signing of the version after *previous* stands: both quorums, and every key that is new."""
    known = previous.all_statement_and_log_keys()
    outgoing = {key.keyid for key in previous.party_keys().values()}
    own = document.all_statement_and_log_keys()
    leaving = [known[keyid] for keyid in outgoing if keyid not in own]
    state = _state([*document.named_keys(), *sorted(leaving, key=lambda item: item.owner)], 0, envelope)
    signed = {item.key.keyid for item in state.signed}
    parties = {key.keyid for key in document.party_keys().values()}
    fresh = tuple(item for item in state.missing if item.key.keyid in own and known.get(item.key.keyid) != item)
    return replace(
        state,
        missing=tuple(item for item in state.missing if item in fresh or item.role == "party"),
        required=fresh,
        parties_signed=len(signed & parties),
        parties_needed=document.quorum.amendments,
        before_signed=len(signed & outgoing),
        before_needed=previous.quorum.amendments,
    )


def order_state(document: TreatyDocument, envelope: Envelope | None) -> SigningState:
    """Return where the signing of an order stands: parties by quorum, and nobody else."""
    parties = [named for named in document.named_keys() if named.role == "party"]
    return _state(parties, document.quorum.orders, envelope)


def add_signature(payload: bytes, envelope: Envelope | None, signer: Signer) -> Envelope:
    """Return *envelope* (over *payload*, or None) with *signer*'s signature; unchanged when it is there already.

    Raises:
        EnvelopeError: ``envelope-payload-differs`` when the envelope carries another payload.
    """
    if envelope is not None and envelope.payload != payload:
        raise EnvelopeError(
            code="envelope-payload-differs",
            message="the signatures there are over another payload",
            expected=hashlib.sha256(payload).hexdigest(),
            found=envelope.digest,
            fix="agree on one file: every change after the first signature needs a new round of signatures",
        )
    message = pae(payload)
    signature = RawSignature(hashlib.sha256(signer.public_key).hexdigest(), signer.sign(message))
    if not ed25519.verify(signer.public_key, message, signature.sig):
        raise EnvelopeError(code="envelope-signer", message="the signer's own signature does not verify")
    signatures = {item.keyid: item for item in (envelope.signatures if envelope is not None else ())}
    if signatures.get(signature.keyid) == signature and envelope is not None:
        return envelope
    signatures[signature.keyid] = signature
    return Envelope(payload, tuple(signatures.values()))


def _state(named: list[NamedKey], needed: int, envelope: Envelope | None) -> SigningState:
    known = {item.key.keyid: item for item in named}
    signed: set[str] = set()
    invalid: list[str] = []
    strangers: list[str] = []
    message = envelope.pae() if envelope is not None else b""
    for keyid, sig in envelope.signatures if envelope is not None else ():
        if keyid not in known:
            strangers.append(keyid)
        elif ed25519.verify(known[keyid].key.public_key, message, sig):
            signed.add(keyid)
        else:
            invalid.append(keyid)
    missing = tuple(item for item in named if item.key.keyid not in signed)
    present = tuple(item for item in named if item.key.keyid in signed)
    return SigningState(
        signed=present,
        missing=missing,
        required=tuple(item for item in missing if item.role != "party"),
        parties_signed=sum(item.role == "party" for item in present),
        parties_needed=needed,
        invalid=tuple(invalid),
        strangers=tuple(strangers),
    )
