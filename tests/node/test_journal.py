"""The journal: what it promised before a crash holds after it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from brakeline.node.channel import Hello, Sample
from brakeline.node.journal import Claim, Delivery, Journal, JournalError, Outgoing, Reserved
from brakeline.treaty.statements import Activity

WRITER = """
import hashlib, json, os, sys
from pathlib import Path
from brakeline.ledger.ed25519 import SeedSigner
from brakeline.node.journal import Journal, Reserved, Outgoing
signer = SeedSigner(bytes(32))
journal = Journal(Path(sys.argv[1]))
world = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def sign(item):
    signature = signer.sign(item.payload)
    os.write(world, json.dumps([item.sequence, item.digest, signature.hex()]).encode() + b"\\n")  # a signature leaves
    journal.signed(Outgoing(0, item.digest, "usage", "site", item.sequence, item.payload + signature))
for item in journal.unsigned():
    sign(item)
print("up", flush=True)
while True:
    sequence, previous = journal.head()
    payload = f"{sequence} {previous} {os.urandom(8).hex()}".encode()
    item = Reserved(sequence, hashlib.sha256(payload).hexdigest(), payload)
    journal.reserve(item)
    sign(item)
"""


def test_a_killed_writer_never_signs_two_payloads_for_one_position(tmp_path: Path) -> None:
    world, rng = tmp_path / "world", random.Random(7)
    for _ in range(15):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "journal.db"), str(world)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        time.sleep(rng.random() / 20)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    signed: dict[int, set[tuple[str, str]]] = {}
    for line in world.read_text().splitlines():
        sequence, digest, signature = json.loads(line)
        signed.setdefault(sequence, set()).add((digest, signature))
    assert all(len(versions) == 1 for versions in signed.values())
    assert sorted(signed) == list(range(len(signed)))
    assert len(signed) > 15
    with Journal(tmp_path / "journal.db") as journal:
        kept = {item.sequence for item in journal.envelopes()} | {item.sequence for item in journal.unsigned()}
        assert kept >= set(signed)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.db")


def test_a_second_process_is_refused(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="journal-locked"):
        Journal(tmp_path / "journal.db")
    journal.close()
    Journal(tmp_path / "journal.db").close()


def test_a_position_a_period_and_an_order_are_each_taken_once(journal: Journal) -> None:
    journal.reserve(Reserved(0, "a" * 64, b"one"), Claim(period=4, rows=(b"r",), order="o"))
    with pytest.raises(JournalError, match="journal-position"):
        journal.reserve(Reserved(0, "b" * 64, b"two"))
    for claim in (Claim(period=4), Claim(order="o")):
        with pytest.raises(JournalError, match="journal-claimed"):
            journal.reserve(Reserved(1, "c" * 64, b"three"), claim)
    assert (journal.head(), journal.last_period(), journal.rows(4)) == ((1, "a" * 64), 4, [b"r"])
    assert [item.payload for item in journal.unsigned()] == [b"one"]
    journal.close()


def test_a_full_disk_reserves_nothing_and_says_so(journal: Journal) -> None:
    journal.limit_pages(30)  # what a full disk looks like to SQLite
    with pytest.raises(JournalError, match="journal-io"):
        journal.reserve(Reserved(0, "a" * 64, os.urandom(400_000)))
    assert journal.head()[0] == 0
    assert journal.unsigned() == []
    journal.close()


def test_samples_repeated_by_a_meter_count_once_and_an_early_one_opens_the_session_earlier(journal: Journal) -> None:
    hello = Hello("meter", "0" * 32, "lm", Activity.TRAINING)
    assert journal.open_session(hello, 5_000) == 0
    samples = [Sample(n, 1_000 * n, 10 * n, "lm", Activity.TRAINING, n, 10**25 * n, n) for n in range(1, 6)]
    journal.add_samples(hello.session, samples)
    journal.add_samples(hello.session, samples[2:])
    assert journal.open_session(hello, 9_000) == 5
    (found,) = journal.samples_between(2_500, 3_500)
    assert found.opened_at == 1_000
    assert [s.n for s in found.samples] == [2, 3, 4]
    assert found.samples[0] == samples[1]
    journal.close()


def test_progress_is_kept_for_each_verifier_apart(journal: Journal) -> None:
    for n in range(3):
        journal.spool(Outgoing(0, f"{n}" * 64, "usage", "site", n, b"body"))
    first = journal.undelivered("v1")[0]
    journal.delivered("v1", [(first.id, Delivery.RECEIVED, "path")])
    assert [len(journal.undelivered(v)) for v in ("v1", "v2")] == [2, 3]
    assert journal.progress("v1")[Delivery.RECEIVED] == 1
    assert journal.receipts()["0" * 64] == 1
    journal.close()
