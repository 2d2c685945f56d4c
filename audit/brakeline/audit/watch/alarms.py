"""What is told, once, and the memory of it that survives a restart.

An alarm has a key that stays the same while the same thing is wrong, though its figures grow. It is *raised* when it is
new and *cleared* when it is gone. It is told before it is remembered: a crash between the two tells it twice, never not
at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.export import write_file
from brakeline.treaty.statements import Count, Digest, Model, to_json
from brakeline.treaty.strictjson import JsonObject, canonical, parse_object
from pydantic import Field, StrictStr, ValidationError

STATE = "watch.json"
MAX_STATE = 64 * 1024 * 1024
_ABOUT_ONE_THING = ("act", "seen_in", "order", "sequence", "workload", "threshold", "class", "line", "code", "entry")
"""Figures that tell two findings of one rule apart, and do not grow with the log."""


class Level(StrEnum):
    """How urgent: misconduct and findings wake somebody, the rest is for the morning."""

    ALARM = "alarm"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that is wrong now.

    Attributes:
        key: the same as long as the same thing is wrong.
        kind: ``finding``, ``opened``, ``divergence``, ``fork``, ``silent``, ``not-growing``, ``unreadable``, ``open``.
        about: whom or which source.
        sentence: for a person.
    """

    key: str
    kind: str
    level: Level
    about: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Event:
    """An alarm that is new (``raised``) or gone (``cleared``), at the watcher's clock (Unix ms)."""

    at_ms: int
    event: Literal["raised", "cleared"]
    kind: str
    level: str
    about: str
    sentence: str
    key: str

    def to_json(self) -> JsonObject:
        """Return the line that programs read."""
        return {
            "at_ms": self.at_ms,
            "event": self.event,
            "kind": self.kind,
            "level": self.level,
            "about": self.about,
            "sentence": self.sentence,
            "key": self.key,
        }


def finding_key(rule: str, about: str, period: int | None, figures: dict[str, str]) -> str:
    """Return the key of a finding: what it is about, without the figures that grow."""
    parts = [rule, about, "" if period is None else str(period)]
    return "finding|" + "|".join([*parts, *(figures.get(name, "") for name in _ABOUT_ONE_THING)])


class _Raised(Model):
    since_ms: Count
    kind: StrictStr
    level: StrictStr
    about: StrictStr
    sentence: StrictStr


class _State(Model):
    format: Literal["brakeline-watch/v1"] = "brakeline-watch/v1"
    treaty: Digest
    raised: Annotated[dict[StrictStr, _Raised], Field(max_length=1_000_000)]


class Memory:
    """What has been told and still stands. One file; written whole, replaced at once, synced."""

    def __init__(self, directory: Path, pin: str) -> None:
        """Read the memory in *directory* (none: start afresh).

        Raises:
            BrakelineError: ``watch-state``: another treaty's, or damaged.
        """
        self._path = directory / STATE
        self._pin = pin
        self._raised = self._load()

    @property
    def raised(self) -> int:
        """How many alarms stand."""
        return len(self._raised)

    def compare(self, alarms: Iterable[Alarm], now_ms: int) -> list[Event]:
        """Return what is new and what is gone against what has been told. Nothing is remembered yet."""
        now = {alarm.key: alarm for alarm in alarms}
        events = [
            Event(now_ms, "raised", alarm.kind, alarm.level.value, alarm.about, alarm.sentence, key)
            for key, alarm in now.items()
            if key not in self._raised
        ]
        events += [
            Event(now_ms, "cleared", old.kind, old.level, old.about, old.sentence, key)
            for key, old in self._raised.items()
            if key not in now
        ]
        return events

    def remember(self, events: Iterable[Event]) -> None:
        """Take *events*, which have been told, into the memory."""
        changed = False
        for item in events:
            changed = True
            if item.event == "raised":
                self._raised[item.key] = _Raised(
                    since_ms=item.at_ms, kind=item.kind, level=item.level, about=item.about, sentence=item.sentence
                )
            else:
                del self._raised[item.key]
        if changed or not self._path.exists():
            write_file(self._path, canonical(to_json(_State(treaty=self._pin, raised=self._raised))), durable=True)

    def _load(self) -> dict[str, _Raised]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            state = _State.model_validate(parse_object(data, max_bytes=MAX_STATE))
        except (ValidationError, BrakelineError):
            raise _unusable("what this command wrote", "something else", self._path) from None
        if state.treaty != self._pin:
            raise _unusable(f"the state of a watch over treaty {self._pin}", state.treaty, self._path)
        return dict(state.raised)


def _unusable(expected: str, found: str, path: Path) -> BrakelineError:
    return BrakelineError(
        code="watch-state",
        message=f"the state in {path} cannot be used",
        expected=expected,
        found=found,
        fix="give another --state folder; the logs are mirrored and judged again from their beginning",
    )
