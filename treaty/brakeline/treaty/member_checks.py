"""Checks of a treaty document's lists: who takes part, with which keys and addresses; what is counted and judged.

Part of :mod:`brakeline.treaty.document_checks`, which says what a check is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from brakeline.ledger.ed25519 import check_registrable
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.mistakes import Check, Mistake, Path, render_path
from brakeline.treaty.rule_table import RULES, Parameter
from brakeline.treaty.sealing import PATTERNS
from brakeline.treaty.strictjson import MAX_PAYLOAD, canonical

if TYPE_CHECKING:
    from brakeline.treaty.document import TreatyDocument
    from brakeline.treaty.terms import RuleTerms

_ROOM = 2 * 1024
"""Bytes of a treaty statement around the document itself."""


# Who takes part ------------------------------------------------------------------------------------------------------


def _presence(document: TreatyDocument) -> Iterator[Mistake]:
    for key, items, what in (
        ("party", document.parties, "a treaty needs somebody who signs it"),
        ("verifier", document.verifiers, "without a verifier there is no log"),
        ("chip_class", document.chip_classes, "without a chip class no inventory can be declared"),
    ):
        if not items:
            yield Mistake((key,), f"treaty-{key.replace('_', '-')}-missing", what, f"at least one [[{key}]]", "none")


def _names(document: TreatyDocument) -> Iterator[Mistake]:
    seen: dict[str, Path] = {document.name: ("name",)}
    authors = {
        "party": [item.name for item in document.parties],
        "lab": [item.name for item in document.labs],
        "third_party": [item.name for item in document.third_parties],
        "verifier": [item.name for item in document.verifiers],
    }
    for key, names in authors.items():
        for index, name in enumerate(names):
            yield from _unique(seen, name, (key, index, "name"), "names tell authors apart")
    things = {
        "chip_class": [item.name.lower() for item in document.chip_classes],
        "threshold": [item.name.lower() for item in document.thresholds],
        "annex": [item.name.lower() for item in document.annexes],
    }
    for key, names in things.items():
        seen_here: dict[str, Path] = {}
        for index, name in enumerate(names):
            yield from _unique(seen_here, name, (key, index, "name"), "names of one list differ, in more than case")


def _unique(seen: dict[str, Path], name: str, path: Path, why: str) -> Iterator[Mistake]:
    if name in seen:
        message = f"this name is taken by {render_path(seen[name])}: {why}"
        yield Mistake(path, "treaty-name-duplicate", message, "a name of its own", name)
    seen.setdefault(name, path)


def _owners(document: TreatyDocument) -> Iterator[Mistake]:
    """Labs belong to parties; a verifier is run by a party or by a third party (a neutral body)."""
    parties = {party.name for party in document.parties}
    runners = parties | {third.name for third in document.third_parties}
    labs = [(item.name, item.party) for item in document.labs]
    verifiers = [(item.name, item.party) for item in document.verifiers]
    for key, owned, known in (("lab", labs, parties), ("verifier", verifiers, runners)):
        for index, (name, owner) in enumerate(owned):
            if owner not in known:
                yield Mistake(
                    (key, index, "party"),
                    "treaty-party-unknown",
                    f"the {key} {name} belongs to somebody this treaty does not name",
                    " or ".join(sorted(known))[:200] or "a [[party]]",
                    owner,
                )


_KEY_PATHS = {"party": "key", "lab-root": "root_key", "third-party": "key", "log": "log_key", "witness": "witness_key"}
_LISTS = {"party": "party", "lab-root": "lab", "third-party": "third_party", "log": "verifier", "witness": "verifier"}


def _keys(document: TreatyDocument) -> Iterator[Mistake]:
    """One key, one purpose; a key carries its owner's name; no weak point. The document lists keys in file order."""
    seen: dict[bytes, str] = {}
    position: dict[str, int] = {}
    for owner, role, key in document.named_keys():
        index = position.get(role, 0)
        position[role] = index + 1
        path: Path = (_LISTS[role], index, _KEY_PATHS[role])
        wanted = f"{owner}/witness" if role == "witness" else owner
        if key.name != wanted:
            message = f"the {role} key of {owner} carries another name"
            yield Mistake(path, "treaty-key-name", message, wanted, key.name, "make the key with this name")
        if key.public_key in seen:
            yield Mistake(
                path,
                "treaty-key-duplicate",
                f"the same key bytes stand at {seen[key.public_key]}: one key, one purpose",
                "a key of its own",
                f"keyid {key.keyid[:16]}...",
                "make another with `brakeline key new`",
            )
        seen.setdefault(key.public_key, render_path(path))
        try:
            check_registrable(key.public_key)
        except BrakelineError as error:
            yield Mistake(path, "treaty-key-weak", error.message, error.expected, error.found, error.fix)


