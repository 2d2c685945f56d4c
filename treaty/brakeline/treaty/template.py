"""The commented TOML file that ``brakeline treaty new`` writes: every term there is, explained for a negotiator.

What it is: text with presets. Every preset is a starting point to negotiate from, not a recommendation; what the
software itself needs (that quorums overlap, that deadlines can be met) is what ``brakeline treaty check`` checks. Keys
that are not given stand as placeholders that the checker points at, line by line, until all are there.

Pure: choices in, text out; the caller brings names, keys and the start of the grid.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from brakeline.treaty.rule_table import RULES, RuleRow
from brakeline.treaty.sealing import FIGURES, PATTERNS
from brakeline.treaty.terms import PLACEHOLDER

WIDTH = 110
SEALS: Mapping[str, tuple[str, ...]] = {
    "nothing": (),
    "figures": tuple(pattern for pattern in PATTERNS if pattern.rpartition("/")[2] in {*FIGURES, "flop"}),
    "lines": PATTERNS,
}
"""What a new treaty may let sites seal: word -> the patterns of its ``[sealing]``."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What a new treaty file is about.

    Attributes:
        name: the treaty's name.
        start_ms: first instant of period 0, Unix milliseconds.
        parties: names, the first one first.
        labs: (name, party).
        third_parties: (name, kind).
        verifiers: (name, who runs it).
        keys: (name, purpose) -> key text, for the keys that exist; purposes are "party", "lab-root", "third-party",
            "log", "witness", "disclosure".
        seals: a word of :data:`SEALS`: what sites may seal.
    """

    name: str
    start_ms: int
    parties: Sequence[str] = ("party-a.example", "party-b.example")
    labs: Sequence[tuple[str, str]] = (
        ("lab-1.party-a.example", "party-a.example"),
        ("lab-2.party-b.example", "party-b.example"),
    )
    third_parties: Sequence[tuple[str, str]] = (
        ("meter.example", "meter"),
        ("institute.example", "inspector"),
        ("observatory.example", "inspector"),
        ("evaluator.example", "evaluator"),
    )
    verifiers: Sequence[tuple[str, str]] = (
        ("verifier.party-a.example", "party-a.example"),
        ("verifier.party-b.example", "party-b.example"),
        ("verifier.institute.example", "institute.example"),
        ("verifier.observatory.example", "observatory.example"),
    )
    keys: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    seals: str = "nothing"

    def wanted_keys(self) -> list[tuple[str, str]]:
        """Return (name, purpose) of every key the file names, in its order."""
        return [
            *((name, "party") for name in self.parties),
            *((name, "lab-root") for name, _ in self.labs),
            *((name, "third-party") for name, _ in self.third_parties),
            *((name, purpose) for name, _ in self.verifiers for purpose in ("log", "witness", "disclosure")),
        ]


def key_file(name: str, purpose: str) -> str:
    """Return the file name this project's commands suggest for a key (``party-a.example.party.key``)."""
    return f"{name}.{purpose}.key"


def render(choices: Choices) -> str:
    """Return the TOML text for *choices*: valid TOML, and a sane treaty once every key is given."""
    parts = [_head(choices), _time(choices), _LIMITS, _quorum(choices), _people(choices), _CHIPS, _RULES_HEAD]
    parts += [_rule(row, number) for number, row in enumerate(RULES.values(), start=_FIRST_ARTICLE)]
    parts.append(_tail(choices))
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _head(choices: Choices) -> str:
    return f"""
# {choices.name}: the terms of a treaty, as one file.
#
# Edit it by hand, run `brakeline treaty check FILE` until it finds no mistake, then let everybody whose key it names
# sign it (`brakeline treaty sign`). What is signed is the canonical JSON of this file, without the comments; its
# SHA-256 is the *pin*, by which auditors and nodes know this version: `brakeline treaty show FILE`.
# Times ending in _ms are milliseconds: 60000 is a minute, 3600000 an hour, 86400000 a day.

name = "{choices.name}"

# Versions count from 1. A later version names the pin of the one before, and the first period it governs.
version = 1
previous = "{"0" * 64}"
effective_period = 0

# What holds when the logs fall silent, so that nobody can tell whether an order exists: "continue" under the terms in
# force, or "stop" what an order could stop.
silence = "continue"
"""


