"""The rules a treaty of this version can put in force, and the parameters each of them needs.

A table, so that the checker of documents, the template for negotiators and the judge read one source. What a rule
computes is in ``brakeline.treaty.rules``; here stands only what a negotiator must fill in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Scope: TypeAlias = Literal["log", "reconcile"]
ParameterForm: TypeAlias = Literal["integer", "decimal"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a rule.

    Attributes:
        name: the key under ``parameters``.
        form: ``integer`` (a TOML integer) or ``decimal`` (a decimal string, for joules and FLOP).
        unit: the unit of the number.
        meaning: one sentence for a negotiator.
    """

    name: str
    form: ParameterForm
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One rule: where it is decided, what makes it fire, what it cannot see, what it needs."""

    rule: str
    scope: Scope
    fires: str
    blind: str
    parameters: tuple[Parameter, ...] = ()


_ROWS = (
    RuleRow(
        "equivocation",
        "log",
        "an author signed two different statements for one place in its chain",
        "two versions shown to two halves of the world, until their logs are compared",
    ),
    RuleRow(
        "imbalance",
        "log",
        "the lines of a period do not add up to the inventory times the period, for some class of chip",
        "books that balance and are false",
    ),
    RuleRow(
        "peak-exceeded",
        "log",
        "a line books more FLOP than its chips could do at their dense peak",
        "any number below the peak",
    ),
    RuleRow(
        "threshold",
        "log",
        "compute accumulated over a lineage of models passes a threshold",
        "compute that was never booked, or booked without its parents",
    ),
    RuleRow(
        "energy-gap",
        "log",
        "metered energy exceeds what the booked energy explains: per period, S becomes max(0, S + gap - k) and the "
        "rule fires when S exceeds h",
        "a site without a meter; work that fits inside k in every period",
        (
            Parameter("k_joules", "decimal", "joules", "gap forgiven in every period (metering noise)"),
            Parameter("h_joules", "decimal", "joules", "accumulated gap at which the rule fires"),
        ),
    ),
    RuleRow(
        "missing-period",
        "reconcile",
        "fewer than f + 1 logs ever had a site's books of a period, though its deadline has passed",
        "why they are missing",
    ),
    RuleRow(
        "late",
        "reconcile",
        "a site's books of a period reached f + 1 logs only after the deadline",
        "why they were late",
    ),
    RuleRow(
        "brake-breach",
        "reconcile",
        "a site booked compute in the scope of an order that bound it",
        "compute that was not booked",
    ),
    RuleRow(
        "unacknowledged-order",
        "reconcile",
        "a site in the scope of an order did not acknowledge it in time",
        "whether it stopped (the books show that)",
    ),
    RuleRow(
        "verifier-conduct",
        "reconcile",
        "a verifier forked its log, logged findings that do not follow from it, left out what it says it mirrored, or "
        "misdated entries",
        "more than f verifiers that lie alike",
    ),
)

RULES: dict[str, RuleRow] = {row.rule: row for row in _ROWS}
"""Rule identifier -> its row, in the order in which the template lists them."""
