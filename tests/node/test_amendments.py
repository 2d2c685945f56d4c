"""A node follows the amendments that both quorums signed, and names in every statement the version that governs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import trustme
from brakeline.node import config
from brakeline.node.brake import Brake
from brakeline.node.journal import Claim, Delivery, Journal
from brakeline.node.ops import carry
from brakeline.node.service import RECEIPTS
from brakeline.node.setup import JOURNAL, load_treaty, open_site, treaty_of, versions_of
from brakeline.node.site import Position, Site, SiteError
from brakeline.node.submit import submit_all
from brakeline.node.tls import TlsFiles
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import Inventory, Usage, parse_statement
from brakeline.treaty.strictjson import JsonObject
from brakeline.treaty.succession import Succession

from tests.node import house
from tests.support import cast
from tests.support.cast import amended, amendment_envelope, with_rule
from tests.verifier import world

START = cast.START


class Clock:
    """What the test says it is, in periods of the house's treaty."""

    period = 0

    def __call__(self) -> int:
        return START + self.period * house.PERIOD_MS + 500


def _document() -> TreatyDocument:
    return house.treaty(START)


def _usage(site: Site, period: int) -> Usage:
    site.book_period(period)
    body = list(site.journal.envelopes())[-1].body
    said = parse_statement(Envelope.from_body(body).payload).predicate
    assert isinstance(said, Usage)
    return said


def test_statements_name_the_version_that_governs_their_period_and_so_after_a_restart(tmp_path: Path) -> None:
    first = _document()
    second = amended(first, 2, rule=with_rule(first, "false-opening", slots=2))
    clock = Clock()
    site = house.make(tmp_path, first, trustme.CA(), clock=clock)
    brake = Brake(site, clock)
    assert brake.see(amendment_envelope(second), "verifier-1.example").code == "treaty-amended"
    assert brake.see(amendment_envelope(second), "verifier-2.example").code == "order-none", "known by now"
    clock.period = 2
    one = _usage(site, 1)
    assert (one.treaty, one.table.rows) == (first.digest, 4 * cast.CHIPS), "books of the last period of version 1"
    assert site.document.digest == second.digest
    clock.period = 3
    two = _usage(site, 2)
    assert (two.treaty, two.table.rows) == (second.digest, 2 * cast.CHIPS)
    names = [item.name for item in site.journal.envelopes()]
    assert names.count("amendment") == 1, "passed on to every verifier, once"
    site.journal.close()
    _, again = open_site(tmp_path / "node", None, clock)
    assert again.document.digest == second.digest
    assert _usage(again, 0).treaty == first.digest
    again.journal.close()


def test_what_too_few_signed_is_not_followed(tmp_path: Path) -> None:
    first = _document()
    site = house.make(tmp_path, first, trustme.CA(), clock=(clock := Clock()))
    brake = Brake(site, clock)
    few = amendment_envelope(amended(first, 2), cast.signer(cast.PARTIES[0]))
    assert brake.see(few, "verifier-1.example").code == "signatures-too-few"
    orphan = amendment_envelope(amended(amended(first, 2), 3))
    assert brake.see(orphan, "verifier-1.example").code == "treaty-unknown"
    clock.period = 9
    assert site.document.digest == first.digest
    with pytest.raises(SiteError, match="signatures-too-few"):
        site.follow(few)
    site.journal.close()


def test_while_rivals_contend_a_node_keeps_to_the_last_version_that_was_settled(tmp_path: Path) -> None:
    first = _document()
    one, other = amended(first, 2), amended(first, 3)
    clock = Clock()
    site = house.make(tmp_path, first, trustme.CA(), clock=clock)
    clock.period = 5
    for version in (one, other):
        assert site.follow(amendment_envelope(version)) is not None
    assert site.document.digest == first.digest
    settled = amended(one, 4, settles=[other.digest])
    site.follow(amendment_envelope(settled))
    assert site.document.digest == settled.digest
    assert [site.governing(period).digest for period in (1, 2, 4)] == [first.digest, one.digest, settled.digest]
    site.journal.close()


