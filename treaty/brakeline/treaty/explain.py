"""What a treaty means before anybody signs it: who learns what, and who together can do or prevent what.

What it is: a pure reading of the document, for the two questions every party asks first. What it is not: advice, or a
proof that the parties will behave: a coalition is listed because the *terms* give it a power, whoever is in it.

Coalitions are *minimal*: every larger one has the same power. Of n equal members of whom m are needed, every m can
act and every n - m + 1 can prevent it. Verifiers are also counted by who runs them, since one hand may run several.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations, islice
from math import comb
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from brakeline.treaty.document import TreatyDocument

MAX_LISTED = 40
"""Coalitions of one power that are listed by name; beyond, their number is given."""

MAX_RUNNERS = 10
"""Bodies that run verifiers, up to which their coalitions are enumerated (2^10 subsets)."""

Kind: TypeAlias = Literal["order", "amend", "logs"]


@dataclass(frozen=True, slots=True)
class Audience:
    """Somebody, what the terms let them learn, and what stays hidden from them."""

    who: str
    learns: tuple[str, ...]
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Coalitions:
    """Everybody who has one power.

    Attributes:
        kind: "order", "amend" or "logs".
        power: what they can do, as the end of "together they can ...".
        rule: the number behind it, in words.
        minimal: the smallest coalitions, by name, sorted.
        total: how many minimal coalitions there are (more than are listed when there are many; -1
            when they were too many to count).
    """

    kind: Kind
    power: str
    rule: str
    minimal: tuple[tuple[str, ...], ...]
    total: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """The reading of one document."""

    timing: tuple[str, ...]
    audiences: tuple[Audience, ...]
    coalitions: tuple[Coalitions, ...]

    def as_dict(self) -> dict[str, object]:
        """Return plain members for ``--format json``."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the text that ``treaty check`` prints."""
        lines = ["Timing", *(f"  {line}" for line in self.timing), "", "Who learns what"]
        for audience in self.audiences:
            lines.append(f"  {audience.who}")
            lines += [f"    + {item}" for item in audience.learns]
            lines += [f"    - not: {item}" for item in audience.hidden]
        lines += ["", "Who together can do what (each of these, and every larger coalition)"]
        for item in self.coalitions:
            lines.append(f"  {item.power}: {item.rule}")
            lines += [f"    {' + '.join(members)}" for members in item.minimal]
            if item.total > len(item.minimal):
                lines.append(f"    ... {item.total - len(item.minimal)} more of the same size")
        return lines


def explain(document: TreatyDocument) -> Explanation:
    """Return who learns what and every coalition that can order, block or deceive under *document*."""
    return Explanation(_timing(document), _audiences(document), _coalitions(document))


def duration(ms: int) -> str:
    """Return milliseconds as people say them, exactly.

    >>> duration(3_600_000), duration(90_000), duration(86_400_000 * 14), duration(1_500)
    ('1 h', '90 s', '14 d', '1500 ms')
    """
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if ms and ms % length == 0:
            return f"{ms // length} {unit}"
    return f"{ms} ms"


# Timing --------------------------------------------------------------------------------------------------------------


def _timing(document: TreatyDocument) -> tuple[str, ...]:
    goal = document.goals.detection
    d, period = document.deadlines, document.grid_terms.period_ms.value
    report, notice, stop = d.report_ms.value, d.notice_ms.value, d.stop_ms.value
    return (
        f"books are kept per {duration(period)} and are due {duration(report)} after its end",
        f"so what happens at a period's first instant is on the books after at most {duration(period + report)}",
        f"an order stops a site that sees it within {duration(stop)}; breach is judged from the first period that "
        f"starts {duration(notice)} after f + 1 = {document.quorum.liars + 1} logs hold it",
        f"the goal: {document.goals.significant_quantity_flop} FLOP seen within "
        f"{duration(document.goals.timeliness_ms.value)} with probability {goal.numerator}/{goal.denominator}",
        "on silence of the logs: " + ("the terms in force go on" if document.silence == "continue" else "stop"),
    )


# Who learns what -----------------------------------------------------------------------------------------------------


