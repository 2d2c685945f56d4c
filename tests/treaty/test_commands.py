"""The command line of the terms, on real files: every command, its exit codes, and what a wrong hand is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import cast as typed

import pytest
import typer
from brakeline.ledger.keyfile import read_signer
from brakeline.ledger.vkey import TYPE_LOG, TYPE_STATEMENT, TYPE_WITNESS, VKey
from brakeline.treaty.admission import check_treaty_statement
from brakeline.treaty.commands import brake_app, key_app, treaty_app
from brakeline.treaty.document import load_toml
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.rule_table import RULES
from brakeline.treaty.statements import Order, parse_statement
from brakeline.treaty.template import SEALS
from typer.testing import CliRunner, Result

PARTIES = ("party-a.example", "party-b.example")
EXAMPLE = Path(__file__).parents[2] / "examples" / "treaty.toml"
app = typer.Typer()
app.add_typer(key_app, name="key")
app.add_typer(treaty_app, name="treaty")
app.add_typer(brake_app, name="brake")


def run(*words: object, code: int = 0, env: dict[str, str] | None = None, typed_in: str | None = None) -> Result:
    """Run a command and expect its exit code."""
    result = CliRunner().invoke(app, [str(word) for word in words], env=env, input=typed_in)
    assert result.exit_code == code, result.output
    return result


def as_json(result: Result) -> dict[str, object]:
    """Return the object that a command printed."""
    return typed("dict[str, object]", json.loads(result.stdout))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a treaty file and every key it names, unencrypted."""
    directory = tmp_path_factory.mktemp("world")
    run("treaty", "new", directory / "treaty.toml", "--keys", directory / "keys", "--make-keys", "--no-passphrase")
    return directory


def party_key(world: Path, name: str) -> Path:
    """Return a party's key file."""
    return world / "keys" / f"{name}.party.key"


def all_keys(world: Path) -> list[object]:
    """Return --key options for every key that signs a treaty."""
    files = sorted(path for path in (world / "keys").glob("*.key") if "disclosure" not in path.name)
    return [word for path in files for word in ("--key", path)]


# key -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("purpose", "name", "kind", "owner"),
    [
        ("party", "party-a.example", TYPE_STATEMENT, "party-a.example"),
        ("lab-root", "lab-1.party-a.example", TYPE_STATEMENT, "lab-1.party-a.example"),
        ("site", "lab-1.party-a.example/site-1", TYPE_STATEMENT, "lab-1.party-a.example/site-1"),
        ("third-party", "meter.example", TYPE_STATEMENT, "meter.example"),
        ("log", "verifier.party-a.example", TYPE_LOG, "verifier.party-a.example"),
        ("witness", "verifier.party-a.example", TYPE_WITNESS, "verifier.party-a.example/witness"),
    ],
)
def test_key_new_makes_a_key_of_its_purpose(tmp_path: Path, purpose: str, name: str, kind: int, owner: str) -> None:
    file = tmp_path / "a.key"
    printed = run("key", "new", "--purpose", purpose, "--name", name, "--out", file, "--no-passphrase").stdout.strip()
    key = VKey.parse(printed)
    assert (key.name, key.type) == (owner, kind)
    assert read_signer(file, None).public_key == key.public_key
    assert file.stat().st_mode & 0o777 == 0o600
    shown = as_json(run("key", "show", file, "--check", "--format", "json"))
    assert shown["vkey"] == printed
    assert shown["keyid"] == key.keyid
    assert run("key", "show", f"{file}.vkey").stdout.split()[:2] == ["name", owner]


def test_key_new_makes_a_disclosure_key(tmp_path: Path) -> None:
    file = tmp_path / "d.key"
    printed = run(
        "key", "new", "--purpose", "disclosure", "--name", "v.example", "--out", file, "--no-passphrase"
    ).stdout
    assert len(printed.strip()) == 44
    assert file.stat().st_mode & 0o777 == 0o600
    assert printed.strip() in run("key", "show", file).stdout


