"""After a play: what its folder must show, whatever happened during it. And a hand that pulls plugs meanwhile."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from brakeline.ledger.entry import Entry, Kind
from brakeline.ledger.proof import verify_receipt
from brakeline.ledger.reader import LogReader
from brakeline.ledger.source import DirectorySource
from brakeline.testnet.outcome import Outcome
from brakeline.testnet.plan import Plan, Role
from brakeline.testnet.processes import ProcessError
from brakeline.testnet.stage import Stage
from brakeline.treaty.document import TreatyDocument, load_toml
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import Statement, parse_statement


class Silent:
    """Nobody is told; what was said is kept."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def event(self, text: str) -> None:
        self.said.append(text)

    def tick(self, stage: Stage, period: int) -> None:
        pass


class Plugs:
    """Kills verifiers and honest nodes with SIGKILL at random moments, one after the other, and starts them again."""

    def __init__(self, seed: int, kills: int, every_s: float) -> None:
        """Pull *kills* plugs, about one every *every_s* seconds while periods last."""
        self._random = random.Random(seed)
        self._every_s = every_s
        self._next = 0.0
        self._down: list[str] = []
        self.left = kills
        self.pulled: list[str] = []

    def __call__(self, stage: Stage) -> None:
        if self._next == 0.0:
            self._next = time.monotonic() + self._random.uniform(0, self._every_s)
        if self.left:
            stage.periods = max(stage.periods, stage.period() + 2)  # the play goes on until the last plug is pulled
        if stage.period() < 0 or not self.left or time.monotonic() < self._next or not self._all_up(stage):
            return
        honest = [lab.name for lab in stage.plan.labs if lab.role is not Role.CLUMSY]
        name = self._random.choice([*stage.servers, *honest])
        time.sleep(self._random.uniform(0, 0.2))  # not always at the same point of the play's own rhythm
        stage.troupe.kill(name)
        stage.troupe.restart(name)
        self._down.append(name)
        self.pulled.append(name)
        self.left -= 1
        self._next = time.monotonic() + self._random.uniform(0.5, 1.5) * self._every_s

    def _all_up(self, stage: Stage) -> bool:
        self._down = [name for name in self._down if not _is_up(stage, name)]
        return not self._down


def _is_up(stage: Stage, name: str) -> bool:
    try:
        return stage.troupe[name].ready()
    except ProcessError:
        raise AssertionError(f"{name} did not come up again") from None


def document_of(outcome: Outcome) -> TreatyDocument:
    return load_toml(outcome.paths["treaty"].read_text("utf-8")).require()


def logs_of(outcome: Outcome) -> Mapping[str, list[Entry]]:
    """Read every exported log, verified under its checkpoint."""
    document = document_of(outcome)
    return {
        v.name: list(LogReader(DirectorySource(outcome.paths["logs"] / v.name), v.log_key).entries())
        for v in document.verifiers
    }


def statements_in(entries: list[Entry]) -> Iterator[Statement]:
    for entry in entries:
        if entry.kind is Kind.STATEMENT:
            yield parse_statement(Envelope.from_body(entry.body).payload)


def acknowledged_statements_stand(outcome: Outcome) -> int:
    """Every receipt that anybody was given holds offline, and its entry stands in the log; return how many."""
    document, logs = document_of(outcome), logs_of(outcome)
    files = sorted(outcome.paths["receipts"].rglob("*.tlog-proof"))
    for path in files:
        verifier = document.verifier(path.parent.name)
        assert verifier is not None
        receipt = verify_receipt(path.read_bytes(), verifier.log_key, document.witness_policy(verifier.origin))
        entry = receipt.entry
        assert logs[verifier.name][entry.index].encode() == entry.encode(), f"lost: {path}"
    return len(files)


def no_sequence_was_signed_twice(outcome: Outcome) -> None:
    """But by those whose plan it was."""
    liars = {lab.site for lab in outcome.plan.labs if lab.role is Role.CLUMSY}
    versions: dict[tuple[str, int], set[str]] = {}
    for entries in logs_of(outcome).values():
        for statement in statements_in(entries):
            if statement.authored is not None and statement.authored.author not in liars:
                key = (statement.authored.author, statement.authored.sequence)
                versions.setdefault(key, set()).add(statement.digest)
    assert versions
    assert {key: found for key, found in versions.items() if len(found) > 1} == {}


def all_logs_hold_the_same(outcome: Outcome) -> None:
    """Of what nodes and meter had sent when they left; the last they sent may still be on its way between peers."""
    held = [{s.digest for s in statements_in(entries)} for entries in logs_of(outcome).values()]
    common = set.intersection(*held)
    assert all(len(common) >= 0.9 * len(digests) for digests in held)


def explain(outcome: Outcome, plan: Plan, folder: Path) -> str:
    """Say what went wrong, for a failing test."""
    bad = [row for row in outcome.comparison.rows if not row.outcome.good]
    return f"seed {plan.seed} in {folder}: {bad} {outcome.problems}"
