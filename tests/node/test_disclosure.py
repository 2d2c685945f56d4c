"""A node that seals: by default all that the treaty allows; salts are durable before a signature, and disclosed."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
import trustme
from brakeline.audit.opinions import disclosures_in
from brakeline.audit.reading.one import Reading
from brakeline.audit.replay import audit_sources
from brakeline.audit.report import AuditReport, LogState
from brakeline.ledger.errors import BrakelineError
from brakeline.node.commands import app
from brakeline.node.disclose import SUFFIX, disclose
from brakeline.node.journal import Delivery, Journal
from brakeline.node.ops import carry
from brakeline.node.preview import preview
from brakeline.node.setup import JOURNAL, open_site
from brakeline.node.site import Site
from brakeline.node.submit import submit_all
from brakeline.node.tls import TlsFiles
from brakeline.treaty.disclosure import open_payload, parse_disclosure
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.sealing import PATTERNS
from brakeline.treaty.statements import Statement, Usage
from brakeline.verifier.vault import FILE, Vault
from nacl.public import SealedBox
from typer.testing import CliRunner

from tests.node import house
from tests.node.house import PERIOD_MS, now_ms, serving, until
from tests.support import cast, sealing
from tests.verifier.world import World, running
from tests.verifier.world import treaty as world_treaty

START = 1_767_225_600_000


def treaty(fields: Sequence[str] = sealing.FIGURES) -> TreatyDocument:
    return sealing.document(fields, grid={"start": START, "period_ms": PERIOD_MS})


def clock() -> int:
    return START + 5 * PERIOD_MS


def made(folder: Path, fields: Sequence[str] = sealing.FIGURES, setting: str = "") -> Site:
    house.make(folder, treaty(fields), trustme.CA(), clock=clock).journal.close()
    config = folder / "node" / "node.toml"
    config.write_text(config.read_text() + setting)
    _, site = open_site(folder / "node", None, clock)
    return site


def books(site: Site) -> list[tuple[bytes, Statement]]:
    found = [(Envelope.from_body(o.body).payload, o) for o in site.journal.envelopes() if o.name == "usage"]
    return [(payload, next(s for s in house.statements(site) if s.digest == o.digest)) for payload, o in found]


def test_what_the_treaty_lets_a_site_seal_is_sealed_by_default_and_the_journal_can_open_it(tmp_path: Path) -> None:
    site = made(tmp_path)
    site.book_period(0)
    ((payload, statement),) = books(site)
    assert {leaf.pointer.rpartition("/")[2] for leaf in statement.sealed.leaves} == {"joules"}
    opened = open_payload(payload, parse_disclosure(site.journal.disclosure(statement.digest)))
    assert isinstance(opened.predicate, Usage)
    assert opened.predicate.lines[0].joules is not None
    site.journal.close()


@pytest.mark.parametrize("fields", [PATTERNS, PATTERNS[:6]])
def test_lines_are_padded_where_their_pattern_is_sealed(tmp_path: Path, fields: Sequence[str]) -> None:
    site = made(tmp_path, fields)
    site.book_period(0)
    ((_, statement),) = books(site)
    assert len(statement.sealed.opaque) == site.document.limits.line_count
    site.journal.close()


def test_an_operator_may_seal_less_and_never_more(tmp_path: Path) -> None:
    site = made(tmp_path / "less", setting="\n[disclosure]\nseal = []\n")
    site.book_period(0)
    ((_, statement),) = books(site)
    assert not statement.sealed
    assert not site.journal.disclosed()
    site.journal.close()
    with pytest.raises(BrakelineError, match="site-seal"):
        made(tmp_path / "more", sealing.FIGURES[:1], f'\n[disclosure]\nseal = ["{sealing.FIGURES[2]}"]\n')


def test_a_crash_before_the_signature_loses_no_salt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = made(tmp_path)

    def dies(_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(site, "_sign", dies)
    with pytest.raises(KeyboardInterrupt):
        site.book_period(0)
    site.journal.close()
    _, again = open_site(tmp_path / "node", None, clock)
    ((payload, statement),) = books(again)
    assert open_payload(payload, parse_disclosure(again.journal.disclosure(statement.digest)))
    again.journal.close()


def test_a_preview_says_what_is_sealed_and_to_whom_it_goes(tmp_path: Path) -> None:
    site = made(tmp_path)
    shown = preview(tmp_path / "node", 0, clock)
    assert {leaf.pointer for leaf in shown.leaves if leaf.sealed} == {"/predicate/lines/0/joules"}
    assert shown.told == cast.VERIFIERS
    spoken = CliRunner().invoke(app, ["preview", "--dir", str(tmp_path / "node"), "--period", "0"]).stdout
    assert f"the value goes to {', '.join(cast.VERIFIERS)}:" in spoken
    command = ["preview", "--dir", str(tmp_path / "node"), "--period", "0", "--format", "json"]
    value = json.loads(CliRunner().invoke(app, command).stdout)
    assert [item["reveals"] for item in value["leaves"] if item["pointer"].endswith("joules")] == ["commitment"]
    assert value["sealed_to"] == list(cast.VERIFIERS)
    site.journal.close()


def test_disclosures_are_written_for_an_auditor_readable_by_its_owner_alone(tmp_path: Path) -> None:
    site = made(tmp_path)
    site.book_period(0)
    site.book_period(1)
    out = tmp_path / "out"
    command = ["disclose", "--dir", str(tmp_path / "node"), "--out", str(out), "--period", "1", "--format", "json"]
    value = json.loads(CliRunner().invoke(app, command).stdout)
    (path,) = out.glob(f"*{SUFFIX}")
    assert value["statements"] == [path.name.removesuffix(SUFFIX)] == [books(site)[1][1].digest]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert parse_disclosure(path.read_bytes()).statement == value["statements"][0]
    with pytest.raises(BrakelineError, match="journal-locked"):
        disclose(tmp_path / "node", None, None, again=True)
    site.journal.close()
    with pytest.raises(BrakelineError, match="disclose-nowhere"):
        disclose(tmp_path / "node", None, None, again=False)


def test_a_node_a_verifier_and_auditors_with_and_without_what_opens_the_books(tmp_path: Path) -> None:
    authority = trustme.CA()
    value = world_treaty(1, heartbeat_ms=500, sealed=True).to_json()
    value["grid"] = {"start": now_ms(), "period_ms": PERIOD_MS}
    document = TreatyDocument.from_json(value)
    verifiers = World(tmp_path / "verifiers", document, authority=authority)
    house.make(tmp_path, document, authority).journal.close()
    treaty_file = tmp_path / "treaty.json"
    treaty_file.write_bytes(cast.treaty_envelope(document).to_dsse_json())

    def held() -> int:
        with Journal(tmp_path / "node" / JOURNAL, read_only=True) as journal:
            return len(journal.receipts())

    async def scene() -> None:
        async with running(verifiers) as judges:
            addresses = {j.server.name: j.addresses["grpc"] for j in judges}
            async with serving(tmp_path / "node", addresses):
                await until(lambda: held() >= 4, 240)
            out = tmp_path / "out"
            disclose(tmp_path / "node", out, None, again=False)
            sources = [judge.addresses["http"] for judge in judges]

            def audit(how: Reading) -> AuditReport:
                report = audit_sources(sources, treaty_file, document.digest, how=how)
                assert [log.state for log in report.logs] == [LogState.REPRODUCED], report.logs
                return report

            shut = await asyncio.to_thread(audit, Reading())
            assert shut.sealed[0].holders == (cast.VERIFIERS[0],)
            assert "sealed-unopened" in [item.code for item in shut.unchecked]
            wide = await asyncio.to_thread(audit, Reading(disclosures=disclosures_in(out)))
            assert len(wide.sealed) < len(shut.sealed)
            assert all(item.reproduced for item in wide.opinions)

    asyncio.run(scene())


def test_a_carried_outbox_brings_disclosures_that_its_bearer_cannot_read(tmp_path: Path) -> None:
    authority = trustme.CA()
    value = world_treaty(1, heartbeat_ms=500, sealed=True).to_json()
    value["grid"] = {"start": now_ms(), "period_ms": PERIOD_MS}
    document = TreatyDocument.from_json(value)
    house.make(tmp_path, document, authority).journal.close()
    box, folder = tmp_path / "box.jsonl", tmp_path / "node"
    (verifier,) = (item.name for item in document.verifiers)

    async def closed() -> None:
        async with serving(folder, {verifier: "127.0.0.1:9"}) as site:
            await until(lambda: house.books(site))

    asyncio.run(closed())
    exported = CliRunner().invoke(app, ["outbox", "export", str(box), "--dir", str(folder), "--format", "json"])
    with Journal(folder / JOURNAL, read_only=True) as journal:
        secret = {digest: journal.disclosure(digest) for _, digest, _ in journal.disclosed()}
    assert json.loads(exported.stdout)["with_disclosures"] == len(secret) > 0
    carried = {item.envelope.digest: item.disclosures for item in carry.read(box, document)}
    for digest, opens in secret.items():
        assert opens not in box.read_bytes()
        assert SealedBox(sealing.disclosure_key(verifier)).decrypt(carried[digest][verifier]) == opens
    verifiers = World(tmp_path / "verifiers", document, authority=authority)

    async def outside() -> None:
        async with running(verifiers) as judges:
            credentials = TlsFiles.within(folder / "tls").credentials()
            at = {j.server.name: j.addresses["grpc"] for j in judges}
            done = await submit_all(carry.read(box, document), document, credentials, tmp_path / "out", 60.0, at)
            assert {state for by in done.values() for state, _ in by.values()} == {Delivery.RECEIVED}

    asyncio.run(outside())
    vault = Vault(verifiers.directory(verifier) / FILE, sealing.disclosure_key(verifier))
    found = {digest: vault.find(digest) for digest in secret}
    vault.close()
    assert {digest: None if item is None else item.encoded for digest, item in found.items()} == secret


def test_a_box_whose_disclosures_are_not_those_of_the_next_envelope_is_refused(tmp_path: Path) -> None:
    site = made(tmp_path)
    site.book_period(0)
    site.journal.close()
    box = tmp_path / "box.jsonl"
    assert CliRunner().invoke(app, ["outbox", "export", str(box), "--dir", str(tmp_path / "node")]).exit_code == 0
    lines = box.read_bytes().splitlines(keepends=True)
    (place,) = (n for n, line in enumerate(lines) if line.startswith(b'{"disclosures"'))
    changed = {
        "before another": [*lines[: place - 1], lines[place], lines[place - 1], *lines[place + 1 :]],
        "twice": [*lines[:place], lines[place], *lines[place:]],
        "at the end": [*lines, lines[place]],
        "not base64": [*lines[:place], lines[place].replace(b'":"', b'":"*', 1), *lines[place + 1 :]],
        "of nothing": [*lines[:place], b'{"disclosures":{}}\n', *lines[place + 1 :]],
    }
    for how, other in changed.items():
        box.write_bytes(b"".join(other))
        with pytest.raises(BrakelineError) as caught:
            list(carry.read(box, site.document))
        assert caught.value.code in ("carry-format", "envelope-malformed"), how
