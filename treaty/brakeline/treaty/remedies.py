"""What a finding is called in a headline, and what would clear it: words for delegates, rule by rule.

What it is: a table beside :mod:`brakeline.treaty.rule_table`, for reports. What it is not: part of a finding (its
digest never depends on these words), or a promise: software clears a log rule's finding by computing it again over what
the log holds by then, and only a determination by the parties concludes any of them.
"""

from __future__ import annotations

from typing import NamedTuple


class Remedy(NamedTuple):
    """*title* completes "accused of ..."; *clears* says what would make the finding go, or that the parties must."""

    title: str
    clears: str


_PARTIES = "Nothing that anybody sends takes it away; a determination by the parties concludes it."
_BOOKS = "a correction of the books, with the statements that bear it out"

REMEDIES: dict[str, Remedy] = {
    "equivocation": Remedy(
        "two versions of one statement",
        "If the key was stolen: a revocation by the lab that says up to which statement it stands by the chain. "
        "Otherwise only a determination by the parties.",
    ),
    "disowned": Remedy(
        "statements under a key that its lab has ended",
        "Nothing: it marks what no longer counts. The parties close it once the theft is explained.",
    ),
    "imbalance": Remedy(
        "books that do not add up",
        "Books of the same period whose lines add up to the inventory times the period: " + _BOOKS + ".",
    ),
    "peak-exceeded": Remedy(
        "more computation than the chips can do", "Books with the true FLOP or chip time of that line: " + _BOOKS + "."
    ),
    "threshold": Remedy(
        "a run beyond the treaty's line",
        "An authorisation by the parties that covers the run; or, where the books were wrong, " + _BOOKS + ".",
    ),
    "idle-compute": Remedy(
        "work booked as rest", "Books that name the work done in that time: " + _BOOKS + "; a meter's reading helps."
    ),
    "activity-shape": Remedy(
        "one activity booked as another",
        "Books that name the activity; or spot checks and an inspection that show it was what it was booked as, and a "
        "determination.",
    ),
    "method-gap": Remedy(
        "two counts of the same work that disagree",
        "Books in which both methods of counting agree within the margin: " + _BOOKS + ".",
    ),
    "muf": Remedy("chip time that nobody accounts for", "Books that attribute that chip time: " + _BOOKS + "."),
    "energy-gap": Remedy(
        "more energy than the books explain",
        "Books that explain the metered energy, or a second reading by a third party that shows the meter wrong; then "
        "a determination.",
    ),
    "resume-mismatch": Remedy(
        "training resumed from other weights",
        "An acknowledgement that names the frozen state, and an inspection of the weights; then a determination.",
    ),
    "inventory-continuity": Remedy(
        "chips that came or went unexplained",
        "An inventory that follows from the one before, and the movement booked at its other end too.",
    ),
    "undeclared-run": Remedy(
        "training that was not declared",
        "A declaration does not reach back; the parties determine it. Books that were wrong are corrected.",
    ),
    "unlinked-runs": Remedy(
        "training that belongs to no declared run",
        "An explanation of what the work belongs to: books that name its parents, an authorisation, or an inspection.",
    ),
    "contradiction": Remedy(
        "a third party saw otherwise",
        "A correction by whichever of the two was wrong: the site's statement or the third party's.",
    ),
    "sandbagging-order": Remedy(
        "an evaluation missing or out of order",
        "An evaluation of the model whose protocol was committed to before its result.",
    ),
    "autonomy-tripwire": Remedy(
        "self-declared autonomy beyond the line",
        "The parties determine it; declarations that contradict each other need a true one.",
    ),
    "false-opening": Remedy(
        "a spot check that failed", "Nothing that is opened later; the parties determine it, mostly after inspection."
    ),
    "missing-period": Remedy("books never handed in", "The books, in enough logs. They then count as late."),
    "late": Remedy("books handed in late", "Nothing: they are there, and came late. The parties may close it."),
    "brake-breach": Remedy("training on under an order", _PARTIES + " Books that were wrong are corrected."),
    "unacknowledged-order": Remedy(
        "an order left unanswered", "Nothing: the deadline has passed. An answer now shows what the site did since."
    ),
    "unopened-challenge": Remedy(
        "a spot check left unanswered", "Nothing: the deadline has passed. Rows opened now are checked all the same."
    ),
    "undisclosed": Remedy(
        "sealed figures kept from the verifiers",
        "Nothing: the deadline has passed. What is disclosed now is held; no opinion rests on it.",
    ),
    "verifier-conduct": Remedy(
        "a verifier's misconduct",
        "Nothing: its own signatures are the evidence. Parties decide about the verifier; its log is read no more.",
    ),
    "wrong-version": Remedy(
        "a statement under another version",
        "Books again under the version that governs, as a correction; of evidence, nothing. The parties may close it.",
    ),
}
"""Rule identifier -> its words, for every rule of the table."""


def remedy(rule: str) -> Remedy:
    """Return the words for *rule*; for one of another version, words that promise nothing.

    >>> remedy("late").title
    'books handed in late'
    """
    return REMEDIES.get(rule, Remedy(rule.replace("-", " "), _PARTIES))
