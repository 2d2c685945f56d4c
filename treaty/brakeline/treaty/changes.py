"""What an amendment changes, in plain words, and who must sign it. Prose for negotiators; no judgement, no I/O.

The two versions are compared member by member, lists by the names of their items, so that an item that moved in the
file has not changed. What follows from a change besides its words (a sum that begins anew, a lab that leaves) is said
in its own line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.judge import LOG_RULES, spans
from brakeline.treaty.signing import amendment_state
from brakeline.treaty.strictjson import JsonValue

_NUMBERS = ("version", "previous", "effective_period", "settles")
_NAMED_BY = {"rule": "rule", "annex": "name"}
_SUMMED = frozenset({"muf", "energy-gap", "method-gap", "activity-shape", "undeclared-run", "unlinked-runs"})
"""Rules whose sums over periods begin anew where what they are computed with changes."""
_LINES = re.compile(r"^(version|previous|effective_period)(\s*=\s*).*$", re.MULTILINE)
_FIRST_TABLE = re.compile(r"^\s*\[", re.MULTILINE)


def changes(previous: TreatyDocument, document: TreatyDocument) -> tuple[str, ...]:
    """Return what *document* changes of *previous*, one sentence a change, in the order of the file."""
    before, after = previous.to_json(), document.to_json()
    found = [line for name in after | before if name not in _NUMBERS for line in _changed(name, before, after)]
    if document.settles:
        found.append(f"rivals that no longer count: {', '.join(item[:16] + '...' for item in document.settles)}")
    found += _consequences(previous, document)
    return tuple(found) or ("nothing but its number",)


def signatures_wanted(previous: TreatyDocument, document: TreatyDocument) -> tuple[str, ...]:
    """Return who must sign *document*: both quorums, and every key that is new."""
    state = amendment_state(previous, document, None)
    names = ", ".join(previous.party_keys())
    own = ", ".join(document.party_keys())
    return (
        f"{state.before_needed} of the parties of version {previous.version}: {names}",
        f"{state.parties_needed} of the parties of version {document.version}: {own}",
        *(f"{item.owner} ({item.role}): its key is new" for item in state.required),
    )


def drafted(text: str, previous: TreatyDocument, effective_period: int) -> str:
    """Return the TOML *text* of *previous* with the number, predecessor and first period of the version after it."""
    first = _FIRST_TABLE.search(text)
    end = len(text) if first is None else first.start()
    values = {
        "version": str(previous.version + 1),
        "previous": f'"{previous.digest}"',
        "effective_period": str(effective_period),
    }
    return _LINES.sub(lambda match: f"{match[1]}{match[2]}{values[match[1]]}", text[:end]) + text[end:]


def _changed(path: str, before: dict[str, JsonValue], after: dict[str, JsonValue]) -> Iterator[str]:
    name = path.rpartition(".")[2]
    yield from _differ(path, before.get(name), after.get(name))


def _differ(path: str, old: JsonValue | None, new: JsonValue | None) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for name in new | old:
            yield from _differ(f"{path}.{name}", old.get(name), new.get(name))
    elif isinstance(old, list) and isinstance(new, list) and _named(path, [*old, *new]):
        key = _NAMED_BY.get(path, "name")
        olds, news = ({str(item[key]): item for item in items if isinstance(item, dict)} for items in (old, new))
        for name in news | olds:
            if name not in olds:
                yield f"{path} {name}: new"
            elif name not in news:
                yield f"{path} {name}: gone"
            else:
                yield from _differ(f"{path} {name}", olds[name], news[name])
    else:
        yield f"{path}: {_text(old)} -> {_text(new)}"


def _named(path: str, items: list[JsonValue]) -> bool:
    key = _NAMED_BY.get(path, "name")
    return all(isinstance(item, dict) and key in item for item in items)


def _text(value: JsonValue | None) -> str:
    if value is None:
        return "absent"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value) or "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items()) or "nothing"
    return str(value)


def _consequences(previous: TreatyDocument, document: TreatyDocument) -> Iterator[str]:
    begins = document.effective_period
    for rule, since in spans([previous, document], [previous.effective_period, begins])[1].items():
        if since == begins and rule in _SUMMED and previous.rule(rule) is not None:
            yield f"{rule}: what had added up before period {begins} is forgiven, its sum begins anew"
    for terms in previous.rules:
        if document.rule(terms.rule) is None:
            what = "nothing is found about later periods" if terms.rule in LOG_RULES else "later facts are not judged"
            yield f"{terms.rule} is in force no longer: {what}"
    for lab in previous.labs:
        if document.lab(lab.name) is None:
            yield f"the sites of {lab.name} can sign nothing under this version"
