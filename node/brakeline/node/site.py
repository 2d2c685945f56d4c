"""A site: its key, its chain, its journal. The one place where the next statement is made, reserved and signed.

``sign_and_spool`` is the whole rule, in this order: position from the journal; the statement built for exactly that
position; admission run on it (the same pure function the verifiers run), so that what would be refused is never
signed; the payload reserved, durably; the guard's consent, durable too, apart from the journal; signed; the envelope
put into the outbox, durably. A crash anywhere leaves either nothing, or a reserved payload that :meth:`Site.recover`
signs again, byte for byte. A site that is *held* signs nothing: its position is in doubt, or its key is not enrolled.

A library as much as the service's core: nothing here needs a network or a running loop. The clock is passed in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial

from brakeline.ledger.ed25519 import Signer
from brakeline.ledger.entry import RawSignature
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.node.amounts import ChipBook, Counted
from brakeline.node.books import BookedSoFar, Books, book, since
from brakeline.node.journal import Claim, Journal, Outgoing, Reserved
from brakeline.node.journal_records import Owed
from brakeline.node.keys.guard import Guard, LastSigned
from brakeline.node.raw import RawCounters
from brakeline.treaty.admission import Admitted, admit
from brakeline.treaty.disclosure import disclosure_of
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.oversight import Correction, Opening
from brakeline.treaty.quantities import InstantMs, Rational
from brakeline.treaty.register import Register
from brakeline.treaty.seal import SALT_BYTES
from brakeline.treaty.sealing import seal_payload
from brakeline.treaty.spotcheck.table import SECRET_BYTES, slot_edges
from brakeline.treaty.statements import (
    AuthoredPredicate,
    Inventory,
    Statement,
    Subject,
    Usage,
    encode_statement,
    parse_statement,
)
from brakeline.treaty.strictjson import parse_object
from brakeline.treaty.succession import Succession

_POSITION_ONLY = ("usage", "acknowledgement", "opening")
"""Of these the site needs to know the position only: what they say is not read again at every start."""


class SiteError(BrakelineError):
    """The site cannot say what it was to say (codes ``site-*``, and those of admission)."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where the next statement of the chain stands: what every authored predicate carries."""

    author: str
    sequence: int
    previous: str
    treaty: str


@dataclass(frozen=True, slots=True)
class Holding:
    """An inventory statement of this site and the first period it holds from."""

    digest: str
    inventory: Inventory


