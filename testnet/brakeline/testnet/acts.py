"""Every lie that the testnet can tell, and what an audit must say of it: the table that tests go through row by row.

What it is: data. A row names an act, who commits it, by which means it is played (a lying process of this package, or a
world in memory), what the audit names, about whom, and what convicts: evidence that verifies alone, evidence with a
mirror of the accused log, a finding that whoever reads one log recomputes, or nothing, where nothing is provable and
what is missing is said instead. What it is not: a way to play anything (:mod:`brakeline.testnet.liars`,
:mod:`brakeline.testnet.cheat` and the tests do that). ``tests/testnet/test_acts.py`` holds the table against the acts
that exist and the tests that play them, so that no lie is without a row and no row without a test.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Who(StrEnum):
    """Who lies."""

    VERIFIER = "verifier"
    LAB = "lab"


class Proof(StrEnum):
    """What convicts."""

    ALONE = "a bundle, by itself"
    WITH_LOG = "a bundle, with a mirror of the accused log"
    FINDING = "a finding, recomputed from any honest log"
    NOTHING = "nothing: it is said under what could not be checked"


class Act(NamedTuple):
    """One lie.

    Attributes:
        name: of the act, unique.
        who: lies.
        named: what the audit says: an act of ``verifier-conduct``, a rule, or a code of what could not be checked.
        proof: what convicts.
        played: the tests that play it: file and function, the first with real processes where there is one.
    """

    name: str
    who: Who
    named: str
    proof: Proof
    played: tuple[str, ...]


_LIARS = "tests/testnet/test_liars.py::test_a_verifier_that_"
_PROVEN = "tests/audit/test_evidence.py::test_every_act_is_proven_by_its_bundle"
_DEMO = "tests/testnet/test_demo.py::test_a_whole_treaty_is_found_out_exactly_and_the_brake_stops_the_training"
_CHEATING = "tests/audit/test_replay.py::test_a_cheating_world_has_exactly_its_cheats"
_SPOTCHECKS = "tests/audit/test_spotchecks.py::test_"
_UNOPENED = f"{_SPOTCHECKS}rows_that_two_logs_drew_and_nobody_opened_are_found_after_the_deadline"
_CHEATS = "tests/audit/test_brake_cheats.py::test_"

ACTS: tuple[Act, ...] = (
    Act("omission", Who.VERIFIER, "omission", Proof.WITH_LOG, (f"{_LIARS}omits_one_author_is_named", _PROVEN)),
    Act(
        "refusal",
        Who.VERIFIER,
        "statements-lacking",
        Proof.NOTHING,
        (f"{_LIARS}merely_refuses_is_not_accused_and_what_it_lacks_is_said",),
    ),
    Act("backdating", Who.VERIFIER, "backdating", Proof.ALONE, (f"{_LIARS}backdates_is_named", _PROVEN)),
    Act(
        "hiding",
        Who.VERIFIER,
        "misjudging",
        Proof.WITH_LOG,
        (f"{_LIARS}hides_findings_is_named_and_they_are_found_all_the_same", _PROVEN),
    ),
    Act(
        "slander",
        Who.VERIFIER,
        "misjudging",
        Proof.WITH_LOG,
        (f"{_LIARS}slanders_a_lab_is_named_and_the_lab_is_not",),
    ),
    Act(
        "fork",
        Who.VERIFIER,
        "fork",
        Proof.ALONE,
        (f"{_LIARS}shows_two_histories_is_named_by_whoever_sees_the_second", _PROVEN),
    ),
    Act("dishonoured-receipt", Who.VERIFIER, "dishonoured-receipt", Proof.ALONE, (_PROVEN,)),
    Act(
        "inadmissible",
        Who.VERIFIER,
        "misjudging",
        Proof.WITH_LOG,
        ("tests/audit/test_replay.py::test_a_verifier_that_logs_what_was_not_admissible_is_named",),
    ),
    Act(
        "drawing otherwise",
        Who.VERIFIER,
        "misjudging",
        Proof.WITH_LOG,
        (f"{_SPOTCHECKS}a_log_that_draws_otherwise_than_its_prefix_says_misjudges",),
    ),
    Act("equivocation", Who.LAB, "equivocation", Proof.ALONE, (_DEMO, _PROVEN)),
    Act("imbalance", Who.LAB, "imbalance", Proof.FINDING, (_DEMO, _CHEATING)),
    Act(
        "missing books",
        Who.LAB,
        "missing-period",
        Proof.FINDING,
        ("tests/audit/test_replay.py::test_missing_books_are_a_finding_once_their_deadline_has_passed",),
    ),
    Act(
        "training through a pause",
        Who.LAB,
        "brake-breach",
        Proof.FINDING,
        (f"{_CHEATS}a_trainer_that_ignores_the_hook_is_found_by_the_verdict",),
    ),
    Act(
        "other weights",
        Who.LAB,
        "resume-mismatch",
        Proof.FINDING,
        (f"{_CHEATS}a_digest_that_is_a_lie_and_weights_that_are_others_are_found_in_every_log",),
    ),
    Act(
        "silence",
        Who.LAB,
        "missing-period",
        Proof.FINDING,
        (f"{_CHEATS}a_node_that_is_cut_off_is_found_by_what_is_missing_and_by_the_clause_on_silence",),
    ),
    Act("rows not opened", Who.LAB, "unopened-challenge", Proof.FINDING, (_UNOPENED,)),
)
"""All of them. Strategies of cheats that need many periods are in the evasion corpus (docs/evasion.md)."""