def _disclosure_keys(document: TreatyDocument) -> Iterator[Mistake]:
    seen: dict[str, str] = {}
    for index, verifier in enumerate(document.verifiers):
        key, path = verifier.disclosure_key, ("verifier", index, "disclosure_key")
        if key is not None and key in seen:
            message = f"the same key stands at {seen[key]}: one key, one purpose"
            yield Mistake(path, "treaty-key-duplicate", message, "a key of its own", key[:16] + "...")
        elif key is not None:
            seen[key] = render_path(path)


def _endpoints(document: TreatyDocument) -> Iterator[Mistake]:
    seen: dict[str, str] = {}
    for index, verifier in enumerate(document.verifiers):
        for name, value in (("url", verifier.url), ("grpc", verifier.grpc)):
            place = f"{name}:{value.lower()}"
            path: Path = ("verifier", index, name)
            if place in seen:
                message = f"the same address stands at {seen[place]}: each verifier is its own server"
                yield Mistake(path, "treaty-endpoint-duplicate", message, "an address of its own", value)
            seen.setdefault(place, render_path(path))


# What is counted and judged ------------------------------------------------------------------------------------------


def _chips(document: TreatyDocument) -> Iterator[Mistake]:
    for index, chip in enumerate(document.chip_classes):
        if not chip.peak_flop_per_s:
            message = "a class of chip that computes nothing need not be declared"
            yield Mistake(("chip_class", index, "peak_flop_per_s"), "treaty-chip-class", message, "1 or more", "0")
        if chip.board_watts == 0 or chip.idle_watts > chip.board_watts:
            yield Mistake(
                ("chip_class", index, "idle_watts" if chip.board_watts else "board_watts"),
                "treaty-chip-class",
                "a board draws power, and idle no more than at work",
                f"board_watts at least 1, idle_watts at most board_watts = {chip.board_watts}",
                str(chip.idle_watts),
            )
        if chip.h100_equivalent.numerator == 0:
            message = "a class of chip that counts as no H100 escapes every floor"
            yield Mistake(("chip_class", index, "h100_equivalent"), "treaty-chip-class", message, "more than 0", "0")


def _counting(document: TreatyDocument) -> Iterator[Mistake]:
    pue = document.counting.pue
    if pue.numerator < pue.denominator:
        message = "PUE is facility energy over IT energy: a facility draws at least what its IT draws"
        yield Mistake(("counting", "pue"), "treaty-pue", message, "1 or more", f"{pue.numerator}/{pue.denominator}")


def _thresholds(document: TreatyDocument) -> Iterator[Mistake]:
    last: dict[frozenset[str], tuple[int, str]] = {}
    for index, threshold in enumerate(document.thresholds):
        activities = frozenset(threshold.activities)
        if len(activities) < len(threshold.activities):
            message, given = "an activity is named twice", ", ".join(threshold.activities)
            yield Mistake(("threshold", index, "activities"), "treaty-threshold", message, "each once", given)
        path: Path = ("threshold", index, "flop")
        before = last.get(activities)
        if not threshold.flop:
            yield Mistake(path, "treaty-threshold", "everything would pass a threshold of 0", "1 or more", "0")
        elif before is not None and threshold.flop.value <= before[0]:
            yield Mistake(
                path,
                "treaty-threshold-order",
                f"thresholds of the same activities rise from one to the next; {before[1]} stands before",
                f"more than {before[0]}",
                str(threshold.flop),
                "sort them, lowest first",
            )
        last[activities] = (threshold.flop.value, threshold.name)