def test_a_pass_phrase_comes_from_file_environment_or_prompt(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open sesame\nsecond line\n")
    new = ("key", "new", "--purpose", "party", "--name", "a.example", "--out")
    run(*new, tmp_path / "file.key", "--passphrase-file", secret)
    run(*new, tmp_path / "env.key", env={"BRAKELINE_PASSPHRASE": "open sesame"})
    run(*new, tmp_path / "prompt.key", typed_in="open sesame\nopen sesame\n")
    for name in ("file", "env", "prompt"):
        file = tmp_path / f"{name}.key"
        assert b"ENCRYPTED" in file.read_bytes()
        assert read_signer(file, b"open sesame").public_key
        run("key", "show", file, "--check", "--passphrase-file", secret)
    wrong = run("key", "show", tmp_path / "env.key", "--check", code=3, env={"BRAKELINE_PASSPHRASE": "wrong"})
    assert "key-file-passphrase" in wrong.stderr


def test_keys_are_never_overwritten_and_names_are_checked(tmp_path: Path) -> None:
    new = ("key", "new", "--no-passphrase", "--purpose", "site", "--out", tmp_path / "a.key", "--name")
    assert "name-malformed" in run(*new, "no-site.example", code=3).stderr
    run(*new, "lab.example/site-1")
    before = (tmp_path / "a.key").read_bytes()
    assert "key-exists" in run(*new, "lab.example/site-1", code=3).stderr
    assert (tmp_path / "a.key").read_bytes() == before


def test_an_empty_pass_phrase_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    new = ("key", "new", "--purpose", "party", "--name", "a.example", "--out", tmp_path / "a.key")
    assert "key-passphrase-empty" in run(*new, "--passphrase-file", tmp_path / "empty", code=3).stderr
    assert not (tmp_path / "a.key").exists()


def test_a_vkey_that_is_not_of_the_key_is_seen(world: Path, tmp_path: Path) -> None:
    for name, source in (("k.key", PARTIES[0]), ("k.key.vkey", PARTIES[1])):
        suffix = ".vkey" if name.endswith("vkey") else ""
        (tmp_path / name).write_bytes(Path(f"{party_key(world, source)}{suffix}").read_bytes())
    (tmp_path / "k.key").chmod(0o600)
    assert "key-differs" in run("key", "show", tmp_path / "k.key", "--check", code=3).stderr


# treaty --------------------------------------------------------------------------------------------------------------


def test_a_template_without_keys_is_toml_and_points_at_every_key_to_fill_in(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    run("treaty", "new", file, "--name", "pause.treaty.example", "--start-ms", 1_000)
    result = run("treaty", "check", file, code=3)
    assert result.stdout.count("treaty-key-placeholder") == 16
    assert "16 mistakes" in result.stdout
    assert "treaty-exists" in run("treaty", "new", file, code=3).stderr
    assert run("treaty", "new", "-", "--name", "pause.treaty.example", "--start-ms", 1_000).stdout == file.read_text()


@pytest.mark.parametrize("seals", ["figures", "lines"])
def test_a_new_treaty_that_lets_sites_seal_is_right_as_written_and_says_who_reads_what(
    tmp_path: Path, seals: str
) -> None:
    file = tmp_path / "treaty.toml"
    run("treaty", "new", file, "--seals", seals, "--keys", tmp_path / "keys", "--make-keys", "--no-passphrase")
    run("treaty", "check", file)
    document = load_toml(file.read_text("utf-8")).document
    assert document is not None
    assert document.sealing.fields == SEALS[seals]
    assert "/predicate/lines/*/joules" in document.sealing.fields
    assert ("/predicate/lines/*/workload" in document.sealing.fields) == (seals == "lines")
    assert all(verifier.disclosure_key is not None for verifier in document.verifiers)


def test_a_new_treaty_that_seals_without_keys_points_at_the_keys_that_would_open_it(tmp_path: Path) -> None:
    file = tmp_path / "treaty.toml"
    run("treaty", "new", file, "--seals", "figures")
    mistakes = run("treaty", "check", file, code=3).output
    assert mistakes.count("treaty-disclosure-key") == 4
    assert mistakes.count("treaty-key-placeholder") == 16
    assert "\ndisclosure_key =" in file.read_text("utf-8")


def test_a_template_with_keys_is_a_treaty_without_mistakes(world: Path) -> None:
    checked = as_json(run("treaty", "check", world / "treaty.toml", "--format", "json"))
    assert checked["ok"] is True
    assert checked["problems"] == []
    assert checked["warnings"] == []
    text = run("treaty", "check", world / "treaty.toml").stdout
    assert "Who learns what" in text
    assert "block an order" in text
    assert str(checked["digest"]) in text


def test_check_names_file_line_and_code_of_a_mistake(world: Path, tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    text = (world / "treaty.toml").read_text().replace("orders = 2", "orders = 1")
    file.write_text(text)
    line = text[: text.index("orders = 1")].count("\n") + 1
    assert f"{file}: line {line}: treaty-quorum-orders" in run("treaty", "check", file, code=3).stdout
    value = as_json(run("treaty", "check", file, "--format", "json", code=3))
    (problem,) = typed("list[dict[str, object]]", value["problems"])
    assert (problem["line"], problem["code"]) == (line, "treaty-quorum-orders")


@pytest.mark.parametrize(("data", "code"), [(b"\xff", "file-not-text"), (b"#" * (2**20 + 1), "file-too-large")])
def test_files_that_are_no_text_are_refused(tmp_path: Path, data: bytes, code: str) -> None:
    (tmp_path / "t.toml").write_bytes(data)
    assert code in run("treaty", "check", tmp_path / "t.toml", code=3).stderr
    assert "file-error" in run("treaty", "check", tmp_path / "none.toml", code=3).stderr


def test_signatures_add_up_until_the_treaty_is_what_admission_takes(world: Path, tmp_path: Path) -> None:
    file, out = world / "treaty.toml", tmp_path / "treaty.dsse.json"
    pin = load_toml(file.read_text()).require().digest
    sign = ("treaty", "sign", file, "--out", out)
    first = as_json(run(*sign, "--key", party_key(world, PARTIES[0]), "--format", "json"))
    assert first["complete"] is False
    assert first["parties"] == {"signed": 1, "needed": 2}
    once = out.read_bytes()
    run(*sign, "--key", party_key(world, PARTIES[0]), "--pin", pin)
    assert out.read_bytes() == once, "signing twice changes nothing"
    assert (
        "missing  party-b.example (party)"
        in run("treaty", "show", file, "--signed", out, "--require-complete", code=4).stdout
    )
    last = run(*sign, *all_keys(world))
    assert last.stdout.endswith("complete\n")
    assert "missing" not in last.stdout
    statement, document = check_treaty_statement(Envelope.from_dsse_json(out.read_bytes()), pin)
    assert document.digest == pin
    assert statement.subject[0].digest.sha256 == pin
    shown = as_json(run("treaty", "show", out, "--require-complete", "--format", "json"))
    assert shown["digest"] == pin
    assert len(typed("list[object]", shown["rules"])) == len(RULES)
    assert "Witness policy of verifier.party-a.example" in run("treaty", "show", out).stdout


def test_a_key_the_treaty_does_not_name_or_another_pin_cannot_sign(world: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "t.dsse.json", tmp_path / "other.key"
    run("key", "new", "--purpose", "party", "--name", "party-c.example", "--out", other, "--no-passphrase")
    sign = ("treaty", "sign", world / "treaty.toml", "--out", out)
    assert "signer-not-allowed" in run(*sign, "--key", other, code=3).stderr
    wrong = run(*sign, "--key", party_key(world, PARTIES[0]), "--pin", "0" * 64, code=3)
    assert "treaty-not-pinned" in wrong.stderr
    assert not out.exists()


def test_a_change_after_the_first_signature_cannot_be_merged(world: Path, tmp_path: Path) -> None:
    out, changed = tmp_path / "t.dsse.json", tmp_path / "changed.toml"
    run("treaty", "sign", world / "treaty.toml", "--out", out, "--key", party_key(world, PARTIES[0]))
    changed.write_text((world / "treaty.toml").read_text().replace('silence = "continue"', 'silence = "stop"'))
    again = run("treaty", "sign", changed, "--out", out, "--key", party_key(world, PARTIES[1]), code=3)
    assert "envelope-payload-differs" in again.stderr
    assert "treaty-not-pinned" in run("treaty", "show", changed, "--signed", out, code=3).stderr


def test_show_tells_invalid_signatures_and_strangers(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.dsse.json"
    run("treaty", "sign", world / "treaty.toml", "--out", out, "--key", party_key(world, PARTIES[0]))
    envelope = json.loads(out.read_bytes())
    good = envelope["signatures"][0]
    envelope["signatures"].append({**good, "keyid": "0" * 64})
    out.write_text(json.dumps(envelope))
    assert "STRANGER" in run("treaty", "show", out).stdout
    other = VKey.parse((world / "keys" / f"{PARTIES[1]}.party.key.vkey").read_text().strip())
    envelope["signatures"] = [{**good, "keyid": other.keyid}]
    out.write_text(json.dumps(envelope))
    assert "INVALID" in run("treaty", "show", out, "--require-complete", code=4).stdout


def test_a_second_version_is_checked_against_the_first(world: Path, tmp_path: Path) -> None:
    first = world / "treaty.toml"
    pin = load_toml(first.read_text()).require().digest
    second = tmp_path / "v2.toml"
    text = first.read_text().replace("version = 1\n", "version = 2\n").replace("0" * 64, pin)
    second.write_text(text.replace("effective_period = 0", "effective_period = 99"))
    run("treaty", "check", second, "--previous", first)
    second.write_text(second.read_text().replace(pin, "1" * 64))
    line = text[: text.index("previous =")].count("\n") + 1
    assert f"line {line}: treaty-succession" in run("treaty", "check", second, "--previous", first, code=3).stdout


def test_the_annotated_example_is_a_treaty_without_mistakes_or_warnings() -> None:
    checked = as_json(run("treaty", "check", EXAMPLE, "--format", "json"))
    assert checked["ok"] is True
    assert checked["warnings"] == []


# brake ---------------------------------------------------------------------------------------------------------------


def draft(world: Path, out: Path, *more: object, code: int = 0) -> Result:
    """Run `brake draft` with sensible options, of which *more* adds or repeats some."""
    words = ("--kind", "pause", "--effective-period", 3, "--expiry-period", 9, "--reason", "a drill of ours")
    return run("brake", "draft", "--treaty", world / "treaty.toml", *words, "--out", out, *more, code=code)


def test_an_order_is_drafted_signed_by_both_and_complete(world: Path, tmp_path: Path) -> None:
    order, out = tmp_path / "order.json", tmp_path / "order.dsse.json"
    assert "2 parties must sign" in draft(world, order, "--exercise", "--activity", "training").stdout
    sign = ("brake", "sign", order, "--treaty", world / "treaty.toml", "--out", out)
    one = as_json(run(*sign, "--key", party_key(world, PARTIES[0]), "--format", "json"))
    assert one["complete"] is False
    status = ("brake", "status", out, "--treaty", world / "treaty.toml", "--require-complete")
    assert "not complete yet" in run(*status, code=4).stdout
    both = run(*sign, "--key", party_key(world, PARTIES[1])).stdout
    assert "EXERCISE" in both
    assert "brakeline brake submit" in both
    run(*status)
    statement = parse_statement(Envelope.from_dsse_json(out.read_bytes()).payload)
    assert isinstance(statement.predicate, Order)
    assert statement.predicate.exercise


def test_two_drafts_of_one_order_are_two_orders(world: Path, tmp_path: Path) -> None:
    first = draft(world, tmp_path / "a.json", "--format", "json")
    second = draft(world, tmp_path / "b.json", "--format", "json")
    assert as_json(first)["digest"] != as_json(second)["digest"]
    assert "order-exists" in draft(world, tmp_path / "a.json", code=3).stderr


def test_envelopes_signed_apart_are_merged(world: Path, tmp_path: Path) -> None:
    order, a, b = tmp_path / "order.json", tmp_path / "a.dsse.json", tmp_path / "b.dsse.json"
    draft(world, order)
    for key, out in zip(PARTIES, (a, b), strict=True):
        run("brake", "sign", order, "--treaty", world / "treaty.toml", "--key", party_key(world, key), "--out", out)
    merged = as_json(
        run(
            "brake",
            "sign",
            a,
            "--treaty",
            world / "treaty.toml",
            "--key",
            party_key(world, PARTIES[0]),
            "--out",
            b,
            "--format",
            "json",
        )
    )
    assert merged["complete"] is True


def test_signatures_made_apart_are_merged_by_who_holds_no_key(world: Path, tmp_path: Path) -> None:
    order, all_of_them = tmp_path / "order.json", tmp_path / "all.dsse.json"
    terms = ("--treaty", world / "treaty.toml")
    assert "next: carry it to each of them" in draft(world, order).stdout
    assert "nothing is signed yet" in run("brake", "sign", order, *terms, "--out", all_of_them, code=2).stderr
    for place, party in enumerate(PARTIES):
        alone = tmp_path / f"{place}.dsse.json"
        said = run("brake", "sign", order, *terms, "--key", party_key(world, party), "--out", alone).stdout
        assert f"next: carry it to {PARTIES[1 - place]}" in said
        run("brake", "sign", alone, *terms, "--out", all_of_them)
    assert "next: hand it in" in run("brake", "status", all_of_them, *terms, "--require-complete").stdout


def signed(world: Path, folder: Path, name: str, *more: object) -> tuple[Path, str]:
    """Draft an order and sign it with every party's key; return its envelope and digest."""
    payload, out = folder / f"{name}.json", folder / f"{name}.dsse.json"
    made = as_json(draft(world, payload, *more, "--format", "json"))
    keys = [word for party in PARTIES for word in ("--key", party_key(world, party))]
    run("brake", "sign", payload, "--treaty", world / "treaty.toml", *keys, "--out", out)
    return out, str(made["digest"])


def test_a_status_says_what_orders_come_to_for_a_site(world: Path, tmp_path: Path) -> None:
    pause, digest = signed(world, tmp_path, "pause")
    resume, _ = signed(world, tmp_path, "resume", "--kind", "resume", "--lifts", digest, "--effective-period", 6)
    status = ("brake", "status", pause, "--treaty", world / "treaty.toml", "--site", "lab-1.party-a.example/site-1")
    first = as_json(run(*status, "--period", 5, "--format", "json"))
    assert (first["standing"], first["may"]) == ("order-binds", {"training": f"none, by {digest[:16]}..."})
    later = run(*status, "--period", 6, "--beside", resume).stdout
    assert "in period 6: order-lifted" in later
    assert "training: free" in later
    assert "go together" in run(*status[:-2], "--period", 6, code=2).stderr
    unsigned = tmp_path / "unsigned.json"
    draft(world, unsigned, "--kind", "resume", "--lifts", digest)
    assert "order-incomplete" in run(*status, "--period", 6, "--beside", unsigned, code=3).stderr


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--expiry-period", 3), "order-periods"),
        (("--who", "nobody.example"), "order-scope"),
        (("--above", "no-line"), "order-scope"),
        (("--kind", "slow"), "order-ceiling"),
        (("--ceiling", "1/4"), "order-ceiling"),
        (("--kind", "slow", "--ceiling", "4/4"), "order-ceiling"),
        (("--kind", "resume"), "order-lifts-nothing"),
        (("--kind", "resume", "--lifts", "a" * 64, "--who", "party-b.example"), "order-resume-scope"),
        (("--activity", "mining"), "order-malformed"),
        (("--nonce", "xyz"), "order-malformed"),
        (("--lifts", "abc"), "order-malformed"),
        (("--effective-period", -1), "order-malformed"),
    ],
)
def test_an_order_that_would_bind_nobody_is_not_drafted(
    world: Path, tmp_path: Path, more: tuple[object, ...], code: str
) -> None:
    assert code in draft(world, tmp_path / "order.json", *more, code=3).stderr
    assert not (tmp_path / "order.json").exists()


def test_an_order_binds_named_labs_and_sites(world: Path, tmp_path: Path) -> None:
    text = draft(world, tmp_path / "o.json", "--who", "lab-1.party-a.example/site-1", "--who", PARTIES[1]).stdout
    assert "lab-1.party-a.example/site-1, party-b.example" in text


def test_an_order_to_slow_down_says_how_far_and_which_runs(world: Path, tmp_path: Path) -> None:
    text = draft(world, tmp_path / "o.json", "--kind", "slow", "--ceiling", "1/4", "--above", "frontier").stdout
    assert "slow to 1/4 of chip time" in text
    assert "runs above frontier" in text
    order = parse_statement((tmp_path / "o.json").read_bytes()).predicate
    assert isinstance(order, Order)
    assert order.ceiling is not None
    assert (order.ceiling.numerator, order.ceiling.denominator, order.scope.above) == (1, 4, "frontier")
    assert "--ceiling" in draft(world, tmp_path / "p.json", "--kind", "slow", "--ceiling", "0.25", code=2).stderr


def test_only_parties_sign_orders_and_only_of_this_treaty(world: Path, tmp_path: Path) -> None:
    order, out = tmp_path / "order.json", tmp_path / "order.dsse.json"
    draft(world, order)
    lab = world / "keys" / "lab-1.party-a.example.lab-root.key"
    sign = ("brake", "sign", order, "--out", out)
    assert "signer-not-allowed" in run(*sign, "--treaty", world / "treaty.toml", "--key", lab, code=3).stderr
    foreign = run(*sign, "--treaty", EXAMPLE, "--key", party_key(world, PARTIES[0]), code=3)
    assert "treaty-unknown" in foreign.stderr
    assert not out.exists()


def test_a_treaty_is_not_an_order(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.dsse.json"
    run("treaty", "sign", world / "treaty.toml", "--out", out, "--key", party_key(world, PARTIES[0]))
    assert "order-not-an-order" in run("brake", "status", out, "--treaty", world / "treaty.toml", code=3).stderr
    order, signed = tmp_path / "order.json", tmp_path / "order.dsse.json"
    draft(world, order)
    run("brake", "sign", order, "--treaty", out, "--out", signed, "--key", party_key(world, PARTIES[0]))
    assert "treaty-not-a-treaty" in run("treaty", "show", signed, code=3).stderr


# all -----------------------------------------------------------------------------------------------------------------

COMMANDS = [
    ("key", "new"),
    ("key", "show"),
    ("treaty", "new"),
    ("treaty", "check"),
    ("treaty", "sign"),
    ("treaty", "show"),
    ("brake", "draft"),
    ("brake", "sign"),
    ("brake", "status"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(words: tuple[str, ...]) -> None:
    assert f"Example: brakeline {' '.join(words)}" in " ".join(run(*words, "--help").stdout.split())


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    program = "import sys, brakeline.treaty.commands; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pydantic", "nacl", "cryptography", "orjson", "hypothesis"} & set(loaded)
