"""What a treaty buys, before it is signed: worlds with the truth beside them, cheats, and the real rules over both.

What it is: :mod:`~brakeline.explorer.worlds` makes honest worlds (labs, sites, runs, failures, meters) from a seed and
lets them speak in the treaty's own statements; :mod:`~brakeline.explorer.evasion` turns a world into a cheat's, one
strategy at a time, with the truth kept beside what is said; :mod:`~brakeline.explorer.trials` runs many of them through
the judge that verifiers run and counts. :mod:`~brakeline.explorer.scenario`,
:mod:`~brakeline.explorer.model` and :mod:`~brakeline.explorer.answers` answer a delegation's questions about a design
(docs/workbench.md). What it is not: a second judgement. Nothing here decides what a finding is, and no verifier imports
this room.

Random numbers come from explicit seeds only; the same seed gives the same world on every machine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brakeline.explorer.answers.ask import answer_all
    from brakeline.explorer.answers.forms import Answer, AnswerId, Figure, Series
    from brakeline.explorer.scenario.designs import Term, difference, move, terms_of
    from brakeline.explorer.scenario.load import Scenario, load_scenario
    from brakeline.explorer.scenario.presets import PRESETS, preset

__all__ = [
    "PRESETS",
    "Answer",
    "AnswerId",
    "Figure",
    "Scenario",
    "Series",
    "Term",
    "answer_all",
    "difference",
    "load_scenario",
    "move",
    "preset",
    "terms_of",
]

_WHERE = {
    "answer_all": "answers.ask",
    "Answer": "answers.forms",
    "AnswerId": "answers.forms",
    "Figure": "answers.forms",
    "Series": "answers.forms",
    "Term": "scenario.designs",
    "difference": "scenario.designs",
    "move": "scenario.designs",
    "terms_of": "scenario.designs",
    "Scenario": "scenario.load",
    "load_scenario": "scenario.load",
    "PRESETS": "scenario.presets",
    "preset": "scenario.presets",
}


def __getattr__(name: str) -> object:
    """Import what the library offers when it is first asked for, so that commands begin at once."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    return found
