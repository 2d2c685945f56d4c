"""Does examples/check_log.py, which shares no code with the audit, say the same of every log that a test audits?

What must agree: whether the copy is what its checkpoint says; the first entry that no honest verifier would have
logged; whose books do not balance and who signed two versions. What the checker does not do, as its page says: rules
beyond those two and the draw of challenges (:data:`BEYOND`). Logs read from directories are all asked about, once each;
of those read over HTTP, which tests read again and again as they grow, a sample by content.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from brakeline.audit import replay
from brakeline.audit.copies import Replayed
from brakeline.audit.report import LogState
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.strictjson import JsonObject
from brakeline.treaty.succession import Succession

from tests.support.worlds import write_log

EXAMPLES = Path(__file__).parents[2] / "examples"
BEYOND = frozenset({"replay-judgement", "replay-challenge", "replay-opinion"})
"""What only who runs every rule, draws every challenge, and opens what is sealed can see."""
GROWING = 1 if os.environ.get("BRAKELINE_AGREE") == "all" else 8
"""Of logs read over HTTP one in so many; BRAKELINE_AGREE=all asks about every one."""
_asked: set[bytes] = set()


@pytest.fixture(autouse=True)
def second_opinion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put whatever log is audited in this test to the independent checker too."""
    real = replay.read_sources

    def read_sources(stack: ExitStack, sources: Sequence[str], treaty: Succession, **options: Any) -> list[Replayed]:
        copies = real(stack, sources, treaty, **options)
        for copy in copies:
            if treaty.root.verifier(copy.copy.report.origin):  # the checker is told of version 1, and learns the others
                agree(copy, treaty.root)
        return copies

    monkeypatch.setattr(replay, "read_sources", read_sources)


def agree(copy: Replayed, document: TreatyDocument) -> None:
    """Hold the two against each other over one copy, unless it was asked about before."""
    with tempfile.TemporaryDirectory(prefix="brakeline-agree-") as folder:
        root = Path(copy.copy.report.source)
        if not root.is_dir():
            if not _from_network(copy, Path(folder)):
                return
            root = Path(folder)
        files = [path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()]
        name = hashlib.sha256(b"\0".join([document.digest.encode(), *files])).digest()
        if name not in _asked:
            _asked.add(name)
            assert list(differences(copy, root, document.to_json())) == []


def _from_network(copy: Replayed, folder: Path) -> bool:
    """Write what was read over HTTP into *folder*; say whether it is to be asked about."""
    reader = copy.copy.reader
    if reader is None or reader.checkpoint.root[0] % GROWING:
        return False
    try:
        write_log(folder, reader.note, [entry.encode() for entry in reader.entries()])
    except BrakelineError:
        return False  # what its reader refuses is not all there
    return True


def checker() -> ModuleType:
    """Return the checker as a module."""
    if str(EXAMPLES) not in sys.path:
        sys.path.append(str(EXAMPLES))
    return importlib.import_module("check_log")


def differences(copy: Replayed, root: Path, treaty: JsonObject) -> Iterator[str]:
    """Yield in what the checker's reading of *root* differs from the audit's of *copy*."""
    module = checker()
    second = module.LogCheck(module.Treaty(treaty))
    unreadable = ""
    try:
        second.run(root)
    except module.Bad as error:
        unreadable = str(error.args)
    report = copy.copy.report
    ended = report.divergence
    if ended is not None and ended.code.startswith("state-"):
        return  # what is refused is the auditor's own state, not the log
    wrong = [item["index"] for item in second.problems if item["level"] == "misconduct"]
    if (report.state is LogState.UNREADABLE) != bool(unreadable):
        yield f"{report.state}: {ended}; the checker {unreadable or 'reads it'}"
    elif report.state is LogState.MISCONDUCT and ended is not None and ended.code in BEYOND:
        if wrong and wrong[0] < (ended.index or 0):
            yield f"{ended}; the checker sees {second.problems} before"
    elif report.state is LogState.MISCONDUCT and ended is not None and wrong[:1] != [ended.index]:
        yield f"{ended}; the checker {second.problems}"
    elif report.state is LogState.REPRODUCED and wrong:
        yield f"reproduced; the checker {second.problems}"
    if report.state is LogState.REPRODUCED and not unreadable and copy.facts is not None:
        rules = {str(row["rule"]) for row in _rows(treaty["rule"])}
        for rule, codes in (("imbalance", {"imbalance", "inventory"}), ("equivocation", {"equivocation"})):
            mine = {item.about for item in copy.facts.standing.values() if item.rule == rule}
            theirs = {_about(item) for item in second.problems if item["level"] == "finding" and item["code"] in codes}
            if rule in rules and mine != theirs:
                yield f"{rule}: {sorted(mine)}; the checker {sorted(theirs)}"


def _about(item: dict[str, Any]) -> str:
    """Whom a sentence of the checker is about: it begins with the name."""
    return str(item["message"]).split(",")[0].split(" ")[0]


def _rows(value: object) -> list[JsonObject]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
