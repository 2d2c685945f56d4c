"""Do the two methods of counting compute agree in a site's own books? Said to its operator before it is a finding.

The sum is that of the rule ``method-gap`` (:mod:`brakeline.treaty.rules.method_gap`), over the books as they stand:
per activity, over lines that state both methods, H = sum of ``flop_hardware`` and M = sum of ``flop_model`` of each
period; with the treaty's margin m, x = (1 - m) H - M where the model method is low, x = (1 - m) M - H where the
hardware method is; S <- max(0, S + x), and the rule fires where S > h. What it cannot see: lines that state one method
only, and figures that are sealed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from brakeline.node.journal_records import RecordsJournal
from brakeline.treaty.disclosure import open_payload, parse_disclosure
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.quantities import Flop
from brakeline.treaty.sealing import PADDING
from brakeline.treaty.statements import Usage, UsageLine, parse_statement
from brakeline.treaty.strictjson import JsonObject

RULE = "method-gap"
PERIODS = 1_000
"""How far back a node looks: what came before could only make the sum larger."""
Following: TypeAlias = Iterable[tuple[int, tuple[UsageLine, ...]]]


@dataclass(frozen=True, slots=True)
class Gap:
    """How one activity stands, and on which side.

    Attributes:
        low: the method that says less: ``model`` or ``hardware``.
        period: the last one with both methods; ``hardware``, ``model``: its FLOP.
        gap: S at its end, FLOP, rounded down; ``limit``: h.
        fired: whether S passed h in any period.
    """

    activity: str
    low: str
    period: int
    hardware: int
    model: int
    gap: int
    limit: int
    fired: bool

    def to_json(self) -> JsonObject:
        """Return it as ``--format json`` prints it; FLOP as decimal strings."""
        return {
            "activity": self.activity,
            "low": self.low,
            "period": self.period,
            "hardware_flop": str(self.hardware),
            "model_flop": str(self.model),
            "gap_flop": str(self.gap),
            "limit_flop": str(self.limit),
            "finding": self.fired,
        }

    def text(self) -> str:
        """Return one line for people."""
        what = "more than the treaty allows: a finding" if self.fired else f"of {self.limit} that the treaty allows"
        return (
            f"the methods disagree about {self.activity}: the {self.low} method is low (period {self.period}: hardware "
            f"{self.hardware}, model {self.model} FLOP); beyond the margin so far {self.gap} FLOP, {what}"
        )


def gaps(document: TreatyDocument, books: Iterable[tuple[int, tuple[UsageLine, ...]]]) -> list[Gap]:
    """Return where the methods disagree beyond the margin, by the books of each period in order; nothing where not."""
    terms = document.rule(RULE)
    if terms is None:
        return []
    limit, margin = terms.integer("h_flop"), document.counting.margin
    whole, part = margin.denominator, margin.denominator - margin.numerator
    sums: dict[tuple[str, str], int] = {}
    last: dict[str, tuple[int, int, int]] = {}
    fired: set[tuple[str, str]] = set()
    for period, lines in books:
        for activity, (hardware, model) in _by_activity(lines).items():
            last[activity] = period, hardware, model
            for low, x in (("model", part * hardware - whole * model), ("hardware", part * model - whole * hardware)):
                key = activity, low
                sums[key] = max(0, sums.get(key, 0) + x)
                if sums[key] > limit * whole:
                    fired.add(key)
    return [
        Gap(activity, low, *last[activity], total // whole, limit, (activity, low) in fired)
        for (activity, low), total in sorted(sums.items())
        if total or (activity, low) in fired
    ]


def open_lines(payload: bytes, opens: bytes) -> tuple[UsageLine, ...]:
    """Return the lines of books of one's own, as they read open and without padding; *opens*: their disclosure."""
    said = open_payload(payload, parse_disclosure(opens)) if opens else parse_statement(payload)
    lines = said.predicate.lines if isinstance(said.predicate, Usage) else ()
    return tuple(line for line in lines if line.workload != PADDING)


def gaps_of(document: TreatyDocument, journal: RecordsJournal, following: Following = ()) -> list[Gap]:
    """Return the gaps in a site's own books of the newest ``PERIODS`` periods, and in those that are to follow."""
    stood = ((period, open_lines(payload, opens)) for period, payload, opens in journal.standing(PERIODS))
    return gaps(document, [*stood, *following]) if document.rule(RULE) is not None else []


def _by_activity(lines: tuple[UsageLine, ...]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for line in lines:
        hardware, model = line.flop_hardware, line.flop_model
        if isinstance(hardware, Flop) and isinstance(model, Flop):
            h, m = found.get(line.activity.value, (0, 0))
            found[line.activity.value] = h + hardware.value, m + model.value
    return found
