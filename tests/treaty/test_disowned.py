"""Stolen keys: what a revocation honours stays, all else that the key signed is disowned, in every log alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from brakeline.ledger.entry import Kind
from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.treaty.admission import Admitted, admit
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.findings import Finding
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.register import Register
from brakeline.treaty.sentences import sentence
from brakeline.treaty.statements import Enrolment, Statement
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast
from tests.support.cast import LABS, SITE, Author, line, signer
from tests.support.judging import FULL, books

DOC = cast.document()
OLD, NEW = signer(SITE), signer(f"{SITE} again")


def key(of: object) -> str:
    assert of in (OLD, NEW)
    return str(VKey(SITE, TYPE_STATEMENT, (OLD if of is OLD else NEW).public_key))


class Tale:
    """A site with a key that is stolen, and what its lab says of it."""

    def __init__(self) -> None:
        self.lab = Author(LABS[0], DOC)
        self.site = Author(SITE, DOC, OLD)
        self.said = [self.lab.enrol(SITE), inventory := self.site.hold()]
        self.inventory = inventory

    def book(self, period: int, author: Author | None = None, *, advance: bool = True, joules: str = "0") -> Envelope:
        rest = line("idle", FULL, workload="idle", joules=joules)
        self.said.append(made := books(author or self.site, self.inventory, period, rest, advance=advance))
        return made

    def fork(self, at: Author, signed_by: object = OLD) -> Author:
        """Return somebody who goes on from where *at* is now."""
        other = Author(SITE, DOC, OLD if signed_by is OLD else NEW)
        other.sequence, other.previous = at.sequence, at.previous
        return other

    def revoke(self, last: Envelope, sequence: int, action: str = "replace", *, period: int = 9) -> Envelope:
        more = {"key": key(NEW), "replaced": key(OLD)} if action == "replace" else {"key": key(OLD)}
        honours = {"sequence": sequence, "digest": last.digest}
        members = {
            **self.lab.position(),
            "site": SITE,
            "action": action,
            "honours": honours,
            "effective_period": period,
        }
        proof = (NEW,) if action == "replace" else ()
        self.said.append(made := self.lab.say(Enrolment.model_validate({**members, **more}), *proof))
        return made


def judged(said: Iterable[Envelope], beats: Sequence[int] = ()) -> dict[str, list[Finding]]:
    judge = LogJudge(DOC)
    for index, item in enumerate(said):
        judge.add(index, Kind.STATEMENT, cast.read(item))
        if index in beats:
            judge.heartbeat()
    found: dict[str, list[Finding]] = {}
    for finding in judge.standing().values():
        found.setdefault(finding.rule, []).append(finding)
    return found


def theft() -> tuple[Tale, list[Envelope], Envelope]:
    """A thief goes on from the second books; the lab honours the third, and ends the key. With what the thief said."""
    tale = Tale()
    tale.book(0)
    tale.book(1)
    thief = tale.fork(tale.site)
    last = tale.book(2)
    stolen = [tale.book(2, thief, joules="9"), tale.book(3, thief, joules="9")]
    revocation = tale.revoke(last, 3)
    heir = tale.fork(tale.site, NEW)
    tale.book(3, heir)
    return tale, stolen, revocation


def test_what_the_stolen_key_signed_elsewhere_is_disowned_and_what_the_lab_honours_is_not() -> None:
    tale, stolen, revocation = theft()
    (finding,) = judged(tale.said)["disowned"]
    assert finding.about == SITE
    assert set(finding.statements) == {revocation.digest, *(item.digest for item in stolen)}
    assert finding.figures["statements"] == "2"
    assert "stands by" in sentence(finding)


def test_what_the_key_signs_after_the_last_honoured_statement_is_disowned_too() -> None:
    tale = Tale()
    last = tale.book(0)
    thief = tale.fork(tale.site)
    revocation = tale.revoke(last, 1, "end")
    late = tale.book(1, thief, joules="9")
    heir = tale.fork(tale.site, NEW)
    tale.book(1, heir)
    found = judged(tale.said)
    assert [set(item.statements) for item in found["disowned"]] == [{revocation.digest, late.digest}]
    assert [item.severity.value for item in found["equivocation"]] == ["discrepancy"]


def test_a_pair_is_no_referral_where_one_of_it_is_disowned() -> None:
    tale, _, revocation = theft()
    without = [item for item in tale.said if item is not revocation]
    assert [item.severity.value for item in judged(without)["equivocation"]] == ["referral"]
    assert [item.severity.value for item in judged(tale.said)["equivocation"]] == ["discrepancy"]


def test_every_revocation_that_disowns_something_is_told() -> None:
    tale, stolen, first = theft()
    earlier = tale.said[2]
    second = tale.revoke(earlier, 1, "end")
    found = judged(tale.said)["disowned"]
    assert sorted(item.figures["statements"] for item in found) == ["2", "4"]
    assert all({item.digest for item in stolen} < set(finding.statements) for finding in found)
    assert {first.digest, second.digest} < {digest for finding in found for digest in finding.statements}


def test_of_many_disowned_statements_some_are_cited_and_the_revocation_always() -> None:
    tale = Tale()
    last = tale.book(0)
    thief = tale.fork(tale.site)
    stolen = [tale.book(period, thief, joules="9") for period in range(1, 70)]
    said = list(tale.said)
    revocation = max((tale.revoke(last, 1, "end", period=n) for n in range(40)), key=lambda item: item.digest)
    tale.said = [*said, revocation]  # one that would be the last to be cited by order of digest
    (finding,) = judged(tale.said)["disowned"]
    assert finding.figures["statements"] == "69"
    cited = sorted(item.digest for item in stolen)[:63]
    assert cited[-1] < revocation.digest
    assert finding.statements == (*cited, revocation.digest)


def test_a_revocation_that_honours_everything_disowns_nothing() -> None:
    tale = Tale()
    last = tale.book(0)
    tale.revoke(last, 1)
    tale.book(1, tale.fork(tale.site, NEW))
    assert "disowned" not in judged(tale.said)


def test_nothing_is_decided_while_the_log_lacks_what_is_honoured() -> None:
    tale, _, _ = theft()
    last = tale.said[4]
    found = judged(item for item in tale.said if item is not last)
    assert "disowned" not in found


@given(st.permutations(range(9)), st.lists(st.integers(0, 9), max_size=4))
def test_order_and_heartbeats_change_nothing(order: list[int], beats: list[int]) -> None:
    tale, _, _ = theft()
    assert len(tale.said) == 9
    assert judged((tale.said[n] for n in order), beats) == judged(tale.said)


def test_admission_says_which_keys_signed() -> None:
    register = Register(DOC)
    tale, stolen, _ = theft()
    seen: list[Statement] = []
    for index, item in enumerate(tale.said):
        outcome = admit(register, item, now_ms=cast.START + 10**9, from_peer=True)
        assert isinstance(outcome, Admitted), outcome
        register.record(outcome.statement, index)
        seen.append(outcome.statement)
    by_sites = [item for item in tale.said if cast.read(item).name != "enrolment"]
    found = [item.signed_by for item in seen if item.name != "enrolment"]
    assert [cast.read(item).signed_by for item in by_sites] == found
    by_old = {item.digest for item in seen if item.signed_by == (VKey.parse(key(OLD)).keyid,)}
    assert {item.digest for item in stolen} < by_old
