"""Replay of one log: is every entry what it must be, and what does the log show?

What it is: the same admission and the same log rules that the log's verifier ran, over entries whose bytes, links and
root the caller has already verified (:class:`brakeline.ledger.reader.LogReader` does that). The first entry that is not
what it must be raises, and is misconduct of the log's own verifier: nobody else can sign a checkpoint over it. What it
is not: a comparison of logs (:mod:`brakeline.treaty.reconcile` does that with the :class:`Facts` gathered here).

    replay = LogReplay(document, origin, root_at, entries=reader.entries)
    for entry in reader.entries():
        replay.feed(entry)
    replay.finish()

Memory does not grow with the number of statements: what must be kept of each (digest, time of arrival, place in its
author's tree, figures of its books, what the log rules keep) goes to the archive as it gets old.
Pure: ``root_at`` is the caller's, the clock of admission is ``received_at_ms``.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from brakeline.ledger import ed25519
from brakeline.ledger.checkpoint import Checkpoint, cosigned_at, open_checkpoint
from brakeline.ledger.entry import Entry, Kind
from brakeline.ledger.vkey import VKey
from brakeline.treaty.admission import Admitted, Outcome, Verify, admit, check_treaty_statement
from brakeline.treaty.bookshelf import Bookshelf
from brakeline.treaty.bracket import bracket
from brakeline.treaty.claims import Claim, Claims, Seen
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.errors import ReplayError
from brakeline.treaty.findings import Finding, Withdrawn, parse_finding
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.logbody import parse_heartbeat
from brakeline.treaty.opinion import Opinion
from brakeline.treaty.opinion_log import Disclosures, OpinionLog, SealedStatement
from brakeline.treaty.oversight import Correction, Determination, Opening, Reply
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.register import Register
from brakeline.treaty.rules.board import Unverifiable
from brakeline.treaty.rules.columns import Archive
from brakeline.treaty.rules.lineage import Shown
from brakeline.treaty.rules.threshold import Passed
from brakeline.treaty.spotcheck.challenge import Challenger, Drawn, parse_challenge
from brakeline.treaty.spotcheck.record import Challenges, Openings
from brakeline.treaty.statements import (
    Acknowledgement,
    Enrolment,
    Evidence,
    Inventory,
    Order,
    Statement,
    parse_statement,
)
from brakeline.treaty.succession import Succession
from brakeline.treaty.tape import Arrival, Arrivals

RootAt = Callable[[int], bytes]
"""The root this log had at a size, from verified tiles."""
Entries = Callable[[], Iterable[Entry]]
"""The log's entries from the first on, verified, once more: read where an amendment makes that needed."""


class Acknowledged(NamedTuple):
    """An acknowledgement in this log: its statement digest, its arrival (ms), and what it says."""

    digest: str
    received_at_ms: int
    said: Acknowledgement


class Logged(NamedTuple):
    """When a log wrote a finding, and when it withdrew it (ms); None while it stands there."""

    at_ms: int
    withdrawn_ms: int | None = None


class OutOfTime(NamedTuple):
    """An entry whose ``received_at_ms`` leaves the bracket that cosignatures set, and the bound it leaves (ms).

    ``heartbeat`` is the entry that embeds those cosignatures, which may be the one out of time.
    """

    entry: int
    received_at_ms: int
    bound_ms: int
    heartbeat: int


