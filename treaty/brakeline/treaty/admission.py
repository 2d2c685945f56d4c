"""Admission: may this statement enter a log? A pure function that node, verifier and auditor all run.

Admission is not judgement. A well-formed, correctly signed, in-order statement is admitted even when it shows a
breach; refusing it would destroy evidence. Three outcomes, each with a stable :class:`Code`:

===========  ==========================================================================================
admitted     whatever it says (``known`` when this log holds its digest already)
not yet      parent, enrolment, key or treaty version unknown here; future-dated; child cap (clients only)
refused      depends on bytes and treaty alone, never on clock or arrival: what one refuses, all refuse
===========  ==========================================================================================

Order of the checks: size and frame (:class:`~brakeline.treaty.envelope.Envelope`), signatures by keys known here
(so nothing unauthenticated is parsed), canonical payload and schema, role, further signatures, treaty version, grid
and limits, clock, chain. Who may sign what is the table :data:`ROLES`; everything not in it is refused.

An author's statements form a *tree*: a second admissible child of one parent is admitted, and the pair is the evidence
of equivocation. What must be remembered of a log prefix is a :class:`~brakeline.treaty.register.Register`. Nothing
here does I/O; the caller passes its clock.
"""

from __future__ import annotations

from collections.abc import Mapping

from brakeline.ledger import ed25519
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.vkey import VKey
from brakeline.treaty.document import ZERO_DIGEST, TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.errors import StatementError
from brakeline.treaty.names import lab_of
from brakeline.treaty.orders import check_order
from brakeline.treaty.outcomes import Admitted, Code, NotYet, Outcome, Refused, Verify, invalid
from brakeline.treaty.oversight import (
    Authorisation,
    Capacity,
    Determination,
    Inspection,
    Shipment,
    Withdrawal,
)
from brakeline.treaty.register import Holder, Register, Role
from brakeline.treaty.sealing import pattern_of
from brakeline.treaty.statements import (
    Acknowledgement,
    Enrolment,
    Evidence,
    Order,
    PartyPredicate,
    Predicate,
    Statement,
    parse_statement,
)
from brakeline.treaty.usage import ReadUsage
from brakeline.treaty.version_admission import admit_treaty, check_treaty_statement, unknown_version

__all__ = [
    "ROLES",
    "Admitted",
    "Code",
    "Holder",
    "NotYet",
    "Outcome",
    "Refused",
    "Register",
    "Role",
    "Verify",
    "admit",
    "authenticate",
    "check_treaty_statement",
    "said",
]


ROLES: Mapping[str, Role] = {
    "enrolment": Role.LAB_ROOT,
    "inventory": Role.SITE,
    "declaration": Role.SITE,
    "usage": Role.SITE,
    "acknowledgement": Role.SITE,
    "opening": Role.SITE,
    "reply": Role.SITE,
    "correction": Role.SITE,
    "autonomy": Role.LAB_ROOT,
    "evaluation": Role.EVALUATOR,
    "evidence:energy": Role.METER,
    "evidence:capacity": Role.PROVIDER,
    "evidence:shipment": Role.VENDOR,
    "evidence:inspection": Role.INSPECTOR,
    "order": Role.PARTY,
    "authorisation": Role.PARTY,
    "determination": Role.PARTY,
    "withdrawal": Role.PARTY,
}
"""What is said (of evidence, with its kind) -> the one role whose keys may sign it.

An enrolment that begins a key carries that key's signature besides; statements by parties carry a quorum of them.
"""


def said(statement: Statement) -> str:
    """Return the key of :data:`ROLES` for *statement*: the predicate's name, of evidence with its kind."""
    if statement.name != "evidence":
        return statement.name
    predicate = statement.predicate
    if isinstance(predicate, Evidence | Capacity | Shipment | Inspection):
        return f"{statement.name}:{predicate.kind}"
    return statement.name


def admit(
    register: Register,
    envelope: Envelope,
    *,
    now_ms: int,
    from_peer: bool = False,
    verify: Verify = ed25519.verify,
) -> Outcome:
    """Decide one envelope against a log prefix.

    Args:
        register: the prefix's memory; not changed (call :meth:`Register.record` once the entry has an index).
        envelope: bounded and framed, its bytes as received.
        now_ms: the caller's clock, or the log's ``received_at_ms`` on replay (Unix ms).
        from_peer: the statement stands in a peer's log, where the child cap does not apply.
        verify: strict Ed25519, (key, message, signature) -> bool.
    """
    outcome = authenticate(register, envelope, verify=verify)
    if not isinstance(outcome, Admitted) or outcome.known:
        return outcome
    statement = outcome.statement
    index = register.index_of(statement)
    if index is not None:
        return Admitted(statement, known=True, index=index)
    return _check_clock(register, statement, now_ms) or _check_chain(register, statement, from_peer) or outcome


