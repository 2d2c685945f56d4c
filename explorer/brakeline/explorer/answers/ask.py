"""Asks: all questions, or one, of a scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from brakeline.explorer.answers import accused, burden, caught, hidden, pause, unverified
from brakeline.explorer.answers.forms import QUESTIONS, Answer, AnswerId
from brakeline.explorer.scenario.load import Scenario

Progress = Callable[[int, int], None]

_ANSWERS: dict[AnswerId, Callable[[Scenario, int | None], Answer]] = {
    "caught": caught.answer,
    "accused": accused.answer,
    "hidden": hidden.answer,
    "pause": lambda scenario, _: pause.answer(scenario),
    "burden": lambda scenario, _: burden.answer(scenario),
    "unverified": lambda scenario, _: unverified.answer(scenario),
}


def answer_all(
    scenario: Scenario,
    ids: Iterable[AnswerId] | None = None,
    trials: int | None = None,
    progress: Progress | None = None,
) -> tuple[Answer, ...]:
    """Return the answers *ids* (default: all six), in the order of the questions; the same scenario, the same answers.

    *trials* worlds instead of the scenario's are simulated: fewer where an answer must be there at once, with wider
    intervals. *progress* is told how many answers are done, of how many.
    """
    chosen = set(QUESTIONS if ids is None else ids)
    wanted: list[AnswerId] = [name for name in QUESTIONS if name in chosen]
    found: list[Answer] = []
    for name in wanted:
        found.append(_ANSWERS[name](scenario, trials))
        if progress is not None:
            progress(len(found), len(wanted))
    return tuple(found)
