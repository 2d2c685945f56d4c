"""Challenges answered by the node: the rows drawn, once a verifier, and nothing that the treaty did not draw."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import trustme
from brakeline.ledger.errors import BrakelineError
from brakeline.node import opening
from brakeline.node.commands import app
from brakeline.node.preview import preview
from brakeline.node.setup import open_site
from brakeline.node.site import Site
from brakeline.treaty.oversight import Opening
from brakeline.treaty.spotcheck.challenge import BeaconCheckpoint, Challenge, draws
from brakeline.treaty.statements import Usage, to_json
from brakeline.treaty.strictjson import JsonValue
from typer.testing import CliRunner

from tests.node import house
from tests.node.house import PERIOD_MS, make, now_ms, serving, treaty, until
from tests.support import cast
from tests.support.judging import digest
from tests.treaty.test_spotcheck import SLOTS
from tests.verifier.world import World, running
from tests.verifier.world import treaty as world_treaty

RULES: list[JsonValue] = [
    *cast.json_lines(cast.terms()["rule"]),
    {
        "rule": "unopened-challenge",
        "severity": "discrepancy",
        "article": "Art. 99",
        "parameters": {"open_ms": 60_000},
    },
]
GOALS: JsonValue = {
    "significant_quantity_flop": "300000000000",
    "timeliness_ms": 4 * PERIOD_MS,
    "detection": {"numerator": 95, "denominator": 100},
}
START = 1_767_225_600_000
ROWS = cast.CHIPS * SLOTS


def challenge(site: Site, /, *, root: str = "root", **changes: object) -> Challenge:
    """Return a challenge of the books of period 0 as an honest log draws it, changed."""
    count = draws(site.document, ROWS, SLOTS)
    beacon = BeaconCheckpoint(origin=cast.VERIFIERS[0], size=9, root=digest(root))
    drawn = Challenge(
        site=cast.SITE,
        period=0,
        usage=site.journal.usage(0) or "",
        rows=ROWS,
        count=count,
        beacons=(beacon,),
        absent=(),
    )
    return drawn.model_copy(update=changes)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site that has booked period 0, and whose clock stands after it."""
    document = treaty(START, rule=RULES, goals=GOALS)
    made = make(tmp_path, document, trustme.CA(), clock=lambda: START + 5 * PERIOD_MS)
    made.book_period(0)
    return made


def opened(site: Site) -> list[Opening]:
    return [s.predicate for s in house.statements(site) if isinstance(s.predicate, Opening)]


def shown(site: Site) -> list[tuple[str, int]]:
    return sorted((item.challenge, row.index) for item in opened(site) for row in item.rows)


def test_the_drawn_rows_are_opened_once_however_often_the_challenge_comes(site: Site) -> None:
    asked = challenge(site)
    assert 1 < asked.count < ROWS
    for _ in range(3):
        opening.answer(site, asked.body, "verifier-1.example")
    assert shown(site) == [(asked.digest, row) for row in asked.drawn]
    other = challenge(site, root="other")
    opening.answer(site, other.body, "verifier-2.example")
    assert shown(site) == sorted((item.digest, row) for item in (asked, other) for row in item.drawn)


def test_a_verifier_that_draws_again_gets_nothing_more(site: Site) -> None:
    opening.answer(site, challenge(site).body, "verifier-1.example")
    before = shown(site)
    for root in ("second", "third"):
        assert opening.answer(site, challenge(site, root=root).body, "verifier-1.example") == []
    assert shown(site) == before


def test_many_rows_take_several_statements_and_a_crash_between_them_loses_none(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "MAX_BYTES", 1)
    asked = challenge(site)
    sign = site.sign_and_spool
    calls = 0

    def dies(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return sign(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(site, "sign_and_spool", dies)
    with pytest.raises(KeyboardInterrupt):
        opening.answer(site, asked.body, "verifier-1.example")
    monkeypatch.setattr(site, "sign_and_spool", sign)
    opening.answer(site, asked.body, "verifier-1.example")
    assert len(opened(site)) == asked.count
    assert shown(site) == [(asked.digest, row) for row in asked.drawn]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"usage": digest("other")}, "opening-books"),
        ({"period": 1}, "opening-books"),
        ({"count": ROWS}, "opening-draw"),
        ({"rows": ROWS + 1}, "opening-draw"),
    ],
)
def test_what_the_treaty_does_not_draw_is_not_opened(site: Site, changes: dict[str, object], code: str) -> None:
    with pytest.raises(BrakelineError, match=code):
        opening.answer(site, challenge(site).model_copy(update=changes).body, "verifier-1.example")
    assert opened(site) == []


