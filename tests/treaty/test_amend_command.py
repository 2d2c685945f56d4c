"""Amending on real files: the draft, what changes in plain words, who signs, and when it is complete."""

from __future__ import annotations

from pathlib import Path

import pytest
from brakeline.treaty.admission import Admitted, Register, admit
from brakeline.treaty.changes import changes, drafted, signatures_wanted
from brakeline.treaty.document import load_toml
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.strictjson import JsonValue

from tests.support import cast
from tests.support.cast import amended, with_rule
from tests.treaty.test_commands import as_json, party_key, run, world

__all__ = ["world"]
V1 = cast.document()


@pytest.fixture
def draft(world: Path, tmp_path: Path) -> Path:
    """Version 2 of the world's treaty, as `treaty amend` drafts it."""
    out = tmp_path / "treaty-2.toml"
    run("treaty", "amend", world / "treaty.toml", "--from-period", "4000", "--out", out)
    return out


def test_a_draft_is_the_same_text_with_the_number_pin_and_period_of_the_next_version(world: Path, draft: Path) -> None:
    first = load_toml((world / "treaty.toml").read_text()).require()
    second = load_toml(draft.read_text()).require()
    assert (second.version, second.previous, second.effective_period) == (2, first.digest, 4000)
    assert second.to_json() | {"version": 1, "previous": first.previous, "effective_period": 0} == first.to_json()
    assert draft.read_text().count("\n") == (world / "treaty.toml").read_text().count("\n"), "comments and all"
    checked = run("treaty", "check", draft, "--previous", world / "treaty.toml").stdout
    assert "nothing but its number" in checked
    assert (
        "treaty-exists"
        in run("treaty", "amend", world / "treaty.toml", "--from-period", "1", "--out", draft, code=3).stderr
    )
    assert (
        "treaty-succession"
        in run("treaty", "amend", draft, "--from-period", "4000", "--out", draft.with_name("t3.toml"), code=3).stderr
    )


def test_the_parties_of_both_versions_sign_and_then_admission_takes_it(
    world: Path, draft: Path, tmp_path: Path
) -> None:
    out, previous = tmp_path / "amendment.dsse.json", world / "treaty.toml"
    sign = ("treaty", "sign", draft, "--out", out)
    assert "treaty-succession" in run(*sign, "--key", party_key(world, "party-a.example"), code=3).stderr
    follow = (*sign, "--previous", previous)
    one = as_json(run(*follow, "--key", party_key(world, "party-a.example"), "--format", "json"))
    assert (one["complete"], one["before"]) == (False, {"signed": 1, "needed": 2})
    both = run(*follow, "--key", party_key(world, "party-b.example")).stdout
    assert "parties of the version before: 2 of the 2 needed" in both
    assert both.endswith("complete\n"), "labs and verifiers that were there need not sign again"
    first = load_toml(previous.read_text()).require()
    assert isinstance(admit(Register(first), Envelope.from_dsse_json(out.read_bytes()), now_ms=0), Admitted)
    shown = run("treaty", "show", draft, "--previous", previous, "--signed", out, "--require-complete").stdout
    assert "version 2, from period 4000" in shown


def test_what_changes_is_said_member_by_member_and_what_follows_from_it() -> None:
    labs = cast.json_lines(V1.to_json()["lab"])
    rules: list[JsonValue] = [*cast.json_lines(with_rule(V1, "muf", "referral", k_permille=5, h_flop="200000000000"))]
    second = amended(
        V1,
        7,
        silence="stop",
        lab=[
            labs[0],
            {**labs[1], "name": "lab-9.party-b.example", "root_key": str(cast.vkey("lab-9.party-b.example"))},
        ],
        rule=[item for item in rules if isinstance(item, dict) and item["rule"] != "late"],
    )
    told = changes(V1, second)
    assert "silence: continue -> stop" in told
    assert "lab lab-9.party-b.example: new" in told
    assert "lab lab-2.party-b.example: gone" in told
    assert "rule late: gone" in told
    assert "rule muf.severity: discrepancy -> referral" in told
    assert "rule muf.parameters.k_permille: 100 -> 5" in told
    assert "muf: what had added up before period 7 is forgiven, its sum begins anew" in told
    assert "late is in force no longer: later facts are not judged" in told
    assert "the sites of lab-2.party-b.example can sign nothing under this version" in told
    assert not any(line.startswith(("energy-gap:", "version", "previous")) for line in told)


def test_a_rule_that_leaves_and_a_rival_that_is_settled_are_said() -> None:
    rules: list[JsonValue] = [item for item in cast.json_lines(V1.to_json()["rule"]) if item["rule"] != "muf"]
    second = amended(V1, 3, rule=rules)
    assert "muf is in force no longer: nothing is found about later periods" in changes(V1, second)
    third = amended(second, 5, settles=["f" * 64])
    assert changes(second, third) == (f"rivals that no longer count: {'f' * 16}...",)


def test_who_must_sign_names_both_quorums_and_what_is_new() -> None:
    parties = cast.json_lines(V1.to_json()["party"])
    second = amended(V1, 3, party=[parties[0], {**parties[1], "key": str(cast.vkey(cast.PARTIES[1], "second"))}])
    wanted = signatures_wanted(V1, second)
    assert wanted == (
        "2 of the parties of version 1: party-a.example, party-b.example",
        "2 of the parties of version 2: party-a.example, party-b.example",
        "party-b.example (party): its key is new",
    )


@pytest.mark.parametrize("effective", [1, 17])
def test_only_the_head_of_a_text_is_drafted_anew(effective: int) -> None:
    text = 'version = 1\nprevious = "x"\neffective_period = 0\n[grid]\nversion = 9\n'
    made = drafted(text, V1, effective)
    assert made == f'version = 2\nprevious = "{V1.digest}"\neffective_period = {effective}\n[grid]\nversion = 9\n'


def test_the_check_of_an_amendment_explains_it_in_json_too(world: Path, draft: Path) -> None:
    first = load_toml((world / "treaty.toml").read_text()).require()
    text = draft.read_text().replace('silence = "continue"', 'silence = "stop"')
    draft.write_text(text)
    value = as_json(run("treaty", "check", draft, "--previous", world / "treaty.toml", "--format", "json"))
    assert value["changes"] == ["silence: continue -> stop"]
    assert value["signatures"] == list(signatures_wanted(first, load_toml(draft.read_text()).require()))
