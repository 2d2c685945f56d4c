"""What a treaty document may say and yet probably does not mean. Warnings never make a document unusable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from brakeline.treaty.mistakes import Check, Mistake
from brakeline.treaty.rule_table import RULES
from brakeline.treaty.strictjson import MAX_PAYLOAD

if TYPE_CHECKING:
    from brakeline.treaty.document import TreatyDocument


_LINE_BYTES, _LEAF_BYTES = 120, 96
"""What a line of books and each sealed leaf in it take at the least, in canonical JSON."""


def find_warnings(document: TreatyDocument) -> tuple[Mistake, ...]:
    """Return what is allowed and yet probably not meant."""
    return tuple(mistake for check in _WARNINGS for mistake in check(document))


def _warn_liveness(document: TreatyDocument) -> Iterator[Mistake]:
    n, quorum = len(document.verifiers), document.quorum
    for name in ("witnesses", "receipts", "audit"):
        value: int = getattr(quorum, name)
        if value > n - quorum.liars:
            yield Mistake(
                ("quorum", name),
                "treaty-warning-liveness",
                f"{quorum.liars} silent verifier(s) are enough to stop this quorum: nothing false, but nothing at all",
                f"at most {n - quorum.liars}",
                str(value),
            )


def _warn_one_hand(document: TreatyDocument) -> Iterator[Mistake]:
    if len(document.verifiers) == 1:
        return
    for runner in sorted({verifier.party for verifier in document.verifiers}):
        held = sum(verifier.party == runner for verifier in document.verifiers)
        if held > document.quorum.liars:
            yield Mistake(
                ("quorum", "liars"),
                "treaty-warning-one-hand",
                f"{runner} runs {held} verifiers, more than the {document.quorum.liars} that may lie",
                "nobody runs more verifiers than may lie",
                f"{held} of {len(document.verifiers)}",
                "spread the verifiers, or have neutral bodies (third parties) run some",
            )


def _warn_timeliness(document: TreatyDocument) -> Iterator[Mistake]:
    needed = (
        document.grid_terms.period_ms.value + document.deadlines.report_ms.value + document.deadlines.notice_ms.value
    )
    if document.goals.timeliness_ms.value < needed:
        yield Mistake(
            ("goals", "timeliness_ms"),
            "treaty-warning-timeliness",
            "a breach can be older than the goal before its books are due and a brake has bitten",
            f"at least period + report + notice = {needed} ms",
            str(document.goals.timeliness_ms),
        )


def _warn_rules(document: TreatyDocument) -> Iterator[Mistake]:
    for rule, row in RULES.items():
        if document.rule(rule) is None and (rule != "undisclosed" or document.sealing.fields):
            message = f"the rule {rule} is not in force: nobody will be told when {row.fires}"
            yield Mistake(("rule",), "treaty-warning-rule-absent", message, f'[[rule]] rule = "{rule}"', "none")
    meters = any(third.kind == "meter" for third in document.third_parties)
    if document.rule("energy-gap") is not None and not meters:
        message = "energy-gap needs somebody outside who meters: it will never fire"
        yield Mistake(
            ("third_party",), "treaty-warning-no-meter", message, 'a [[third_party]] of kind = "meter"', "none"
        )
    if document.rule("unopened-challenge") is not None and document.rule("false-opening") is None:
        message = (
            "unopened-challenge needs the rule false-opening, which says how many slots a table has: nothing is drawn"
        )
        yield Mistake(("rule",), "treaty-warning-no-slots", message, '[[rule]] rule = "false-opening"', "none")
    evaluators = any(third.kind == "evaluator" for third in document.third_parties)
    if document.rule("sandbagging-order") is not None and not evaluators:
        message = "sandbagging-order needs somebody who evaluates: no model will be asked for an evaluation"
        yield Mistake(
            ("third_party",), "treaty-warning-no-evaluator", message, 'a [[third_party]] of kind = "evaluator"', "none"
        )
    if document.rule("threshold") is not None and not document.thresholds:
        message = "the rule threshold is in force and there is none"
        yield Mistake(("threshold",), "treaty-warning-no-threshold", message, "a [[threshold]]", "none")


def _warn_sealing(document: TreatyDocument) -> Iterator[Mistake]:
    """Padded books must fit into a payload: a sealed leaf takes some 100 bytes, whatever it seals."""
    leaves = sum(pattern.startswith("/predicate/lines/") for pattern in document.sealing.fields)
    size = document.limits.line_count * (_LINE_BYTES + _LEAF_BYTES * leaves)
    if leaves and size > MAX_PAYLOAD:
        message = "books with so many lines, sealed as this treaty allows, do not fit into a statement"
        expected = f"at most {MAX_PAYLOAD} bytes"
        found = f"some {size} bytes for {document.limits.line_count} lines with {leaves} sealed leaves each"
        yield Mistake(("limits", "line_count"), "treaty-warning-sealing", message, expected, found)


_WARNINGS: tuple[Check, ...] = (_warn_liveness, _warn_one_hand, _warn_timeliness, _warn_rules, _warn_sealing)
