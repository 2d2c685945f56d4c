"""Looking after a node: the doctor, figures for Prometheus, an outbox carried by hand, the view in a terminal."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest
import trustme
from brakeline.ledger.errors import BrakelineError
from brakeline.node.commands import app
from brakeline.node.config import MetricsPart, NodeConfig
from brakeline.node.journal import Delivery, Journal
from brakeline.node.ops import carry, certificates, doctor, local_checks, top, verifier_checks
from brakeline.node.ops.certificates import DAY_MS
from brakeline.node.ops.checks import Check, State, worst
from brakeline.node.ops.metrics import Metrics, MetricsServer, periods_behind
from brakeline.node.service import RECEIPTS
from brakeline.node.setup import JOURNAL, KEY, open_site
from brakeline.node.tls import TlsFiles
from brakeline.treaty.document import TreatyDocument
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from typer.testing import CliRunner, Result

from tests.node import house
from tests.node.house import make, now_ms, until
from tests.node.test_lines import current, node, received
from tests.support import cast
from tests.verifier import world


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a node that has never run, of the cast's treaty."""
    make(tmp_path, house.treaty(now_ms()), trustme.CA()).journal.close()
    return tmp_path / "node"


def by_name(checks: Iterable[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def invoke(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exit_code == code, result.output + result.stderr
    return result


# the doctor -----------------------------------------------------------------------------------------------------------


def test_a_healthy_folder_has_nothing_to_mend(folder: Path) -> None:
    checks = doctor.examine(folder, None, now_ms, online=False)
    assert {c.name for c in checks if c.state is State.FAIL} == set()
    found = by_name(checks)
    assert found["receipts"].state is State.WARN  # nothing was sent yet
    assert found["certificate-name"].state is found["enrolment"].state is found["disk-kind"].state is State.OK
    assert all(check.fix for check in checks if check.state is not State.OK)


def test_what_is_wrong_is_named_with_what_to_do(folder: Path) -> None:
    """Each damage alone is found by its own check."""

    def failing(name: str) -> None:
        found = by_name(doctor.examine(folder, None, now_ms, online=False))[name]
        assert found.state is not State.OK
        assert found.fix

    (folder / KEY).chmod(0o644)
    failing("key-mode")
    (folder / KEY).chmod(0o600)

    key = (folder / KEY).read_bytes()
    (folder / KEY).write_bytes(b"no key")
    failing("key")
    (folder / KEY).write_bytes(key)

    other = make(folder.parent / "other", house.treaty(now_ms()), trustme.CA())
    other.journal.close()
    shutil.copy(folder.parent / "other" / "node" / KEY, folder / KEY)
    failing("enrolment")
    (folder / KEY).write_bytes(key)

    certificate = trustme.CA().issue_cert("somebody.example")
    pem = (folder / "tls" / "tls.pem").read_bytes(), (folder / "tls" / "tls.key").read_bytes()
    (folder / "tls" / "tls.pem").write_bytes(b"".join(p.bytes() for p in certificate.cert_chain_pems))
    failing("certificate-files")
    certificate.private_key_pem.write_to_path(folder / "tls" / "tls.key")
    failing("certificate-name")
    failing("certificate-issuer")
    (folder / "tls" / "tls.pem").write_bytes(pem[0])
    (folder / "tls" / "tls.key").write_bytes(pem[1])

    journal = (folder / JOURNAL).read_bytes()
    (folder / JOURNAL).write_bytes(b"not a database at all" * 100)
    failing("journal")
    (folder / JOURNAL).write_bytes(journal)

    text = (folder / "node.toml").read_text()
    (folder / "node.toml").write_text(text.replace('pin = "', 'pin = "0000'))
    failing("config")
    (folder / "node.toml").write_text(text.replace(text.split('pin = "')[1][:64], "0" * 64))
    failing("treaty")


def test_a_certificate_that_ends_is_warned_of_and_then_fails(folder: Path) -> None:
    files, settings = TlsFiles.within(folder / "tls"), open_settings(folder)
    found = certificates.read(files)

    def state(at: int) -> State:
        return by_name(local_checks.certificate(found, settings, files, at))["certificate-time"].state

    assert state(found.not_after_ms - 31 * DAY_MS) is State.OK
    assert state(found.not_after_ms - 29 * DAY_MS) is State.WARN
    assert state(found.not_after_ms + DAY_MS) is State.FAIL
    assert state(found.not_before_ms - 1) is State.FAIL


def open_settings(folder: Path) -> NodeConfig:
    settings, site = open_site(folder, None, now_ms)
    site.journal.close()
    return settings


def test_the_clock_is_judged_by_the_times_that_f_plus_1_logs_have_reached() -> None:
    document = world.treaty(4)  # f = 1
    skew, longest = document.deadlines.skew_ms.value, document.deadlines.checkpoint_ms.value
    now = 1_800_000_000_000

    def state(*times: int | None) -> State:
        heard = [verifier_checks.Heard(document.digest, time) for time in times]
        (check,) = verifier_checks.clock(document, heard, now)
        return check.state

    assert state(now, now, now) is State.OK
    assert state(now + 10 * skew + 60_000, now, now) is State.OK  # one liar alone sets no clock
    assert state(*[now + skew + 5_000] * 3) is State.FAIL
    assert state(*[now - skew - longest - 5_000] * 3) is State.WARN
    assert state(now, None, None) is State.WARN  # one log is too few


def test_verifiers_are_asked_and_their_answers_are_not_believed_without_signatures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, document = trustme.CA(), current(1)
    verifiers = world.World(tmp_path / "verifiers", document, authority=authority)
    make(tmp_path, document, authority).journal.close()
    files, settings = TlsFiles.within(tmp_path / "node" / "tls"), open_settings(tmp_path / "node")

    async def scene() -> None:
        async with world.running(verifiers) as judges:
            addresses = {j.server.name: j.addresses["grpc"] for j in judges}
            there = NodeConfig.model_validate({**settings.model_dump(by_alias=True), "verifiers": addresses})
            await until(lambda: judges[0].server.name)
            found: dict[str, Check] = {}

            async def asked() -> bool:
                found.update(by_name(await verifier_checks.ask_all(document, there, files, now_ms)))
                return found["clock"].state is State.OK

            for _ in range(100):
                if await asked():
                    break
                await asyncio.sleep(0.1)
            assert found["reach"].state is found["treaty-fresh"].state is found["clock"].state is State.OK
            late = by_name(await verifier_checks.ask_all(document, there, files, lambda: now_ms() - 3_600_000))
            assert late["clock"].state is State.FAIL
            monkeypatch.setattr(verifier_checks, "ASK_S", 1.0)
            stranger = current(2)  # other digest, same verifier: its answer is of another treaty
            other = by_name(await verifier_checks.ask_all(stranger, there, files, now_ms))
            assert other["treaty-fresh"].state is State.WARN
            assert other["reach"].state is State.FAIL

    asyncio.run(scene())


def test_the_doctors_command_prints_both_ways_and_exits_by_what_it_found(folder: Path) -> None:
    value = json.loads(invoke("doctor", "--dir", folder, "--offline", "--format", "json").stdout)
    assert value["state"] == "warn"
    (folder / "tls" / "ca.pem").unlink()
    text = invoke("doctor", "--dir", folder, "--offline", code=1).stdout
    assert "certificate-files" in text
    assert "-> " in text
    assert worst([]) is State.OK


# figures --------------------------------------------------------------------------------------------------------------


def test_prometheus_reads_what_the_running_node_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brakeline.node.service.REFRESH_S", 0.1)
    make(tmp_path, current(1), trustme.CA()).journal.close()

    async def scene() -> None:
        listen = MetricsPart(listen="127.0.0.1:0")
        async with node(tmp_path / "node", {}, metrics=listen) as (site, running):
            url = running.metrics_url
            assert url is not None
            async with httpx.AsyncClient(trust_env=False) as client:

                async def figures() -> dict[tuple[str, ...], float]:
                    text = (await client.get(url)).text
                    families = text_string_to_metric_families(text)
                    return {(s.name, *s.labels.values()): s.value for f in families for s in f.samples}

                await until(lambda: house.books(site))
                for _ in range(100):
                    found = await figures()
                    if found["brakeline_node_last_period",] >= 0:
                        break
                    await asyncio.sleep(0.1)
                assert found["brakeline_node_last_period",] >= 0
                assert found["brakeline_node_without_quorum",] >= 3
                assert found["brakeline_node_certificate_days",] > 1
                assert found["brakeline_node_disk_free_bytes",] > 0
                name = site.document.verifiers[0].name
                assert found["brakeline_node_outbox", "open", name] >= 3
            with pytest.raises(BrakelineError) as caught:
                MetricsServer(url.removeprefix("http://").removesuffix("/metrics"), Metrics())
            assert caught.value.code == "metrics-address"

    asyncio.run(scene())


def test_periods_behind_are_those_that_are_over_and_owed() -> None:
    document = house.treaty(1_000_000)
    at = document.grid.start_of(10).value + 1
    assert periods_behind(document, None, None, at) == 0
    assert periods_behind(document, 4, None, at) == 6
    assert periods_behind(document, 0, 9, at) == 0
    assert periods_behind(document, 0, 6, at) == 3


# an outbox that is carried --------------------------------------------------------------------------------------------


def closed_site(tmp_path: Path) -> tuple[TreatyDocument, trustme.CA, Path]:
    """Return a treaty, its CA, and the folder of a node that booked some periods and reached nobody."""
    authority, document = trustme.CA(), current(1)
    make(tmp_path, document, authority).journal.close()

    async def scene() -> None:
        async with node(tmp_path / "node", {document.verifiers[0].name: "127.0.0.1:9"}) as (site, _):
            await until(lambda: len(house.books(site)) >= 2)

    asyncio.run(scene())
    return document, authority, tmp_path / "node"


def test_a_box_is_carried_out_submitted_and_its_receipts_are_carried_back(tmp_path: Path) -> None:
    document, authority, folder = closed_site(tmp_path)
    box, outside = tmp_path / "box.jsonl", tmp_path / "outside"
    count = json.loads(invoke("outbox", "export", box, "--dir", folder, "--format", "json").stdout)["statements"]
    assert count >= 4  # enrolment, inventory, two books
    (tmp_path / "treaty.dsse.json").write_bytes(cast.treaty_envelope(document).to_dsse_json())
    verifiers = world.World(tmp_path / "verifiers", document, authority=authority)

    async def scene() -> None:
        async with world.running(verifiers) as judges:
            from brakeline.node.submit import submit_all

            credentials = TlsFiles.within(folder / "tls").credentials()
            at = {j.server.name: j.addresses["grpc"] for j in judges}
            done = await submit_all(carry.read(box, document), document, credentials, outside, 30.0, at)
            assert len(done) == count
            assert {state for by in done.values() for state, _ in by.values()} == {Delivery.RECEIVED}

    asyncio.run(scene())
    wrong = next(outside.rglob("*.tlog-proof"))
    forged = wrong.read_bytes().replace(b"\n\n", b"\n\nx", 1)
    wrong.write_bytes(forged)
    result = invoke("outbox", "receipts", outside, "--dir", folder, "--format", "json", code=4)
    value = json.loads(result.stdout)
    assert value["taken"] == count - 1
    assert len(value["strange"]) == 1
    with Journal(folder / JOURNAL, read_only=True) as journal:
        assert len(carry.owed(journal, document)) == 1
        assert sum(journal.receipts().values()) == count - 1
    assert len(list((folder / RECEIPTS).rglob("*.tlog-proof"))) == count - 1


def test_a_running_node_takes_carried_receipts_up_itself(tmp_path: Path) -> None:
    document, authority, folder = closed_site(tmp_path)
    box, outside = tmp_path / "box.jsonl", tmp_path / "outside"
    invoke("outbox", "export", box, "--dir", folder)
    verifiers = world.World(tmp_path / "verifiers", document, authority=authority)

    async def scene() -> None:
        from brakeline.node.submit import submit_all

        async with world.running(verifiers) as judges:
            credentials = TlsFiles.within(folder / "tls").credentials()
            at = {j.server.name: j.addresses["grpc"] for j in judges}
            await submit_all(carry.read(box, document), document, credentials, outside, 30.0, at)
        async with node(folder, {document.verifiers[0].name: "127.0.0.1:9"}) as (site, _):
            said = await asyncio.to_thread(invoke, "outbox", "receipts", outside, "--dir", folder)
            assert "running node" in said.stdout
            await until(lambda: received(site) >= 4)
            stray = folder / carry.INCOMING / document.verifiers[0].name / f"9-{'0' * 64}.tlog-proof"
            stray.write_bytes(b"nothing")
            await until(lambda: stray.with_suffix(".bad").exists())

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data: data[:-10], "carry-format"),
        (lambda data: b"{}\n" + data, "carry-format"),
        (lambda data: b"\xff" + data, "carry-format"),
        (lambda data: data.replace(b'"treaty":"', b'"treaty":"0'), "carry-treaty"),
        (lambda data: data.split(b"\n")[0] + b"\n[]\n", "envelope-malformed"),
    ],
)
def test_a_box_that_was_changed_is_refused(folder: Path, change: object, code: str) -> None:
    box = folder.parent / "box.jsonl"
    invoke("outbox", "export", box, "--dir", folder)
    _, site = open_site(folder, None, now_ms)
    site.journal.close()
    assert callable(change)
    box.write_bytes(change(box.read_bytes()))
    with pytest.raises(BrakelineError) as caught:
        list(carry.read(box, site.document))
    assert caught.value.code == code


