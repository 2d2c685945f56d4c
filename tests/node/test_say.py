"""What operators say by hand: once, whole, by whoever holds the journal, and refused before it is signed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import trustme
from brakeline.node import say
from brakeline.node.commands import app
from brakeline.node.journal import Journal, JournalError
from brakeline.node.say import SayError
from brakeline.node.setup import JOURNAL, open_site
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.oversight import Declaration
from brakeline.treaty.statements import Inventory, Statement, parse_statement
from typer.testing import CliRunner, Result

from tests.node.house import make, now_ms, running, treaty, until
from tests.support import cast

DECLARATION = """\
say = "declaration"
workload = "char-lm"
activity = "training"
begins_period = 7
planned_flop = "1000"
chips = [{class = "cpu-core", count = 2}]
parents = []
purpose = "a model of letters"
"""
INVENTORY = """\
say = "inventory"
effective_period = 9
chips = [{class = "cpu-core", count = 3}]
serials = {file = "all.txt"}
[[movements]]
kind = "acquired"
class = "cpu-core"
count = 1
counterparty = "vendor.example"
serials = {file = "new.txt"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a node that is not running."""
    make(tmp_path, treaty(now_ms()), trustme.CA()).journal.close()
    return tmp_path / "node"


def file(folder: Path, text: str = DECLARATION) -> Path:
    path = folder.parent / "said.toml"
    path.write_text(text)
    return path


def invoke(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["say", *map(str, words)])
    assert result.exit_code == code, result.output
    return result


def chain(folder: Path) -> list[Statement]:
    """Return what the node's own chain says."""
    with Journal(folder / JOURNAL, read_only=True) as journal:
        said = [parse_statement(Envelope.from_body(item.body).payload) for item in journal.envelopes()]
    return [item for item in said if item.authored is not None and item.authored.author == cast.SITE]


def test_a_declaration_is_signed_and_queued_once(folder: Path) -> None:
    words = (file(folder), "--dir", folder, "--format", "json")
    first = json.loads(invoke(*words).stdout)
    again = json.loads(invoke(*words).stdout)
    assert first == again
    declared = [item for item in chain(folder) if isinstance(item.predicate, Declaration)]
    assert [item.digest for item in declared] == [first["digest"]]
    assert declared[0].authored is not None
    assert declared[0].authored.sequence == first["sequence"] == 1


def test_a_dry_run_signs_nothing(folder: Path) -> None:
    assert "a model of letters" in invoke(file(folder), "--dir", folder, "--dry-run").stdout
    assert len(chain(folder)) == 1


def test_a_running_node_signs_it_itself(folder: Path) -> None:
    request = say.read(file(folder), cast.SITE)

    async def scene() -> say.Said:
        async with running(folder) as (site, _):
            with pytest.raises(JournalError, match="journal-locked"):
                open_site(folder, None, now_ms)
            await asyncio.to_thread(invoke, file(folder), "--dir", folder)
            say.post(folder, request)  # asked again, it gets the same answer
            await until(lambda: not (folder / say.INBOX / f"{request.id}.json").exists())
            said = say.answer(folder, request)
            assert said is not None
            assert site.journal.answered(request.id) == (said.sequence, said.digest)
            return said

    said = asyncio.run(scene())
    assert [item.digest for item in chain(folder) if item.name == "declaration"] == [said.digest]
    assert not list((folder / say.INBOX).iterdir())


def test_what_was_reserved_before_a_crash_is_the_answer_after_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = say.read(file(folder), cast.SITE)
    _, site = open_site(folder, None, now_ms)
    monkeypatch.setattr(site.journal, "signed", _fails)
    with pytest.raises(OSError, match="power"):
        say.take(site, request)
    site.journal.close()
    _, site = open_site(folder, None, now_ms)
    said = say.take(site, request)
    assert [item.digest for item in chain(folder) if item.name == "declaration"] == [said.digest]
    site.journal.close()


def _fails(_item: object) -> None:
    raise OSError("power")


def test_an_inventory_follows_the_newest_and_commits_to_its_serials(folder: Path) -> None:
    (folder.parent / "all.txt").write_text("b\na\nc\n")
    (folder.parent / "new.txt").write_text("c\n")
    invoke(file(folder, INVENTORY), "--dir", folder)
    first, second = (item for item in chain(folder) if isinstance(item.predicate, Inventory))
    changed = second.predicate
    assert isinstance(changed, Inventory)
    assert changed.follows == first.digest
    assert (changed.serials.count, changed.movements and changed.movements[0].serials.count) == (3, 1)
    reordered = file(folder, INVENTORY)
    (folder.parent / "all.txt").write_text("c\nb\na\n")
    assert say.read(reordered, cast.SITE).members["serials"] == changed.serials.model_dump()


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("say = 1 1", "say-toml", "line 1"),
        ('workload = "x"', "say-kind", "declaration"),
        ('say = "usage"', "say-kind", "correction"),
        (DECLARATION.replace('"1000"', "1000"), "say-value", "line 5: planned_flop"),
        (DECLARATION + "colour = 1\n", "say-value", "line 9: colour"),
        (DECLARATION + 'author = "lab-2.party-b.example/site-1"\n', "say-value", "line 9: author"),
        (DECLARATION.replace("purpose", "#"), "say-value", "purpose"),
        (DECLARATION + "#" * say.MAX_BYTES, "say-size", "65536"),
        (INVENTORY, "config-serials", "all.txt"),
    ],
)
def test_a_mistake_is_told_with_its_line(folder: Path, text: str, code: str, told: str) -> None:
    result = invoke(file(folder, text), "--dir", folder, code=3)
    assert code in result.output
    assert told in result.output
    assert len(chain(folder)) == 1


def test_a_file_in_the_inbox_that_is_no_request_is_put_aside_with_why(folder: Path) -> None:
    inbox = folder / say.INBOX
    inbox.mkdir()
    (inbox / "x.json").write_bytes(b"{not json")
    (inbox / "y.json").write_bytes(b'{"members":{},"say":"treaty"}')
    (inbox / "z.json").write_bytes(b'{"members":{"author":"lab-2.party-b.example/site-1"},"say":"reply"}')
    _, site = open_site(folder, None, now_ms)
    try:
        assert say.serve(folder, site) == []
    finally:
        site.journal.close()
    assert sorted(path.name for path in inbox.iterdir()) == [f"{n}.{s}" for n in "xyz" for s in ("bad", "said")]
    assert "say-kind" in (inbox / "y.said").read_text()


def test_a_refusal_reaches_who_asked(folder: Path) -> None:
    request = say.Request("reply", {"finding": "short"})
    say.post(folder, request)
    _, site = open_site(folder, None, now_ms)
    try:
        assert say.serve(folder, site) == []
    finally:
        site.journal.close()
    with pytest.raises(SayError, match="say-value"):
        say.answer(folder, request)