class Site:
    """One site's voice. Not for use from several threads."""

    def __init__(
        self,
        name: str,
        document: TreatyDocument,
        journal: Journal,
        signer: Signer,
        now_ms: Callable[[], int],
        guard: Guard | None = None,
        held: str = "",
        seal: Collection[str] | None = None,
        raw: RawCounters | None = None,
    ) -> None:
        """Take up the chain where the journal left it; signs again what was reserved but not signed before a crash.

        *guard*: consents to every signature. *held*: why nothing may be signed for now, empty where all is well.
        *seal*: patterns of what is sealed, None for all that the treaty lets a site seal (SiteError ``site-seal``).
        *raw*: keeps the raw counters that books commit to, and knows the boards'; None: the journal forgets no sample.
        """
        self._raw = raw
        self.seal = frozenset(document.sealing.fields if seal is None else seal)
        _check_seal(self.seal, document)
        self.name, self.journal = name, journal
        self._succession = Succession(document)
        self._signer, self._now_ms, self._guard, self._held = signer, now_ms, guard, held
        self.keyid = VKey(name, TYPE_STATEMENT, signer.public_key).keyid
        self.register = Register(document)
        self._inventories: list[Holding] = []
        self._count = 0
        for outgoing in journal.outline(_POSITION_ONLY):
            if outgoing.name in _POSITION_ONLY and outgoing.author == name:
                previous = journal.digest_at(outgoing.sequence - 1)
                self.register.place(name, outgoing.sequence, outgoing.digest, previous, self._count)
                self._count += 1
            else:
                self._learn(parse_statement(Envelope.from_body(outgoing.body).payload))
        if not held:
            self.recover()

    @property
    def held(self) -> str:
        """Why nothing may be signed now (a code), empty when everything may."""
        return self._held

    def hold(self, why: str) -> None:
        """Sign nothing from now on."""
        self._held = why

    def release(self) -> None:
        """Go on signing where the journal stands: all verifiers have confirmed it (GuardError ``guard-ahead``)."""
        if self._guard is not None:
            unsigned = self.journal.unsigned()
            sequence, digest = self.journal.head()
            at = LastSigned(sequence - 1, digest)
            if unsigned:  # consent to those is asked for as they are signed
                at = LastSigned(unsigned[0].sequence - 1, self.journal.digest_at(unsigned[0].sequence - 1))
            last = self._guard.last(self.keyid)
            if last is None or last.sequence < at.sequence:
                self._guard.advance(self.name, self.keyid, at)
        self._held = ""
        self.recover()

    @property
    def document(self) -> TreatyDocument:
        """The version of the treaty that governs now: the pinned one, or an amendment of it that this site has seen."""
        return self.governing(self._succession.root.grid.period_of(InstantMs(self._now_ms())))

    @property
    def versions(self) -> Succession:
        """The pinned version and the amendments of it that this site has seen."""
        return self._succession

    def governing(self, period: int) -> TreatyDocument:
        """Return the version that governs *period*; while rivals contend for it, the last one that was settled."""
        return self._succession.last(period)

    def knows_version(self, digest: str) -> bool:
        """Say whether *digest* is that of a version of the treaty that this site has seen."""
        return digest in self._succession.known

    def follow(self, envelope: Envelope) -> TreatyDocument | None:
        """Take an amendment up, durably, and pass it on to every verifier; return it when it is new here.

        Raises:
            SiteError: admission would not take it: it does not follow from a version known here, or its quorums did not
                sign.
        """
        document = parse_statement(envelope.payload).predicate
        if not isinstance(document, TreatyDocument) or document.digest in self._succession.known:
            return None
        self.spool(envelope)
        return document

    def recover(self) -> list[Outgoing]:
        """Sign what is reserved but unsigned, byte for byte, and put it into the outbox."""
        return [self._sign(item) for item in self.journal.unsigned()]

    def sign_and_spool(
        self,
        build: Callable[[Position], AuthoredPredicate],
        more_subjects: tuple[Subject, ...] = (),
        claim: Claim = Claim(),  # noqa: B008 - frozen
    ) -> Outgoing:
        """Make the next statement of the chain durable, signed once, and queued for every verifier.

        Args:
            build: makes the predicate for the position it is given, which it must carry unchanged.
            more_subjects: subjects after the one that the predicate demands.
            claim: what the reservation settles besides the position (a booked period, an acknowledged order).

        Raises:
            SiteError: admission would not take it (with admission's code), or the enrolment is missing; ``site-held``.
            GuardError: the record of what was signed last does not consent.
            JournalError: ``journal-claimed``, ``journal-io``: nothing was signed.
        """
        self._check_held()
        self.recover()  # a key store that did not answer the last time: nothing is signed past what it owes
        self._settle()
        return self._next(build, more_subjects, claim)

    def settle(self) -> None:
        """Say every correction that is owed since books were replaced (raises as :meth:`sign_and_spool` does)."""
        self._check_held()
        self.recover()
        self._settle()

    def _settle(self) -> None:
        for owed in self.journal.owed():
            self._next(_correction(owed), (), Claim(corrected=owed.period))

    def _next(
        self, build: Callable[[Position], AuthoredPredicate], more_subjects: tuple[Subject, ...], claim: Claim
    ) -> Outgoing:
        sequence, previous = self.journal.head()
        treaty = self.document if claim.period is None else self.governing(claim.period)
        predicate = build(Position(self.name, sequence, previous, treaty.digest))
        payload, disclosure = self._sealed(predicate, encode_statement(predicate, more_subjects))
        claim = replace(claim, disclosure=disclosure) if disclosure else claim
        item = Reserved(sequence, parse_statement(payload).digest, payload)
        self._check(item)
        self.journal.reserve(item, claim)
        return self._sign(item)

    def spool(self, envelope: Envelope) -> Outgoing:
        """Queue an envelope that somebody else signed (an enrolment, an order) for every verifier.

        Raises:
            SiteError: admission would not take it.
        """
        outcome = admit(self.register, envelope, now_ms=self._now_ms())
        if not isinstance(outcome, Admitted):
            raise _refused(outcome.code, outcome.message, outcome.expected, outcome.found, outcome.fix)
        statement, authored = outcome.statement, outcome.statement.authored
        author, sequence = (authored.author, authored.sequence) if authored else ("", -1)
        outgoing = Outgoing(0, statement.digest, statement.name, author, sequence, envelope.to_body())
        self.journal.spool(outgoing)
        if not outcome.known:
            self._learn(statement)
        return outgoing

    def holding(self, period: int) -> Holding | None:
        """Return the inventory that holds in *period*: the newest whose effective period has come."""
        holding = [h for h in self._inventories if h.inventory.effective_period <= period]
        return max(holding, key=lambda h: (h.inventory.effective_period, h.inventory.sequence), default=None)

    def newest_inventory(self) -> Holding | None:
        """Return the last inventory of the chain, None before any."""
        return max(self._inventories, key=lambda holding: holding.inventory.sequence, default=None)

    def first_period(self) -> int | None:
        """Return the first period this site owes books for, None before any inventory."""
        return min((h.inventory.effective_period for h in self._inventories), default=None)

    def chip_books(
        self,
        inventory: Inventory,
        serials: dict[str, tuple[str, ...]],
        utilisation: dict[str, Rational],
        period: int | None = None,
    ) -> tuple[ChipBook, ...]:
        """Join an inventory with the chip classes of the version that governs *period* (None: now).

        Raises:
            SiteError: ``site-chip-class`` when that version lacks one.
        """
        treaty = self.document if period is None else self.governing(period)
        books: list[ChipBook] = []
        for chips in inventory.chips:
            terms = treaty.chip_class(chips.chip_class)
            if terms is None:
                raise SiteError(
                    code="site-chip-class",
                    message="the treaty has no such chip class",
                    expected=", ".join(c.name for c in treaty.chip_classes)[:200],
                    found=chips.chip_class,
                    fix="declare chips by the treaty's classes",
                )
            names = serials.get(chips.chip_class) or default_serials(self.name, chips.chip_class, chips.count)
            books.append(
                ChipBook(
                    chips.chip_class,
                    names[: chips.count],
                    terms.peak_flop_per_s.value,
                    terms.board_watts,
                    terms.idle_watts,
                    utilisation.get(chips.chip_class),
                )
            )
        return tuple(books)

    def book_period(
        self,
        period: int,
        *,
        serials: dict[str, tuple[str, ...]] | None = None,
        utilisation: dict[str, Rational] | None = None,
        slots: int = 4,
    ) -> Outgoing:
        """Book *period* from the journal's samples: exactly one usage statement, whatever crashes.

        Raises:
            SiteError: ``site-inventory`` (none holds in this period), ``site-chip-class``.
            JournalError: ``journal-claimed`` when the period is booked already.
        """
        holding, books = self.period_books(period, serials=serials, utilisation=utilisation, slots=slots)
        return self.sign_books(period, holding, books)

    def period_books(
        self,
        period: int,
        *,
        serials: dict[str, tuple[str, ...]] | None = None,
        utilisation: dict[str, Rational] | None = None,
        slots: int = 4,
        carried: Mapping[str, BookedSoFar] | None = None,
    ) -> tuple[Holding, Books]:
        """Return what the journal's samples say of *period*, under the inventory that holds then; signs nothing.

        *carried*: what periods before this one, which are not booked yet, would book of sessions.

        Raises:
            SiteError: ``site-inventory`` (none holds in this period), ``site-chip-class``.
        """
        holding = self.holding(period)
        if holding is None:
            raise SiteError(
                code="site-inventory",
                message="no inventory holds in this period",
                expected="an inventory statement with an earlier effective period",
                found=f"period {period}",
                fix="brakeline node init",
            )
        start, end = self.document.grid.start_of(period), self.document.grid.end_of(period)
        sessions = self.journal.samples_between(start.value, end.value)
        if carried:
            sessions = [replace(item, booked=carried.get(item.booked.session, item.booked)) for item in sessions]
        if period == self.first_period():
            sessions = [since(session, start.value) for session in sessions]
        slots = self.table_slots(period, slots)
        books = book(
            start.value,
            end.value,
            tuple(sessions),
            self.chip_books(holding.inventory, serials or {}, utilisation or {}, period),
            secret=os.urandom(SECRET_BYTES),
            slots=slots,
            line_count=self.governing(period).limits.line_count,
            counted=self._counted(period, holding, slots),
        )
        return holding, books

    def table_slots(self, period: int, chosen: int) -> int:
        """Return into how many slots *period* is cut: the treaty's number, where it checks rows, else the *chosen*."""
        terms = self.governing(period).rule("false-opening")
        return chosen if terms is None else max(1, terms.integer("slots"))

    def sign_books(
        self, period: int, holding: Holding, books: Books, *, replaces: str = "", own: bytes = b""
    ) -> Outgoing:
        """Sign *books* as the one usage statement of *period* (JournalError ``journal-claimed`` when there is one).

        *replaces*: why they take the place of the period's books; the correction that says so follows them. *own*: what
        the node's own meter made of the period, kept where records are in the books.
        """
        grid = self.document.grid

        def build(at: Position) -> Usage:
            return Usage(
                author=at.author,
                sequence=at.sequence,
                previous=at.previous,
                treaty=at.treaty,
                start=grid.start_of(period),
                end=grid.end_of(period),
                inventory=holding.digest,
                table=books.table,
                lines=books.lines,
            )

        if self._raw is not None and not replaces:  # before the signature that commits to them
            self._raw.keep(period, books.raw)
        claim = Claim(period=period, rows=books.rows, booked=books.booked, replaces=replaces, own=own)
        made = self.sign_and_spool(build, claim=claim)
        if replaces:
            self._settle()
        if self._raw is not None:
            self._raw.booked(self.document, grid.start_of(period).value, self._now_ms())
            self.journal.prune(grid.start_of(period).value)
        return made

    def _counted(self, period: int, holding: Holding, slots: int) -> Counted | None:
        """Return what the boards of the first class say of *period*, None where no meter of theirs is set."""
        start, end = self.document.grid.start_of(period), self.document.grid.end_of(period)
        if self._raw is None:
            return None
        return self._raw.counted(slot_edges(start.value, end.value, slots), holding.inventory.chips[0].count)

    def _sealed(self, predicate: AuthoredPredicate, payload: bytes) -> tuple[bytes, bytes]:
        """Return the payload with what this site seals sealed, and the disclosure, empty where nothing is."""
        name = _SEALABLE.get(type(predicate))
        if name is None or not self.seal:
            return payload, b""
        lines = self.document.limits.line_count
        salts = partial(os.urandom, SALT_BYTES)
        sealed, opened = seal_payload(parse_object(payload), name, self.seal, lines, salts)
        return (sealed, disclosure_of(sealed, opened).encoded) if opened else (payload, b"")

    def _check(self, item: Reserved) -> None:
        unsigned = Envelope(item.payload, (RawSignature(self.keyid, bytes(64)),))
        outcome = admit(self.register, unsigned, now_ms=self._now_ms(), verify=_not_signed_yet)
        if not isinstance(outcome, Admitted):
            raise _refused(outcome.code, outcome.message, outcome.expected, outcome.found, outcome.fix)

    def _check_held(self) -> None:
        if self._held:
            raise SiteError(
                code="site-held",
                message="this node signs nothing for now",
                expected="a position that is beyond doubt, and a key that is enrolled",
                found=self._held,
                fix="docs/operators.md, 'The node signs nothing'; `brakeline node key show` says what is awaited",
            )

    def _sign(self, item: Reserved) -> Outgoing:
        if self._guard is not None:
            self._guard.permit(self.name, self.keyid, LastSigned(item.sequence, item.digest))
        unsigned = Envelope(item.payload, (RawSignature(self.keyid, bytes(64)),))
        envelope = Envelope(item.payload, (RawSignature(self.keyid, self._signer.sign(unsigned.pae())),))
        statement = parse_statement(item.payload)
        outgoing = Outgoing(0, item.digest, statement.name, self.name, item.sequence, envelope.to_body())
        self.journal.signed(outgoing)
        self._learn(statement)
        return outgoing

    def _learn(self, statement: Statement) -> None:
        self.register.record(statement, self._count)
        self._count += 1
        if isinstance(statement.predicate, TreatyDocument):
            self._succession = Succession(self._succession.root, self.register.amendments())
        if isinstance(statement.predicate, Inventory) and statement.predicate.author == self.name:
            self._inventories.append(Holding(statement.digest, statement.predicate))


