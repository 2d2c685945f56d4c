"""Asks: all questions, or one, of a scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from brakeline.explorer.answers import pause
from brakeline.explorer.answers.forms import QUESTIONS, Answer, AnswerId
from brakeline.explorer.scenario.load import Scenario

Progress = Callable[[int, int], None]

_ANSWERS: dict[AnswerId, Callable[[Scenario], Answer]] = {"pause": pause.answer}


def answer_all(
    scenario: Scenario, ids: Iterable[AnswerId] | None = None, progress: Progress | None = None
) -> tuple[Answer, ...]:
    """Return the answers *ids* (default: all six), in the order of the questions; the same scenario, the same answers.

    *progress* is told how many answers are done, of how many.
    """
    chosen = set(QUESTIONS if ids is None else ids)
    wanted: list[AnswerId] = [name for name in QUESTIONS if name in chosen and name in _ANSWERS]
    found: list[Answer] = []
    for name in wanted:
        found.append(_ANSWERS[name](scenario))
        if progress is not None:
            progress(len(found), len(wanted))
    return tuple(found)