def authenticate(register: Register, envelope: Envelope, *, verify: Verify = ed25519.verify) -> Outcome:
    """Decide all of :func:`admit` but the clock and the chain: is this the word of whoever it names, under this treaty?

    Two statements that pass, by one author under one parent, convict their author whoever holds the parent.
    """
    signed = _verify_known(register, envelope, verify)
    if not isinstance(signed, list):
        return signed
    try:
        statement = parse_statement(envelope.payload)
    except BrakelineError as error:
        return Refused(error.code, error.message, error.expected, error.found, error.fix)
    placed = statement.placed
    if placed is None:
        predicate = statement.predicate
        if isinstance(predicate, TreatyDocument):
            return admit_treaty(register, envelope, statement, predicate, verify)
        treaty = predicate.treaty
    else:
        treaty = placed.treaty
    document = register.version(treaty)
    if document is None:
        return unknown_version(register, treaty)
    signed = [holder for holder in signed if register.holds_under(holder, treaty)]
    problem = _check_signers(register, document, envelope, statement, signed, verify)
    problem = problem or _check_terms(document, statement)
    if problem is not None:
        return problem
    return Admitted(statement.signed(tuple([holder.key.keyid for holder in signed])))


def _verify_known(register: Register, envelope: Envelope, verify: Verify) -> list[Holder] | NotYet | Refused:
    """Verify every signature whose key is known here; at least one must be."""
    message = envelope.pae()
    signed: list[Holder] = []
    for keyid, sig in envelope.signatures:
        holders = register.holders(keyid)
        if not holders:
            continue
        if not verify(holders[0].key.public_key, message, sig):
            return invalid(keyid)
        signed.extend(holders)
    if not signed:
        return NotYet(
            Code.KEY_UNKNOWN,
            "none of the signatures is by a key known here",
            expected="a key the treaty names or an enrolment in this log begins",
            found=envelope.signatures[0].keyid,
            fix="submit the enrolment first; check that this is the right key and treaty",
        )
    return signed


def _check_signers(
    register: Register,
    document: TreatyDocument,
    envelope: Envelope,
    statement: Statement,
    signed: list[Holder],
    verify: Verify,
) -> NotYet | Refused | None:
    """Compare who signed with who must sign (ROLES) under *document*; no signature too few, none too many."""
    role, authored = ROLES.get(said(statement)), statement.placed
    by_parties = statement.predicate if authored is None else None
    if isinstance(by_parties, Order | Authorisation | Determination | Withdrawal):
        return _check_party_signers(document, envelope, by_parties, signed)
    if role is None or authored is None:
        return Refused(Code.ROLE_FORBIDDEN, "no role may sign this predicate", found=statement.name)
    if not signed or (role is Role.SITE and document.lab(lab_of(authored.author)) is None):
        return Refused(
            Code.SIGNER_NOT_ALLOWED,
            "the treaty version that the statement names has no such author",
            expected=f"a key that version {document.version} names, or a site of a lab that it names",
            found=authored.author,
            fix="sign under the version in force",
        )
    owner = next((h for h in signed if h.name == authored.author), None)
    if owner is None and role is Role.SITE and all(h.role is Role.SITE for h in signed):
        # Not a refusal: an enrolment that this log lacks may yet give the same key bytes to the author.
        return NotYet(
            Code.KEY_UNKNOWN,
            "the signer's key is not enrolled here for the author",
            expected=f"a key of {authored.author}",
            found=f"a key of {signed[0].name}",
            fix="sign with the author's own key; submit its enrolment first",
        )
    if owner is None:
        return Refused(
            Code.SIGNER_NOT_ALLOWED,
            "the signer is not the author",
            expected=f"a key of {authored.author}",
            found=f"a key of {signed[0].name}",
        )
    if owner.role is not role:
        return Refused(
            Code.ROLE_FORBIDDEN,
            f"a {owner.role} key may not sign a statement of this kind",
            expected=f"{statement.name}: {role}",
            found=f"{owner.role} {owner.name}",
        )
    if statement.name == "enrolment" and isinstance(enrolment := statement.predicate, Enrolment):
        return _check_enrolment(register, document, envelope, enrolment, owner, verify)
    if len(envelope.signatures) != 1:
        return Refused(
            Code.SIGNER_NOT_ALLOWED,
            "wrong number of signatures",
            expected="exactly the author's",
            found=str(len(envelope.signatures)),
        )
    return None


