"""A node restored from an old image signs nothing until all verifiers have answered alike, or its key is replaced."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import trustme
from brakeline.ledger.errors import BrakelineError
from brakeline.node import config
from brakeline.node.journal import Delivery
from brakeline.node.keys.position import ASKED, BEHIND, OLD, UNRECORDED, Inquiry
from brakeline.node.setup import JOURNAL, open_site
from brakeline.node.site import Site

from tests.node import house
from tests.node.house import make, now_ms, until
from tests.support import cast

LATER = house.PERIOD_MS * 100


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The folder of a node whose first twenty periods are over."""
    site = make(tmp_path, house.treaty(now_ms() - 20 * house.PERIOD_MS), trustme.CA())
    for period in range(4):
        site.book_period(period)
    site.journal.close()
    return tmp_path / "node"


@pytest.fixture
def opened(node: Path) -> Generator[Callable[[], Site]]:
    sites: list[Site] = []

    def again() -> Site:
        while sites:
            sites.pop().journal.close()
        sites.append(open_site(node, None, now_ms)[1])
        return sites[-1]

    yield again
    while sites:
        sites.pop().journal.close()


def record(node: Path) -> Path:
    return node.parent / "apart" / "last-signed.json"


def image(node: Path) -> Path:
    """Copy the node's folder as a backup would."""
    copy = node.with_name("image")
    shutil.copytree(node, copy, ignore=shutil.ignore_patterns("*.sock"))
    return copy


def restore(node: Path, copy: Path) -> None:
    shutil.rmtree(node)
    shutil.copytree(copy, node)


def refused(site: Site, period: int) -> str:
    with pytest.raises(BrakelineError) as error:
        site.book_period(period)
    return f"{error.value.code} {error.value.found}"


def answer(inquiry: Inquiry, heads: list[tuple[int, str]], *names: str) -> None:
    for name in names or cast.VERIFIERS:
        inquiry.answer(name, heads)


def test_what_agrees_with_its_record_signs_at_once(opened: Callable[[], Site]) -> None:
    site = opened()
    assert not site.held
    assert not Inquiry(site, lambda: None).open
    site.book_period(4)


def test_an_old_image_under_a_newer_record_signs_nothing_whatever_the_verifiers_say(
    node: Path, opened: Callable[[], Site]
) -> None:
    copy = image(node)
    site = opened()
    site.book_period(4)
    heads = [(site.journal.head()[0] - 1, site.journal.head()[1])]
    site.journal.close()
    restore(node, copy)
    site = opened()
    assert site.held == BEHIND
    assert refused(site, 4) == f"site-held {BEHIND}"
    inquiry = Inquiry(site, lambda: None)
    answer(inquiry, heads)
    assert site.held == BEHIND


def test_an_old_image_without_its_record_signs_when_all_have_answered_alike_and_not_before(
    node: Path, opened: Callable[[], Site]
) -> None:
    record(node).unlink()
    site = opened()
    assert site.held == UNRECORDED
    moved: list[bool] = []
    inquiry = Inquiry(site, lambda: moved.append(True))
    sequence, digest = site.journal.head()
    answer(inquiry, [(sequence - 1, digest)], *cast.VERIFIERS[:3])
    assert refused(site, 4) == f"site-held {UNRECORDED}"
    answer(inquiry, [], cast.VERIFIERS[3])  # one that lags behind does not contradict
    assert moved == [True]
    site.book_period(4)
    assert not opened().held


def test_one_verifier_that_knows_more_keeps_an_old_image_from_signing(node: Path, opened: Callable[[], Site]) -> None:
    copy = image(node)
    site = opened()
    sequence = site.journal.head()[0]
    made = site.book_period(4)
    site.journal.close()
    restore(node, copy)
    record(node).unlink()
    site = opened()
    inquiry = Inquiry(site, lambda: None)
    known = [(sequence - 1, site.journal.head()[1])]
    answer(inquiry, known, *cast.VERIFIERS[:3])
    answer(inquiry, [(sequence, made.digest)], cast.VERIFIERS[3])
    assert site.held
    answer(inquiry, known, *cast.VERIFIERS[:3])
    assert refused(site, 4) == f"site-held {UNRECORDED}"


def test_a_record_older_than_the_journal_and_doubt_by_configuration_are_settled_by_asking(
    node: Path, opened: Callable[[], Site]
) -> None:
    old = record(node).read_bytes()
    opened().book_period(4)
    record(node).write_bytes(old)
    site = opened()
    assert site.held == OLD
    answer(Inquiry(site, lambda: None), [(site.journal.head()[0] - 1, site.journal.head()[1])])
    site.book_period(5)
    text = (node / config.FILE).read_text()
    (node / config.FILE).write_text(text.replace("[guard]", '[guard]\nask = "always"'))
    assert opened().held == ASKED


def test_a_statement_that_a_crash_left_unsigned_is_signed_when_the_position_is_confirmed(
    node: Path, opened: Callable[[], Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = opened()
    with monkeypatch.context() as patched:
        patched.setattr(site.journal, "signed", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            site.book_period(4)
    record(node).unlink()
    site = opened()
    (owed,) = site.journal.unsigned()
    assert site.held == UNRECORDED
    answer(Inquiry(site, lambda: None), [])
    assert site.journal.unsigned() == []
    assert site.journal.head() == (owed.sequence + 1, owed.digest)


def test_a_restored_node_asks_real_verifiers_and_books_when_the_last_has_answered(
    tmp_path: Path,
) -> None:
    from tests.verifier import world

    authority = trustme.CA()
    value = world.treaty(4).to_json()
    value["grid"] = {"start": now_ms(), "period_ms": house.PERIOD_MS}
    document = type(world.treaty(4)).from_json(value)
    verifiers = world.World(tmp_path / "verifiers", document, authority=authority)
    make(tmp_path, document, authority).journal.close()
    (tmp_path / "apart" / "last-signed.json").unlink()

    async def scene() -> None:
        async with world.running(verifiers, 0, 1, 2) as three:
            addresses = {j.server.name: j.addresses["grpc"] for j in three}
            addresses[document.verifiers[3].name] = "127.0.0.1:9"
            async with house.serving(tmp_path / "node", addresses) as site:
                await until(lambda: site.journal.progress(three[0].server.name)[Delivery.RECEIVED] == 2)
                assert site.held == UNRECORDED
                assert house.books(site) == []
        async with world.running(verifiers) as all_four:
            addresses = {j.server.name: j.addresses["grpc"] for j in all_four}
            async with house.serving(tmp_path / "node", addresses) as site:
                await until(lambda: house.books(site))
                assert not site.held

    asyncio.run(scene())
    assert (tmp_path / "node" / JOURNAL).exists()
