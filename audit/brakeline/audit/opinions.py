"""Sealed values in an audit: the disclosures that an auditor was given, and what the report says of what is sealed.

A folder of disclosures holds files ``<statement digest>.disclosure.json``, at any depth, each the canonical JSON of one
disclosure (docs/spec/statements.md, Disclosures), as ``brakeline node disclose`` writes them. Nothing in them is
believed: a disclosure that does not open its statement counts as not given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from brakeline.audit.report import OpinionReport, SealedReport
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.disclosure import Disclosure, parse_disclosure
from brakeline.treaty.opinion_log import Disclosures
from brakeline.treaty.replay import Facts
from brakeline.treaty.statements import to_json

SUFFIX = ".disclosure.json"


def disclosures_in(folder: Path) -> Disclosures:
    """Return what opens statements from the files in *folder*; they are read when they are asked for.

    Raises:
        BrakelineError: ``disclosures-unreadable``: there is no such folder.
    """
    if not folder.is_dir():
        raise BrakelineError(
            code="disclosures-unreadable",
            message="the folder of disclosures cannot be read",
            expected="a folder",
            found=str(folder),
            fix="give the folder that holds the *.disclosure.json files",
        )
    files = {path.name.removesuffix(SUFFIX): path for path in sorted(folder.rglob(f"*{SUFFIX}"))}

    def find(statement: str) -> Disclosure | None:
        path = files.get(statement)
        if path is None:
            return None
        try:
            return parse_disclosure(path.read_bytes())
        except (BrakelineError, OSError):
            return None

    return find


def opinion_reports(parts: Iterable[Facts]) -> Iterator[OpinionReport]:
    """Yield the opinions that stand in each log, by log and digest, and whether they were reproduced."""
    for facts in sorted(parts, key=lambda item: item.origin):
        for digest, opinion in sorted(facts.opinions.items()):
            yield OpinionReport(facts.origin, digest, to_json(opinion), facts.reproduced)


def sealed_reports(parts: Iterable[Facts]) -> Iterator[SealedReport]:
    """Yield every statement with sealed values that were not opened here: exactly what could not be checked."""
    kept = sorted(parts, key=lambda item: item.origin)
    sealed = {digest: item for facts in kept for digest, item in facts.sealed.items()}
    opened = {digest for facts in kept if facts.reproduced for digest in facts.held}
    for digest, item in sorted(sealed.items(), key=lambda pair: (pair[1].author, pair[1].period, pair[0])):
        if digest not in opened:
            holders = tuple(facts.origin for facts in kept if digest in facts.held)
            yield SealedReport(digest, item.author, item.period, item.leaves, holders)