def _correction(owed: Owed) -> Callable[[Position], Correction]:
    def build(at: Position) -> Correction:
        return Correction(
            author=at.author,
            sequence=at.sequence,
            previous=at.previous,
            treaty=at.treaty,
            corrects=owed.corrects,
            period=owed.period,
            replacement=owed.replacement,
            reason=owed.reason,
        )

    return build


_SEALABLE: dict[type[object], str] = {Usage: "usage", Opening: "opening"}


def _check_seal(seal: Collection[str], document: TreatyDocument) -> None:
    beyond = sorted(set(seal) - set(document.sealing.fields))
    if beyond:
        raise SiteError(
            code="site-seal",
            message="this site is set to seal what the treaty does not let it seal",
            expected=", ".join(document.sealing.fields)[:200] or "nothing",
            found=", ".join(beyond)[:200],
            fix="take it out of `seal` under [disclosure] in node.toml",
        )


def default_serials(site: str, chip_class: str, count: int) -> tuple[str, ...]:
    """Return names for chips that bear no serial number: ``<site>/<class>/<i>``, in byte order."""
    width = len(str(max(0, count - 1)))
    return tuple(f"{site}/{chip_class}/{i:0{width}d}" for i in range(count))


def _refused(code: str, message: str, expected: str, found: str, fix: str) -> SiteError:
    return SiteError(code=str(code), message=message, expected=expected, found=found, fix=fix)


def _not_signed_yet(_key: bytes, _message: bytes, _signature: bytes) -> bool:
    """Stand in for verification where a statement is checked before it is signed."""
    return True
