"""An amendment in the middle of a running treaty: every verifier takes it over, judges by it, and boots with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from brakeline.audit.replay import audit_sources
from brakeline.audit.report import LogState
from brakeline.ledger.checkpoint import open_checkpoint
from brakeline.ledger.entry import Entry, Kind
from brakeline.ledger.errors import BrakelineError
from brakeline.testnet.ports import Ports
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.findings import Finding, parse_finding
from brakeline.treaty.logbody import parse_heartbeat
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.strictjson import JsonValue
from brakeline.v1 import verifier_pb2 as pb
from brakeline.verifier.config import AMENDMENTS, TREATY_NAME, Config
from brakeline.verifier.keys import check_terms, load_terms
from brakeline.verifier.server import unix_ms
from brakeline.verifier.setup import install_treaty, make_directory

from tests.support import cast
from tests.support.cast import Author, amended, amendment_envelope, line, with_rule
from tests.verifier import world
from tests.verifier.test_network import entries_of, signed
from tests.verifier.world import Running, World


def _first() -> TreatyDocument:
    document = world.treaty(4, heartbeat_ms=500)
    return TreatyDocument.from_json({**document.to_json(), "rule": with_rule(document, "wrong-version", "note")})


def _second(first: TreatyDocument) -> TreatyDocument:
    """From period 1 on no chip time may be unattributed."""
    return amended(first, 1, rule=with_rule(first, "muf", k_permille=0, h_flop="0"))


def _standing(entries: Sequence[Entry]) -> dict[str, Finding]:
    found: dict[str, Finding] = {}
    for entry in entries:
        if entry.kind is Kind.FINDING:
            item = parse_finding(entry.body)
            if isinstance(item, Finding):
                found[item.digest] = item
            else:
                del found[item.withdrawn]
    return found


def _said(first: TreatyDocument, second: TreatyDocument) -> list[Envelope]:
    """Enrolment, inventory, books of three periods: the last under the new version; time lost in all of them."""
    site = Author(cast.SITE, first)
    inventory = site.hold()
    lines = (line("unattributed", 300, workload="lost"), line("idle", cast.CHIPS * cast.PERIOD - 300))
    said = [Author(cast.LABS[0], first).enrol(cast.SITE), inventory]
    said += [site.use(period, inventory.digest, lines) for period in (0, 1)]
    site.treaty = second
    return [*said, site.use(2, inventory.digest, lines)]


def test_an_amendment_in_the_middle_is_judged_by_in_every_log_and_outlives_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = _first()
        second = _second(first)
        four = World(tmp_path, first, world.FAST.model_copy(update={"cosign_timeout_ms": 10_000}))
        *before, under = _said(first, second)
        wanted = {item.digest for item in (*before, under, amendment_envelope(second))}
        async with world.running(four) as verifiers:
            async with world.stub(four, verifiers[0]) as stub:
                await stub.SubmitBatch(world.batch(before))
                answer = await stub.SubmitBatch(world.batch([under]))
                assert answer.results[0].WhichOneof("outcome") == "not_yet"
                assert answer.results[0].not_yet.code == "treaty-unknown"
                too_few = amendment_envelope(second, cast.signer(cast.PARTIES[0]))
                answer = await stub.SubmitBatch(world.batch([too_few]))
                assert answer.results[0].refused.code == "signatures-too-few"
            async with world.stub(four, verifiers[2]) as stub:
                answer = await stub.SubmitBatch(world.batch([amendment_envelope(second)]))
                assert answer.results[0].WhichOneof("outcome") == "receipt"
                events = stub.Watch(pb.WatchRequest(from_index=0))
                seen = [await world.event(events) for _ in range(2)]
                assert seen[1].attestation.payload == amendment_envelope(second).payload
                events.cancel()

            async def taken() -> bool:
                async with world.stub(four, verifiers[0]) as stub:
                    answer = await stub.SubmitBatch(world.batch([under]))
                return answer.results[0].WhichOneof("outcome") != "not_yet"

            async def everywhere() -> bool:
                logs = [await entries_of(verifier) for verifier in verifiers]
                standing = [_standing(log) for log in logs]
                whole = all(signed(log).keys() >= wanted for log in logs)
                return whole and all(standing) and len({tuple(sorted(found)) for found in standing}) == 1

            await world.until(taken, 120)
            await world.until(everywhere, 120)
            found = _standing(await entries_of(verifiers[3])).values()
            assert {item.period for item in found if item.rule == "wrong-version"} == {1}
            assert {item.period for item in found if item.rule == "muf"} == {1}, "one excursion, from period 1 on"
            kinds = [entry.kind for entry in await entries_of(verifiers[0]) if entry.kind is Kind.TREATY]
            assert len(kinds) == 2
        folder = four.directory(cast.VERIFIERS[0])
        (kept,) = folder.glob(AMENDMENTS)
        assert Envelope.from_dsse_json(kept.read_bytes()).digest == amendment_envelope(second).digest
        # every log replays through admission, rules and challenges
        async with world.running(four) as verifiers, world.stub(four, verifiers[1]) as stub:
            answer = await stub.SubmitBatch(world.batch([under]))
            assert answer.results[0].WhichOneof("outcome") == "receipt"

    asyncio.run(scenario())


def _installed(tmp_path: Path, pin: str, *later: Envelope) -> Config:
    make_directory(tmp_path, cast.VERIFIERS[0], url="http://x", grpc="x:1", party="", passphrase=None)
    install_treaty(
        tmp_path, cast.treaty_envelope(_first()).to_dsse_json(), pin, [item.to_dsse_json() for item in later]
    )
    return Config(name=cast.VERIFIERS[0], pin=pin)


def test_a_verifier_is_installed_with_all_versions_under_the_pin_of_any(tmp_path: Path) -> None:
    first = _first()
    second = _second(first)
    for number, pin in enumerate((first.digest, second.digest)):
        folder = tmp_path / str(number)
        terms = load_terms(folder, _installed(folder, pin, amendment_envelope(second)))
        assert (terms.document, terms.versions) == (first, (second,))


def test_what_does_not_follow_is_not_installed(tmp_path: Path) -> None:
    first = _first()
    data = cast.treaty_envelope(first).to_dsse_json()
    third = amendment_envelope(amended(_second(first), 9)).to_dsse_json()
    with pytest.raises(BrakelineError, match="treaty-unknown"):
        check_terms(data, first.digest, cast.VERIFIERS[0], [third])
    with pytest.raises(BrakelineError, match="treaty-not-pinned"):
        check_terms(data, _second(first).digest, cast.VERIFIERS[0])
    with pytest.raises(BrakelineError, match="config-not-a-treaty"):
        check_terms(
            data, first.digest, cast.VERIFIERS[0], [Author(cast.LABS[0], first).enrol(cast.SITE).to_dsse_json()]
        )
    assert not list(tmp_path.glob(TREATY_NAME))


def test_a_new_log_starts_with_all_versions_and_their_labs_may_call(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = world.treaty(1)
        labs = cast.json_lines(first.to_json()["lab"])
        name = "lab-9.party-a.example"
        joined = amended(first, 1, lab=[*labs, {**labs[0], "name": name, "root_key": str(cast.vkey(name))}])
        parties = [cast.signer(party) for party in cast.PARTIES]
        later = amendment_envelope(joined, *parties, cast.signer(name))
        one = World(tmp_path, first, amendments=(later,))
        async with world.running(one) as (verifier,):
            entries = []
            await world.until(lambda: verifier.server.publication.size > 1)
            entries = await entries_of(verifier)
            assert [entry.kind for entry in entries[:2]] == [Kind.TREATY, Kind.TREATY]
            async with world.stub(one, verifier, name) as stub:
                answer = await stub.SubmitBatch(world.batch([Author(name, joined).enrol(f"{name}/site-1")]))
                assert answer.results[0].WhichOneof("outcome") == "receipt"

    asyncio.run(scenario())


def test_running_verifiers_turn_to_the_one_that_an_amendment_adds(tmp_path: Path) -> None:
    """Three logs run on; from the version's first period on the fourth cosigns them, is mirrored, and has a quorum.

    An auditor who pinned version 1 reads all four, and has nothing to say of anybody.
    """

    async def scenario(port: int) -> None:
        first = world.treaty(3, heartbeat_ms=300)
        wider = world.treaty(4).to_json()
        added: JsonValue = {**cast.json_lines(wider["verifier"])[3], "url": f"http://127.0.0.1:{port}"}
        verifiers: JsonValue = [*cast.json_lines(first.to_json()["verifier"]), added]
        begins = first.grid.period_of(InstantMs(unix_ms())) + 2
        second = amended(first, begins, verifier=verifiers, quorum=wider["quorum"])
        envelope = cast.joined_by(second, cast.VERIFIERS[3])
        three = World(tmp_path, first)
        async with world.running(three) as old:
            async with world.stub(three, old[0]) as stub:
                await stub.SubmitBatch(world.batch([envelope]))
            await world.until(lambda: unix_ms() >= second.grid.start_of(begins).value)
            assert all(item.server.publication.current is not None for item in old)
            fourth = World(tmp_path, second, amendments=(envelope,), pinned=first)
            async with world.running(fourth, 3, peers=old, http=f"127.0.0.1:{port}") as (new,):
                together = [*old, new]
                await world.until(lambda: all(_cosigned(item, second) == {*cast.VERIFIERS} for item in together))
                await world.until(lambda: _embeds(old[0], cast.VERIFIERS[3]))
                (kept,) = three.directory(cast.VERIFIERS[0]).glob(AMENDMENTS)
                assert Envelope.from_dsse_json(kept.read_bytes()).digest == envelope.digest
                treaty = tmp_path / "treaty.dsse.json"
                treaty.write_bytes(cast.treaty_envelope(first).to_dsse_json())
                urls = [item.addresses["http"] for item in together]
                report = await asyncio.to_thread(audit_sources, urls, treaty, first.digest)
                assert [log.state for log in report.logs] == [LogState.REPRODUCED] * 4, report
                assert report.findings == ()
                assert {item.code for item in report.unchecked} <= {"log-stale", "statements-lacking"}

    with Ports() as ports:
        asyncio.run(scenario(*ports.take(1)))


def _cosigned(verifier: Running, document: TreatyDocument) -> set[str]:
    """Return whose witnesses have cosigned what *verifier* shows, if that is a quorum of *document*."""
    current, own = verifier.server.publication.current, document.verifier(verifier.server.name)
    assert own is not None
    if current is None:
        return set()
    names = {item.witness_key: item.name for item in document.verifiers}
    found = open_checkpoint(current.note, own.log_key, list(names)).cosignatures
    return {names[key] for key in found} if document.witness_policy(own.origin).satisfied(found) else set()


async def _embeds(verifier: Running, origin: str) -> bool:
    beats = [parse_heartbeat(entry.body) for entry in await entries_of(verifier) if entry.kind is Kind.HEARTBEAT]
    return any(item.origin == origin for beat in beats for item in beat.mirrored)
