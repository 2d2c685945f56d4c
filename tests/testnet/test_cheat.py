"""The clumsy lab: its lies are exactly those that were planned, and everything else it says is well formed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from brakeline.ledger import keyfile
from brakeline.ledger.ed25519 import Signer
from brakeline.node import config
from brakeline.node.journal import Journal
from brakeline.node.setup import JOURNAL, KEY
from brakeline.node.tls import TlsFiles
from brakeline.testnet.build import PARTIES, Testnet, build
from brakeline.testnet.cheat import ClumsySite, DefiantNode
from brakeline.testnet.plan import draw
from brakeline.testnet.ports import Ports
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.signing import add_signature
from brakeline.treaty.statements import (
    Acknowledgement,
    Activity,
    Order,
    Scope,
    Statement,
    Usage,
    encode_statement,
    parse_statement,
)

HOUR_MS = 3_600_000
PLAN = draw(seed=5, labs=2, cheats=1, evidence=True)


def long_ago() -> int:
    return time.time_ns() // 1_000_000 - HOUR_MS


@pytest.fixture
def net(tmp_path: Path) -> Testnet:
    with Ports() as ports:
        return build(tmp_path, PLAN, 1, long_ago, ports, lead_ms=0)


@pytest.fixture
def site(net: Testnet) -> Iterator[ClumsySite]:
    folder = net.lab(PLAN.labs[1].name)
    signer: Signer = keyfile.read_signer(folder / KEY, None)
    with Journal(folder / JOURNAL) as journal:
        yield ClumsySite(PLAN.labs[1].site, net.document, journal, signer, imbalance=1, second=2)


def said(site: ClumsySite) -> list[Statement]:
    return [parse_statement(Envelope.from_body(item.body).payload) for item in site.journal.envelopes()]


def books(site: ClumsySite) -> dict[int, list[Usage]]:
    found: dict[int, list[Usage]] = {}
    for statement in said(site):
        if isinstance(statement.predicate, Usage):
            period = site.document.grid.index_of(statement.predicate.start, statement.predicate.end)
            assert period is not None
            found.setdefault(period, []).append(statement.predicate)
    return found


def balance(usage: Usage) -> int:
    return sum(item.value.value for line in usage.lines for item in line.chip_ms)


def test_the_clumsy_lab_lies_in_the_planned_periods_and_in_no_other(site: ClumsySite) -> None:
    for period in range(4):
        site.book_period(period)
    found = books(site)
    due = 2 * site.document.grid.period.value
    assert {period: [balance(usage) == due for usage in versions] for period, versions in found.items()} == {
        0: [True],
        1: [False],
        2: [True, True],
        3: [True],
    }
    first, second = found[2]
    assert (first.sequence, first.previous) == (second.sequence, second.previous)
    assert first != second
    assert found[3][0].sequence == first.sequence + 1


def order_of(net: Testnet) -> Envelope:
    order = Order(
        treaty=net.pin,
        kind="pause",
        scope=Scope(who=("everyone",), activities=(Activity.TRAINING,)),
        effective_period=3,
        expiry_period=1_000,
        reason="a test",
        exercise=False,
        lifts=(),
        nonce="0" * 32,
    )
    payload = encode_statement(order)
    envelope: Envelope | None = None
    for party in PARTIES:
        envelope = add_signature(payload, envelope, keyfile.read_signer(net.keys / f"{party}.pem", None))
    assert envelope is not None
    return envelope


def test_the_clumsy_lab_acknowledges_an_order_once_and_stops_nothing(net: Testnet, site: ClumsySite) -> None:
    folder = net.lab(PLAN.labs[1].name)
    settings = config.load(folder / config.FILE)

    async def see() -> None:
        tls = TlsFiles.within(folder / settings.tls.folder)
        node = DefiantNode(folder, settings, site, tls, long_ago)
        for _ in range(2):
            node.see(order_of(net), "verifier.party-a.example")

    asyncio.run(see())
    acknowledged = [s.predicate for s in said(site) if isinstance(s.predicate, Acknowledgement)]
    assert [item.workloads for item in acknowledged] == [()]
    assert acknowledged[0].order == order_of(net).digest
