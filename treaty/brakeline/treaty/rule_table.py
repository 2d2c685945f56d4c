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
        "disowned",
        "log",
        "a key signed something off the branch that its revocation honours",
        "a theft that nobody noticed; who held the key",
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
        (
            Parameter(
                "presumed_permille",
                "integer",
                "thousandths of the dense peak",
                "utilisation that chip time counts for at the least, whatever is reported (0: only what is reported)",
            ),
        ),
    ),
    RuleRow(
        "idle-compute",
        "log",
        "idle or maintenance time has FLOP, tokens, or more joules than the idle watts of its chips allow",
        "work that draws no more than idling; rest booked without its joules",
        (
            Parameter("idle_percent", "integer", "percent of idle watts x time", "joules that idle chips may draw"),
            Parameter(
                "maintenance_percent", "integer", "percent of idle watts x time", "joules that maintenance may draw"
            ),
        ),
    ),
    RuleRow(
        "activity-shape",
        "log",
        "the FLOP or joules of an activity do not look like that activity, by more than h over the periods: "
        "inference, evaluation or other work as busy as training, or training with too few FLOP for its power",
        "training thinned into much honest work of another activity; figures that are false alike",
        (
            Parameter(
                "work_flop_permille",
                "integer",
                "thousandths of the dense peak",
                "utilisation that inference, evaluation and other work may have",
            ),
            Parameter(
                "work_joules_permille",
                "integer",
                "thousandths of board watts x time",
                "power that inference, evaluation and other work may draw",
            ),
            Parameter(
                "training_flop_permille",
                "integer",
                "thousandths of the dense peak",
                "utilisation that training at full power has at the least",
            ),
            Parameter("h_flop", "decimal", "FLOP", "accumulated excess at which the rule fires"),
            Parameter("h_joules", "decimal", "joules", "accumulated excess at which the rule fires"),
        ),
    ),
    RuleRow(
        "method-gap",
        "log",
        "FLOP by the hardware method and by the model method differ by more than the margin, by more than h over the "
        "periods",
        "two figures that are false alike; lines that state one of them only",
        (Parameter("h_flop", "decimal", "FLOP", "accumulated difference beyond the margin at which the rule fires"),),
    ),
    RuleRow(
        "muf",
        "log",
        "unattributed chip time adds up: per period, S becomes max(0, S + unattributed - k) and the rule fires when S "
        "exceeds h",
        "use that stays inside k in every period; time booked under another name",
        (
            Parameter(
                "k_permille", "integer", "thousandths of the chip time booked", "unattributed time forgiven in a period"
            ),
            Parameter("h_flop", "decimal", "FLOP at the dense peak", "accumulated chip time at which the rule fires"),
        ),
    ),
    RuleRow(
        "energy-gap",
        "log",
        "metered energy exceeds what the booked energy explains: per period, S becomes max(0, S + gap - k) and the "
        "rule fires when S exceeds h",
        "a site without a meter; work that fits inside k in every period",
        (
            Parameter("k_joules", "decimal", "joules", "gap forgiven in every period, whatever the site's size"),
            Parameter(
                "k_permille", "integer", "thousandths of the energy explained", "gap forgiven besides (metering noise)"
            ),
            Parameter("h_joules", "decimal", "joules", "accumulated gap at which the rule fires"),
        ),
    ),
    RuleRow(
        "resume-mismatch",
        "log",
        "training went on after an order from weights other than those it was frozen with, or a freeze commitment was "
        "put in afterwards",
        "whether the frozen weights were the trained ones; a run that goes on under another name",
    ),
    RuleRow(
        "inventory-continuity",
        "log",
        "an inventory does not follow from the one before it, a shipment or a transfer is booked at one end only, or a "
        "chip's serial is opened by two sites",
        "chips that nobody attests or opens",
        (
            Parameter(
                "grace_periods", "integer", "periods", "time until what came or went must be booked at the other end"
            ),
        ),
    ),
    RuleRow(
        "undeclared-run",
        "log",
        "a run above the floor was not declared before it began or outgrew its plan, or undeclared training of a site "
        "adds up: per period, S becomes max(0, S + undeclared - k) and the rule fires when S exceeds h",
        "undeclared work that stays inside k; plans that were padded; training booked as something else",
        (
            Parameter("floor_flop", "decimal", "FLOP", "what a run may spend at a site without a declaration"),
            Parameter(
                "k_permille",
                "integer",
                "thousandths of the chip time booked",
                "undeclared training forgiven in a period",
            ),
            Parameter("h_flop", "decimal", "FLOP", "accumulated undeclared training at which the rule fires"),
        ),
    ),
    RuleRow(
        "unlinked-runs",
        "log",
        "training of a site that belongs to nothing authorised adds up: per period, S becomes max(0, S + FLOP - k) and "
        "the rule fires when S exceeds h",
        "unlinked work that stays inside k, at many sites if need be; it asks for an explanation, and is none",
        (
            Parameter("k_permille", "integer", "thousandths of the chip time booked", "such training left to a site"),
            Parameter("h_flop", "decimal", "FLOP", "accumulated training at which the rule fires"),
        ),
    ),
    RuleRow(
        "contradiction",
        "log",
        "a site's inventory or books and what a provider, an inspector or a meter saw cannot both be true",
        "a third party that lies alike; a difference of energy within the tolerance",
        (
            Parameter(
                "tolerance_permille", "integer", "thousandths of the energy", "difference between two meters forgiven"
            ),
        ),
    ),
    RuleRow(
        "sandbagging-order",
        "log",
        "an evaluation's protocol was not committed to before its result, or a model serves and was never evaluated",
        "a model that hides what it can do; inference that does not name its model",
        (
            Parameter("floor_flop", "decimal", "FLOP", "what a model may serve at a site without an evaluation"),
            Parameter("grace_periods", "integer", "periods", "time for the evaluation after that"),
        ),
    ),
    RuleRow(
        "autonomy-tripwire",
        "log",
        "a figure that a lab declares of its own use of models passes a line, or its declarations do not agree",
        "whether what is declared is true: nobody measured it",
        (
            Parameter("written_permille", "integer", "thousandths of merged code", "share that models may write"),
            Parameter("reviewed_permille", "integer", "thousandths of that code", "share that people must review"),
            Parameter("unattended_ms", "integer", "milliseconds", "time that a model may act without a person"),
            Parameter("speed_up_permille", "integer", "thousandths", "speed-up of research that models may give"),
        ),
    ),
    RuleRow(
        "false-opening",
        "log",
        "a row that a site opens of its chip x slot table is not what its books commit to, or cannot be true beside "
        "their lines",
        "a false row that was not opened; a row that fits the lines and is false",
        (Parameter("slots", "integer", "slots", "into how many slots a period is cut for the table"),),
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
        "a site booked more compute in the scope of an order that bound it than the order left",
        "compute that was not booked",
    ),
    RuleRow(
        "unacknowledged-order",
        "reconcile",
        "a site in the scope of an order did not acknowledge it in time",
        "whether it stopped (the books show that)",
    ),
    RuleRow(
        "unopened-challenge",
        "reconcile",
        "a site did not open, in time, the rows of its chip x slot table that f + 1 logs or more drew (draws need the "
        "rule false-opening too, which says how many slots a table has)",
        "whether the rows are true; the draws of f logs, which a site can leave unanswered",
        (Parameter("open_ms", "integer", "milliseconds", "from a challenge until its rows must be opened"),),
    ),
    RuleRow(
        "undisclosed",
        "reconcile",
        "fewer verifiers than the treaty asks for say, by the deadline, that they hold what opens a sealed statement",
        "what a verifier holds and does not say, or says and does not hold",
    ),
    RuleRow(
        "verifier-conduct",
        "reconcile",
        "a verifier forked its log, logged findings that do not follow from it, left out what it says it mirrored, or "
        "misdated entries",
        "more than f verifiers that lie alike",
    ),
    RuleRow(
        "wrong-version",
        "log",
        "books, evidence or a declaration of autonomy name another version of the treaty than the one that governs "
        "their period",
        "whether the author could have known of the amendment in time",
    ),
)

RULES: dict[str, RuleRow] = {row.rule: row for row in _ROWS}
"""Rule identifier -> its row, in the order in which the template lists them."""