def _time(choices: Choices) -> str:
    return f"""
# --- Time --------------------------------------------------------------------------------------------------------

# Books are kept per period: period p is [start + p * period_ms, start + (p + 1) * period_ms). The grid never changes.
[grid]
start = {choices.start_ms}     # Unix milliseconds of the first instant of period 0
period_ms = 3_600_000        # one hour

[deadlines]
report_ms = 86_400_000       # from the end of a period until its books must stand in f + 1 logs
heartbeat_ms = 60_000        # longest time between two heartbeats of a log: the clock by which absence is proven
checkpoint_ms = 30_000       # longest time between two signed checkpoints of a log: how long a receipt may take
takeover_ms = 600_000        # from seeing a statement in another's log until it must stand in one's own
skew_ms = 5_000              # how far the clocks of honest verifiers may be apart
notice_ms = 3_600_000        # from the moment f + 1 logs hold an order until a site can be in breach of it
stop_ms = 600_000            # from seeing an order until no further optimiser step starts
save_ms = 3_600_000          # from stopping until the weights are saved and their digest is committed
acknowledge_ms = 7_200_000   # from the moment f + 1 logs hold an order until its acknowledgement must stand in them
disclosure_ms = 21_600_000   # from a sealed statement until verifiers must hold what opens it
reply_ms = 1_209_600_000     # right of reply to a query (14 days): nothing is referred before
"""


_LIMITS = """
# --- Limits and goals --------------------------------------------------------------------------------------------

[limits]
child_cap = 8     # rival successors of one statement that a log takes from its author (two are already a finding)
line_count = 32   # lines of one usage statement at most

# What the treaty wants to be able to see, how fast, and with what probability.
[goals]
significant_quantity_flop = "10000000000000000000000000"  # 1e25: an amount of training that would matter
timeliness_ms = 2_592_000_000                             # 30 days: seen and stopped before it is complete
detection = { numerator = 95, denominator = 100 }
"""


