"""What must hold *between* the members of a treaty document: versions, time, limits, goals, quorums; and all checks.

Each check is a small pure function of the document that yields :class:`~brakeline.treaty.mistakes.Mistake`. A mistake
names the path of the member it is about (``("quorum", "witnesses")``, ``("party", 1, "key")``); the reader of TOML
files turns the path into a line. The conditions come from the quorum arithmetic of docs/spec
and each one is explained where it is checked. Codes are stable.

What it is not: form (types, ranges of one member), which is :mod:`brakeline.treaty.terms`. Checks of who takes part and
what is counted are in :mod:`brakeline.treaty.member_checks`, warnings in :mod:`brakeline.treaty.document_warnings`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from brakeline.treaty.member_checks import MEMBER_CHECKS
from brakeline.treaty.mistakes import Check, Mistake, Path

if TYPE_CHECKING:
    from brakeline.treaty.document import TreatyDocument

MAX_CHILD_CAP = 64
MAX_LINE_COUNT = 256


def find_mistakes(document: TreatyDocument) -> tuple[Mistake, ...]:
    """Return every broken condition between members, in the order of the file; empty when the document is sane."""
    return tuple(mistake for check in _CHECKS for mistake in check(document))


def succession_mistakes(
    previous: TreatyDocument, document: TreatyDocument, older: Sequence[TreatyDocument] = ()
) -> tuple[Mistake, ...]:
    """Return what keeps *document* from being the version after *previous*, which came after *older*."""
    found: list[Mistake] = []

    def differ(path: Path, message: str, expected: str, there: str) -> None:
        found.append(Mistake(path, "treaty-succession", message, expected, there))

    if document.name != previous.name:
        differ(("name",), "another treaty's name", previous.name, document.name)
    if document.version != previous.version + 1:
        differ(("version",), "not the next version", str(previous.version + 1), str(document.version))
    if document.previous != previous.digest:
        differ(("previous",), "not the digest of the version before", previous.digest, document.previous)
    if document.effective_period <= previous.effective_period:
        expected = f"more than {previous.effective_period}"
        differ(("effective_period",), "governs from before its predecessor", expected, str(document.effective_period))
    for verifier in document.verifiers:
        named = (known for version in (previous, *older) if (known := version.verifier(verifier.name)) is not None)
        before = next(named, verifier)
        if (before.log_key, before.witness_key) != (verifier.log_key, verifier.witness_key):
            path = ("verifier", document.verifiers.index(verifier), "log_key")
            message = "a log and its witness keep their keys: a verifier with new keys is a new one, under a new name"
            differ(path, message, f"{before.log_key.keyid} and {before.witness_key.keyid}", "other keys")
    if document.grid_terms != previous.grid_terms:
        expected = f"start {previous.grid_terms.start}, period_ms {previous.grid_terms.period_ms}"
        differ(("grid",), "the period grid cannot change: periods are numbered on it", expected, "another grid")
    return tuple(found)


# Which version it is -------------------------------------------------------------------------------------------------


def _version(document: TreatyDocument) -> Iterator[Mistake]:
    zeros = document.previous == "0" * 64
    if document.version == 0:
        yield Mistake(("version",), "treaty-version", "versions are counted from 1", "1 or more", "0")
    elif document.version == 1 and not zeros:
        yield Mistake(
            ("previous",), "treaty-version", "version 1 has no version before it", "64 zeros", document.previous
        )
    elif document.version > 1 and zeros:
        yield Mistake(
            ("previous",),
            "treaty-version",
            "a later version names the digest of the version before it",
            "64 hex digits",
            "64 zeros",
            "copy the pin that `brakeline treaty show` prints for the version before",
        )
    if document.version == 1 and document.effective_period != 0:
        yield Mistake(
            ("effective_period",),
            "treaty-effective-period",
            "version 1 governs from period 0: earlier periods would have no terms at all",
            "0",
            str(document.effective_period),
            "move grid.start instead",
        )
    if document.version > 1 and document.effective_period == 0:
        yield Mistake(
            ("effective_period",),
            "treaty-effective-period",
            "a later version cannot govern from period 0: it would leave its predecessor nothing",
            "1 or more",
            "0",
        )


def _settles(document: TreatyDocument) -> Iterator[Mistake]:
    named = document.settles
    if named is None:
        return
    if document.version < 2 or document.previous in named or list(named) != sorted(set(named)):
        yield Mistake(
            ("settles",),
            "treaty-settles",
            "it names the rivals of a version before this one, which from now on do not count",
            "in a version after the first: sorted digests, without repeats, and not `previous`",
            ", ".join(named)[:200],
        )


# Time ----------------------------------------------------------------------------------------------------------------

_DEADLINES = (
    "report_ms",
    "heartbeat_ms",
    "checkpoint_ms",
    "takeover_ms",
    "skew_ms",
    "notice_ms",
    "stop_ms",
    "save_ms",
    "acknowledge_ms",
    "disclosure_ms",
    "reply_ms",
)

_SHORTER = (
    ("heartbeat_ms", "report_ms", "lateness is seen from heartbeats: there must be some before the deadline"),
    ("heartbeat_ms", "takeover_ms", "omission is seen from heartbeats: there must be some before the grace ends"),
    ("heartbeat_ms", "acknowledge_ms", "a missing acknowledgement is seen from heartbeats"),
    ("heartbeat_ms", "disclosure_ms", "a missing disclosure is seen from heartbeats"),
    ("heartbeat_ms", "reply_ms", "a missing reply is seen from heartbeats"),
    ("checkpoint_ms", "report_ms", "a receipt needs a checkpoint before the deadline"),
    ("checkpoint_ms", "takeover_ms", "peers take over what stands below a checkpoint"),
    ("skew_ms", "report_ms", "clocks may differ by this much: a shorter deadline cannot be judged"),
    ("skew_ms", "acknowledge_ms", "clocks may differ by this much: a shorter deadline cannot be judged"),
)


def _time(document: TreatyDocument) -> Iterator[Mistake]:
    period = document.grid_terms.period_ms.value
    if period == 0:
        yield Mistake(("grid", "period_ms"), "treaty-grid", "a period needs a length", "1 or more ms", "0")
    given: dict[str, int] = {name: getattr(document.deadlines, name).value for name in _DEADLINES}
    for name, value in given.items():
        if value == 0:
            yield Mistake(
                ("deadlines", name), "treaty-deadline-zero", "no one can meet a deadline of 0 ms", "1 or more ms", "0"
            )
    for short, long, why in _SHORTER:
        if given[short] >= given[long]:
            yield _order(short, f"less than {long} = {given[long]}", given[short], why)
    if given["heartbeat_ms"] > period:
        why = "heartbeats are the log's clock: at least one belongs in every period"
        yield _order("heartbeat_ms", f"at most grid.period_ms = {period}", given["heartbeat_ms"], why)
    if given["stop_ms"] > given["notice_ms"]:
        why = "a site that stops in time must not be in breach: breach is judged after the notice"
        yield _order("stop_ms", f"at most notice_ms = {given['notice_ms']}", given["stop_ms"], why)
    if given["stop_ms"] > given["acknowledge_ms"]:
        why = "an acknowledgement says when the site stopped"
        yield _order("stop_ms", f"at most acknowledge_ms = {given['acknowledge_ms']}", given["stop_ms"], why)


def _order(name: str, expected: str, found: int, why: str) -> Mistake:
    return Mistake(("deadlines", name), "treaty-deadline-order", f"{name} is too long: {why}", expected, str(found))


def _limits(document: TreatyDocument) -> Iterator[Mistake]:
    for name, low, high, why in (
        ("child_cap", 2, MAX_CHILD_CAP, "below 2 the second child, the evidence of equivocation, could not be sent in"),
        ("line_count", 1, MAX_LINE_COUNT, "a usage statement has at least one line and fits into 60 KiB"),
    ):
        value: int = getattr(document.limits, name)
        if not low <= value <= high:
            yield Mistake(("limits", name), "treaty-limit", f"{name}: {why}", f"{low} to {high}", str(value))


def _goals(document: TreatyDocument) -> Iterator[Mistake]:
    goals = document.goals
    if not goals.significant_quantity_flop:
        yield Mistake(
            ("goals", "significant_quantity_flop"),
            "treaty-goal",
            "nothing is significant below 1 FLOP",
            "1 or more",
            "0",
        )
    if not goals.timeliness_ms:
        yield Mistake(("goals", "timeliness_ms"), "treaty-goal", "detection takes time", "1 or more ms", "0")
    ratio = goals.detection
    if ratio.numerator == 0 or ratio.numerator >= ratio.denominator:
        yield Mistake(
            ("goals", "detection"),
            "treaty-goal",
            "a detection probability lies between 0 and 1, both excluded",
            "{ numerator = 95, denominator = 100 }",
            f"{ratio.numerator}/{ratio.denominator}",
        )


# Quorums -------------------------------------------------------------------------------------------------------------


def _quorums(document: TreatyDocument) -> Iterator[Mistake]:
    yield from _verifier_quorums(document)
    n = len(document.parties)
    for name in ("orders", "amendments"):
        m: int = getattr(document.quorum, name)
        if n and (m > n or 2 * m <= n):
            message = f"there are only {n} parties" if m > n else "two halves could each decide the opposite: m > n/2"
            expected = f"{n // 2 + 1} to {n} (there are {n} parties)"
            yield Mistake(("quorum", name), f"treaty-quorum-{name}", message, expected, str(m))


def _verifier_quorums(document: TreatyDocument) -> Iterator[Mistake]:
    n, quorum = len(document.verifiers), document.quorum
    if not n:
        return
    f, w, k1, k2 = quorum.liars, quorum.witnesses, quorum.receipts, quorum.audit
    if n < 3 * f + 1:
        yield Mistake(
            ("quorum", "liars"),
            "treaty-quorum-liars",
            f"{f} liars among {n} verifiers cannot be outvoted: n >= 3f + 1",
            f"at most {(n - 1) // 3} with {n} verifiers (or at least {3 * f + 1} verifiers)",
            str(f),
        )
    if w > n or 2 * w <= n + f:
        message = (
            f"there are only {n} verifiers" if w > n else "two witness quorums must share an honest one: w > (n + f)/2"
        )
        expected = f"{min((n + f) // 2 + 1, n)} to {n}"
        yield Mistake(("quorum", "witnesses"), "treaty-quorum-witnesses", message, expected, str(w))
    for name, k in (("receipts", k1), ("audit", k2)):
        if not 1 <= k <= n:
            message = f"there are {n} logs to ask"
            yield Mistake(("quorum", name), "treaty-quorum-receipts", message, f"1 to {n}", str(k))
    if k1 <= n and k2 <= n and k1 + k2 <= n + f:
        yield Mistake(
            ("quorum", "receipts"),
            "treaty-quorum-receipts",
            "the logs a site asks and the logs an auditor reads must share an honest one: receipts + audit > n + f",
            f"receipts + audit at least {n + f + 1} (n = {n}, f = {f})",
            f"{k1} + {k2} = {k1 + k2}",
        )


_CHECKS: tuple[Check, ...] = (_version, _settles, _time, _limits, _goals, _quorums, *MEMBER_CHECKS)
