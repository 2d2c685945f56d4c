"""Admission of the treaty itself: version 1 against the pin, and amendments against the version before them.

An amendment is signed by the quorum of the version before it and by its own. Of the other keys that it names only those
sign that the version before did not name in the same role, so that no lab, third party or verifier can stop an
amendment by not signing; a party that joins signs, or it has not joined. Pure, as all of
:mod:`brakeline.treaty.admission`, which calls it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from brakeline.ledger import ed25519
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.document import NamedKey, TreatyDocument
from brakeline.treaty.document_checks import succession_mistakes
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.outcomes import Admitted, Code, NotYet, Outcome, Refused, Verify, invalid
from brakeline.treaty.register import Register
from brakeline.treaty.statements import Statement, parse_statement
from brakeline.treaty.succession import Succession


def check_treaty_statement(
    envelope: Envelope, pin: str, *, verify: Verify = ed25519.verify
) -> tuple[Statement, TreatyDocument]:
    """Check a treaty statement against the pin: digest, every named key registrable and signed, the parties' quorum.

    The pin may be that of an amendment: then the version before it, which its signers are held against besides, is not
    here, and the pin alone says that it holds. Its own quorum of parties is asked for.

    Raises:
        BrakelineError: the codes of :func:`admit`, ``treaty-not-pinned``, and those of the document.
    """
    statement = parse_statement(envelope.payload)
    document = statement.predicate
    if not isinstance(document, TreatyDocument) or document.digest != pin:
        raise _not_pinned(pin, document.digest if isinstance(document, TreatyDocument) else statement.name)
    problem = _check_first(document, envelope, verify)
    if problem is not None:
        raise _as_error(problem)
    return statement, document


def check_versions(envelopes: Iterable[Envelope], pin: str, *, verify: Verify = ed25519.verify) -> Succession:
    """Return the versions of one treaty in *envelopes*, of which *pin* names one.

    Those before the pinned one are held by the digest that each version names; those after it by the signatures that
    admission asks for.

    Raises:
        BrakelineError: ``treaty-not-pinned``, the codes of admission, and those of documents.
    """
    found = {
        item.digest: (envelope, statement, item) for envelope in envelopes for statement, item in [_said(envelope)]
    }
    if pin not in found:
        raise _not_pinned(pin, ", ".join(found)[:200])
    root = found[pin][2]
    while root.previous in found:
        root = found[root.previous][2]
    check_treaty_statement(found[root.digest][0], root.digest, verify=verify)
    register = Register(root)
    for envelope, statement, document in sorted(found.values(), key=lambda item: item[2].version):
        outcome = admit_treaty(register, envelope, statement, document, verify)
        if not isinstance(outcome, Admitted):
            raise _as_error(outcome)
        register.record(statement, 0)
    return Succession(root, register.amendments())


def _said(envelope: Envelope) -> tuple[Statement, TreatyDocument]:
    statement = parse_statement(envelope.payload)
    if isinstance(statement.predicate, TreatyDocument):
        return statement, statement.predicate
    raise _not_pinned("a version of a treaty", statement.name)


def _not_pinned(expected: str, found: str) -> BrakelineError:
    return BrakelineError(
        code=Code.TREATY_NOT_PINNED,
        message="this is not the treaty that was pinned",
        expected=expected,
        found=found,
        fix="obtain the signed treaty whose digest your government published",
    )


def _as_error(problem: NotYet | Refused) -> BrakelineError:
    return BrakelineError(
        code=problem.code,
        message=problem.message,
        expected=problem.expected,
        found=problem.found,
        fix=problem.fix,
    )


def admit_treaty(
    register: Register, envelope: Envelope, statement: Statement, document: TreatyDocument, verify: Verify
) -> Outcome:
    """The version that the log runs under, or an amendment of a version that is known here."""
    problem: NotYet | Refused | None
    if document.digest == register.treaty_digest:
        problem = _check_first(document, envelope, verify)
    elif document.version == 1:
        return Refused(
            Code.TREATY_NOT_PINNED,
            "this is not the treaty this log runs under",
            expected=register.treaty_digest,
            found=document.digest,
        )
    else:
        problem = _check_amendment(register, document, envelope, verify)
    if problem is not None:
        return problem
    index = register.index_of(statement)
    return Admitted(statement) if index is None else Admitted(statement, known=True, index=index)


def _check_amendment(
    register: Register, document: TreatyDocument, envelope: Envelope, verify: Verify
) -> NotYet | Refused | None:
    """A version after the first: it follows from one known here, and both quorums signed, and whoever is new."""
    previous = register.version(document.previous)
    if previous is None:
        return replace(
            unknown_version(register, document.previous),
            message="the version that this one amends is unknown here",
            fix="submit the version before it first",
        )
    mistakes = succession_mistakes(previous, document, register.before(previous))
    if mistakes:
        first = mistakes[0]
        return Refused(Code.TREATY_SUCCESSION, f"{first.where}: {first.message}", first.expected, first.found)
    return _check_treaty_signatures(document, envelope, verify, previous)


def _check_treaty_signatures(
    document: TreatyDocument, envelope: Envelope, verify: Verify, previous: TreatyDocument | None = None
) -> Refused | None:
    """Every Ed25519 key it names is registrable; the parties' quorum, every key that is new, and nobody else signed.

    An amendment is signed by the quorum of *previous*, too. Keys that *previous* names in the same role need not sign
    again, so that no lab or verifier can stop an amendment; a party that joins must sign as well.
    """
    message = envelope.pae()
    before: dict[str, NamedKey] = {} if previous is None else previous.all_statement_and_log_keys()
    outgoing: set[str] = set() if previous is None else {key.keyid for key in previous.party_keys().values()}
    named = document.all_statement_and_log_keys()
    allowed = {keyid: before[keyid] for keyid in outgoing} | named
    parties = {key.keyid for key in document.party_keys().values()}
    signed: set[str] = set()
    for keyid, sig in envelope.signatures:
        known = allowed.get(keyid)
        if known is None:
            return Refused(
                Code.SIGNER_NOT_ALLOWED, "the treaty is signed by a key it does not name", found=keyid, fix="remove it"
            )
        if not verify(known.key.public_key, message, sig):
            return invalid(keyid)
        signed.add(keyid)
    for keyid, item in named.items():
        try:
            ed25519.check_registrable(item.key.public_key)
        except BrakelineError as error:
            return Refused(
                Code.KEY_UNREGISTRABLE, f"{item.key.name}: {error.message}", error.expected, error.found, error.fix
            )
        excused = keyid in parties if previous is None else before.get(keyid) == item
        if keyid not in signed and not excused:
            return Refused(
                Code.SIGNATURES_TOO_FEW,
                f"the key of {item.key.name} has not signed the treaty that names it",
                expected=f"a signature of every {'named' if previous is None else 'new'} key",
                found="none",
                fix="brakeline treaty sign",
            )
    if previous is not None and (few := _too_few(outgoing, signed, previous, "of the version before")):
        return few
    return _too_few(parties, signed, document, "")


def _too_few(parties: set[str], signed: set[str], document: TreatyDocument, whose: str) -> Refused | None:
    have, need = len(parties & signed), document.quorum.amendments
    if have >= need:
        return None
    return Refused(
        Code.SIGNATURES_TOO_FEW,
        f"the treaty is signed by too few parties {whose}".rstrip(),
        expected=f"{need} of {len(parties)}",
        found=str(have),
        fix="let further parties sign the same file",
    )


def unknown_version(register: Register, digest: str) -> NotYet:
    """Return the answer to what names the version *digest*, which is not in this prefix."""
    return NotYet(
        Code.TREATY_UNKNOWN,
        "the statement is made under a treaty version unknown here",
        expected=", ".join((register.treaty_digest, *(item.digest for item in register.amendments())))[-400:],
        found=digest,
        fix="submit that treaty version, or sign under the version in force",
    )


def _check_first(document: TreatyDocument, envelope: Envelope, verify: Verify) -> Refused | None:
    """The version that is believed because of its digest: version 1, or a later one to which somebody pinned."""
    if document.version == 1:
        return _check_treaty_signatures(document, envelope, verify)
    return _check_pinned_amendment(document, envelope, verify)


def _check_pinned_amendment(document: TreatyDocument, envelope: Envelope, verify: Verify) -> Refused | None:
    """Whatever signatures are by keys that it names verify, and a quorum of its parties is among them."""
    named = document.all_statement_and_log_keys()
    signed: set[str] = set()
    for keyid, sig in envelope.signatures:
        if keyid not in named:
            continue
        if not verify(named[keyid].key.public_key, envelope.pae(), sig):
            return invalid(keyid)
        signed.add(keyid)
    return _too_few({key.keyid for key in document.party_keys().values()}, signed, document, "")
