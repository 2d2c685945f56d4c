"""What an audit hands to whoever wants more than its report, while the copies that it read are still open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brakeline.audit.copies import Replayed
from brakeline.audit.receipts import ReceiptRow
from brakeline.audit.report import AuditReport
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.replay import Facts


@dataclass(frozen=True, slots=True)
class Look:
    """An audit's material.

    Attributes:
        document: the pinned treaty.
        report: as it will be returned.
        findings: those of the report, as the rules gave them.
        copies: every source, as far as it was read.
        parts: the facts of each log's furthest copy, one an origin.
        receipts: one row a receipt that was given.
    """

    document: TreatyDocument
    report: AuditReport
    findings: Sequence[Finding]
    copies: Sequence[Replayed]
    parts: Sequence[Facts]
    receipts: Sequence[ReceiptRow] = ()
