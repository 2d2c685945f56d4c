"""Predicates beside the books: what is announced, permitted, seen from outside, tested, answered and determined.

What it is: the models of docs/spec/statements.md for declaration, authorisation, evidence of providers, vendors and
inspectors, evaluation, autonomy, opening, reply, correction, determination and withdrawal. Who may sign each is the
table of :mod:`brakeline.treaty.admission`. What it is not: what follows from them (:mod:`brakeline.treaty.rules`).

Statements by parties (authorisation, determination, withdrawal) have no chain, as orders have none; a nonce tells two
of them apart.
"""

from __future__ import annotations

from typing import Annotated, Literal

from brakeline.treaty.parts import (
    Activity,
    Authored,
    ChipCount,
    Count,
    Digest,
    HostName,
    Identifier,
    Model,
    Nonce,
    Serials,
    SiteName,
    Text,
)
from brakeline.treaty.quantities import ChipMs, Flop, InstantMs, Joules
from pydantic import Field, StrictBool, StrictInt, StrictStr

MAX_ROWS = 64
"""Rows that one opening shows."""
MAX_PARTS = 256
"""Workloads of one row: as many as a usage statement has lines."""
MAX_CITED = 64

Chips = Annotated[tuple[ChipCount, ...], Field(min_length=1, max_length=64)]
Digests = Annotated[tuple[Digest, ...], Field(max_length=MAX_CITED)]
Name = Annotated[StrictStr, Field(min_length=1, max_length=200)]


class Fraction(Model):
    """A share or a factor, exactly: ``numerator`` / ``denominator``."""

    numerator: Count
    denominator: Annotated[StrictInt, Field(ge=1, le=2**53 - 1)]


class Declaration(Authored):
    """A run about to start: what it is for and how large it is planned. Declared before its first books.

    Attributes:
        workload: the name that usage lines will bear.
        activity: what it will be booked as.
        begins_period: the first period it may compute in.
        planned_flop: all FLOP that are planned, over all periods.
        chips: how many chips of which class at once.
        parents: models it goes on from.
        purpose: in plain words.
    """

    author: SiteName
    workload: Identifier
    activity: Activity
    begins_period: Count
    planned_flop: Flop
    chips: Chips
    parents: Annotated[tuple[Digest, ...], Field(max_length=16)]
    purpose: Text


class Authorisation(Model):
    """Parties permit a lab's lineage to pass a line of the treaty, up to so many FLOP, for so long.

    In force in period p when effective_period <= p < expiry_period. Signed as an order is.
    """

    treaty: Digest
    lab: HostName
    workload: Identifier
    threshold: Identifier
    flop: Flop
    effective_period: Count
    expiry_period: Count
    reason: Text
    nonce: Nonce


class Capacity(Authored):
    """A provider says how many chips it let a site use in a period; ``readings`` commits to its records."""

    author: HostName
    kind: Literal["capacity"]
    site: SiteName
    start: InstantMs
    end: InstantMs
    chips: Chips
    readings: Digest


class Shipment(Authored):
    """A vendor says which chips it shipped to a site, by class and by serial; ``readings`` commits to its papers."""

    author: HostName
    kind: Literal["shipment"]
    site: SiteName
    start: InstantMs
    end: InstantMs
    chips: Chips
    serials: Serials
    readings: Digest


class Inspection(Authored):
    """An inspector says how many chips were counted at a site; ``readings`` is the digest of the sealed report.

    ``joules`` is what the inspector's own instrument read meanwhile, when there was one.
    """

    author: HostName
    kind: Literal["inspection"]
    site: SiteName
    start: InstantMs
    end: InstantMs
    chips: Chips
    joules: Joules | None = None
    readings: Digest


class Evaluation(Authored):
    """An evaluator commits to a protocol, later draws its seed, and reports: two statements of one chain.

    Attributes:
        stage: ``commit`` before the seed is known, ``result`` after.
        model: digest of the model that is (to be) evaluated.
        protocol: digest of the protocol: tasks, scoring, elicitation, and how the seed is drawn.
        commitment: of a result, the digest of the statement that committed; absent in that one.
        seed: of a result, the seed that the protocol then drew, lowercase hex.
        passed: of a result, whether the protocol's line was kept.
        result: of a result, digest of the report.
    """

    author: HostName
    stage: Literal["commit", "result"]
    model: Digest
    protocol: Digest
    commitment: Digest | None = None
    seed: Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{2,128}$")] | None = None
    passed: StrictBool | None = None
    result: Digest | None = None


class Autonomy(Authored):
    """What a lab says of its own use of models for its research. Self-declared: nobody measured it.

    Attributes:
        period: for which the figures hold.
        written_by_models: share of merged code that models wrote.
        reviewed_by_people: share of that code which a person reviewed before it was merged.
        longest_unattended_ms: the longest that a model acted without a person attending.
        speed_up: how much faster research went with models than without, as the lab measured it.
    """

    author: HostName
    period: Count
    written_by_models: Fraction
    reviewed_by_people: Fraction
    longest_unattended_ms: Count
    speed_up: Fraction


class RowPart(Model):
    """What one chip did for one workload within a slot; figures that the line does not state are absent here too."""

    workload: Identifier
    activity: Activity
    ms: ChipMs
    flop: Flop | None = None
    joules: Joules | None = None


class Row(Model):
    """One row of a chip x slot table: what one chip did in one slot of a period, and a salt of its own."""

    chip: Annotated[StrictStr, Field(min_length=1, max_length=128)]
    chip_class: Annotated[Identifier, Field(alias="class")]
    slot: Count
    parts: Annotated[tuple[RowPart, ...], Field(min_length=1, max_length=MAX_PARTS)]
    salt: Digest


class OpenedRow(Model):
    """A row, its index in the table, and the RFC 6962 inclusion proof up to the table's root."""

    index: Count
    row: Row
    proof: Annotated[tuple[Digest, ...], Field(max_length=63)]


class Opening(Authored):
    """A site answers a challenge: the rows that were drawn, with their proofs.

    Attributes:
        period: of the books whose table is opened.
        usage: those books.
        challenge: digest of the challenge (SHA-256 of its entry's body).
        rows: in order of index.
    """

    author: SiteName
    period: Count
    usage: Digest
    challenge: Digest
    rows: Annotated[tuple[OpenedRow, ...], Field(min_length=1, max_length=MAX_ROWS)]


class Reply(Authored):
    """A site answers a finding, which it names (not one log's query)."""

    author: SiteName
    finding: Digest
    text: Text
    cites: Digests


class Correction(Authored):
    """A site supersedes books of its own, with a reason. Both stay: nothing is ever deleted.

    Attributes:
        corrects: the usage statement that no longer counts; it must be of the same site and of *period*.
        period: of the books that are corrected.
        replacement: the usage statement that counts instead, of the same period; absent when none does.
    """

    author: SiteName
    corrects: Digest
    period: Count
    replacement: Digest | None = None
    reason: Text


class Determination(Model):
    """What only parties may say: whether somebody has complied. Signed as an order is."""

    treaty: Digest
    about: Name
    findings: Digests
    conclusion: Literal["compliant", "non-compliant", "closed"]
    reason: Text
    nonce: Nonce


class Withdrawal(Model):
    """A party leaves the treaty from a period on. Signed by that party alone."""

    treaty: Digest
    party: HostName
    effective_period: Count
    reason: Text
    nonce: Nonce