def _rules(document: TreatyDocument) -> Iterator[Mistake]:
    seen: set[str] = set()
    for index, terms in enumerate(document.rules):
        row = RULES.get(terms.rule)
        if row is None:
            message = "this version of brakeline knows no such rule"
            yield Mistake(("rule", index, "rule"), "treaty-rule-unknown", message, ", ".join(RULES), terms.rule)
            continue
        if terms.rule in seen:
            message = "a rule is in force once"
            yield Mistake(
                ("rule", index, "rule"), "treaty-rule-duplicate", message, "one [[rule]] of this name", terms.rule
            )
        seen.add(terms.rule)
        yield from _parameters(index, terms, row.parameters)


def _parameters(index: int, terms: RuleTerms, wanted: tuple[Parameter, ...]) -> Iterator[Mistake]:
    names = {parameter.name for parameter in wanted}
    for parameter in wanted:
        value = terms.parameters.get(parameter.name)
        if value is None:
            message = f"{terms.rule} needs {parameter.name}: {parameter.meaning}"
            yield Mistake(
                ("rule", index, "parameters"),
                "treaty-rule-parameter",
                message,
                f"{parameter.name} in {parameter.unit}",
                "none",
            )
        elif not _fits(parameter, value):
            expected = "an integer, 0 or more" if parameter.form == "integer" else 'a decimal string such as "1200"'
            message = f"{parameter.name} is not a number of {parameter.unit}"
            path: Path = ("rule", index, "parameters", parameter.name)
            yield Mistake(path, "treaty-rule-parameter", message, expected, repr(value)[:60])
    for name in terms.parameters:
        if name not in names:
            message = f"{terms.rule} has no such parameter"
            path = ("rule", index, "parameters", name)
            yield Mistake(path, "treaty-rule-parameter", message, ", ".join(sorted(names)) or "none", name)


def _fits(parameter: Parameter, value: int | str) -> bool:
    if parameter.form == "integer":
        return type(value) is int and value >= 0
    ascii_digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 40
    return ascii_digits and (value == "0" or not str(value).startswith("0"))


def _sealing(document: TreatyDocument) -> Iterator[Mistake]:
    sealing, f = document.sealing, document.quorum.liars
    if not sealing.fields:
        return
    for index, pattern in enumerate(sealing.fields):
        if pattern not in PATTERNS:
            yield Mistake(
                ("sealing", "fields", index),
                "treaty-sealing-field",
                "no leaf of this version's statements can be sealed there",
                ", ".join(PATTERNS)[:400],
                pattern,
                "docs/spec/statements.md (Sealed values) lists what can be sealed",
            )
    able = sum(verifier.disclosure_key is not None for verifier in document.verifiers)
    if not f + 1 <= sealing.holders <= able - f:
        yield Mistake(
            ("sealing", "holders"),
            "treaty-sealing",
            "an honest verifier must be able to open what is sealed (more than f), and f verifiers that deny what they "
            "hold must accuse no site (f fewer than have a disclosure_key)",
            f"{f + 1} to {able - f} (verifiers with a disclosure_key: {able})",
            str(sealing.holders),
        )


def _size(document: TreatyDocument) -> Iterator[Mistake]:
    size = len(canonical(document.to_json()))
    if size > MAX_PAYLOAD - _ROOM:
        yield Mistake(
            (),
            "treaty-too-large",
            "the document does not fit into one statement",
            f"at most {MAX_PAYLOAD - _ROOM} bytes of canonical JSON",
            str(size),
            "move long lists into annexes",
        )


MEMBER_CHECKS: tuple[Check, ...] = (
    _presence,
    _names,
    _owners,
    _keys,
    _disclosure_keys,
    _endpoints,
    _chips,
    _counting,
    _thresholds,
    _rules,
    _sealing,
    _size,
)
