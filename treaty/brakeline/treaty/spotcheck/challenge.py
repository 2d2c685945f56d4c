"""Challenges: which books a log asks to open, when, and from which beacon. A function of the log's prefix alone.

A verifier does not choose. Every usage statement is challenged once in every log, directly after the first heartbeat
(and its findings) at which its beacon is complete: a checkpoint of every log of the treaty, or, from ``takeover_ms``
after the statement's arrival on, of those that gave one, the log's own among them in any case. A log's checkpoint for
a statement at index i is

* of the log itself: the first that a later heartbeat embeds and that covers i;
* of a peer: the first that a later heartbeat embeds and that is larger than any embedded before i.

So each of them was published, as far as this log shows, after the books were committed to. Which version of the treaty
governs the books' period is read from the prefix in which they stand; while rivals contend for it, none does. A body
is canonical JSON; challenges of one heartbeat stand in order of their SHA-256, which is also how openings name them.

Keeps: books that wait for their beacon, so at most those of one take-over grace and a heartbeat.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, NamedTuple

from brakeline.ledger import note
from brakeline.ledger.checkpoint import Checkpoint
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.errors import StatementError
from brakeline.treaty.logbody import Heartbeat
from brakeline.treaty.parts import Count, Digest, HostName, Model, SiteName
from brakeline.treaty.spotcheck.draw import MOST_ROWS, Beacon, drawn_rows, rows_to_draw, seed_of
from brakeline.treaty.statements import Statement, to_json
from brakeline.treaty.strictjson import canonical, parse_object
from brakeline.treaty.succession import Succession
from brakeline.treaty.usage import ReadUsage
from pydantic import Field, ValidationError

RULE = "unopened-challenge"
"""The rule that puts challenges in force."""
_DRAWABLE = 4096
"""Rows that one challenge draws at most: a site that claims a table of any size makes nobody count for long."""


class BeaconCheckpoint(Model):
    """A checkpoint that rows are drawn by."""

    origin: HostName
    size: Count
    root: Digest


class Challenge(Model):
    """The body of a challenge entry.

    Attributes:
        site, period, usage: whose books, of which period, by digest.
        rows: of their table.
        count: how many are drawn.
        beacons: in byte order of origins.
        absent: logs of the treaty that gave no checkpoint, in byte order.
    """

    site: SiteName
    period: Count
    usage: Digest
    rows: Annotated[Count, Field(ge=1, le=MOST_ROWS)]
    count: Annotated[Count, Field(ge=1, le=_DRAWABLE)]
    beacons: Annotated[tuple[BeaconCheckpoint, ...], Field(min_length=1, max_length=64)]
    absent: Annotated[tuple[HostName, ...], Field(max_length=64)]

    @cached_property
    def body(self) -> bytes:
        """The canonical JSON: the body of the entry."""
        return canonical(to_json(self))

    @cached_property
    def digest(self) -> str:
        """Lowercase hex SHA-256 of the body: how openings name it."""
        return hashlib.sha256(self.body).hexdigest()

    @cached_property
    def seed(self) -> bytes:
        """What the rows are drawn from (:func:`~brakeline.treaty.spotcheck.draw.seed_of`)."""
        return seed_of(self.usage, (Beacon(item.origin, item.size, item.root) for item in self.beacons))

    @property
    def drawn(self) -> tuple[int, ...]:
        """The indexes of the rows that are to be opened, in order."""
        return drawn_rows(self.seed, self.rows, self.count)


class Drawn(NamedTuple):
    """A challenge as an audit keeps it: without its beacons, since a log has many.

    Attributes:
        digest: of the challenge.
        site, period, usage, rows, seed: as of :class:`Challenge`.
        wanted: its ``count``.
        at_ms: when the log wrote it.
    """

    digest: str
    site: str
    period: int
    usage: str
    rows: int
    wanted: int
    seed: bytes
    at_ms: int

    @classmethod
    def of(cls, item: Challenge, at_ms: int) -> Drawn:
        """Return what is kept of *item*."""
        return cls(item.digest, item.site, item.period, item.usage, item.rows, item.count, item.seed, at_ms)

    @property
    def drawn(self) -> tuple[int, ...]:
        """The indexes of the rows that are to be opened, in order."""
        return drawn_rows(self.seed, self.rows, self.wanted)


def parse_challenge(body: bytes) -> Challenge:
    """Read the body of a challenge entry, strictly.

    Raises:
        StatementError: ``challenge-schema``; JsonError: ``json-*``.
    """
    try:
        challenge = Challenge.model_validate(parse_object(body))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise StatementError(
            code="challenge-schema",
            message="a challenge entry does not have the form of a challenge",
            expected=first["msg"][:160],
            found="/".join(str(part) for part in first["loc"]),
        ) from None
    origins = [item.origin for item in challenge.beacons]
    if origins != sorted(set(origins)) or challenge.count > challenge.rows:
        raise StatementError(
            code="challenge-schema",
            message="a challenge does not draw as it must",
            expected="beacons sorted by origin, one a log, and no more rows than there are",
            found=f"{len(origins)} beacons, {challenge.count} of {challenge.rows} rows",
        )
    return challenge


@dataclass(slots=True)
class _Pending:
    """Books that wait for their beacon."""

    usage: ReadUsage
    treaty: TreatyDocument
    digest: str
    index: int
    received_at_ms: int
    known: dict[str, int]
    beacons: dict[str, Beacon] = field(default_factory=dict[str, Beacon])


class Challenger:
    """Says which challenges a log must hold after each of its heartbeats."""

    def __init__(self, document: TreatyDocument, origin: str) -> None:
        """Challenge in the log *origin*, from the empty prefix; nobody, unless the treaty has the rule in force."""
        self._succession, self._origin = Succession(document), origin
        self._known: dict[str, int] = {}
        self._pending: list[_Pending] = []
        self._counts: dict[tuple[str, int], int] = {}

    def take(self, index: int, received_at_ms: int, statement: Statement) -> None:
        """Take the admitted statement at *index*."""
        usage, succession = statement.usage, self._succession
        version = statement.predicate if statement.placed is None else None
        if isinstance(version, TreatyDocument):
            self._succession = Succession(succession.root, (*succession.known.values(), version))
        elif usage is not None and 0 < usage.table_rows <= MOST_ROWS:
            period = succession.root.grid.index_from(usage.start, usage.end)
            treaty = None if period is None else succession.at(period)
            if treaty is not None and _slots(treaty):
                self._pending.append(_Pending(usage, treaty, statement.digest, index, received_at_ms, self._known))

    def heartbeat(self, at_ms: int, heartbeat: Heartbeat) -> list[bytes]:
        """Return the bodies of the challenge entries due after *heartbeat*, in log order.

        Raises:
            BrakelineError: a checkpoint in it is not one (``checkpoint-malformed``, ``note-*``).
        """
        notes = [item.checkpoint for item in heartbeat.mirrored]
        notes += [] if heartbeat.checkpoint is None else [heartbeat.checkpoint]
        seen = [Checkpoint.parse_text(note.parse(text.encode()).text) for text in notes]
        due: list[_Pending] = []
        for item in self._pending:
            for checkpoint in seen:
                before = item.index if checkpoint.origin == self._origin else item.known.get(checkpoint.origin, -1)
                if checkpoint.size > before:
                    beacon = Beacon(checkpoint.origin, checkpoint.size, checkpoint.root.hex())
                    item.beacons.setdefault(checkpoint.origin, beacon)
            waited = at_ms - item.received_at_ms >= item.treaty.deadlines.takeover_ms.value
            if self._origin in item.beacons and (waited or item.beacons.keys() >= set(_origins(item.treaty))):
                due.append(item)
        self._known = self._known | {item.origin: max(item.size, self._known.get(item.origin, 0)) for item in seen}
        drawn = {id(item) for item in due}
        self._pending = [item for item in self._pending if id(item) not in drawn]
        return sorted((self._body(item) for item in due), key=lambda body: hashlib.sha256(body).digest())

    def _body(self, item: _Pending) -> bytes:
        treaty, rows = item.treaty, item.usage.table_rows
        period = treaty.grid.index_from(item.usage.start, item.usage.end)
        count = self._counts.get((treaty.digest, rows))
        if count is None:
            count = self._counts[treaty.digest, rows] = draws(treaty, rows, _slots(treaty))
        return Challenge(
            site=item.usage.author,
            period=period or 0,
            usage=item.digest,
            rows=rows,
            count=count,
            beacons=tuple(
                BeaconCheckpoint(origin=beacon.origin, size=beacon.size, root=beacon.root)
                for beacon in sorted(item.beacons.values())
            ),
            absent=tuple(origin for origin in _origins(treaty) if origin not in item.beacons),
        ).body


def _origins(treaty: TreatyDocument) -> list[str]:
    return sorted(item.origin for item in treaty.verifiers)


def _slots(treaty: TreatyDocument) -> int:
    """Return into how many slots a table cuts a period; 0 where *treaty* has nothing drawn."""
    terms, slots = treaty.rule(RULE), treaty.rule("false-opening")
    return 0 if terms is None or slots is None else max(1, slots.integer("slots"))


def draws(document: TreatyDocument, rows: int, slots: int) -> int:
    """Return how many rows a challenge draws of a table of *rows*."""
    return min(_DRAWABLE, rows_to_draw(document, rows, slots))
