"""A network that is cut in two while an order is pressed: whoever hears it acts, and after healing all logs agree."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from brakeline.audit.copies import open_copy, read_copy
from brakeline.audit.report import LogState
from brakeline.ledger.source import opened
from brakeline.node.submit import submit_everywhere
from brakeline.node.tls import TlsFiles
from brakeline.testnet.build import PARTIES
from brakeline.testnet.processes import BRAKELINE
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.replay import LogReplay
from brakeline.treaty.succession import Succession

from tests.testnet.network import LABS, Network, network

pytestmark = pytest.mark.timeout(400)


def pressed(trial: Network, root: Path) -> Envelope:
    """Draft an order by the command, and sign it with every party's key."""
    net = trial.net
    payload, signed = root / "order.json", root / "order.dsse.json"
    terms = ["--treaty", str(net.toml)]
    when = ["--effective-period", "1", "--expiry-period", "900", "--reason", "a pause in a divided network"]
    draft = ["brake", "draft", *terms, "--kind", "pause", *when, "--out", str(payload)]
    assert trial.troupe.run("draft", [*BRAKELINE, *draft])[0] == 0
    for party in PARTIES:
        sign = ["brake", "sign", str(payload), *terms, "--key", str(net.keys / f"{party}.pem"), "--out", str(signed)]
        assert trial.troupe.run(f"sign-{party}", [*BRAKELINE, *sign])[0] == 0
    return Envelope.from_dsse_json(signed.read_bytes())


def submit(trial: Network, order: Envelope, reached: list[str], root: Path) -> None:
    """Submit *order* to the verifiers *reached*; the others are behind a cut cable."""
    nowhere = trial.links.lay("nowhere", 1)
    trial.links.cut("nowhere")
    addresses = {name: f"127.0.0.1:{nowhere}" for name in trial.verifiers if name not in reached}
    credentials = TlsFiles.within(trial.net.tls).credentials()
    asyncio.run(submit_everywhere(order, trial.net.document, credentials, root / "receipts", 6.0, addresses))


def acknowledged(trial: Network, lab: int) -> bool:
    """Say whether the node of this lab has acknowledged an order (in its own journal, whoever has heard it)."""
    said = trial.troupe.run(
        f"status-{lab}-{time.monotonic_ns()}",
        [*BRAKELINE, "node", "status", "--dir", str(trial.net.lab(LABS[lab].name)), "--format", "json"],
    )[1]
    return bool(json.loads(said)["acknowledged"])


def poll(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 150
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_two_halves_of_a_network_agree_on_an_order_once_they_meet_again(tmp_path: Path) -> None:
    with network(tmp_path) as trial:
        trial.start([*trial.verifiers, *trial.nodes])
        trial.until(lambda report: all(log.entries.get("statement", 0) >= 4 for log in report.logs))
        halves = [trial.verifiers[:2], trial.verifiers[2:]]
        torn = [f"{a}->{b}" for one, other in (halves, halves[::-1]) for a in one for b in other]
        torn += [f"{LABS[lab].name}->{name}" for lab in (0, 1) for name in halves[1 - lab]]
        order = pressed(trial, tmp_path)
        for name in torn:
            trial.links.cut(name)
        submit(trial, order, halves[0], tmp_path)
        poll(lambda: acknowledged(trial, 0))
        assert not acknowledged(trial, 1)
        for name in torn:
            trial.links.mend(name)
        poll(lambda: acknowledged(trial, 1))
        trial.until(lambda report: all(log.state is LogState.REPRODUCED for log in report.logs))
        trial.troupe.stop(trial.nodes)  # nothing new is said from here on; what was said must stand in every log
        poll(lambda: len(set(states(trial))) == 1)
        assert all(order.digest in held for held, _ in states(trial))


def states(trial: Network) -> list[tuple[frozenset[str], frozenset[str]]]:
    """Return, for each log, the statements it holds and the findings that stand in it."""
    found: list[tuple[frozenset[str], frozenset[str]]] = []
    document = trial.net.document
    for verifier in document.verifiers:
        with opened(verifier.url) as source:
            copy = open_copy(source, Succession(document))
            assert copy.reader is not None
            replay = LogReplay(document, verifier.origin, copy.reader.root_at)
            read_copy(copy, replay.feed)
            facts = replay.finish()
        found.append((frozenset(item.hex() for item in facts.arrivals), frozenset(facts.standing)))
    return found
