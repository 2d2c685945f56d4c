"""Witness policies: which witnesses must have cosigned a checkpoint (C2SP tlog-policy).

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> all|any|<k> <name>...
    quorum <name>|none

Names refer to preceding lines only; duplicate public keys are an error; every name is a member of at most one group.
Quorums count unique key bytes. Source: https://c2sp.org/tlog-policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from brakeline.ledger.errors import PolicyError, VKeyError
from brakeline.ledger.vkey import TYPE_LOG, TYPE_WITNESS, VKey

MAX_POLICY = 64 * 1024
MAX_LINES = 1024
NONE = "none"


@dataclass(frozen=True)
class Group:
    """Witnesses a checkpoint when at least *threshold* of its *members* (witness or group names) do."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """Known logs, named witnesses, groups in order of definition, and the quorum (a name, or "none").

    Build one with :func:`parse` or :func:`quorum_policy`, which check it.
    """

    logs: tuple[VKey, ...]
    witnesses: Mapping[str, VKey]
    groups: Mapping[str, Group]
    quorum: str
    urls: Mapping[str, str] = field(default_factory=dict[str, str])
    """URL of a log (by vkey text) or witness (by name), where given."""

    def satisfied(self, cosigners: Iterable[VKey]) -> bool:
        """Say whether these witnesses, whose cosignatures the caller has verified, make the quorum."""
        if self.quorum == NONE:
            return True
        keys = {item.public_key for item in cosigners}
        holds = {name: key.public_key in keys for name, key in self.witnesses.items()}
        for name, group in self.groups.items():
            holds[name] = sum(holds[member] for member in group.members) >= group.threshold
        return holds[self.quorum]

    def render(self) -> str:
        """Return the policy as text, one definition a line."""
        lines = [" ".join(filter(None, ("log", str(log), self.urls.get(str(log))))) for log in self.logs]
        lines += [
            " ".join(filter(None, ("witness", name, str(key), self.urls.get(name))))
            for name, key in self.witnesses.items()
        ]
        lines += [f"group {name} {group.threshold} {' '.join(group.members)}" for name, group in self.groups.items()]
        lines.append(f"quorum {self.quorum}")
        return "\n".join(lines) + "\n"


def parse(text: str) -> Policy:
    """Read a policy (:class:`PolicyError`: ``policy-malformed``, ``policy-duplicate``, ``policy-quorum``)."""
    if len(text) > MAX_POLICY or re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text):
        raise _error("policy-malformed", "not a policy", f"at most {MAX_POLICY} characters, no control characters", "")
    builder = _Builder()
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        raise _error("policy-malformed", "too many lines", f"at most {MAX_LINES}", str(len(lines)))
    for number, line in enumerate(lines, start=1):
        words = [word for word in re.split(r"[ \t]+", line) if word]
        if words and not words[0].startswith("#"):
            builder.line(number, words)
    return builder.finish()


def quorum_policy(logs: Sequence[VKey], witnesses: Sequence[VKey], w: int) -> Policy:
    """Return the policy that asks for *w* of *witnesses* (0: none), each named by its key name.

    Raises:
        PolicyError: ``policy-duplicate``, ``policy-quorum``.
    """
    builder = _Builder()
    for log in logs:
        builder.line(0, ["log", str(log)])
    for witness in witnesses:
        builder.line(0, ["witness", witness.name, str(witness)])
    if w:
        builder.line(0, ["group", "quorum", str(w), *(item.name for item in witnesses)])
    builder.line(0, ["quorum", "quorum" if w else NONE])
    return builder.finish()


class _Builder:
    """Takes a policy line by line."""

    def __init__(self) -> None:
        self.logs: list[VKey] = []
        self.witnesses: dict[str, VKey] = {}
        self.groups: dict[str, Group] = {}
        self.urls: dict[str, str] = {}
        self.members: set[str] = set()
        self.quorum: str | None = None

    def line(self, number: int, words: list[str]) -> None:
        where = f"line {number}: " if number else ""
        match words:
            case ["log", vkey, *url] if len(url) <= 1:
                key = _key(where, vkey, TYPE_LOG)
                if key.public_key in {log.public_key for log in self.logs}:
                    raise _error("policy-duplicate", f"{where}this log key stands here twice", "each key once", vkey)
                self.logs.append(key)
                self.urls.update((vkey, item) for item in url)
            case ["witness", name, vkey, *url] if len(url) <= 1:
                self._define(where, name)
                key = _key(where, vkey, TYPE_WITNESS)
                if key.public_key in {item.public_key for item in self.witnesses.values()}:
                    raise _error(
                        "policy-duplicate", f"{where}this witness key stands here twice", "each key once", vkey
                    )
                self.witnesses[name] = key
                self.urls.update((name, item) for item in url)
            case ["group", name, count, *members] if members:
                self._group(where, name, count, members)
            case ["quorum", name]:
                if self.quorum is not None:
                    raise _error("policy-duplicate", f"{where}a second quorum line", "exactly one", name)
                if name != NONE and name not in self.witnesses and name not in self.groups:
                    raise _error("policy-quorum", f"{where}the quorum is not defined before", "a defined name", name)
                self.quorum = name
            case _:
                raise _error("policy-malformed", f"{where}not a policy line", "log, witness, group or quorum", words[0])

    def finish(self) -> Policy:
        if self.quorum is None:
            raise _error("policy-quorum", "the policy has no quorum line", "exactly one", "none")
        return Policy(tuple(self.logs), self.witnesses, self.groups, self.quorum, self.urls)

    def _define(self, where: str, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise _error("policy-duplicate", f"{where}this name is taken", "a new name", name)

    def _group(self, where: str, name: str, count: str, members: list[str]) -> None:
        self._define(where, name)
        for member in members:
            if member not in self.witnesses and member not in self.groups:
                raise _error("policy-malformed", f"{where}a member is not defined before", "a defined name", member)
            if member in self.members:
                raise _error("policy-duplicate", f"{where}a name is member of two groups", "at most one", member)
            self.members.add(member)
        threshold = {"all": len(members), "any": 1}.get(count, -1)
        if threshold < 0:
            if not re.fullmatch(r"[1-9][0-9]{0,5}", count, re.ASCII) or int(count) > len(members):
                raise _error("policy-quorum", f"{where}this group cannot be satisfied", f"1 to {len(members)}", count)
            threshold = int(count)
        self.groups[name] = Group(threshold, tuple(members))


def _key(where: str, text: str, kind: int) -> VKey:
    try:
        key = VKey.parse(text)
    except VKeyError as error:
        raise _error("policy-malformed", f"{where}{error.message}", error.expected, error.found) from None
    if key.type != kind:
        raise _error("policy-malformed", f"{where}a key of another type", f"{kind:#04x}", f"{key.type:#04x}")
    return key


def _error(code: str, message: str, expected: str, found: str) -> PolicyError:
    return PolicyError(code=code, message=message, expected=expected, found=found[:120])