@dataclass(slots=True)
class Facts:
    """What one log shows, in the form in which logs are compared.

    Attributes:
        origin: the log.
        newest_ms: ``received_at_ms`` of the newest entry, -1 for an empty log. Everything that this log received
            before that instant is in the facts.
        arrivals: statement digest (32 bytes) -> when it arrived, and where it stands.
        enrolled: site -> the first period its key is enrolled for.
        holding: site -> the first period an inventory of it takes effect.
        books: (site, period) -> the versions of its books here.
        corrected: (site, period, digest) of the books that a correction here says no longer count.
        orders: digest -> order.
        acknowledged: (site, order digest) -> the acknowledgements here, by arrival.
        unverifiable: what log rules could not judge because a figure is unknown -> how many times; over opened values
            where all that the log says is held was opened.
        passed: threshold -> the workloads whose lineages have passed it, and in which period.
        lineages: the runs in its books and what they descend from, as the threshold rule sees them.
        metered: sites of which a third party gave evidence.
        claims: the peers' checkpoints in its heartbeats -> the first heartbeat that embeds it.
        out_of_time: the first entry whose time no honest witness could have seen, None when there is none.
        standing: the log-rule findings that stand for the whole prefix, digest -> finding.
        found: finding digest -> when the log first wrote it, and whether it was withdrawn since.
        cleared: the findings withdrawn, digest -> finding.
        replies: finding digest -> reply statement digest -> its author.
        determinations: statement digest -> determination.
        challenges: the challenges here.
        opened: which rows were opened for which challenge, and when that first arrived.
        amendments: the versions of the treaty that it holds after the first.
        sealed: statements with sealed leaves here, by digest.
        held: those whose disclosure the log's verifier says it holds -> when it said so (ms).
        opinions: the opinions that stand in the log, by digest.
        reproduced: whether they were reproduced from disclosures.
        unopened: statements whose disclosure it would have taken to do so.
        concluded: what the rules find over opened values and not in public, digest -> finding.
        opened_books: the sealed ones of ``books`` that were opened, as they read then.
        opened_passed: ``passed``, over opened values.
    """

    origin: str
    newest_ms: int = -1
    arrivals: Arrivals = field(default_factory=Arrivals)
    enrolled: dict[str, int] = field(default_factory=dict[str, int])
    holding: dict[str, int] = field(default_factory=dict[str, int])
    books: Bookshelf = field(default_factory=Bookshelf)
    corrected: set[tuple[str, int, str]] = field(default_factory=set[tuple[str, int, str]])
    orders: dict[str, Order] = field(default_factory=dict[str, Order])
    acknowledged: dict[tuple[str, str], list[Acknowledged]] = field(
        default_factory=dict[tuple[str, str], list[Acknowledged]]
    )
    passed: dict[str, Passed] = field(default_factory=dict[str, Passed])
    lineages: tuple[Shown, ...] = ()
    unverifiable: dict[Unverifiable, int] = field(default_factory=dict[Unverifiable, int])
    metered: set[str] = field(default_factory=set[str])
    claims: Claims = field(default_factory=Claims)
    out_of_time: OutOfTime | None = None
    standing: dict[str, Finding] = field(default_factory=dict[str, Finding])
    found: dict[str, Logged] = field(default_factory=dict[str, Logged])
    cleared: dict[str, Finding] = field(default_factory=dict[str, Finding])
    replies: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    determinations: dict[str, Determination] = field(default_factory=dict[str, Determination])
    challenges: Challenges = field(default_factory=Challenges)
    opened: Openings = field(default_factory=Openings)
    amendments: list[TreatyDocument] = field(default_factory=list[TreatyDocument])
    sealed: dict[str, SealedStatement] = field(default_factory=dict[str, SealedStatement])
    held: dict[str, int] = field(default_factory=dict[str, int])
    opinions: dict[str, Opinion] = field(default_factory=dict[str, Opinion])
    reproduced: bool = False
    unopened: tuple[str, ...] = ()
    concluded: dict[str, Finding] = field(default_factory=dict[str, Finding])
    opened_books: Bookshelf = field(default_factory=Bookshelf)
    opened_passed: dict[str, Passed] = field(default_factory=dict[str, Passed])

    def below(self, size: int) -> Iterator[tuple[bytes, Arrival]]:
        """Yield the statements that stand below *size* entries, by digest, in no particular order."""
        return ((digest, found) for digest, found in self.arrivals.items() if found.entry < size)