def _check_party_signers(
    document: TreatyDocument, envelope: Envelope, predicate: PartyPredicate, signed: list[Holder]
) -> Refused | None:
    """Parties sign by the quorum of orders, and nobody else; a withdrawal is signed by whom it is of, alone."""
    what = f"{'an' if isinstance(predicate, Order | Authorisation) else 'a'} {type(predicate).__name__.lower()}"
    parties = {h.key.public_key: h.name for h in signed if h.role is Role.PARTY}
    if len(parties) != len(envelope.signatures):
        return Refused(
            Code.SIGNER_NOT_ALLOWED,
            f"{what} carries a signature that is not a party's",
            expected="signatures of the treaty's parties only",
            found=f"{len(parties)} of {len(envelope.signatures)} signatures are parties'",
        )
    if isinstance(predicate, Withdrawal):
        if set(parties.values()) == {predicate.party}:
            return None
        return Refused(
            Code.SIGNER_NOT_ALLOWED,
            "a withdrawal is signed by the party that leaves, and nobody else",
            expected=predicate.party,
            found=", ".join(sorted(parties.values())),
        )
    need = document.quorum.orders
    if len(parties) < need:
        return Refused(
            Code.SIGNATURES_TOO_FEW,
            f"{what} is signed by too few parties",
            expected=f"{need} of {len(document.parties)} parties",
            found=str(len(parties)),
            fix="let further parties sign the same file",
        )
    return None


def _check_enrolment(
    register: Register,
    document: TreatyDocument,
    envelope: Envelope,
    enrolment: Enrolment,
    root: Holder,
    verify: Verify,
) -> NotYet | Refused | None:
    """An enrolment: the site is the lab's own; a new key is registrable, unused elsewhere, and has signed too.

    A key that ends need not be known here, nor sign: whoever lost it cannot.
    """
    key = VKey.parse(enrolment.key)
    if lab_of(enrolment.site) != enrolment.author or key.name != enrolment.site:
        return Refused(
            Code.SIGNER_NOT_ALLOWED,
            "a lab enrols keys of its own sites only, and the key bears the site's name",
            expected=f"{enrolment.author}/<site>",
            found=f"{enrolment.site}, key of {key.name}",
        )
    if enrolment.action == "end":
        return _check_end(envelope, root)
    try:
        ed25519.check_registrable(key.public_key)
    except BrakelineError as error:
        return Refused(Code.KEY_UNREGISTRABLE, error.message, error.expected, error.found, error.fix)
    if register.named_by(document.digest, key.keyid):
        return Refused(
            Code.KEY_REUSED,
            "one key, one purpose: the treaty names this key already",
            found=key.keyid,
            fix="make a new key",
        )
    signatures = dict(envelope.signatures)
    if signatures.keys() != {root.key.keyid, key.keyid}:
        return Refused(
            Code.SIGNER_NOT_ALLOWED,
            "an enrolment is signed by the lab's root key and by the enrolled key, and nobody else",
            expected=f"{root.key.keyid} and {key.keyid}",
            found=", ".join(signatures),
        )
    if not verify(key.public_key, envelope.pae(), signatures[key.keyid]):
        return invalid(key.keyid)
    return None


def _check_end(envelope: Envelope, root: Holder) -> Refused | None:
    if [signature.keyid for signature in envelope.signatures] == [root.key.keyid]:
        return None
    return Refused(
        Code.SIGNER_NOT_ALLOWED,
        "the end of a key is signed by the lab's root key, and nobody else",
        expected=root.key.keyid,
        found=", ".join(signature.keyid for signature in envelope.signatures),
    )


ON_GRID = Evidence | Capacity | Shipment | Inspection
"""Predicates that, as books do, speak of one whole period of the treaty's grid, which must be over."""


def _check_terms(document: TreatyDocument, statement: Statement) -> Refused | None:
    """What bytes and treaty alone decide: the grid, the limits, the shape of a chain."""
    refused = _check_sealed(document, statement)
    if refused is not None:
        return refused
    usage = statement.usage
    if usage is None:
        refused = _check_parts(document, statement.predicate)
    else:
        refused = _check_grid(document, usage.start, usage.end) or _check_lines(document, statement, usage)
    authored = statement.placed
    if refused is None and authored is not None and (authored.sequence == 0) != (authored.previous == ZERO_DIGEST):
        return Refused(
            Code.CHAIN_MALFORMED,
            "the first statement of a chain has sequence 0 and 64 zeros as previous, and no other has",
            found=f"sequence {authored.sequence}, previous {authored.previous}",
        )
    return refused


