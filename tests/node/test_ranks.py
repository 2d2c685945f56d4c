"""Agreement on one stop step: whatever the order of messages, no rank passes it, and nobody waits for the dead."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest
from brakeline.node.channel import Accept, FromNode, Passed, Pause, Propose, Resume
from brakeline.node.ranks import DEADLINE_MS, Crew
from hypothesis import given
from hypothesis import strategies as st

ORDER, OTHER = "a" * 64, "b" * 64


@dataclass(eq=False)
class Rank:
    """A rank as docs/spec/hook.md says it must behave: ``running`` is the step it is in, or holds before."""

    name: str
    running: int = 1
    holds_after: int | None = None
    bound: bool = False
    inbox: deque[FromNode] = field(default_factory=deque[FromNode])

    def send(self, message: FromNode) -> None:
        self.inbox.append(message)

    def read(self) -> Accept | Passed | None:
        message = self.inbox.popleft()
        if isinstance(message, Pause):
            self.holds_after, self.bound = self.running if message.step is None else message.step, True
        elif isinstance(message, Propose) and not self.bound:
            if self.running <= message.step:
                self.holds_after = message.step
                return Accept(message.order, message.step)
            self.holds_after = None
            return Passed(message.order, self.running)
        return None

    def finish_step(self) -> None:
        """End the step and begin the next one, where it may."""
        if self.holds_after is None or self.running < self.holds_after:
            self.running += 1


@given(st.data())
def test_all_ranks_stop_after_one_step_whatever_the_interleaving(data: st.DataObject) -> None:
    """Lockstep as in data parallelism: no rank is more than one step ahead of another."""
    ranks = [Rank(str(i), running=data.draw(st.integers(1, 2))) for i in range(data.draw(st.integers(2, 4)))]
    crew = Crew(len(ranks))
    for rank in ranks:
        crew.join(rank, rank.name)
        crew.note(rank, data.draw(st.integers(0, rank.running - 1)))
    for rank in ranks:
        crew.tell(rank, Pause(ORDER), 0)
    for _ in range(400):
        rank = data.draw(st.sampled_from(ranks))
        reads: bool = data.draw(st.booleans())
        if rank.inbox and reads:
            answer = rank.read()
            if answer is not None:
                crew.answer(rank, answer)
        elif rank.running == min(other.running for other in ranks):
            rank.finish_step()
    while any(rank.inbox for rank in ranks):
        for rank in ranks:
            if rank.inbox and (answer := rank.read()) is not None:
                crew.answer(rank, answer)
    for _ in range(50):
        for rank in ranks:
            rank.finish_step()
    assert all(rank.bound for rank in ranks)
    assert len({rank.running for rank in ranks}) == 1
    assert len({rank.holds_after for rank in ranks}) == 1


def crew_of(count: int, running: int = 1) -> tuple[Crew, list[Rank]]:
    crew, ranks = Crew(count), [Rank(str(i), running) for i in range(count)]
    for rank in ranks:
        crew.join(rank, rank.name)
    return crew, ranks


def test_a_rank_that_does_not_answer_is_waited_for_until_the_deadline_and_no_longer() -> None:
    crew, ranks = crew_of(3)
    for rank in ranks:
        crew.tell(rank, Pause(ORDER), 1_000)
    for rank in ranks[:2]:
        answer = rank.read()
        assert answer is not None
        crew.answer(rank, answer)
    crew.leave(ranks[2])
    assert not ranks[0].inbox
    assert crew.deadline == 1_000 + DEADLINE_MS
    crew.tick(1_000 + DEADLINE_MS - 1)
    assert not ranks[0].inbox
    crew.tick(1_000 + DEADLINE_MS)
    assert [rank.inbox[-1] for rank in ranks[:2]] == [Pause(ORDER, 1), Pause(ORDER, 1)]
    assert crew.deadline is None


def test_a_rank_alone_needs_no_agreement() -> None:
    crew, (rank,) = crew_of(1)
    crew.tell(rank, Pause(ORDER), 0)
    assert list(rank.inbox) == [Pause(ORDER)]
    crew.tell(rank, Resume(), 0)
    assert rank.inbox[-1] == Resume()


def test_a_rank_that_reconnects_is_told_what_was_agreed_and_a_new_one_stops_at_once() -> None:
    crew, ranks = crew_of(2)
    for rank in ranks:
        crew.tell(rank, Pause(ORDER), 0)
    for rank in ranks:
        answer = rank.read()
        assert answer is not None
        crew.answer(rank, answer)
    crew.leave(ranks[0])
    back, fresh = Rank("0"), Rank("a new session")
    for rank in (back, fresh):
        crew.join(rank, rank.name)
        crew.tell(rank, Pause(ORDER), 0)
    assert list(back.inbox) == [Pause(ORDER, 1)]
    assert list(fresh.inbox) == [Pause(ORDER)]


def test_another_order_finds_the_job_stopped_where_it_is() -> None:
    crew, ranks = crew_of(2)
    for rank in ranks:
        crew.tell(rank, Pause(ORDER), 0)
    for rank in ranks:
        answer = rank.read()
        assert answer is not None
        crew.answer(rank, answer)
    for rank in ranks:
        crew.tell(rank, Pause(OTHER), 9)
    assert [rank.inbox[-1] for rank in ranks] == [Pause(OTHER, 1)] * 2


@pytest.mark.parametrize("answer", [Accept(OTHER, 1), Passed(OTHER, 9), Accept(ORDER, 7), Passed(ORDER, 1)])
def test_answers_to_something_else_change_nothing(answer: Accept | Passed) -> None:
    crew, ranks = crew_of(2)
    crew.tell(ranks[0], Pause(ORDER), 0)
    for rank in ranks:
        rank.inbox.clear()
        crew.answer(rank, answer)
    assert not any(rank.inbox for rank in ranks)