class LogReplay:
    """Takes the entries of one log in order."""

    def __init__(
        self,
        document: TreatyDocument,
        origin: str,
        root_at: RootAt,
        *,
        verify: Verify = ed25519.verify,
        archive: Archive | None = None,
        entries: Entries | None = None,
        versions: Sequence[TreatyDocument] = (),
        disclosures: Disclosures | None = None,
        second: Archive | None = None,
    ) -> None:
        """Replay the log *origin*, which *document* or one of *versions* must name.

        Args:
            document: the treaty: version 1.
            origin: the log's name.
            root_at: the log's root at a size.
            verify: strict Ed25519 over statements.
            archive: where the rules' past goes, by default memory.
            entries: where to read the log again, when an amendment stands in it after statements that it may concern.
            versions: amendments that the caller believes; they say who the verifiers are besides *document*.
            disclosures: opens what the log's verifier holds, so that its opinions are reproduced; None: they are not.
            second: where the past of the rules over opened values goes.
        """
        self._verifiers = {item.origin: item for known in (document, *versions) for item in known.verifiers}
        verifier = self._verifiers.get(origin)
        if verifier is None:
            raise _wrong("replay-origin", "a log that the treaty names", origin)
        self.facts = Facts(
            origin,
            arrivals=Arrivals(archive),
            books=Bookshelf(archive),
            claims=Claims(archive),
            challenges=Challenges(archive),
            opened=Openings(archive),
            opened_books=Bookshelf(second),
        )
        self._document = document
        self._succession = Succession(document)
        self._key = verifier.log_key
        self._times: array[int] = array("Q")
        self._times_from = 0
        self._root_at = root_at
        self._verify = verify
        self._register = Register(document, archive)
        self._entries = entries
        self._index = 0
        self._judge = LogJudge(document, archive, None if entries is None else self._past)
        self._challenger = Challenger(document, origin)
        self._opinions = OpinionLog(document, origin, disclosures, second, self._payloads, self.facts.opened_books)
        self._expected: list[bytes] = []
        self._challenges: list[bytes] = []
        self._own: Checkpoint | None = None
        self._notes: dict[str, str] = {}
        self._written: dict[str, Finding] = {}

    def __getstate__(self) -> dict[str, object]:
        """Return what a copy needs: all but the functions that its maker lent it (:meth:`lend` gives it others)."""
        state = dict(self.__dict__)
        del state["_root_at"], state["_verify"], state["_entries"]
        return state

    def lend(
        self,
        root_at: RootAt,
        verify: Verify,
        entries: Entries | None = None,
        disclosures: Disclosures | None = None,
    ) -> None:
        """Go on with these functions (see the constructor)."""
        self._root_at, self._verify, self._entries = root_at, verify, entries
        self._judge.lend(None if entries is None else self._past)
        self._opinions.lend(self._payloads, disclosures)

    def key_of(self, keyid: str) -> bytes | None:
        """Return the key with this id, as far as the treaty and the entries fed name it."""
        holders = self._register.holders(keyid)
        return holders[0].key.public_key if holders else None

    def feed(self, entry: Entry) -> None:
        """Take the next entry.

        Raises:
            ReplayError: ``replay-treaty``, ``replay-kind``, ``replay-inadmissible``, ``replay-repeated``,
                ``replay-heartbeat``, ``replay-judgement``, ``replay-challenge``, ``replay-opinion``.
            BrakelineError: the codes of envelopes, statements and treaty documents.
        """
        self._index = entry.index
        if entry.index == 0 and entry.kind is not Kind.TREATY:
            raise _wrong("replay-treaty", "the treaty at entry 0", entry.kind.name.lower())
        if entry.kind is Kind.FINDING:
            self._finding(entry)
        elif self._expected:
            raise _wrong("replay-judgement", _quote(self._expected[0]), entry.kind.name.lower())
        elif entry.kind is Kind.CHALLENGE:
            self._challenge(entry)
        elif self._challenges:
            raise _wrong("replay-challenge", _quote(self._challenges[0]), entry.kind.name.lower())
        elif entry.kind is Kind.OPINION:
            self._opinions.read(entry.body, entry.received_at_ms)
        else:
            self._opinions.turn()
            self._other(entry)
        self._index = entry.index + 1
        self._times.append(entry.received_at_ms)
        self.facts.newest_ms = entry.received_at_ms

    def _other(self, entry: Entry) -> None:
        """Take an entry of a kind that stands by itself."""
        if entry.kind is Kind.TREATY and entry.index == 0:
            envelope = Envelope.from_body(entry.body)
            statement, _ = check_treaty_statement(envelope, self._document.digest, verify=self._verify)
            self._take(statement, entry, envelope.payload)
        elif entry.kind in (Kind.STATEMENT, Kind.TREATY):
            self._statement(entry)
        elif entry.kind is Kind.HEARTBEAT:
            self._heartbeat(entry)
        else:
            found = entry.kind.name.lower()
            raise _wrong("replay-kind", "a kind that this version of the treaty's rules knows", found)

    def finish(self) -> Facts:
        """Say that the log ends here, and return what it shows (also when it ended in a divergence).

        Raises:
            ReplayError: ``replay-judgement``, ``replay-challenge``, ``replay-opinion``: a checkpoint never stands
                between a heartbeat and its findings, challenges and opinions.
        """
        self.close()
        if self._expected:
            raise _wrong("replay-judgement", _quote(self._expected[0]), "the end of the log")
        if self._challenges:
            raise _wrong("replay-challenge", _quote(self._challenges[0]), "the end of the log")
        self._opinions.turn()
        return self.facts

    def close(self) -> Facts:
        """Return what the entries fed so far show, whether or not they end well."""
        self.facts.standing = self._judge.standing()
        self.facts.passed = self._judge.passed()
        self.facts.lineages = self._judge.lineages()
        self.facts.unverifiable = self._judge.unverifiable()
        said = self._opinions
        self.facts.sealed, self.facts.held, self.facts.opinions = said.sealed, said.held, said.standing
        self.facts.reproduced, self.facts.unopened = said.reproduces, tuple(said.missing)
        self.facts.concluded, self.facts.opened_passed = said.opened, said.passed()
        if said.settled:
            self.facts.unverifiable = said.unverifiable()
        return self.facts

    def would_admit(self, envelope: Envelope) -> Outcome:
        """Return what admission says of *envelope*, taken over from a peer after the entries fed so far."""
        return admit(self._register, envelope, now_ms=self.facts.newest_ms, from_peer=True, verify=self._verify)

    def _finding(self, entry: Entry) -> None:
        if not self._expected:
            raise _wrong("replay-judgement", "no finding here", _quote(entry.body))
        if self._expected.pop(0) != entry.body:
            raise _wrong("replay-judgement", "the finding that the log rules give for this prefix", _quote(entry.body))
        self._docket(parse_finding(entry.body), entry.received_at_ms)

    def _challenge(self, entry: Entry) -> None:
        if not self._challenges:
            raise _wrong("replay-challenge", "no challenge here", _quote(entry.body))
        if self._challenges.pop(0) != entry.body:
            raise _wrong("replay-challenge", "the challenge that this prefix draws", _quote(entry.body))
        self.facts.challenges.append(Drawn.of(parse_challenge(entry.body), entry.received_at_ms))

    def _docket(self, written: Finding | Withdrawn, at_ms: int) -> None:
        """Note when a finding was written or withdrawn; one that comes again keeps its first time."""
        facts = self.facts
        if isinstance(written, Finding):
            first = facts.found.get(written.digest, Logged(at_ms))
            facts.found[written.digest] = Logged(first.at_ms)
            self._written[written.digest] = written
            facts.cleared.pop(written.digest, None)
            return
        facts.found[written.withdrawn] = Logged(facts.found[written.withdrawn].at_ms, at_ms)
        facts.cleared[written.withdrawn] = self._written[written.withdrawn]

    def _statement(self, entry: Entry) -> None:
        envelope = Envelope.from_body(entry.body)
        outcome = admit(self._register, envelope, now_ms=entry.received_at_ms, from_peer=True, verify=self._verify)
        if not isinstance(outcome, Admitted):
            raise _wrong("replay-inadmissible", "an admissible statement", f"{outcome.code}: {outcome.message}")
        version = outcome.statement.predicate if outcome.statement.placed is None else None
        if isinstance(version, TreatyDocument) and version.digest == self._document.digest:
            raise _wrong("replay-treaty", "version 1 of the treaty at entry 0, and there only", "treaty")
        if outcome.known:
            raise _wrong("replay-repeated", "a statement once", f"{outcome.statement.digest} again")
        if isinstance(version, TreatyDocument) is not (entry.kind is Kind.TREATY):
            raise _wrong(
                "replay-kind", "versions of the treaty in treaty entries, and nothing else", entry.kind.name.lower()
            )
        self._take(outcome.statement, entry, envelope.payload)

    def _take(self, statement: Statement, entry: Entry, payload: bytes) -> None:
        self._register.record(statement, entry.index)
        self._judge.add(entry.index, entry.kind, statement)
        self._challenger.take(entry.index, entry.received_at_ms, statement)
        self._opinions.take(statement, entry.received_at_ms, payload)
        version = statement.predicate if statement.placed is None else None
        if isinstance(version, TreatyDocument):
            self._verifiers |= {item.origin: item for item in version.verifiers}
            self._succession = Succession(self._document, self._register.amendments())
        gather(self.facts, self._document, statement, entry.received_at_ms, entry.index)

    def _payloads(self) -> Iterator[tuple[Statement, bytes]]:
        """Yield what was admitted, again, with its bytes."""
        return payloads_again(() if self._entries is None else islice(self._entries(), self._index))

    def _past(self) -> Iterator[Statement]:
        """Yield what the judge was given, again."""
        return statements_again(() if self._entries is None else islice(self._entries(), self._index))

    def _heartbeat(self, entry: Entry) -> None:
        heartbeat = parse_heartbeat(entry.body)
        if heartbeat.checkpoint is not None:
            self._check_own(heartbeat.checkpoint, entry)
        for item in heartbeat.mirrored:
            peer = self._verifiers.get(item.origin)
            if peer is None or item.origin == self.facts.origin:
                raise _wrong("replay-heartbeat", "checkpoints of the treaty's other logs", item.origin)
            if self._notes.get(item.origin) == item.checkpoint:
                continue
            checkpoint = open_checkpoint(item.checkpoint.encode(), peer.log_key).checkpoint
            self._notes[item.origin] = item.checkpoint
            self._check_peers_times(item.checkpoint.encode(), entry)
            claim = Claim(item.origin, checkpoint.size, checkpoint.root)
            self.facts.claims.add(claim, Seen(entry.index, entry.received_at_ms))
        self._expected = self._judge.heartbeat()
        self._challenges = self._challenger.heartbeat(entry.received_at_ms, heartbeat)
        self._opinions.heartbeat(entry.received_at_ms, self._expected)

    def _check_own(self, note: str, heartbeat: Entry) -> None:
        """Check that the log embeds a checkpoint of its own history: signed, not of the future, with its root."""
        if self._notes.get(self.facts.origin) == note:
            return
        opened = open_checkpoint(note.encode(), self._key, [item.witness_key for item in self._verifiers.values()])
        checkpoint = opened.checkpoint
        self._notes[self.facts.origin] = note
        if checkpoint.size > heartbeat.index:
            limit = f"a checkpoint of at most {heartbeat.index} entries"
            raise _wrong("replay-heartbeat", limit, str(checkpoint.size))
        self._check_time(opened.cosignatures, checkpoint.size, heartbeat)
        if self._own is not None and (self._own.size, self._own.root) == (checkpoint.size, checkpoint.root):
            return
        root = self._root_at(checkpoint.size)
        if checkpoint.root != root:
            raise _wrong(
                "replay-heartbeat",
                f"root {root.hex()} at {checkpoint.size} entries",
                f"{checkpoint.root.hex()}, signed by this log: two histories",
            )
        self._own = checkpoint

    def _check_peers_times(self, note: bytes, heartbeat: Entry) -> None:
        """Hold a heartbeat against the cosignatures on a peer's checkpoint that it embeds: it came after them.

        Hardly any contradicts, so times are looked at first, and signatures only where the times would convict.
        """
        document = self._succession.last(self._document.grid.period_of(InstantMs(heartbeat.received_at_ms)))
        liars, skew = document.quorum.liars, document.deadlines.skew_ms.value
        witnesses = [item.witness_key for item in document.verifiers]  # f liars are f of these
        for believed in (True, False):
            bounds = bracket(cosigned_at(note, witnesses, believed=believed).values(), liars, skew)
            if bounds is None or heartbeat.received_at_ms >= bounds.no_earlier_ms:
                return
            if not believed and self.facts.out_of_time is None:
                at, limit = heartbeat.received_at_ms, bounds.no_earlier_ms
                self.facts.out_of_time = OutOfTime(heartbeat.index, at, limit, heartbeat.index)

    def _check_time(self, cosignatures: Mapping[VKey, int], size: int, heartbeat: Entry) -> None:
        """Hold the log's clock against its witnesses' (:mod:`brakeline.treaty.bracket`)."""
        document = self._succession.last(self._document.grid.period_of(InstantMs(heartbeat.received_at_ms)))
        liars, skew = document.quorum.liars, document.deadlines.skew_ms.value
        witnesses = {item.witness_key for item in document.verifiers}  # f liars are f of these
        bounds = bracket([at for key, at in cosignatures.items() if key in witnesses], liars, skew)
        if self.facts.out_of_time is not None or bounds is None or size <= self._times_from:
            return
        newest = self._times[size - 1 - self._times_from]
        if newest > bounds.no_later_ms:
            self.facts.out_of_time = OutOfTime(size - 1, newest, bounds.no_later_ms, heartbeat.index)
        elif heartbeat.received_at_ms < bounds.no_earlier_ms:
            self.facts.out_of_time = OutOfTime(
                heartbeat.index, heartbeat.received_at_ms, bounds.no_earlier_ms, heartbeat.index
            )
        del self._times[: size - 1 - self._times_from]
        self._times_from = size - 1


