"""The node as it runs: real meters, real journal, real verifiers over mutual TLS, a real order."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
import trustme
from brakeline.node.journal import Delivery
from brakeline.node.sender import check_receipt
from brakeline.node.site import Site
from brakeline.node.submit import submit_everywhere
from brakeline.node.tls import TlsFiles
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.statements import Acknowledgement
from brakeline.treaty.strictjson import JsonObject

from tests.node import house
from tests.node.house import ROOT, books, make, metered, now_ms, running, serving, total, until
from tests.support import cast

TRAIN = (sys.executable, str(ROOT / "examples" / "train_stdlib.py"), "--bytes", "50000", "--throttle", "0.3")


def balanced(site: Site) -> bool:
    """Say whether every period from 0 on was booked once, in order, and sums to the inventory."""
    found = books(site)
    starts = [usage.start.value for usage in found]
    sums = {sum(t.value.value for line in usage.lines for t in line.chip_ms) for usage in found}
    first = site.document.grid.start.value
    return starts == [first + i * house.PERIOD_MS for i in range(len(found))] and sums <= {2 * house.PERIOD_MS}


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def test_a_metered_training_is_booked_while_every_verifier_is_down(tmp_path: Path, authority: trustme.CA) -> None:
    make(tmp_path, house.treaty(now_ms()), authority).journal.close()

    async def scene() -> None:
        async with serving(tmp_path / "node") as site:
            child = await metered(tmp_path / "node", *TRAIN, "--steps", "150", "--checkpoint", str(tmp_path / "c.npz"))
            out = (await child.communicate())[0]
            assert child.returncode == 0
            flop = int(out.split(b'"flop": ')[1].split(b"}")[0])
            await until(lambda: total(books(site), "training", "flop_model") == flop)
            assert total(books(site), "training", "tokens") == 150 * 64
            assert total(books(site), "training", "chip_ms") > 0
            assert balanced(site)

    asyncio.run(scene())


def test_the_exit_code_is_the_commands_and_its_children_are_booked(tmp_path: Path, authority: trustme.CA) -> None:
    make(tmp_path, house.treaty(now_ms()), authority).journal.close()
    burn = "import time\nwhile time.process_time() < 0.4: pass"

    async def scene() -> None:
        async with serving(tmp_path / "node") as site:
            shell = f"'{sys.executable}' -c '{burn}' & '{sys.executable}' -c '{burn}'; exit 7"
            child = await metered(
                tmp_path / "node", "sh", "-c", shell, options=("--activity", "inference", "--workload", "two")
            )
            assert await child.wait() == 7
            await until(
                lambda: total(books(site), "inference", "chip_ms") + total(books(site), "other", "chip_ms") >= 750
            )
            assert balanced(site)

    asyncio.run(scene())


def test_a_node_that_is_killed_again_and_again_books_every_period_once_and_loses_nothing(
    tmp_path: Path, authority: trustme.CA
) -> None:
    make(tmp_path, house.treaty(now_ms()), authority).journal.close()
    folder = tmp_path / "node"

    async def scene() -> None:
        child = await metered(folder, *TRAIN, "--steps", "400", "--checkpoint", str(tmp_path / "c.npz"))
        for delay in (0.4, 1.3, 0.9, 1.6):
            node = await asyncio.create_subprocess_exec(
                *house.PROGRAM,
                "run",
                "--dir",
                str(folder),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            assert node.stdout is not None
            assert b"ready" in await node.stdout.readline()
            await asyncio.sleep(delay)  # the moment of the kill is arbitrary; nothing below depends on it
            node.send_signal(signal.SIGKILL)
            await node.communicate()
        out = (await child.communicate())[0]
        flop = int(out.split(b'"flop": ')[1].split(b"}")[0])
        async with serving(folder) as site:
            await until(lambda: total(books(site), "training", "flop_model") == flop)
            assert balanced(site)
            sequences = [item.sequence for item in site.journal.envelopes() if item.author == cast.SITE]
            assert sequences == list(range(len(sequences)))

    asyncio.run(scene())


def test_a_command_without_a_hook_is_stopped_and_continued_as_a_process_group(
    tmp_path: Path, authority: trustme.CA
) -> None:
    document = house.treaty(now_ms())
    make(tmp_path, document, authority).journal.close()
    count = "import time\nn=0\nwhile True:\n n+=1; print(n, flush=True); time.sleep(0.01)"

    async def scene() -> None:
        async with running(tmp_path / "node") as (site, node):
            child = await metered(tmp_path / "node", sys.executable, "-c", count, options=("--activity", "training"))
            assert child.stdout is not None
            await child.stdout.readline()
            await until(lambda: site.journal.open_sessions())
            now = site.document.grid.period_of(house_instant())
            pause = cast.order(document, effective=now, expiry=now + 3)
            node.see(pause, "a file carried by hand")
            await until(lambda: _acknowledgements(site))
            (acknowledgement,) = _acknowledgements(site)
            assert [w.workload for w in acknowledgement.workloads] == [Path(sys.executable).name]
            await until(lambda: site.document.grid.period_of(house_instant()) >= now + 3)  # it expires
            before = await _drained(child.stdout)
            assert await child.stdout.readline()
            assert before > 0
            child.send_signal(signal.SIGTERM)
            assert await child.wait() == 128 + signal.SIGTERM

    asyncio.run(scene())


async def _drained(stream: asyncio.StreamReader) -> int:
    return len(await stream.read(65536))


def house_instant() -> InstantMs:
    return InstantMs(now_ms())


def _acknowledgements(site: Site) -> list[Acknowledgement]:
    return [s.predicate for s in house.statements(site) if isinstance(s.predicate, Acknowledgement)]


def test_verified_receipts_come_from_real_verifiers_and_an_order_stops_the_training(
    tmp_path: Path, authority: trustme.CA
) -> None:
    pytest.importorskip("brakeline.treaty.judge")
    from tests.verifier import world

    document = world.treaty(4)
    value: JsonObject = document.to_json()
    value["grid"] = {"start": now_ms(), "period_ms": house.PERIOD_MS}
    value["silence"] = "stop"  # and yet it trains: the verifiers answer
    document = type(document).from_json(value)
    verifiers = world.World(tmp_path / "verifiers", document, authority=authority)
    make(tmp_path, document, authority).journal.close()

    async def scene() -> None:
        async with world.running(verifiers) as judges:
            addresses = {j.server.name: j.addresses["grpc"] for j in judges}
            async with serving(tmp_path / "node", addresses) as site:
                child = await metered(
                    tmp_path / "node", *TRAIN, "--steps", "0", "--checkpoint", str(tmp_path / "c.npz")
                )
                await until(lambda: total(books(site), "training", "flop_model") > 0)
                period = site.document.grid.period_of(house_instant()) + 1
                order = cast.order(document, effective=period, expiry=period + 50)
                mine = TlsFiles.within(tmp_path / "node" / "tls").credentials()
                sent = await submit_everywhere(order, document, mine, tmp_path / "receipts", 20, addresses)
                assert {state for state, _ in sent.values()} == {Delivery.RECEIVED}
                await until(lambda: _acknowledgements(site))
                (acknowledgement,) = _acknowledgements(site)
                (stopped,) = acknowledgement.workloads
                assert stopped.freeze is not None
                assert acknowledgement.order == order.digest
                booked = len(books(site))
                await until(lambda: len(books(site)) >= booked + 3)
                later = [u for u in books(site) if site.document.grid.period_of(u.start) > period + 1]
                assert later
                assert total(later, "training", "chip_ms") == 0
                written = list(site.journal.receipts())  # of what is written by now: a new one comes every period
                await until(lambda: all(_quorum_met(site, digest) for digest in written))
                child.send_signal(signal.SIGTERM)
                await child.wait()
                _check_receipts(tmp_path / "node" / "receipts", site)

    asyncio.run(scene())


def _quorum_met(site: Site, digest: str) -> bool:
    return site.journal.receipts()[digest] >= site.document.quorum.receipts


def _check_receipts(folder: Path, site: Site) -> None:
    for verifier in site.document.verifiers:
        for item in site.journal.envelopes():
            state, path = site.journal.delivery(verifier.name, item.digest)
            if state is Delivery.RECEIVED:
                assert path == f"{verifier.name}/{item.sequence}-{item.digest}.tlog-proof"
                check_receipt((folder / path).read_bytes(), item.digest, verifier, site.document)


def test_what_ran_while_the_node_was_away_is_booked_from_the_spool_folder(
    tmp_path: Path, authority: trustme.CA
) -> None:
    make(tmp_path, house.treaty(now_ms()), authority).journal.close()

    async def scene() -> None:
        child = await metered(tmp_path / "node", *TRAIN, "--steps", "40", "--checkpoint", str(tmp_path / "c.npz"))
        out = (await child.communicate())[0]
        flop = int(out.split(b'"flop": ')[1].split(b"}")[0])
        assert len(list((tmp_path / "node" / "spool").glob("*.jsonl"))) == 1
        async with serving(tmp_path / "node") as site:
            await until(lambda: total(books(site), "training", "flop_model") == flop)
            assert balanced(site)
        assert not list((tmp_path / "node" / "spool").glob("*.jsonl"))

    asyncio.run(scene())
