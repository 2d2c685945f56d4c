"""Sealed values in an audit: the disclosures that an auditor was given, and what the report says of what is sealed.

A folder of disclosures holds files ``<statement digest>.disclosure.json``, at any depth, each the canonical JSON of one
disclosure (docs/spec/statements.md, Disclosures), as ``brakeline node disclose`` writes them. Nothing in them is
believed: a disclosure that does not open its statement counts as not given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from brakeline.audit.report import OpinionReport, SealedReport
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.disclosure import Disclosure, parse_disclosure
from brakeline.treaty.replay import Facts
from brakeline.treaty.statements import to_json

SUFFIX = ".disclosure.json"


class GrowingFolder:
    """What opens statements, from files that keep arriving while logs are followed.

    A file is looked for when it is asked for, since the last :meth:`look`; what it said when it was first read counts.
    """

    def __init__(self, folder: Path) -> None:
        """Read from *folder*, at any depth.

        Raises:
            BrakelineError: ``disclosures-unreadable``: there is no such folder.
        """
        self._files: dict[str, Path] = {}
        self._seen: dict[str, bytes] = {}
        self._folder = folder
        self.look()

    def look(self) -> None:
        """See which files are there now.

        Raises:
            BrakelineError: ``disclosures-unreadable``: there is no such folder.
        """
        if not self._folder.is_dir():
            raise BrakelineError(
                code="disclosures-unreadable",
                message="the folder of disclosures cannot be read",
                expected="a folder",
                found=str(self._folder),
                fix="give the folder that holds the *.disclosure.json files",
            )
        self._files = {path.name.removesuffix(SUFFIX): path for path in sorted(self._folder.rglob(f"*{SUFFIX}"))}

    def __contains__(self, statement: object) -> bool:
        return statement in self._files

    def __call__(self, statement: str) -> Disclosure | None:
        """Return the disclosure of *statement*, by digest; None where there is none that can be read."""
        path = self._files.get(statement)
        if path is None:
            return None
        try:
            data = path.read_bytes()
            found = parse_disclosure(data)
        except (BrakelineError, OSError):
            return None
        seen = sha256(data).digest()
        return found if self._seen.setdefault(statement, seen) == seen else None


class DisclosureFolder(GrowingFolder):
    """The same, all there from the beginning: what a file said then counts.

    Attributes:
        digest: SHA-256 (hex) over the names and bytes of all files: equal for the same disclosures.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._seen = {name: sha256(path.read_bytes()).digest() for name, path in self._files.items()}
        rows = (name.encode() + b"\0" + seen for name, seen in sorted(self._seen.items()))
        self.digest = sha256(b"".join(rows)).hexdigest()


def disclosures_in(folder: Path) -> DisclosureFolder:
    """Return what opens statements from the files in *folder*.

    Raises:
        BrakelineError: ``disclosures-unreadable``: there is no such folder.
    """
    return DisclosureFolder(folder)


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
