"""What a check of a node is: a name, how it ended, what it found, what to do. No check stands here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.strictjson import JsonObject

T = TypeVar("T")


class State(StrEnum):
    """How one check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found.

    Attributes:
        name: stable, kebab-case; of a verifier, followed by a space and its name.
        state: ``fail``: the node cannot do its work, or would do it wrongly; ``warn``: it will be so soon.
        found: one sentence.
        fix: what to do; "" when all is well.
    """

    name: str
    state: State
    found: str
    fix: str = ""

    def to_json(self) -> JsonObject:
        """Return the JSON object that ``--format json`` prints."""
        return {"check": self.name, "state": self.state.value, "found": self.found, "fix": self.fix}


def worst(checks: Iterable[Check]) -> State:
    """Return the worst state, ``ok`` of none."""
    order = list(State)
    return max((check.state for check in checks), key=order.index, default=State.OK)


def failed(name: str, error: BrakelineError) -> Check:
    """Return *error* as the check *name* that failed."""
    found = f"{error.code}: {error.message} {error.found}".strip()
    return Check(name, State.FAIL, found, error.fix or f"needed: {error.expected}")


def attempt(checks: list[Check], name: str, work: Callable[[], T], said: Callable[[T], str]) -> T | None:
    """Do *work*; add what came of it as the check *name*, and return its result, None when it failed."""
    try:
        found = work()
    except BrakelineError as error:
        checks.append(
            Check(
                name,
                State.FAIL,
                f"{error.code}: {error.message} {error.found}".strip(),
                error.fix or f"needed: {error.expected}",
            )
        )
        return None
    except OSError as error:
        checks.append(Check(name, State.FAIL, f"{error.filename}: {error.strerror}", "restore the file"))
        return None
    checks.append(Check(name, State.OK, said(found)))
    return found
