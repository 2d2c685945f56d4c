"""Honest worlds: they add up, they are the same from the same seed, and the rules have nothing to say of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from brakeline.explorer.worlds.court import hear
from brakeline.explorer.worlds.honest import honest
from brakeline.explorer.worlds.voices import statements
from brakeline.explorer.worlds.world import Work, take
from brakeline.treaty.document import TreatyDocument, load_toml
from brakeline.treaty.findings import Severity
from brakeline.treaty.statements import Activity, Usage, encode_statement, parse_statement
from hypothesis import given
from hypothesis import strategies as st

EXAMPLE = Path(__file__).parents[2] / "examples" / "treaty.toml"


def treaty() -> TreatyDocument:
    document = load_toml(EXAMPLE.read_text()).document
    assert document is not None
    return document


@pytest.mark.parametrize("seed", [1, 2])
def test_chip_time_adds_up_and_the_books_are_the_truth(seed: int) -> None:
    world = honest(treaty(), seed, 12, 4)
    for site in world.sites.values():
        for period in range(world.periods):
            assert sum(work.chip_ms for work in site.truth[period]) == site.chips * world.period_ms
            assert site.said[period] == site.truth[period]
            assert all(work.flop >= 0 and work.joules >= 0 for work in site.truth[period])


def test_a_world_has_what_real_labs_have() -> None:
    world = honest(treaty(), 3, 30)
    seen = {work.activity for site in world.sites.values() for works in site.truth.values() for work in works}
    assert seen >= set(Activity) - {Activity.OTHER}
    assert any(work.parents for works in world.first.truth.values() for work in works)
    assert 10**24 < world.trained(world.first.lab) < 10**26
    assert {extra.says for extra in world.extras} == {"declaration", "authorisation", "evaluation"}
    names = {work.workload for works in world.first.truth.values() for work in works}
    assert names >= {"serving", "prompts", "checks", "repairs", "upkeep", "idle"}
    assert {name.partition("-")[0] for name in names} >= {"base", "tune", "user", "trial"}
    assert any(site.mistaken for site in world.sites.values())


def test_years_bring_generations_of_models_and_new_chips() -> None:
    world = honest(treaty(), 1, 200, 1)
    site = world.first
    assert len({work.workload for works in site.truth.values() for work in works if "base" in work.workload}) > 1
    assert site.renewed
    served = {parent for works in site.truth.values() for w in works if w.workload == "serving" for parent in w.parents}
    assert len(served) > 1


def test_books_that_are_corrected_after_chips_were_renewed_cite_the_chips_of_their_time() -> None:
    world = honest(treaty(), 1, 3, 1)
    site = world.first
    site.renewed[31] = 7
    for period in range(29, 33):
        site.mistaken[period] = [replace(work, joules=0) for work in site.said[period]]
    assert hear(world).found == ()


def test_fewer_sites_are_the_same_first_ones() -> None:
    one, two = (honest(treaty(), 1, 4, sites) for sites in (1, 2))
    assert one.first.truth == two.first.truth


def test_the_same_seed_says_the_same_and_another_one_does_not() -> None:
    first, second, other = (
        [item.statement.digest for item in statements(honest(treaty(), seed, 3, 2))] for seed in (1, 1, 2)
    )
    assert first == second
    assert not {*first} <= {*other}


def test_every_statement_is_what_the_treatys_own_code_would_write_and_read() -> None:
    for item in statements(honest(treaty(), 1, 2, 4)):
        assert parse_statement(encode_statement(item.statement.predicate)) == item.statement


def test_books_come_in_order_one_a_site_and_period() -> None:
    heard = list(statements(honest(treaty(), 1, 3, 2)))
    assert [item.at_ms for item in heard] == sorted(item.at_ms for item in heard)
    assert sum(isinstance(item.statement.predicate, Usage) for item in heard) == 2 * 72
    assert len({item.statement.digest for item in heard}) == len(heard)


def test_the_rules_have_nothing_to_say_of_honest_labs() -> None:
    assert hear(honest(treaty(), 5, 30, 4)).found == ()


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(20))
def test_fifteen_site_years_of_honest_labs_are_never_referred(seed: int) -> None:
    found = hear(honest(treaty(), seed, 1370, 4)).found
    severities = [item.finding.severity for item in found]
    assert severities.count(Severity.REFERRAL) == 0
    print(f"seed {seed}: 15 site-years, {severities.count(Severity.DISCREPANCY)} discrepancies")
    assert severities.count(Severity.DISCREPANCY) < 2 * 15


@given(st.lists(st.integers(1, 10**6), max_size=5), st.integers(0, 10**7))
def test_taking_chip_time_takes_its_share_of_everything(times: list[int], wanted: int) -> None:
    works = [Work(f"w{n}", Activity.INFERENCE, ms, 7 * ms, None, ms, 3 * ms) for n, ms in enumerate(times)]
    works.append(Work("training", Activity.TRAINING, 100))
    kept, taken = take(works, Activity.INFERENCE, wanted)
    assert taken == min(wanted, sum(times))
    assert sum(work.chip_ms for work in kept) == sum(times) + 100 - taken
    assert all(work.flop <= 7 * work.chip_ms for work in kept)
    assert works[-1] in kept