def test_a_challenge_of_somebody_else_or_under_no_rule_opens_nothing(site: Site, tmp_path: Path) -> None:
    assert opening.answer(site, challenge(site, site=cast.OTHER_SITE).body, "verifier-1.example") == []
    without = make(tmp_path / "plain", treaty(START), trustme.CA(), clock=lambda: START + 5 * PERIOD_MS)
    without.book_period(0)
    with pytest.raises(BrakelineError, match="opening-rule"):
        opening.answer(without, challenge(site).body, "verifier-1.example")
    with pytest.raises(BrakelineError, match="challenge-schema"):
        opening.answer(site, b"{}", "verifier-1.example")
    assert opened(site) == []


async def _boot_again(verifiers: World) -> None:
    """Start the verifiers again: each replays its log, challenges included, before it serves."""
    async with running(verifiers) as judges:
        assert len(judges) == 4


def test_real_verifiers_draw_and_a_running_node_opens_for_each_of_them(tmp_path: Path) -> None:
    authority = trustme.CA()
    value = world_treaty(4).to_json()
    value["grid"] = {"start": now_ms(), "period_ms": PERIOD_MS}
    value["rule"], value["goals"] = RULES, GOALS
    document = type(world_treaty(4)).from_json(value)
    verifiers = World(tmp_path / "verifiers", document, authority=authority)
    make(tmp_path, document, authority).journal.close()

    async def scene() -> None:
        async with running(verifiers) as judges:
            addresses = {j.server.name: j.addresses["grpc"] for j in judges}
            async with serving(tmp_path / "node", addresses) as site:
                await until(lambda: len({item.challenge for item in opened(site) if item.period == 0}) == 4)

    asyncio.run(scene())
    asyncio.run(_boot_again(verifiers))
    _, again = open_site(tmp_path / "node", None, now_ms)
    assert all(len(item.rows) <= ROWS for item in opened(again))
    again.journal.close()


def test_a_preview_shows_what_would_be_signed_and_signs_nothing(site: Site, tmp_path: Path) -> None:
    before = len(house.statements(site))
    shown = preview(
        tmp_path / "node", None, lambda: START + 5 * PERIOD_MS
    )  # the journal is open elsewhere, as in a node
    assert (shown.period, shown.rows, shown.logs) == (1, ROWS, 4)
    assert shown.drawn == challenge(site).count
    site.book_period(1)
    (usage,) = [s.predicate for s in house.statements(site)[before:] if isinstance(s.predicate, Usage)]
    said = to_json(usage)
    signed = {
        f"/predicate/lines/{number}/{name}": str(value)
        for number, line in enumerate(usage.lines)
        for name, value in to_json(line).items()
        if isinstance(value, str | int)
    }
    told = {leaf.pointer: leaf.value for leaf in shown.leaves}
    assert signed.items() <= told.items()
    assert told["/predicate/inventory"] == said["inventory"]
    assert {leaf.pointer for leaf in shown.leaves if leaf.digest} >= {"/predicate/inventory", "/predicate/table/root"}
    assert not any(leaf.digest for leaf in shown.leaves if leaf.pointer.endswith("/workload"))


def test_the_preview_command_prints_for_people_and_programs(site: Site, tmp_path: Path) -> None:
    command = ["preview", "--dir", str(tmp_path / "node"), "--period", "1"]
    spoken = CliRunner().invoke(app, command)
    assert spoken.exit_code == 0
    assert "nothing was signed" in spoken.stdout
    assert "/predicate/lines/0/workload  idle" in spoken.stdout
    value = json.loads(CliRunner().invoke(app, [*command, "--format", "json"]).stdout)
    assert (value["signed"], value["to"], value["table"]["rows"]) == (False, "everybody", ROWS)
    assert site.journal.last_period() == 0
