"""Simulated weeks in which verifiers are down, slow, or lie about receipts: the outbox drains, and nothing grows."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest
import trustme
from brakeline.node.journal import Delivery
from brakeline.node.sender import REFUSED, Sender, check_receipt
from brakeline.node.site import Site
from brakeline.treaty.strictjson import JsonObject
from structlog.testing import capture_logs

from tests.node import house
from tests.node.outage import LIES, Line, SimVerifier, Spell, VirtualTime, run, scripted
from tests.support import cast

HOUR_MS = 3_600_000
START = cast.START
ALL = range(4)


class Weeks:
    """A site that books every hour of simulated weeks, its four senders, and four verifiers with a script."""

    def __init__(self, folder: Path, days: int, spells: tuple[Spell, ...], pause_s: float) -> None:
        terms: JsonObject = {"grid": {"start": START, "period_ms": HOUR_MS}}
        deadlines = cast.terms()["deadlines"]
        assert isinstance(deadlines, dict)
        terms["deadlines"] = {
            **deadlines,
            "report_ms": 4 * HOUR_MS,
            "acknowledge_ms": HOUR_MS,
            "reply_ms": 48 * HOUR_MS,
        }
        self.loop = VirtualTime(START)
        self.document = cast.document(**terms)
        self.folder, self.hours = folder, days * 24
        self.site: Site = house.make(folder, self.document, trustme.CA(), clock=self.loop.now_ms)
        self.verifiers = [
            SimVerifier(v.name, self.document, self.loop.now_ms, scripted(spells, number, self.loop.time))
            for number, v in enumerate(self.document.verifiers)
        ]
        self.senders = [
            Sender(v, Line(sim).channel(), self.site.journal, self.document, folder / "receipts", pause_s)
            for v, sim in zip(self.document.verifiers, self.verifiers, strict=True)
        ]
        self.waiting: list[tuple[int, ...]] = []
        self.received: list[tuple[int, ...]] = []
        self.bytes: list[int] = []

    async def live(self) -> None:
        """Book every hour, for as many hours; then let the outbox drain."""
        tasks = [asyncio.create_task(sender.run()) for sender in self.senders]
        for hour in range(self.hours):
            await asyncio.sleep(HOUR_MS / 1000)
            self.site.book_period(hour)
            for sender in self.senders:
                sender.wake()
            self._look()
        for _ in range(60):
            await asyncio.sleep(HOUR_MS / 1000)
            if not any(self._look()):
                break
        for task in tasks:
            task.cancel()

    def _look(self) -> tuple[int, ...]:
        found = [self.site.journal.progress(v.name) for v in self.document.verifiers]
        self.waiting.append(tuple(p[Delivery.OPEN] + p[Delivery.PENDING] for p in found))
        self.received.append(tuple(p[Delivery.RECEIVED] for p in found))
        journal = self.folder / "node" / "journal.db"
        self.bytes.append(sum(p.stat().st_size for p in (journal, journal.with_name("journal.db-wal")) if p.exists()))
        return self.waiting[-1]

    def settled(self) -> None:
        """Everything has a receipt of every verifier, which holds; each log holds each statement once."""
        items = list(self.site.journal.envelopes())
        assert len(items) == self.hours + 2
        assert self.waiting[-1] == (0, 0, 0, 0)
        for verifier, sim in zip(self.document.verifiers, self.verifiers, strict=True):
            assert self.site.journal.progress(verifier.name)[Delivery.RECEIVED] == len(items)
            assert len(sim.entries) == len(items)
            for item in items:
                state, path = self.site.journal.delivery(verifier.name, item.digest)
                assert state is Delivery.RECEIVED
                check_receipt((self.folder / "receipts" / path).read_bytes(), item.digest, verifier, self.document)

    def bounded(self) -> None:
        """No request is larger than the protocol allows; an hour of outage leaves no more behind than a quiet one."""
        assert max(sim.largest for sim in self.verifiers) <= 3 * 1024 * 1024
        quiet = self.bytes[23] / 24  # bytes an hour of the first day, when all was well
        assert self.bytes[-1] <= 1.5 * quiet * len(self.bytes) + 4 * 1024 * 1024  # SQLite's WAL is at most so long
        for verifier in self.document.verifiers:
            kept = list((self.folder / "receipts" / verifier.name).rglob("*"))
            assert sum(path.is_file() for path in kept) <= 2 * (self.hours + 2)
            assert not any(path.name.endswith(".part") for path in kept)


def spells(days: int) -> tuple[Spell, ...]:
    """Return a script: a quiet day; one down; two slow; all down; one that lies in every way; quiet to the end."""
    unit = (days - 2) / 8
    at = [1 + unit * i for i in range(9)]
    lies = [Spell(at[4] + unit * i, at[4] + unit * (i + 1), {3: lie}) for i, lie in enumerate(LIES)]
    return (
        Spell(at[0], at[1], {1: "down"}),
        Spell(at[1], at[2], {0: "slow", 2: "slow"}),
        Spell(at[2], at[4], dict.fromkeys(ALL, "down")),
        *lies,
    )


def weeks(folder: Path, days: int, pause_s: float) -> dict[str, object]:
    made = Weeks(folder, days, spells(days), pause_s)
    with capture_logs() as said:
        run(made.loop, made.live())
    made.settled()
    made.bounded()
    begin, end = (round(24 * s) for s in (spells(days)[3].begin, spells(days)[-1].end))
    while_lying = {made.received[hour][3] for hour in range(begin + 1, end - 1)}
    assert len(while_lying) == 1  # not one of its receipts was believed
    disbelieved = Counter(
        (str(e["verifier"]), str(e["code"])) for e in said if e["event"] == "verifier-answer-not-believed"
    )
    assert {name for name, _ in disbelieved} == {cast.VERIFIERS[3]}
    wanted = {"receipt-other", "proof-quorum", "proof-malformed"}
    assert wanted < {code for _, code in disbelieved}
    refused = list((folder / "receipts" / cast.VERIFIERS[3] / REFUSED).iterdir())
    assert refused
    made.site.journal.close()
    deepest = [max(hour[number] for hour in made.waiting) for number in ALL]
    assert min(deepest) >= round(24 * 2 * (days - 2) / 8) - 1  # all were down for two eighths of the time
    calls = [sim.calls for sim in made.verifiers]
    return {"days": days, "statements": made.hours + 2, "deepest": deepest, "calls": calls, "refused": len(refused)}


def test_days_of_outages_leave_nothing_behind(tmp_path: Path) -> None:
    assert weeks(tmp_path, 4, 900.0)["statements"] == 98


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_weeks_of_outages_leave_nothing_behind(tmp_path: Path) -> None:
    print(json.dumps(weeks(tmp_path, 28, 120.0)))
