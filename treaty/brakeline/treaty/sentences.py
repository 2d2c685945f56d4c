"""Findings in plain words, for delegates: one sentence each, rendered from the finding and nothing else.

Prose is no part of a finding, so that better wording never changes a digest. A figure that a finding lacks (one by
another version of these rules) is shown as "?", never an error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

from brakeline.treaty.findings import Finding

Figures = Mapping[str, str]

_REASONS = {
    "unknown": "no log holds that inventory",
    "another-site": "that inventory is another site's",
    "not-yet-effective": "that inventory takes effect later",
}


def sentence(finding: Finding) -> str:
    """Return *finding* as one English sentence that names whom it is about, when, and the figures.

    >>> from brakeline.treaty.findings import Severity
    >>> sentence(Finding(rule="late", severity=Severity.NOTE, article="Art. 14", about="lab.example/site-1", period=3,
    ...     statements=(), figures={"due_ms": "1000", "arrived_ms": "3500"}))
    'lab.example/site-1: the books of period 3 came 2500 ms after they were due (Art. 14).'
    """
    figures = defaultdict(lambda: "?", finding.figures)
    say = _SAY.get(finding.rule, _unknown_rule)
    return f"{finding.about}: {say(finding, figures)} ({finding.article})."


def _when(finding: Finding) -> str:
    return "an unknown period" if finding.period is None else f"period {finding.period}"


def _number(text: str) -> str:
    """Group the digits of a decimal figure: ``1 234 567`` reads better than ``1234567``."""
    return f"{int(text):,}".replace(",", " ") if text.isascii() and text.isdigit() else text


def _equivocation(_finding: Finding, figures: Figures) -> str:
    return f"signed {figures['versions']} different statements as number {figures['sequence']} of its chain"


def _disowned(_finding: Finding, figures: Figures) -> str:
    return (
        f"{_number(figures['statements'])} statements were signed by the key {figures['key'][:16]}..., which its lab "
        f"ended, off the branch up to statement {figures['sequence']} that the lab stands by"
    )


def _imbalance(finding: Finding, figures: Figures) -> str:
    if figures["reason"] == "withdrawn":
        return f"corrected the books of {_when(finding)} away, and put no others in their place"
    if "reason" in finding.figures:
        reason = _REASONS.get(figures["reason"], figures["reason"])
        return f"the books of {_when(finding)} rest on inventory {figures['inventory'][:16]}..., but {reason}"
    return (
        f"the books of {_when(finding)} account for {_number(figures['booked_chip_ms'])} chip-milliseconds of class "
        f"{figures['class']}, where the inventory makes it {_number(figures['due_chip_ms'])}"
    )


def _peak_exceeded(finding: Finding, figures: Figures) -> str:
    return (
        f"line {figures['line']} ({figures['workload']}) of the books of {_when(finding)} claims "
        f"{_number(figures['flop'])} FLOP, more than the {_number(figures['peak_flop'])} its chips could do"
    )


def _threshold(finding: Finding, figures: Figures) -> str:
    return (
        f"the training run {figures['workload']}, with all it descends from, reached {_number(figures['total_flop'])} "
        f"FLOP in {_when(finding)} and so passed the line {figures['threshold']} of {_number(figures['line_flop'])}"
    )


def _idle_compute(finding: Finding, figures: Figures) -> str:
    shows = [
        f"{_number(figures[name])} {unit}"
        for name, unit in (("flop", "FLOP"), ("tokens", "tokens"))
        if figures[name] != "0"
    ]
    shows.append(f"{_number(figures['joules'])} joules, where rest draws at most {_number(figures['allowed_joules'])}")
    return (
        f"line {figures['line']} ({figures['workload']}) of the books of {_when(finding)} calls its chips "
        f"{_REST.get(figures['activity'], figures['activity'])} and shows {' and '.join(shows)}"
    )


_REST = {"idle": "idle", "maintenance": "under maintenance"}


def _activity_shape(finding: Finding, figures: Figures) -> str:
    activity = figures["activity"]
    if figures["shape"] == "flop-high":
        return (
            f"by {_when(finding)} what is booked as {activity} had used its chips beyond "
            f"{_share(figures['work_flop_permille'])} of their peak by {_number(figures['sum_flop'])} FLOP in all, as "
            f"only training does; the treaty's limit is {_number(figures['h_flop'])}"
        )
    if figures["shape"] == "joules-high":
        return (
            f"by {_when(finding)} what is booked as {activity} had drawn {_number(figures['sum_joules'])} joules "
            f"beyond {_share(figures['work_joules_permille'])} of what its boards can draw, as only training does; the "
            f"treaty's limit is {_number(figures['h_joules'])}"
        )
    return (
        f"by {_when(finding)} training had been booked with {_number(figures['sum_flop'])} FLOP fewer than its power "
        f"makes at {_share(figures['training_flop_permille'])} of peak; the treaty's limit is "
        f"{_number(figures['h_flop'])}"
    )


def _method_gap(finding: Finding, figures: Figures) -> str:
    low, high = ("hardware", "model") if figures["low"] == "hardware" else ("model", "hardware")
    return (
        f"by {_when(finding)} the {low} method of counting {figures['activity']} had come out "
        f"{_number(figures['sum_flop'])} FLOP below the {high} method, beyond the margin of {figures['margin']}; the "
        f"treaty's limit is {_number(figures['h_flop'])}"
    )


def _muf(finding: Finding, figures: Figures) -> str:
    return (
        f"by {_when(finding)} chip time worth {_number(figures['sum_flop'])} FLOP at peak had gone unattributed, "
        f"beyond the {_share(figures['k_permille'])} forgiven a period; the treaty's limit is "
        f"{_number(figures['h_flop'])}"
    )


def _undeclared(finding: Finding, figures: Figures) -> str:
    if figures["reason"] == "scattered":
        return (
            f"by {_when(finding)} training that nobody declared had added up to {_number(figures['sum_flop'])} FLOP "
            f"beyond the {_share(figures['k_permille'])} of its chip time that may go undeclared; the treaty's limit "
            f"is {_number(figures['h_flop'])}"
        )
    spent = f"the run {figures['workload']} had spent {_number(figures['total_flop'])} FLOP by {_when(finding)}"
    if figures["reason"] == "beyond-plan":
        return f"{spent}, more than the {_number(figures['planned_flop'])} it was declared with, and the margin"
    return f"{spent} and was not declared before it began; the floor is {_number(figures['floor_flop'])}"


def _unlinked(finding: Finding, figures: Figures) -> str:
    return (
        f"by {_when(finding)} training that belongs to nothing authorised had added up to "
        f"{_number(figures['sum_flop'])} FLOP beyond the {_share(figures['k_permille'])} of its chip time left to such "
        f"work; the treaty's limit is {_number(figures['h_flop'])}"
    )


def _continuity(_finding: Finding, figures: Figures) -> str:
    reason = figures["reason"]
    if reason == "unbalanced":
        return (
            f"its chips of class {figures['class']} do not follow from the inventory before: {figures['opening']} "
            f"there, {figures['in']} came, {figures['out']} went, and {figures['closing']} are declared"
        )
    if reason == "two-sites":
        return f"the chip {figures['chip']} was opened here and at {figures['other_site']}, and nobody sent it"
    if reason in _UNLINKED:
        return f"the inventory {figures['inventory'][:16]}... {_UNLINKED[reason]}"
    moved = f"{figures['attested']} chips of class {figures['class']} from {figures['from']} to {figures['to']}"
    return f"{moved} are attested at the other end, and {figures['booked']} are booked here"


_UNLINKED = {
    "unlinked": "follows no other, though it is not the site's first",
    "unknown": "follows one that no log holds",
    "another-site": "follows one of another site",
}


def _contradiction(finding: Finding, figures: Figures) -> str:
    if figures["kind"] in ("phantom", "instrument"):
        seen = "a meter" if figures["kind"] == "phantom" else "an inspector's instrument"
        return (
            f"the books of {_when(finding)} attest {_number(figures['attested_joules'])} joules, where {seen} read "
            f"{_number(figures['metered_joules'])}: both cannot be true"
        )
    saw = "let it use" if figures["kind"] == "capacity" else "counted"
    return (
        f"in {_when(finding)} {figures['by']} {saw} {figures['counted']} chips of class {figures['class']}, where the "
        f"inventory declares {figures['declared']}"
    )


def _sandbagging(finding: Finding, figures: Figures) -> str:
    if figures["reason"] == "never-evaluated":
        return (
            f"the model {figures['model'][:16]}... had served {_number(figures['served_flop'])} FLOP by "
            f"{_when(finding)} and no valid evaluation of it is in the log; the floor is "
            f"{_number(figures['floor_flop'])}"
        )
    why = _EVALUATION.get(figures["reason"], figures["reason"])
    return f"the evaluation {figures['evaluation'][:16]}... does not count: {why}"


_EVALUATION = {
    "no-commitment": "it names no commitment made before",
    "unknown": "the commitment that it names is in no log",
    "another-author": "the commitment that it names is another evaluator's",
    "another-model": "the commitment that it names is about another model",
    "another-protocol": "the commitment that it names is to another protocol",
    "not-before": "what it names is no commitment made before it",
}


def _autonomy(finding: Finding, figures: Figures) -> str:
    figure = figures["figure"].replace("_", " ")
    what = f"declares, of itself and measured by nobody, {figure} of {figures['declared']} for {_when(finding)}"
    if figures["reason"] == "contradicts":
        return f"{what}, in {figures['declarations']} declarations that do not agree"
    if figures["reason"] == "impossible":
        return f"{what}, which cannot be"
    return f"{what}, beyond the treaty's line of {_number(figures['line'])}"


def _share(permille: str) -> str:
    """Write thousandths as a percentage: ``35.5 %``."""
    if not (permille.isascii() and permille.isdigit()):
        return permille
    whole, tenth = divmod(int(permille), 10)
    return f"{whole}.{tenth} %" if tenth else f"{whole} %"


def _energy_gap(finding: Finding, figures: Figures) -> str:
    return (
        f"by {_when(finding)} a meter had read {_number(figures['sum_joules'])} joules more than the books explain, "
        f"beyond the {_number(figures['k_joules'])} joules and {_share(figures['k_permille'])} forgiven a period; the "
        f"treaty's limit is {_number(figures['h_joules'])}"
    )


def _resume(_finding: Finding, figures: Figures) -> str:
    if figures["act"] == "commitment":
        return (
            f"committed to {figures['commitments']} states of {figures['workload']}, of which {figures['stopped']} "
            f"programs had stopped on the order {figures['order'][:16]}..."
        )
    return (
        f"went on with {figures['workload']} from the state {figures['resumed'][:16]}..., which is not what it was "
        f"frozen with ({figures['frozen'][:16]}...), under the order {figures['order'][:16]}..."
    )


_FALSE = {
    "table-size": "the table has not one row for each chip and slot",
    "not-in-table": "the row is not the one that was committed to",
    "another-slot": "the row is of another slot than its place says",
    "slot-not-filled": "what the chip did does not fill the slot",
    "no-such-line": "the books have no line for what the chip did",
    "beyond-line": "it says more than the line that it belongs to, or other figures",
    "beyond-peak": "it has more FLOP than the chip could do",
}


def _opening(finding: Finding, figures: Figures) -> str:
    books = f"the books {figures['usage'][:16]}... of {_when(finding)}"
    if figures["reason"] == "no-such-books":
        return f"opened rows of {books}, which are not in the log as its own"
    why = _FALSE.get(figures["reason"], figures["reason"])
    return (
        f"opened {figures['false_rows']} false rows of {books}; the first, row {figures['row']} of chip "
        f"{figures['chip']}: {why}"
    )


def _missing(finding: Finding, figures: Figures) -> str:
    held = f"{figures['logs']} of the {figures['needed']} logs needed have them"
    return f"the books of {_when(finding)} are missing: {held}, and the deadline has passed"


def _late(finding: Finding, figures: Figures) -> str:
    arrived, due = figures["arrived_ms"], figures["due_ms"]
    by = f"{int(arrived) - int(due)} ms" if arrived.isdigit() and due.isdigit() else "?"
    return f"the books of {_when(finding)} came {by} after they were due"


def _breach(finding: Finding, figures: Figures) -> str:
    since = f"in {_when(finding)}, though the order has bound it since period {figures['binding_period']}"
    work = f"{_number(figures['chip_ms'])} chip-milliseconds"
    if "class" in finding.figures:
        ceiling = f"the {_number(figures['ceiling_chip_ms'])} that an order to slow down leaves it"
        return f"booked {work} of class {figures['class']}, more than {ceiling}, {since}"
    return f"booked {work} and {_number(figures['flop'])} FLOP of paused activity {since}"


def _unacknowledged(_finding: Finding, figures: Figures) -> str:
    held = f"{figures['logs']} of the {figures['needed']} logs needed have its word"
    return f"did not acknowledge an order in time: {held}"


def _undisclosed(finding: Finding, figures: Figures) -> str:
    return (
        f"{figures['leaves']} values of a statement of {_when(finding)} are sealed; by the deadline "
        f"{figures['holders']} verifiers said that they hold what opens them, and the treaty asks for "
        f"{figures['needed']}"
    )


def _unopened(finding: Finding, figures: Figures) -> str:
    return (
        f"left {figures['unopened']} of {figures['drawn']} rows unopened that {figures['challenges']} logs drew from "
        f"the table of its books {figures['usage'][:16]}... of {_when(finding)}, beyond the deadline"
    )


def _conduct(_finding: Finding, figures: Figures) -> str:
    if figures["act"] == "fork":
        return (
            f"signed two histories: roots {figures['root'][:16]}... and {figures['other_root'][:16]}... at "
            f"{figures['size']} entries, the latter seen in the log {figures['seen_in']}"
        )
    if figures["act"] == "omission":
        return (
            f"says in its heartbeat at entry {figures['heartbeat']} that it mirrored {figures['size']} entries of "
            f"{figures['seen_in']}, and lacks {figures['omitted']} statements that stand there"
        )
    if figures["act"] == "backdating":
        return (
            f"dated entry {figures['entry']} to {figures['received_at_ms']} ms, which its witnesses' clocks contradict "
            f"(bound {figures['bound_ms']})"
        )
    if figures["act"] == "dishonoured-receipt":
        return (
            f"gave a receipt for entry {figures['entry']} of a log with the root {figures['root'][:16]}... at "
            f"{figures['size']} entries, and shows one that has {figures['other_root'][:16]}... there"
        )
    return f"wrote what does not follow from its log at entry {figures['entry']} ({figures['code']})"


def _wrong_version(finding: Finding, figures: Figures) -> str:
    return (
        f"a statement about {_when(finding)} was made under the treaty version {figures['named'][:16]}..., and "
        f"{figures['governs'][:16]}... governs it"
    )


def _unknown_rule(finding: Finding, figures: Figures) -> str:
    shown = ", ".join(f"{name} {figures[name]}" for name in sorted(finding.figures))
    return f"a finding of the rule {finding.rule} in {_when(finding)}: {shown}"


_SAY: dict[str, Callable[[Finding, Figures], str]] = {
    "equivocation": _equivocation,
    "disowned": _disowned,
    "imbalance": _imbalance,
    "peak-exceeded": _peak_exceeded,
    "threshold": _threshold,
    "idle-compute": _idle_compute,
    "activity-shape": _activity_shape,
    "method-gap": _method_gap,
    "muf": _muf,
    "energy-gap": _energy_gap,
    "inventory-continuity": _continuity,
    "undeclared-run": _undeclared,
    "unlinked-runs": _unlinked,
    "contradiction": _contradiction,
    "sandbagging-order": _sandbagging,
    "autonomy-tripwire": _autonomy,
    "false-opening": _opening,
    "missing-period": _missing,
    "late": _late,
    "brake-breach": _breach,
    "resume-mismatch": _resume,
    "unacknowledged-order": _unacknowledged,
    "unopened-challenge": _unopened,
    "undisclosed": _undisclosed,
    "verifier-conduct": _conduct,
    "wrong-version": _wrong_version,
}
