"""Beginning, replacing and ending a site's key by the lab's root key, which stays on a machine of its own.

The way of a request: the node writes an enrolment statement, already signed by the key that begins (*co-signature*: it
proves possession), into a file. Somebody carries it to the root key's machine, where it is looked at and signed too
(:func:`root_sign`). What comes back is the whole statement: the node takes it (:func:`install`), and anybody may submit
it. The end of a key needs no request: whoever lost it cannot sign (:func:`revoke`).

The root's statements are a chain as well. Its position comes from the logs, or from whoever keeps the root; a record of
what it signed last (:class:`brakeline.node.keys.guard.Guard`) keeps the root from signing one position twice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brakeline.ledger import ed25519
from brakeline.ledger.entry import RawSignature
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.node.keys.guard import FRESH, Guard, LastSigned
from brakeline.node.keys.position import AWAITING
from brakeline.treaty.envelope import Envelope, pae
from brakeline.treaty.names import lab_of
from brakeline.treaty.signing import add_signature
from brakeline.treaty.statements import Enrolment, Honoured, encode_statement, parse_statement

if TYPE_CHECKING:
    from brakeline.ledger.ed25519 import Signer
    from brakeline.node.keys.store import KeyStore
    from brakeline.node.site import Site
    from brakeline.treaty.document import TreatyDocument


class EnrolmentError(BrakelineError):
    """A request, or the statement that answers it, is not what it must be (codes ``enrolment-*``)."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The key that ends as another begins, and the last statement of the site that stands."""

    key: VKey
    last: LastSigned


def request(
    document: TreatyDocument,
    site: str,
    signer: Signer,
    period: int,
    after: LastSigned = FRESH,
    ending: Ending | None = None,
) -> Envelope:
    """Return the enrolment of the key of *signer*, signed by it alone: the root's signature is still missing.

    Args:
        document: the treaty.
        site: whose key it is.
        signer: the key that begins.
        period: from which period on.
        after: the last statement of the lab's root.
        ending: what it replaces; None where the site gets its first (or a further) key.
    """
    key = VKey(site, TYPE_STATEMENT, signer.public_key)
    payload = encode_statement(
        Enrolment(
            author=lab_of(site),
            sequence=after.sequence + 1,
            previous=after.digest,
            treaty=document.digest,
            site=site,
            action="begin" if ending is None else "replace",
            key=str(key),
            replaced=None if ending is None else str(ending.key),
            honours=None if ending is None else Honoured(sequence=ending.last.sequence, digest=ending.last.digest),
            effective_period=period,
        )
    )
    return Envelope(payload, (RawSignature(key.keyid, signer.sign(pae(payload))),))


def revoke(
    document: TreatyDocument,
    key: VKey,
    last: LastSigned,
    period: int,
    root: Signer,
    after: LastSigned = FRESH,
    record: Guard | None = None,
) -> Envelope:
    """Return the end of *key*, signed by the lab's root: what it signed beyond *last*, or off its branch, is disowned.

    Raises:
        EnrolmentError: ``enrolment-root``. GuardError: the root has signed this position already.
    """
    payload = encode_statement(
        Enrolment(
            author=lab_of(key.name),
            sequence=after.sequence + 1,
            previous=after.digest,
            treaty=document.digest,
            site=key.name,
            action="end",
            key=str(key),
            honours=Honoured(sequence=last.sequence, digest=last.digest),
            effective_period=period,
        )
    )
    consent(document, payload, root, record)
    return add_signature(payload, None, root)


def root_sign(document: TreatyDocument, envelope: Envelope, root: Signer, record: Guard | None = None) -> Envelope:
    """Return the request *envelope* with the root's signature: the whole statement.

    Raises:
        EnrolmentError: ``enrolment-other`` (no request of a site of this lab, under this treaty), ``enrolment-proof``
            (the key that begins has not signed it), ``enrolment-root`` (not the root key that the treaty names).
        GuardError: the root has signed this position already, or goes on elsewhere.
    """
    enrolment = read(document, envelope)
    key = VKey.parse(enrolment.key)
    proof = dict(envelope.signatures).get(key.keyid)
    if enrolment.action == "end" or proof is None or not ed25519.verify(key.public_key, envelope.pae(), proof):
        raise EnrolmentError(
            code="enrolment-proof",
            message="the key that begins has not signed the request",
            expected=f"a signature by {key.keyid}",
            found=", ".join(keyid for keyid, _ in envelope.signatures),
            fix="make the request with the node that holds the key",
        )
    ed25519.check_registrable(key.public_key)
    consent(document, envelope.payload, root, record)
    return add_signature(envelope.payload, envelope, root)