def _quorum(choices: Choices) -> str:
    n, parties = len(choices.verifiers), len(choices.parties)
    f = max(0, (n - 1) // 3)
    w = (n + f) // 2 + 1
    m = parties // 2 + 1
    return f"""
# --- Quorums -----------------------------------------------------------------------------------------------------

# n = {n} verifiers are named below, of which f may lie, be silent or be captured without any promise breaking.
[quorum]
liars = {f}        # f; n must be at least 3f + 1
witnesses = {w}    # cosignatures under a checkpoint, more than (n + f)/2: no log can then show two histories
receipts = {w}     # k1: logs from which a site gathers a receipt
audit = {w}        # k2: logs an auditor reads; k1 + k2 > n + f, so that they share an honest one
orders = {m}       # parties that sign an order (pause, slow, resume); more than half
amendments = {m}   # parties that sign a version of this treaty; more than half
"""


def _people(choices: Choices) -> str:
    parts = [
        "# --- Who takes part: one key, one purpose; the command above each key makes it ----------------------------\n"
    ]
    parts.append("# A party signs versions of this treaty and orders.")
    for name in choices.parties:
        parts += ["[[party]]", f'name = "{name}"', *_key(choices, "key", name, "party"), ""]
    parts.append("# A lab runs chips. Its root key stays offline; it enrols the keys of the lab's sites.")
    for name, party in choices.labs:
        parts += ["[[lab]]", f'name = "{name}"', f'party = "{party}"', *_key(choices, "root_key", name, "lab-root"), ""]
    parts += [
        "# A third party gives evidence from outside: a meter (energy), provider (capacity sold), vendor (chips",
        "# shipped), inspector or evaluator. A neutral body that runs a verifier is named here too.",
    ]
    for name, kind in choices.third_parties:
        parts += [
            "[[third_party]]",
            f'name = "{name}"',
            f'kind = "{kind}"',
            *_key(choices, "key", name, "third-party"),
            "",
        ]
    parts += [
        "# A verifier keeps a log (log_key), cosigns the logs of the others (witness_key), and opens what is sealed to",
        "# it (disclosure_key; may be left out where nothing is sealed). `party` is who runs it: nobody should run",
        "# more than f. `brakeline verifier init` makes the three keys in place and prints this table.",
    ]
    for name, party in choices.verifiers:
        parts += ["[[verifier]]", f'name = "{name}"', f'party = "{party}"']
        parts += _key(choices, "log_key", name, "log")
        parts += _key(choices, "witness_key", name, "witness")
        if choices.seals != "nothing" or not choices.keys or (name, "disclosure") in choices.keys:
            parts += _key(choices, "disclosure_key", name, "disclosure")
        parts += [f'url = "https://{name}"           # read API: tiles, checkpoint', f'grpc = "{name}:7443"', ""]
    return "\n".join(parts)


def _key(choices: Choices, member: str, name: str, purpose: str) -> list[str]:
    given = choices.keys.get((name, purpose))
    if given is not None:
        return [f'{member} = "{given}"']
    command = f"brakeline key new --purpose {purpose} --name {name} --out {key_file(name, purpose)}"
    optional = "# " if purpose == "disclosure" and choices.seals == "nothing" else ""
    return [f"# {command}", f'{optional}{member} = "{PLACEHOLDER}"']


_CHIPS = """
# --- Compute -----------------------------------------------------------------------------------------------------

# Chips that can be declared: dense peak, watts of a board at work and idle, and how many H100 one counts for.
[[chip_class]]
name = "a100-sxm-80gb"
peak_flop_per_s = "312000000000000"
board_watts = 400
idle_watts = 60
h100_equivalent = { numerator = 312, denominator = 989 }
source = "NVIDIA A100 data sheet: 312 TFLOP/s dense BF16, 400 W; idle watts measured by the parties"

[[chip_class]]
name = "h100-sxm"
peak_flop_per_s = "989000000000000"
board_watts = 700
idle_watts = 75
h100_equivalent = { numerator = 1, denominator = 1 }
source = "NVIDIA H100 data sheet: 989 TFLOP/s dense BF16, 700 W; idle watts measured by the parties"

# How training compute is counted: which lines, in which precision, and what makes a modification of somebody's model a
# new model. "free" counts all that is reported; "eu-gpai", "miri", "us-eo14110" and "sb53" count as those texts do
# (docs/spec/rules.md, threshold). Where a line states both methods of counting, the larger counts.
[counting]
profile = "free"
margin = { numerator = 30, denominator = 100 }   # the two methods of counting may differ by this much
pue = { numerator = 13, denominator = 10 }       # facility energy over IT energy, as the meter sees it: 1.3

# Lines that compute, accumulated over a model's lineage, may not pass without an authorisation. Lowest first.
[[threshold]]
name = "watched"
flop = "1000000000000000000000000"     # 1e24
activities = ["training"]
article = "Art. 4 (1)"

[[threshold]]
name = "frontier"
flop = "10000000000000000000000000"    # 1e25
activities = ["training"]
article = "Art. 4 (2)"
"""

_RULES_HEAD = """
# --- Rules in force ----------------------------------------------------------------------------------------------

# Each rule names its severity (note; discrepancy: opens a query; referral: goes to the parties) and the article of the
# treaty text it enforces. Software never pronounces non-compliance: only the parties do. A rule that is left out is not
# in force, and `brakeline treaty check` says so.
"""

_FIRST_ARTICLE = 5

_SEVERITY = {
    "equivocation": "referral",
    "threshold": "referral",
    "brake-breach": "referral",
    "resume-mismatch": "referral",
    "verifier-conduct": "referral",
    "late": "note",
    "undeclared-run": "discrepancy",
    "autonomy-tripwire": "note",
    "wrong-version": "note",
}
"""Preset severities; every other rule is a discrepancy."""

_PRESETS = {
    ("threshold", "presumed_permille"): (
        "300",
        "a report below 30 % of peak counts as 30 %. Frontier runs publish 30 to 45 %, so that a run cannot be told to "
        "be less than two thirds of what it is; a lab whose runs are slower asks for an authorisation with its figures",
    ),
    ("idle-compute", "idle_percent"): ("115", "idle watts are measured, and vary between boards"),
    ("idle-compute", "maintenance_percent"): (
        "150",
        "restarts and self-tests; burn-in at full load is booked as other work, with its FLOP",
    ),
    ("activity-shape", "work_flop_permille"): (
        "200",
        "20 %, of all inference of a site together: decoding uses 1 to 20 % of peak, reading prompts up to 35 %; "
        "training 30 to 45 %. A site that serves little but long prompts explains itself, or asks for its own figures",
    ),
    ("activity-shape", "work_joules_permille"): (
        "600",
        "60 %, of all inference of a site together: decoding draws 40 to 60 % of board power, reading prompts up to 70 "
        "%, training 75 to 95 %",
    ),
    ("activity-shape", "training_flop_permille"): (
        "150",
        "15 %: training that draws full power and claims less is not telling all",
    ),
    ("activity-shape", "h_flop"): ('"100000000000000000000000"', "1e23, a hundredth of the significant quantity"),
    ("activity-shape", "h_joules"): (
        '"100000000000"',
        "1e11, about a hundred and eightieth of what a significant quantity draws on H100 boards at 40 % of peak",
    ),
    ("method-gap", "h_flop"): ('"100000000000000000000000"', "1e23, a hundredth of the significant quantity"),
    ("muf", "k_permille"): ("10", "1 %: what meters lose when machines restart"),
    ("muf", "h_flop"): (
        '"250000000000000000000000"',
        "2.5e23, a hundredth of the chip time in which a significant quantity is trained at 40 % of peak",
    ),
    ("inventory-continuity", "grace_periods"): ("720", "30 days: chips travel, and papers travel slower"),
    ("undeclared-run", "floor_flop"): ('"10000000000000000000000"', "1e22: small work needs no paper"),
    ("undeclared-run", "k_permille"): (
        "20",
        "2 %: a site may train that much in runs below the floor without saying so",
    ),
    ("undeclared-run", "h_flop"): ('"1000000000000000000000000"', "1e24, a tenth of the significant quantity"),
    ("unlinked-runs", "k_permille"): ("50", "5 %: experiments below every line, and runs of users"),
    ("unlinked-runs", "h_flop"): ('"2000000000000000000000000"', "2e24, a fifth of the significant quantity"),
    ("contradiction", "tolerance_permille"): ("50", "5 %: two meters of the same hall"),
    ("sandbagging-order", "floor_flop"): ('"10000000000000000000000"', "1e22: a model that many people use"),
    ("sandbagging-order", "grace_periods"): ("720", "30 days"),
    ("autonomy-tripwire", "written_permille"): ("900", "90 %; in 2026 labs report 80"),
    ("autonomy-tripwire", "reviewed_permille"): ("500", "half of it"),
    ("autonomy-tripwire", "unattended_ms"): ("86400000", "a day; in 2026 labs report 16 hours"),
    ("autonomy-tripwire", "speed_up_permille"): ("2000", "twice as fast"),
    ("false-opening", "slots"): ("4", "a quarter of a period: one row for each chip in each"),
    ("unopened-challenge", "open_ms"): ("86400000", "a day: nodes answer by themselves within minutes"),
    ("energy-gap", "k_joules"): ('"3600000"', "1 kWh: rounding of the smallest sites"),
    ("energy-gap", "k_permille"): ("30", "3 %: meters of class 1, and PUE that drifts with the weather"),
    ("energy-gap", "h_joules"): (
        '"100000000000"',
        "1e11, or 28 MWh: two hours of a site of 16,384 H100, and a two hundredth of a significant quantity",
    ),
}
"""(Rule, parameter) -> what the template writes, and why; for h: see goals.significant_quantity_flop."""


def _rule(row: RuleRow, number: int) -> str:
    where = "decided from one log" if row.scope == "log" else "decided from several logs together"
    lines = _comment(f"Fires when {row.fires}. Cannot see: {row.blind}. ({where[0].upper()}{where[1:]}.)")
    lines += ["[[rule]]", f'rule = "{row.rule}"', f'severity = "{_SEVERITY.get(row.rule, "discrepancy")}"']
    lines.append(f'article = "Art. {number}"')
    if row.parameters:
        lines.append("[rule.parameters]")
        for parameter in row.parameters:
            value, note = _PRESETS[row.rule, parameter.name]
            lines += _comment(f"{parameter.name}, {parameter.unit}: {parameter.meaning}. Here {note}.")
            lines.append(f"{parameter.name} = {value}")
    else:
        lines.append("parameters = {}")
    return "\n".join(lines)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")


def _tail(choices: Choices) -> str:
    fields = "".join(f'    "{pattern}",\n' for pattern in SEALS[choices.seals])
    return f"""
# --- Secrets -----------------------------------------------------------------------------------------------------

# Members of statements that may be sealed (JSON pointers; * is any one step), and how many verifiers must hold what
# opens them (more than f, and f fewer than have a disclosure_key). Empty: everybody reads every figure. Rules cannot
# judge in public what is sealed: the verifiers that hold it do, and state opinions. `treaty new --seals` fills this in.
[sealing]
fields = [{f"{chr(10)}{fields}" if fields else ""}]
holders = 2

# Long lists (serial numbers, sites) kept apart, by digest:
# [[annex]]
# name = "chip-serials"
# digest = "64 hex digits"
"""