def test_an_order_under_an_amendment_binds_a_node_that_follows_it(tmp_path: Path) -> None:
    first = _document()
    second = amended(first, 1)
    clock = Clock()
    site = house.make(tmp_path, first, trustme.CA(), clock=clock)
    brake = Brake(site, clock)
    order = cast.order(second, effective=1)
    assert brake.see(order, "verifier-1.example").code == "treaty-unknown"
    brake.see(amendment_envelope(second), "verifier-1.example")
    clock.period = 1
    assert brake.see(order, "verifier-1.example").code == "order-binds"
    site.journal.close()


def test_a_node_may_be_pinned_to_an_amendment(tmp_path: Path) -> None:
    first = _document()
    second = amended(first, 1)
    data = amendment_envelope(second).to_dsse_json()
    assert load_treaty(data, second.digest) == second
    site = house.make(tmp_path, second, trustme.CA(), clock=Clock(), treaty=amendment_envelope(second))
    third = amended(second, 4)
    assert site.follow(amendment_envelope(third)) == third
    assert site.governing(4).digest == third.digest
    site.sign_and_spool(lambda at: _inventory(site, at), claim=Claim())
    site.journal.close()


def _inventory(site: Site, at: Position) -> Inventory:
    held = site.newest_inventory()
    assert held is not None
    members = {"author": at.author, "sequence": at.sequence, "previous": at.previous, "treaty": at.treaty}
    return held.inventory.model_copy(update=members)


def test_a_box_is_of_the_version_that_governs_and_receipts_of_any(tmp_path: Path) -> None:
    authority = trustme.CA()
    value: JsonObject = world.treaty(1).to_json()
    value["grid"] = {"start": house.now_ms(), "period_ms": house.PERIOD_MS}
    first = TreatyDocument.from_json(value)
    both = world.treaty(2).to_json()
    second = amended(first, 10_000, quorum=both["quorum"], verifier=both["verifier"])
    folder, box, outside = tmp_path / "node", tmp_path / "box.jsonl", tmp_path / "receipts"
    site = house.make(tmp_path, first, authority)
    site.follow(cast.joined_by(second, cast.VERIFIERS[1]))
    site.journal.close()
    settings = config.load(folder / config.FILE)
    early, late = first.grid.start_of(0).value, first.grid.start_of(10_000).value
    assert treaty_of(folder, settings, early).digest == first.digest
    assert treaty_of(folder, settings, late).digest == second.digest
    versions = versions_of(folder, settings)
    for document in (second, first):
        with Journal(folder / JOURNAL, read_only=True) as journal:
            items = [carry.Carried(Envelope.from_body(item.body), {}) for item in carry.owed(journal, document)]
        carry.export(box, cast.SITE, document, items)
        assert carry.version_of(box, versions).digest == document.digest
        assert carry.version_of(box, Succession(document)).digest == document.digest
    carry.export(box, cast.SITE, second, items)
    with pytest.raises(carry.CarryError, match="carry-treaty"):
        carry.version_of(box, Succession(first))
    carry.export(box, cast.SITE, first, items)

    async def scene() -> None:
        verifiers = world.World(tmp_path / "verifiers", first, authority=authority)
        async with world.running(verifiers) as judges:
            credentials = TlsFiles.within(folder / "tls").credentials()
            at = {j.server.name: j.addresses["grpc"] for j in judges}
            done = await submit_all(carry.read(box, first), first, credentials, outside, 60.0, at)
            assert {state for by in done.values() for state, _ in by.values()} == {Delivery.RECEIVED}

    asyncio.run(scene())
    assert carry.bring(outside, folder / carry.INCOMING, versions) == len(items)
    with Journal(folder / JOURNAL) as journal:
        taken = carry.take_up(folder / carry.INCOMING, folder / RECEIPTS, journal, versions)
        assert (taken.receipts, taken.strange) == (len(items), ())