def statements_again(entries: Iterable[Entry]) -> Iterator[Statement]:
    """Yield the statements in *entries*, which were admitted before, as a judge takes them."""
    return (statement for statement, _ in payloads_again(entries))


def payloads_again(entries: Iterable[Entry]) -> Iterator[tuple[Statement, bytes]]:
    """Yield the statements in *entries*, which were admitted before, with their payloads."""
    for entry in entries:
        if entry.kind is Kind.STATEMENT:
            envelope = Envelope.from_body(entry.body)
            keyids = tuple(signature.keyid for signature in envelope.signatures)
            yield parse_statement(envelope.payload).signed(keyids), envelope.payload


def gather(facts: Facts, document: TreatyDocument, statement: Statement, received_at_ms: int, index: int) -> None:
    """Add what *statement*, which arrived at *received_at_ms* as entry *index*, shows to *facts*."""
    facts.arrivals.add(bytes.fromhex(statement.digest), received_at_ms, index)
    usage = statement.usage
    if usage is not None:
        period = document.grid.index_from(usage.start, usage.end)
        if period is not None:  # the grid was checked at admission
            facts.books.add(statement.digest, received_at_ms, period, usage, statement.sealed)
        return
    match statement.predicate:
        case Enrolment(action="begin" | "replace") as said:
            _least(facts.enrolled, said.site, said.effective_period)
        case Inventory() as said:
            _least(facts.holding, said.author, said.effective_period)
        case Correction() as said:
            facts.corrected.add((said.author, said.period, said.corrects))
        case Order() as said:
            facts.orders[statement.digest] = said
        case Acknowledgement() as said:
            heard = Acknowledged(statement.digest, received_at_ms, said)
            facts.acknowledged.setdefault((said.author, said.order), []).append(heard)
        case Evidence() as said:
            facts.metered.add(said.site)
        case Reply() as said:
            facts.replies.setdefault(said.finding, {})[statement.digest] = said.author
        case Opening() as said:
            period = said.period if facts.books.holds(said.author, said.period, said.usage) else None
            rows = [opened.index for opened in said.rows]
            facts.opened.add(said.author, said.usage, said.challenge, rows, received_at_ms, period=period)
        case Determination() as said:
            facts.determinations[statement.digest] = said
        case TreatyDocument() as said if said.version > document.version:
            facts.amendments.append(said)
        case _:
            pass


def _least(table: dict[str, int], key: str, value: int) -> None:
    table[key] = min(table.get(key, value), value)


def _quote(body: bytes) -> str:
    return body[:160].decode("utf-8", "replace")


_MESSAGES = {
    "replay-origin": "the treaty names no such log",
    "replay-treaty": "the treaty does not stand where it must",
    "replay-kind": "an entry of a kind that nothing puts into this log",
    "replay-inadmissible": "the log holds a statement that was not admissible to its prefix",
    "replay-repeated": "the log holds a statement twice",
    "replay-heartbeat": "a heartbeat embeds what it must not",
    "replay-challenge": "the challenges are not those that this prefix of the log draws",
    "replay-judgement": "the findings are not those that the log rules give for this prefix",
}


def _wrong(code: str, expected: str, found: str) -> ReplayError:
    fix = "the log's own verifier wrote this; keep the copy, it is evidence"
    return ReplayError(code=code, message=_MESSAGES[code], expected=expected, found=found, fix=fix)