def _audiences(document: TreatyDocument) -> tuple[Audience, ...]:
    sealed = document.sealing.fields
    openers = tuple(v.name for v in document.verifiers if v.disclosure_key is not None)
    public = [
        "this treaty, every order, acknowledgement, finding and verdict",
        "every site's chips by class and number, from which period on",
        "that books of a period were filed, by whom, and when each log had them",
        "energy metered at a site per period",
    ]
    figures = "workloads, activities, chip time, FLOP, tokens, joules and lineage of every line of every site's books"
    hidden = [
        "code, data, weights and raw meter readings: only their digests are named",
        "chip serials: only a commitment",
    ]
    if sealed:
        public.append(f"{figures}, except what is sealed")
        hidden.append("what is sealed: " + ", ".join(sealed))
    else:
        public.append(f"{figures}: nothing is sealed under this treaty")
    rows = [Audience("everybody (the logs are public)", tuple(public), tuple(hidden))]
    if sealed and openers:
        told = (
            f"the values of {', '.join(sealed)} (each goes to at least {document.sealing.holders} of these within "
            f"{duration(document.deadlines.disclosure_ms.value)}, or its site is found)"
        )
        rows.append(Audience(f"verifiers that open what is sealed: {', '.join(openers)}", (told,)))
    rows.append(
        Audience(
            f"every verifier ({', '.join(v.name for v in document.verifiers)})",
            ("from which network address and when each site sends", "which auditors and nodes read its log"),
        )
    )
    for third in document.third_parties:
        rows.append(Audience(f"{third.name} ({third.kind})", (_THIRD[third.kind],)))
    rows.append(
        Audience("parties, labs", ("nothing beyond what everybody learns, unless they run a verifier or a site",))
    )
    return tuple(rows)


_THIRD = {
    "meter": "the raw readings of the sites it meters; the log names their digest and sum",
    "provider": "the capacity it sold, and to whom",
    "vendor": "the chips it shipped, and to whom",
    "inspector": "what it is shown on site; the log names its report's digest",
    "evaluator": "the models it is given to evaluate",
}


# Who can do what -----------------------------------------------------------------------------------------------------


def _coalitions(document: TreatyDocument) -> tuple[Coalitions, ...]:
    parties = [party.name for party in document.parties]
    n, m, a = len(parties), document.quorum.orders, document.quorum.amendments
    return (
        _equal("order", "sign an order (pause, slow, resume)", f"{m} of {n} parties", parties, m),
        _equal(
            "order",
            "block an order (a resume, too)",
            f"any {n - m + 1} of {n} parties, by not signing",
            parties,
            n - m + 1,
        ),
        _equal("amend", "agree on a new version", f"{a} of {n} parties", parties, a),
        _equal(
            "amend", "block a new version as parties", f"any {n - a + 1} of {n}, by not signing", parties, n - a + 1
        ),
        _vetoes(document),
        *_log_coalitions(document),
    )


def _vetoes(document: TreatyDocument) -> Coalitions:
    """Every key that a version names signs that version, so whoever holds one can withhold it."""
    owners = sorted({named.owner for named in document.named_keys() if named.role != "party"})
    rule = "each of these alone, for as long as the new version still names its key: every key named must sign"
    return Coalitions(
        "amend", "block a new version as a named key", rule, tuple((name,) for name in owners), len(owners)
    )


def _log_coalitions(document: TreatyDocument) -> tuple[Coalitions, ...]:
    quorum, n = document.quorum, len(document.verifiers)
    f, w, k1 = quorum.liars, quorum.witnesses, quorum.receipts
    held: dict[str, int] = {}
    for verifier in document.verifiers:
        held[verifier.party] = held.get(verifier.party, 0) + 1
    powers = (
        ("stop every log", n - w + 1, f"{n - w + 1} of {n} verifiers, by not cosigning"),
        ("keep sites from their receipts", n - k1 + 1, f"{n - k1 + 1} of {n} verifiers, by not answering"),
        ("keep an order from binding", n - f, f"{n - f} of {n} verifiers, by not logging it"),
        ("show two histories of a log", 2 * w - n, f"{2 * w - n} of {n} verifiers that lie, among them the log's own"),
        ("void what this treaty promises", f + 1, f"more than f = {f} of {n} verifiers that lie alike"),
    )
    return tuple(_weighted("logs", power, rule, held, need) for power, need, rule in powers)


def _equal(kind: Kind, power: str, rule: str, members: Sequence[str], need: int) -> Coalitions:
    listed = tuple(islice(combinations(sorted(members), need), MAX_LISTED))
    return Coalitions(kind, power, rule, listed, comb(len(members), need))


def _weighted(kind: Kind, power: str, rule: str, held: Mapping[str, int], need: int) -> Coalitions:
    """Return the minimal sets of bodies that together run *need* verifiers or more."""
    names = sorted(held)
    if len(names) > MAX_RUNNERS:
        return Coalitions(kind, power, f"{rule} (run by {len(names)} bodies: too many to list)", (), -1)
    minimal: list[tuple[str, ...]] = []
    for size in range(1, len(names) + 1):
        for members in combinations(names, size):
            enough = sum(held[name] for name in members) >= need
            if enough and not any(set(smaller) <= set(members) for smaller in minimal):
                minimal.append(members)
    return Coalitions(kind, power, rule, tuple(minimal[:MAX_LISTED]), len(minimal))