def read(document: TreatyDocument, envelope: Envelope) -> Enrolment:
    """Return the enrolment that *envelope* carries (``enrolment-other``)."""
    enrolment = parse_statement(envelope.payload).predicate
    if (
        isinstance(enrolment, Enrolment)
        and enrolment.treaty == document.digest
        and lab_of(enrolment.site) == enrolment.author
        and VKey.parse(enrolment.key).name == enrolment.site
    ):
        return enrolment
    raise EnrolmentError(
        code="enrolment-other",
        message="this is no enrolment of a site's key under this treaty",
        expected=f"an enrolment by the site's own lab, under {document.digest}",
        found=type(enrolment).__name__
        if not isinstance(enrolment, Enrolment)
        else f"{enrolment.site}, {enrolment.treaty}",
    )


def consent(document: TreatyDocument, payload: bytes, root: Signer, record: Guard | None) -> None:
    """Check that *root* is the lab's, and that its record consents to the position."""
    enrolment = parse_statement(payload).authored
    assert enrolment is not None  # both callers have made or read one
    lab = document.lab(enrolment.author)
    if lab is None or lab.root_key.public_key != root.public_key:
        raise EnrolmentError(
            code="enrolment-root",
            message="this is not the root key that the treaty names for the lab",
            expected=str(lab.root_key) if lab else f"a lab {enrolment.author}",
            found=VKey(enrolment.author, TYPE_STATEMENT, root.public_key).keyid,
            fix="use the lab's offline root key",
        )
    if record is None:
        return
    keyid = lab.root_key.keyid
    if record.last(keyid) is None:
        record.begin(lab.name, keyid, LastSigned(enrolment.sequence - 1, enrolment.previous))
    last = record.last(keyid)
    digest = hashlib.sha256(payload).hexdigest()
    if (
        last is not None
        and last != (enrolment.sequence, digest)
        and last != (enrolment.sequence - 1, enrolment.previous)
    ):
        raise EnrolmentError(
            code="enrolment-position",
            message="the root's chain is elsewhere",
            expected=f"a statement after {last.sequence}:{last.digest}",
            found=f"one after {enrolment.sequence - 1}:{enrolment.previous}",
            fix="make the request again with --after as expected, unless that statement was never submitted",
        )
    record.permit(lab.name, keyid, LastSigned(enrolment.sequence, digest))


def install(site: Site, store: KeyStore, guard: Guard | None, envelope: Envelope) -> Enrolment:
    """Take the whole statement: spool it, let the key that waits be the current one, and hold the site no longer.

    A crash anywhere is mended by doing it again. The site must be opened anew to sign with the key.

    Raises:
        EnrolmentError: ``enrolment-other``, ``enrolment-key`` (no key of this node begins with it).
        SiteError: admission would not take it. BrakelineError: of store and guard.
    """
    enrolment = read(site.document, envelope)
    begins = VKey.parse(enrolment.key)
    waiting = store.waiting()
    awaited = (waiting or store.signer()).public_key
    if enrolment.site != site.name or enrolment.action == "end" or begins.public_key != awaited:
        raise EnrolmentError(
            code="enrolment-key",
            message="no key of this node begins with this statement",
            expected="the statement that answers this node's own request",
            found=f"{enrolment.action} {begins.keyid} of {enrolment.site}",
        )
    site.spool(envelope)
    if guard is not None and guard.last(begins.keyid) is None:
        last = enrolment.honours
        guard.begin(site.name, begins.keyid, FRESH if last is None else LastSigned(last.sequence, last.digest))
    store.promote()
    site.journal.forget(AWAITING)
    return enrolment
