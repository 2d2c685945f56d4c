"""Sealed books under an order: nothing is told in public; who has the disclosures sees who stopped and who did not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from brakeline.audit.commands import app
from brakeline.audit.opinions import SUFFIX, disclosures_in
from brakeline.audit.orders.gather import OrderAudit, audit_order
from brakeline.audit.reading.one import Reading
from brakeline.audit.replay import audit_sources
from brakeline.audit.report import AuditReport, Exit
from brakeline.treaty.order_report import Kept
from brakeline.treaty.statements import UsageLine
from typer.testing import CliRunner

from tests.support import cast, sealing, worlds
from tests.support.cast import CHIPS, OTHER_SITE, PERIOD, SITE, line
from tests.support.sealing import SealingAuthor

FULL = CHIPS * PERIOD
EFFECTIVE = 3
PERIODS = 7
LATER = cast.START + 30 * PERIOD
"""When every deadline of the play has passed."""


class Sealed:
    """Two sites that seal every line of their books; an order pauses training, and the second trains on."""

    def __init__(self, folder: Path, *, kind: str = "pause") -> None:
        document = sealing.document()
        world = worlds.World(document)
        world.beat()
        self.authors = [SealingAuthor(name, document) for name in (SITE, OTHER_SITE)]
        inventories: list[str] = []
        for author in self.authors:
            world.publish(cast.Author(author.name.partition("/")[0], document).enrol(author.name))
            inventories.append((said := author.hold()).digest)
            world.publish(said)
        order = cast.order(document, kind=kind, effective=EFFECTIVE, expiry=EFFECTIVE + 20)
        self.books: dict[tuple[str, int], str] = {}
        for period in range(PERIODS):
            if period == EFFECTIVE - 1:
                world.publish(order)
            world.until(cast.START + (period + 1) * PERIOD + worlds.BEAT)
            if period == EFFECTIVE:
                for author in self.authors:
                    world.publish(author.acknowledge(order, at=cast.START + EFFECTIVE * PERIOD + 50))
            for author, inventory in zip(self.authors, inventories, strict=True):
                busy = FULL // 2 if period < EFFECTIVE or author.name == OTHER_SITE else 0
                lines = (*_training(busy), line("idle", FULL - busy, joules="0"))
                said = author.use(period, inventory, lines)
                self.books[author.name, period] = said.digest
                world.publish(said, by=author.name)
                world.disclose(author.disclosures[said.digest])
        world.until(cast.START + (PERIODS + 3) * PERIOD)
        self.order, self.pin = order.digest, document.digest
        self.logs = [str(path) for path in world.export(folder / "logs")]
        self.treaty = world.write_treaty(folder / "treaty.json")
        self.disclosures = folder / "disclosures"
        self.disclosures.mkdir()
        for author in self.authors:
            for digest, item in author.disclosures.items():
                (self.disclosures / f"{digest}{SUFFIX}").write_bytes(item.encoded)

    def audit(self, *, opened: bool) -> AuditReport:
        how = Reading(disclosures=disclosures_in(self.disclosures) if opened else None)
        return audit_sources(self.logs, self.treaty, self.pin, how=how, as_of_ms=LATER)

    def order_audit(self, *, opened: bool) -> OrderAudit:
        given = disclosures_in(self.disclosures) if opened else None
        return audit_order(self.logs, self.treaty, self.pin, self.order, disclosures=given)


def _training(chip_ms: int) -> tuple[UsageLine, ...]:
    flop = str(chip_ms * 1_000)
    return (line("training", chip_ms, flop_model=flop, flop_hardware=flop, joules="80"),) if chip_ms else ()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    return Sealed(tmp_path_factory.mktemp("sealed"))


def unverifiable(report: AuditReport) -> object:
    return report.levels[0].figures["unverifiable"]


def test_in_public_nobody_is_accused_and_what_is_sealed_is_said(scene: Sealed) -> None:
    report = scene.audit(opened=False)
    assert "brake-breach" not in {item.body["rule"] for item in (*report.findings, *report.opened)}
    assert "sealed-unopened" in {item.code for item in report.unchecked}
    assert unverifiable(report) != 0


def test_with_the_disclosures_the_breach_is_found_and_the_honest_site_left_alone(scene: Sealed) -> None:
    report = scene.audit(opened=True)
    breaches = [item for item in report.opened if item.body["rule"] == "brake-breach"]
    assert {item.body["about"] for item in breaches} == {OTHER_SITE}
    assert [item.body["period"] for item in breaches] == [4, 5, 6], "the order binds after its notice"
    figures = breaches[0].body["figures"]
    assert isinstance(figures, dict)
    assert (figures["chip_ms"], figures["flop"]) == (str(FULL // 2), str(FULL // 2 * 1_000))
    assert breaches[0].body["statements"] == sorted([scene.order, scene.books[OTHER_SITE, 4]])
    assert "brake-breach" not in {item.body["rule"] for item in report.findings}, "it stands in no log"
    assert report.exit is Exit.FINDINGS
    assert unverifiable(report) == 0


def test_of_what_was_not_given_nothing_is_claimed(scene: Sealed) -> None:
    kept = scene.disclosures / f"{scene.books[OTHER_SITE, 5]}{SUFFIX}"
    apart = scene.disclosures.parent / "apart"
    kept.rename(apart)
    try:
        report = scene.audit(opened=True)
    finally:
        apart.rename(kept)
    assert [x.body["period"] for x in report.opened if x.body["rule"] == "brake-breach"] == [4, 6]
    assert unverifiable(report) != 0


def test_the_report_of_the_order_says_who_stopped_once_books_are_opened(scene: Sealed) -> None:
    shut, opened = scene.order_audit(opened=False), scene.order_audit(opened=True)
    assert [site.kept for site in shut.order.sites] == [Kept.OPEN, Kept.OPEN]
    assert "books-sealed" in {item.code for item in shut.open}
    assert {site.site: site.kept for site in opened.order.sites} == {SITE: Kept.KEPT, OTHER_SITE: Kept.BROKEN}
    assert "books-sealed" not in {item.code for item in opened.open}
    assert {item.body["rule"] for item in opened.findings} == {"brake-breach"}
    assert opened.exit is Exit.FINDINGS
    (broken,) = [site for site in opened.order.sites if site.site == OTHER_SITE]
    assert broken.leaked.at_least >= 3 * FULL // 2 * 1_000
    assert set(broken.findings) == {item.digest for item in opened.findings}


def test_the_command_takes_them_and_its_page_says_how_to_do_it_again(scene: Sealed, tmp_path: Path) -> None:
    page = tmp_path / "order.html"
    terms = ["--treaty", str(scene.treaty), "--pin", scene.pin, "--disclosures", str(scene.disclosures)]
    done = CliRunner().invoke(
        app, ["order", scene.order[:12], *scene.logs, *terms, "--html", str(page), "--format", "json"]
    )
    assert done.exit_code == Exit.FINDINGS, done.output
    assert [site["books"] for site in json.loads(done.output)["sites"]] == ["kept", "broken"]
    assert f"--disclosures {scene.disclosures}" in page.read_text("utf-8")


def test_a_ceiling_is_judged_over_opened_books(tmp_path: Path) -> None:
    scene = Sealed(tmp_path, kind="slow")
    assert "brake-breach" not in {item.body["rule"] for item in scene.audit(opened=False).opened}
    found = [item for item in scene.audit(opened=True).opened if item.body["rule"] == "brake-breach"]
    assert {(item.body["about"], item.body["period"]) for item in found} == {(OTHER_SITE, n) for n in (4, 5, 6)}
    figures = found[0].body["figures"]
    assert isinstance(figures, dict)
    assert figures["chip_ms"] == str(FULL // 2)