# the view in a terminal -----------------------------------------------------------------------------------------------


def test_top_shows_books_receipts_and_orders(tmp_path: Path) -> None:
    document, _, folder = closed_site(tmp_path)
    order = cast.order(document, effective=5, expiry=50)
    with Journal(folder / JOURNAL) as journal:
        journal.see_order(order.digest, order.to_body(), now_ms(), "test")
    console = Console(record=True, width=140)
    top.show(folder, 0.2, once=True, console=console)
    text = console.export_text()
    assert cast.SITE in text
    assert order.digest[:16] in text
    assert "idle" in text
    value = json.loads(invoke("top", "--dir", folder, "--format", "json").stdout)
    assert len(value["booked"]) >= 2
    assert value["booked"][-1]["chip_ms"]["idle"] == str(cast.CHIPS * house.PERIOD_MS)
    assert value["orders"][0]["kind"] == "pause"


# how it is installed --------------------------------------------------------------------------------------------------


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (house.ROOT / "node" / "deploy" / "brakeline-node@.service").read_text(encoding="utf-8")
    for name in ("node run --dir", "LoadCredential=", "ProtectSystem=strict"):
        assert name in text
    unit = tmp_path / "brakeline-node@.service"
    unit.write_text(text)
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    told = [line for line in found.stderr.splitlines() if unit.name in line]
    assert told == []
