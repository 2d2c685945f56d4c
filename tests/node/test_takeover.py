"""Another host goes on from what the logs hold; whatever the old one signs later is disowned, in every log alike."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import pytest
import trustme
from brakeline.ledger.entry import Kind, RawSignature
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.source import HttpSource
from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.node.keys import enrolment
from brakeline.node.keys.chain import Chains, learn
from brakeline.node.keys.guard import LastSigned
from brakeline.node.keys.position import AWAITING
from brakeline.node.keys.takeover import Prepared, finish, prepare
from brakeline.node.setup import Plan, open_site
from brakeline.node.site import Site
from brakeline.treaty.admission import Admitted, admit
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.register import Register
from brakeline.treaty.statements import Usage, parse_statement

from tests.node import house, outlogs
from tests.support import cast

ROOT = cast.signer(cast.LABS[0])
PERIODS = 40


class Scene:
    """A site that has booked some periods, its logs, and the folder of a second host."""

    def __init__(self, folder: Path, booked: int = 3, *, authority: trustme.CA | None = None) -> None:
        self.folder = folder
        self.now = house.now_ms()
        self.document: TreatyDocument = house.treaty(self.now - PERIODS * house.PERIOD_MS)
        self.treaty = cast.treaty_envelope(self.document)
        self.old = house.make(folder, self.document, authority or trustme.CA(), clock=self.clock)
        for period in range(booked):
            self.old.book_period(period)

    def clock(self) -> int:
        return self.now

    def plan(self, name: str = "new") -> Plan:
        return Plan(cast.SITE, (), {}, self.folder / "issued", guard=self.folder / "apart" / f"{name}.json")

    def takeover(
        self,
        held: Iterable[Envelope],
        name: str = "new",
        verifiers: Sequence[str] = cast.VERIFIERS[:3],
        honours: LastSigned | None = None,
    ) -> Prepared:
        known = list(held)
        sources = outlogs.logs(self.folder / f"logs-{name}", dict.fromkeys(verifiers, known), self.now)
        return prepare(
            self.folder / name,
            self.plan(name),
            self.treaty.to_dsse_json(),
            self.document.digest,
            sources,
            passphrase=None,
            now_ms=self.clock,
            honours=honours,
        )

    def go_on(self, made: Prepared, name: str = "new") -> tuple[Envelope, Site]:
        statement = enrolment.root_sign(self.document, made.request, ROOT)
        finish(self.folder / name, statement, None, self.clock)
        return statement, open_site(self.folder / name, None, self.clock)[1]


@pytest.fixture
def scene(tmp_path: Path) -> Iterable[Scene]:
    made = Scene(tmp_path)
    yield made
    made.old.journal.close()


def code(act: Callable[[], object]) -> str:
    with pytest.raises(BrakelineError) as error:
        act()
    return error.value.code


def test_the_new_host_goes_on_where_the_logs_stand_and_its_key_replaces_the_old(scene: Scene) -> None:
    made = scene.takeover(outlogs.signed(scene.old))
    sequence, digest = scene.old.journal.head()
    assert made.last == (sequence - 1, digest)
    assert dict(made.logs) == dict.fromkeys(cast.VERIFIERS[:3], sequence + 1)
    _, waiting = open_site(scene.folder / "new", None, scene.clock)
    assert waiting.held == AWAITING
    assert code(lambda: waiting.book_period(3)) == "site-held"
    waiting.journal.close()
    statement, new = scene.go_on(made)
    assert new.journal.last_period() == 2
    book = new.book_period(3)
    assert (book.sequence, parse_statement(Envelope.from_body(book.body).payload).authored.previous) == (  # type: ignore[union-attr]
        sequence,
        digest,
    )
    assert new.newest_inventory() == scene.old.newest_inventory()
    assert [item.digest for item in new.journal.envelopes()][-2:] == [statement.digest, book.digest]
    judged = judge(scene.document, outlogs.signed(new), scene.now)
    assert judged.admitted == len(outlogs.signed(new))
    assert "equivocation" not in judged.rules
    new.journal.close()


def test_a_log_that_is_not_fresh_or_not_cosigned_or_not_whole_is_not_believed(scene: Scene, tmp_path: Path) -> None:
    held = outlogs.signed(scene.old)
    sources = outlogs.logs(tmp_path / "logs", dict.fromkeys(cast.VERIFIERS, held), scene.now)
    assert len(learn(scene.document, cast.SITE, sources, scene.clock).read) == 4
    outlogs.log(tmp_path / "logs", cast.VERIFIERS[0], held, scene.now - 60_000)
    chains = learn(scene.document, cast.SITE, sources, scene.clock)
    assert chains.refused[cast.VERIFIERS[0]].code == "chain-stale"
    outlogs.log(tmp_path / "logs", cast.VERIFIERS[1], held, scene.now, witnesses=cast.VERIFIERS[:2])
    assert code(lambda: learn(scene.document, cast.SITE, sources, scene.clock)) == "chain-logs"
    outlogs.log(tmp_path / "logs", cast.VERIFIERS[0], held, scene.now)
    bundle = next((tmp_path / "logs" / cast.VERIFIERS[2]).glob("tile/entries/*.p/*"))
    data = bytearray(bundle.read_bytes())
    data[-1] ^= 1
    bundle.write_bytes(data)
    assert code(lambda: learn(scene.document, cast.SITE, sources, scene.clock)) == "chain-logs"


def test_a_log_that_lags_behind_does_not_hide_what_another_holds(scene: Scene, tmp_path: Path) -> None:
    held = outlogs.signed(scene.old)
    some = {cast.VERIFIERS[0]: held[:2], cast.VERIFIERS[1]: held, cast.VERIFIERS[2]: held[:3]}
    chains = learn(scene.document, cast.SITE, outlogs.logs(tmp_path / "logs", some, scene.now), scene.clock)
    assert [said.envelope for said in chains.branch(cast.SITE)] == held[1:]


def test_what_is_not_the_sites_own_word_does_not_move_its_position(scene: Scene, tmp_path: Path) -> None:
    held = outlogs.signed(scene.old)
    stranger = dataclasses.replace(held[-1], signatures=(RawSignature(held[-1].signatures[0].keyid, bytes(64)),))
    chains = Chains(scene.document, cast.SITE)
    for item in (*held[:-1], stranger):
        chains.take(item, scene.now)
    assert chains.branch(cast.SITE)[-1].envelope == held[-2]
    assert [key.public_key for key in chains.live_keys()] == [
        VKey(cast.SITE, TYPE_STATEMENT, _public(scene.old)).public_key
    ]


def _public(site: Site) -> bytes:
    return site._signer.public_key


def test_branches_must_be_chosen_between_and_what_is_unknown_is_refused(scene: Scene) -> None:
    held = outlogs.signed(scene.old)
    thief = cast.Author(cast.SITE, scene.document, scene.old._signer)
    thief.sequence, thief.previous = 2, held[2].digest
    forged = thief.hold(period=3)
    assert code(lambda: scene.takeover([*held, forged])) == "chain-forked"
    assert code(lambda: scene.takeover(held, honours=LastSigned(2, "0" * 63 + "1"))) == "chain-unknown"
    assert code(lambda: scene.takeover(held, honours=LastSigned(1, held[-1].digest))) == "chain-unknown"
    assert code(lambda: scene.takeover(held[:1])) == "takeover-nothing"
    made = scene.takeover([*held, forged], honours=LastSigned(2, held[3].digest))
    assert made.last == (2, held[3].digest)


def test_a_second_take_over_goes_on_from_the_first_and_past_what_is_disowned(scene: Scene) -> None:
    held = outlogs.signed(scene.old)
    statement, new = scene.go_on(scene.takeover(held))
    late = Envelope.from_body(scene.old.book_period(3).body)  # the old host comes back
    new.book_period(3)
    everything = [*held, late, statement, Envelope.from_body(new.book_period(4).body), *outlogs.signed(new)]
    new.journal.close()
    order = [*held, statement, late, *[e for e in everything if e not in (*held, statement, late)]]
    made = scene.takeover(_parents_first(order), "third")
    assert made.last.sequence == new_head(order)
    _, third = scene.go_on(made, "third")
    third.book_period(5)
    assert third.journal.last_period() == 5
    third.journal.close()


def new_head(envelopes: Iterable[Envelope]) -> int:
    found = [parse_statement(item.payload) for item in envelopes]
    return max(s.authored.sequence for s in found if s.authored is not None and s.authored.author == cast.SITE)


def _parents_first(envelopes: Iterable[Envelope]) -> list[Envelope]:
    return sorted(dict.fromkeys(envelopes), key=_sequence)


def _sequence(envelope: Envelope) -> int:
    authored = parse_statement(envelope.payload).authored
    return -1 if authored is None else authored.sequence


class Judged:
    """What one log holds and finds after it was given envelopes in some order."""

    def __init__(self, document: TreatyDocument, envelopes: Iterable[Envelope], now: int) -> None:
        register, self.judge, waiting = Register(document), LogJudge(document), list(envelopes)
        self.admitted, moved = 0, True
        while moved and waiting:  # what is not yet admissible is tried again, as nodes do
            moved, rest = False, []
            for item in waiting:
                outcome = admit(register, item, now_ms=now)
                if not isinstance(outcome, Admitted):
                    rest.append(item)
                    continue
                moved = True
                if not outcome.known:
                    register.record(outcome.statement, self.admitted)
                    self.judge.add(self.admitted, Kind.STATEMENT, outcome.statement)
                    self.admitted += 1
            waiting = rest
        self.left = waiting
        self.findings = list(self.judge.standing().values())
        self.rules = {finding.rule for finding in self.findings}

    def disowned(self) -> set[str]:
        return {digest for f in self.findings if f.rule == "disowned" for digest in f.statements}


def judge(document: TreatyDocument, envelopes: Iterable[Envelope], now: int) -> Judged:
    return Judged(document, envelopes, now)


def book_next(site: Site) -> Envelope:
    last = site.journal.last_period()
    return Envelope.from_body(site.book_period(0 if last is None else last + 1).body)


def race(folder: Path, seed: int) -> tuple[int, int]:
    """The old host comes back at some moment of a take-over; return how much it signed later, how much the new one."""
    rng = random.Random(seed)
    scene = Scene(folder, booked=rng.randint(1, 4))
    held = outlogs.signed(scene.old)
    published = held[: rng.randint(2, len(held))]  # the old host died before all of it had left
    late: list[Envelope] = []
    moments = sorted(rng.choices(range(4), k=rng.randint(1, 6)))  # when it signs: before, between and after the steps

    def old_signs(moment: int) -> None:
        for _ in range(moments.count(moment)):
            late.append(book_next(scene.old))

    old_signs(0)
    made = scene.takeover(published)
    old_signs(1)
    statement = enrolment.root_sign(scene.document, made.request, ROOT)
    old_signs(2)
    finish(folder / "new", statement, None, scene.clock)
    _, new = open_site(folder / "new", None, scene.clock)
    fresh = [book_next(new) for _ in range(3)]
    old_signs(3)
    beyond = [e for e in (*held, *late) if e not in published]
    new_digests = {e.digest for e in fresh}
    for _ in cast.VERIFIERS:  # every log gets everything, each in an order of its own
        order = [*published, *beyond, statement, *fresh]
        rng.shuffle(order)
        judged = Judged(scene.document, order, scene.now)
        assert judged.left == []
        cited = judged.disowned()
        assert {e.digest for e in beyond} <= cited
        assert not cited & (new_digests | {e.digest for e in published})
        assert "referral" not in {str(f.severity) for f in judged.findings if f.rule == "equivocation"}
    stands = [parse_statement(e.payload) for e in (*published, *fresh)]
    books = [s.predicate.start.value for s in stands if isinstance(s.predicate, Usage)]
    assert len(books) == len(set(books))
    scene.old.journal.close()
    new.journal.close()
    return len(beyond), len(fresh)


@pytest.mark.parametrize("seed", range(3))
def test_an_old_host_that_comes_back_in_the_middle_stands_under_no_honoured_key(tmp_path: Path, seed: int) -> None:
    race(tmp_path, seed)


@pytest.mark.soak
def test_an_old_host_that_comes_back_in_the_middle_a_hundred_times(tmp_path: Path) -> None:
    counts = [race(tmp_path / str(seed), seed) for seed in range(1000, 1100)]
    print(json.dumps({"races": len(counts), "old": sum(a for a, _ in counts), "new": sum(b for _, b in counts)}))


def test_a_take_over_from_real_verifiers_over_http_while_the_old_host_still_runs(tmp_path: Path) -> None:
    from tests.verifier import world

    authority = trustme.CA()
    value = world.treaty(4).to_json()
    value["grid"] = {"start": house.now_ms(), "period_ms": house.PERIOD_MS}
    document = TreatyDocument.from_json(value)
    verifiers = world.World(tmp_path / "verifiers", document, authority=authority)
    house.make(tmp_path, document, authority).journal.close()
    plan = Plan(cast.SITE, (), {}, tmp_path / "issued", guard=tmp_path / "apart" / "new.json")
    signed = cast.treaty_envelope(document).to_dsse_json()

    async def act() -> None:
        async with world.running(verifiers) as judges:
            grpc = {j.server.name: j.addresses["grpc"] for j in judges}
            sources = {j.server.name: partial(HttpSource, j.addresses["http"]) for j in judges[:3]}
            async with house.serving(tmp_path / "node", grpc) as old:
                await house.until(
                    lambda: all(n >= 3 for n in list(old.journal.receipts().values())[:4]) and old.journal.head()[0] > 3
                )
                made = await asyncio.to_thread(
                    lambda: prepare(
                        tmp_path / "new",
                        plan,
                        signed,
                        document.digest,
                        sources,
                        passphrase=None,
                        now_ms=house.now_ms,
                    )
                )
                await house.until(lambda: old.journal.head()[0] > made.last.sequence + 2)
                finish(tmp_path / "new", enrolment.root_sign(document, made.request, ROOT), None, house.now_ms)
                async with house.serving(tmp_path / "new", grpc) as new:
                    own = made.last.sequence + 2
                    await house.until(lambda: new.journal.head()[0] > own)
                    await house.until(lambda: list(new.journal.receipts().values())[own] >= 3)
                    receipts = tmp_path / "new" / "receipts"
                    _checked_by_anyone(document, receipts)
                    mine = outlogs.signed(new)
                theirs = outlogs.signed(old)
                late = [e for e in outlogs.signed(old) if _sequence(e) > made.last.sequence]
        found = Judged(document, _parents_first([*mine, *theirs]), house.now_ms())
        assert {e.digest for e in late if parse_statement(e.payload).name != "enrolment"} <= found.disowned()
        assert not found.disowned() & {e.digest for e in mine if parse_statement(e.payload).name != "enrolment"}

    asyncio.run(act())


def _checked_by_anyone(document: TreatyDocument, receipts: Path) -> None:
    """Check a receipt of the newest statement as a stranger would: the file, the treaty's policy, the log's key."""
    from brakeline.ledger.commands_proof import app
    from typer.testing import CliRunner

    newest = max(receipts.rglob("*.tlog-proof"), key=lambda path: int(path.name.split("-")[0]))
    verifier = newest.parent.name
    (receipts / "policy").write_text(document.witness_policy(verifier).render())
    words = ["check", str(newest), "--vkey", str(cast.vkey(verifier, "log")), "--policy", str(receipts / "policy")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, (done.output, done.exception)
