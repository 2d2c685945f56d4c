"""All ranks of a distributed job stop after one and the same step. No I/O; the time is passed in.

For jobs whose ranks each connect (docs/spec/hook.md); where a trainer has a collective of its own, rank 0 alone
connects and tells the others by it (:mod:`brakeline.node.hooks.torch`), and nothing here is needed.

==========  =========================================================  =======================================
state       on                                                         then
==========  =========================================================  =======================================
running     an order binds                                             propose max(steps seen) + 1 to all
proposing   a rank is past what was proposed, in step n                propose n + lead to all, lead doubles
proposing   every rank of the job has accepted                         pause at that step, to all: stopping
proposing   the deadline passes (a rank is dead, or does not answer)   pause at that step, to all: stopping
stopping    a rank joins again, or another order binds                 pause at that step, to it
any         no order stops the job                                     resume (or slow), to all: running
==========  =========================================================  =======================================

*Why nobody hangs.* A rank answers from a thread of its own, so that answers come while its training waits for others.
A rank that has accepted holds before the step after, without which no other rank can get further than one step; so a
new proposal is accepted by all. A rank that died is waited for until the deadline, no longer. *Why nobody passes.* A
rank that accepts n holds there until it hears more, also when the node dies (it then stops there by itself), and the
commitment is to a step that all accepted. After a deadline only those that answered are bound to it; the others stop
at their next step's end, and the acknowledgement shows that their steps differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from brakeline.node.channel import Accept, FromNode, Passed, Pause, Propose

DEADLINE_MS = 5_000
"""How long ranks may take to answer."""


class Listener(Protocol):
    """Who is told: the other end of a connection."""

    def send(self, message: FromNode) -> None:
        """Queue *message*."""
        ...


@dataclass(slots=True)
class _Rank:
    steps: int = 0
    accepted: int | None = None


class Crew:
    """The ranks of one job that are connected, and what they have agreed on."""

    def __init__(self, ranks: int, deadline_ms: int = DEADLINE_MS) -> None:
        """Expect *ranks* of them; one rank needs nobody's agreement."""
        self._ranks, self._deadline_ms = ranks, deadline_ms
        self._members: dict[Listener, _Rank] = {}
        self._known: dict[str, _Rank] = {}
        self._order: str | None = None
        self._step = 0
        self._lead = 1
        self._committed = False
        self.deadline: int | None = None
        """When :meth:`tick` has something to do (Unix ms)."""

    def __len__(self) -> int:
        """Return how many are connected."""
        return len(self._members)

    def join(self, listener: Listener, session: str) -> None:
        """A rank is connected, or, where *session* is known, connected again."""
        self._members[listener] = self._known.setdefault(session, _Rank())
        if self._order is not None and not self._committed:
            listener.send(Propose(self._order, self._step))

    def leave(self, listener: Listener) -> None:
        """A rank's connection is gone; it may come back."""
        self._members.pop(listener, None)

    def note(self, listener: Listener, steps: int) -> None:
        """A rank has finished *steps* steps."""
        rank = self._members.get(listener)
        if rank is not None:
            rank.steps = max(rank.steps, steps)

    def tell(self, listener: Listener, message: FromNode, now: int) -> None:
        """Bring *message*, which the orders in force demand, to *listener*: a pause by agreement."""
        if not isinstance(message, Pause):
            self._order, self._committed, self.deadline = None, False, None
            listener.send(message)
        elif self._ranks == 1 or self._committed:
            self._order = message.order
            self._stop(listener)
        elif self._order is None:
            self._order, self._lead, self.deadline = message.order, 1, now + self._deadline_ms
            self._propose(max((rank.steps for rank in self._members.values()), default=0) + 1)

    def answer(self, listener: Listener, message: Accept | Passed) -> None:
        """Take a rank's answer to a proposal; one to an older proposal changes nothing."""
        rank = self._members.get(listener)
        if rank is None or self._committed or message.order != self._order:
            return
        if isinstance(message, Accept):
            rank.accepted = message.step
            if self._agreed() and len(self._members) >= self._ranks:
                self._commit()
        elif message.step > self._step:
            self._lead *= 2
            self._propose(message.step + self._lead)

    def tick(self, now: int) -> None:
        """Commit when the deadline has passed, whoever has answered."""
        if self.deadline is not None and now >= self.deadline:
            self._commit()

    def _agreed(self) -> bool:
        return all(rank.accepted == self._step for rank in self._members.values())

    def _propose(self, step: int) -> None:
        self._step = step
        for listener, rank in self._members.items():
            rank.accepted = None
            if self._order is not None:
                listener.send(Propose(self._order, step))

    def _commit(self) -> None:
        self._committed, self.deadline = True, None
        for listener in self._members:
            self._stop(listener)

    def _stop(self, listener: Listener) -> None:
        """Pause at the agreed step a rank that accepted it; any other at once."""
        rank = self._members.get(listener)
        bound = rank is not None and self._committed and rank.accepted == self._step
        if self._order is not None:
            listener.send(Pause(self._order, self._step if bound else None))