def _check_grid(document: TreatyDocument, start: int, end: int) -> Refused | None:
    grid = document.grid
    if grid.index_from(start, end) is not None:
        return None
    return Refused(
        Code.OFF_GRID,
        "the period is not one of the treaty's grid",
        expected=f"{grid.start} + k x {grid.period} ms",
        found=f"[{start}, {end})",
    )


def _check_lines(document: TreatyDocument, statement: Statement, usage: ReadUsage) -> Refused | None:
    opaque, most = len(statement.sealed.opaque), document.limits.line_count
    lines = len(usage.lines) + opaque
    if lines > most:
        return Refused(
            Code.TOO_MANY_LINES,
            "the books have more lines than the treaty allows",
            expected=f"at most {most}",
            found=str(lines),
            fix="merge small workloads into one line",
        )
    if opaque and lines != most:
        return Refused(
            Code.LINES_NOT_PADDED,
            "books whose pattern of lines is sealed are padded to the treaty's line count",
            expected=str(most),
            found=str(lines),
            fix="add lines without chip time, sealed like the others",
        )
    return None


def _check_sealed(document: TreatyDocument, statement: Statement) -> Refused | None:
    fields = document.sealing.fields
    for leaf in statement.sealed.leaves:
        if pattern_of(leaf.pointer) not in fields:
            return Refused(
                Code.SEALED_FIELD,
                "a leaf is sealed that the treaty does not let anybody seal",
                expected=", ".join(fields)[:200] or "no sealed leaf",
                found=leaf.pointer,
                fix="state the value",
            )
    return None


def _check_parts(document: TreatyDocument, predicate: Predicate) -> Refused | None:
    """What a predicate other than books says of periods and orders."""
    if isinstance(predicate, ON_GRID):
        refused = _check_grid(document, predicate.start.value, predicate.end.value)
        if refused is not None:
            return refused
    if isinstance(predicate, Authorisation) and not predicate.effective_period < predicate.expiry_period:
        return Refused(
            Code.ORDER_PERIODS,
            "it must expire after it takes effect",
            expected="effective_period < expiry_period",
            found=f"{predicate.effective_period}, {predicate.expiry_period}",
        )
    if isinstance(predicate, Order):
        try:
            check_order(document, predicate)
        except StatementError as error:
            return Refused(error.code, error.message, error.expected, error.found, error.fix)
    return None


def _check_clock(register: Register, statement: Statement, now_ms: int) -> NotYet | None:
    usage = statement.usage
    predicate = None if usage is not None else statement.predicate
    if usage is not None:
        latest, treaty = usage.end, usage.treaty
    elif isinstance(predicate, ON_GRID):
        latest, treaty = predicate.end.value, predicate.treaty
    elif isinstance(predicate, Acknowledgement):
        latest, treaty = max(predicate.seen_at.value, predicate.stopped_at.value), predicate.treaty
    else:
        return None
    document = register.version(treaty) or register.document
    limit = now_ms + document.deadlines.skew_ms.value
    if latest <= limit:
        return None
    return NotYet(
        Code.FUTURE_DATED,
        "the statement speaks of a time that has not come here",
        expected=f"at most {limit}",
        found=str(latest),
        fix="check the clock; retry when the time has come",
    )


def _check_chain(register: Register, statement: Statement, from_peer: bool) -> NotYet | Refused | None:
    authored = statement.placed
    if authored is None:
        return None
    if authored.sequence and not register.holds(authored.author, authored.sequence - 1, authored.previous):
        return NotYet(
            Code.PARENT_UNKNOWN,
            "the statement's parent is not in this log",
            expected=f"{authored.author} #{authored.sequence - 1} {authored.previous}",
            found="no such statement",
            fix="submit the parent first",
        )
    cap = (register.version(authored.treaty) or register.document).limits.child_cap
    if not from_peer and register.children(authored.author, authored.sequence, authored.previous) >= cap:
        return NotYet(
            Code.CHILD_CAP,
            "this parent has as many children as the treaty lets a client submit",
            expected=f"at most {cap}",
            fix="stop signing second versions; each one is evidence of equivocation",
        )
    return None
