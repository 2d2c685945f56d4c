"""What must hold *between* the members of a treaty document, and what is allowed but probably not meant.

Each check is a small pure function of the document that yields :class:`Mistake`. A mistake names the path of the
member it is about (``("quorum", "witnesses")``, ``("party", 1, "key")``); the checker of TOML files turns the path
into a line. The conditions come from protocol.md ("The log of a verifier", "The treaty document") and each one is
explained where it is checked.

Codes are stable. Form (types, ranges of one member) is not here: :mod:`brakeline.treaty.terms`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from brakeline.ledger.ed25519 import check_registrable
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.rule_table import RULES, Parameter
from brakeline.treaty.strictjson import MAX_PAYLOAD, canonical

if TYPE_CHECKING:
    from brakeline.treaty.document import TreatyDocument
    from brakeline.treaty.terms import RuleTerms

Path: TypeAlias = tuple[str | int, ...]
"""Wire names and list indices from the root of the document to a member."""

MAX_CHILD_CAP = 64
MAX_LINE_COUNT = 256
_ROOM = 2 * 1024
"""Bytes of a treaty statement around the document itself."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake, or one warning, about one member.

    Attributes:
        path: from the root of the document to the member.
        code: stable, kebab-case, ``treaty-*`` (or the code of the part that refused it: ``name-malformed``, ...).
        message: what is wrong, for a person.
        expected: what would be right.
        found: what stands there.
        fix: what to do ("" when *expected* says it).
    """

    path: Path
    code: str
    message: str
    expected: str = ""
    found: str = ""
    fix: str = ""

    @property
    def where(self) -> str:
        """The path as a person reads it: ``party[2].key`` (counted from 1), or ``the document``."""
        return render_path(self.path)


def render_path(path: Path) -> str:
    """Return *path* as ``quorum.witnesses`` or ``party[2].key``; list items are counted from 1, as people do."""
    text = ""
    for step in path:
        text += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if text else step
    return text or "the document"


Check: TypeAlias = "Callable[[TreatyDocument], Iterator[Mistake]]"


def find_mistakes(document: TreatyDocument) -> tuple[Mistake, ...]:
    """Return every broken condition between members, in the order of the file; empty when the document is sane."""
    return tuple(mistake for check in _CHECKS for mistake in check(document))


def find_warnings(document: TreatyDocument) -> tuple[Mistake, ...]:
    """Return what is allowed and yet probably not meant."""
    return tuple(mistake for check in _WARNINGS for mistake in check(document))


def succession_mistakes(previous: TreatyDocument, document: TreatyDocument) -> tuple[Mistake, ...]:
    """Return what keeps *document* from being the version after *previous* (protocol.md, "Amendments")."""
    found: list[Mistake] = []

    def differ(path: Path, message: str, expected: str, there: str) -> None:
        found.append(Mistake(path, "treaty-succession", message, expected, there))

    if document.name != previous.name:
        differ(("name",), "another treaty's name", previous.name, document.name)
    if document.version != previous.version + 1:
        differ(("version",), "not the next version", str(previous.version + 1), str(document.version))
    if document.previous != previous.digest:
        differ(("previous",), "not the digest of the version before", previous.digest, document.previous)
    if document.effective_period <= previous.effective_period:
        expected = f"more than {previous.effective_period}"
        differ(("effective_period",), "governs from before its predecessor", expected, str(document.effective_period))
    if document.grid_terms != previous.grid_terms:
        expected = f"start {previous.grid_terms.start}, period_ms {previous.grid_terms.period_ms}"
        differ(("grid",), "the period grid cannot change: periods are numbered on it", expected, "another grid")
    return tuple(found)


# Which version it is -------------------------------------------------------------------------------------------------


def _version(document: TreatyDocument) -> Iterator[Mistake]:
    zeros = document.previous == "0" * 64
    if document.version == 0:
        yield Mistake(("version",), "treaty-version", "versions are counted from 1", "1 or more", "0")
    elif document.version == 1 and not zeros:
        yield Mistake(
            ("previous",), "treaty-version", "version 1 has no version before it", "64 zeros", document.previous
        )
    elif document.version > 1 and zeros:
        yield Mistake(
            ("previous",),
            "treaty-version",
            "a later version names the digest of the version before it",
            "64 hex digits",
            "64 zeros",
            "copy the pin that `brakeline treaty show` prints for the version before",
        )
    if document.version == 1 and document.effective_period != 0:
        yield Mistake(
            ("effective_period",),
            "treaty-effective-period",
            "version 1 governs from period 0: earlier periods would have no terms at all",
            "0",
            str(document.effective_period),
            "move grid.start instead",
        )
    if document.version > 1 and document.effective_period == 0:
        yield Mistake(
            ("effective_period",),
            "treaty-effective-period",
            "a later version cannot govern from period 0: it would leave its predecessor nothing",
            "1 or more",
            "0",
        )


# Time ----------------------------------------------------------------------------------------------------------------

_DEADLINES = (
    "report_ms",
    "heartbeat_ms",
    "checkpoint_ms",
    "takeover_ms",
    "skew_ms",
    "notice_ms",
    "stop_ms",
    "save_ms",
    "acknowledge_ms",
    "disclosure_ms",
    "reply_ms",
)

_SHORTER = (
    ("heartbeat_ms", "report_ms", "lateness is seen from heartbeats: there must be some before the deadline"),
    ("heartbeat_ms", "takeover_ms", "omission is seen from heartbeats: there must be some before the grace ends"),
    ("heartbeat_ms", "acknowledge_ms", "a missing acknowledgement is seen from heartbeats"),
    ("heartbeat_ms", "disclosure_ms", "a missing disclosure is seen from heartbeats"),
    ("heartbeat_ms", "reply_ms", "a missing reply is seen from heartbeats"),
    ("checkpoint_ms", "report_ms", "a receipt needs a checkpoint before the deadline"),
    ("checkpoint_ms", "takeover_ms", "peers take over what stands below a checkpoint"),
    ("skew_ms", "report_ms", "clocks may differ by this much: a shorter deadline cannot be judged"),
    ("skew_ms", "acknowledge_ms", "clocks may differ by this much: a shorter deadline cannot be judged"),
)


def _time(document: TreatyDocument) -> Iterator[Mistake]:
    period = document.grid_terms.period_ms.value
    if period == 0:
        yield Mistake(("grid", "period_ms"), "treaty-grid", "a period needs a length", "1 or more ms", "0")
    given: dict[str, int] = {name: getattr(document.deadlines, name).value for name in _DEADLINES}
    for name, value in given.items():
        if value == 0:
            yield Mistake(
                ("deadlines", name), "treaty-deadline-zero", "no one can meet a deadline of 0 ms", "1 or more ms", "0"
            )
    for short, long, why in _SHORTER:
        if given[short] >= given[long]:
            yield _order(short, f"less than {long} = {given[long]}", given[short], why)
    if given["heartbeat_ms"] > period:
        why = "heartbeats are the log's clock: at least one belongs in every period"
        yield _order("heartbeat_ms", f"at most grid.period_ms = {period}", given["heartbeat_ms"], why)
    if given["stop_ms"] > given["notice_ms"]:
        why = "a site that stops in time must not be in breach: breach is judged after the notice"
        yield _order("stop_ms", f"at most notice_ms = {given['notice_ms']}", given["stop_ms"], why)
    if given["stop_ms"] > given["acknowledge_ms"]:
        why = "an acknowledgement says when the site stopped"
        yield _order("stop_ms", f"at most acknowledge_ms = {given['acknowledge_ms']}", given["stop_ms"], why)


def _order(name: str, expected: str, found: int, why: str) -> Mistake:
    return Mistake(("deadlines", name), "treaty-deadline-order", f"{name} is too long: {why}", expected, str(found))


def _limits(document: TreatyDocument) -> Iterator[Mistake]:
    for name, low, high, why in (
        ("child_cap", 2, MAX_CHILD_CAP, "below 2 the second child, the evidence of equivocation, could not be sent in"),
        ("line_count", 1, MAX_LINE_COUNT, "a usage statement has at least one line and fits into 60 KiB"),
    ):
        value: int = getattr(document.limits, name)
        if not low <= value <= high:
            yield Mistake(("limits", name), "treaty-limit", f"{name}: {why}", f"{low} to {high}", str(value))


def _goals(document: TreatyDocument) -> Iterator[Mistake]:
    goals = document.goals
    if not goals.significant_quantity_flop:
        yield Mistake(
            ("goals", "significant_quantity_flop"), "treaty-goal", "nothing is significant below 1 FLOP", "1 or more", "0"
        )
    if not goals.timeliness_ms:
        yield Mistake(("goals", "timeliness_ms"), "treaty-goal", "detection takes time", "1 or more ms", "0")
    ratio = goals.detection
    if ratio.numerator == 0 or ratio.numerator >= ratio.denominator:
        yield Mistake(
            ("goals", "detection"),
            "treaty-goal",
            "a detection probability lies between 0 and 1, both excluded",
            "{ numerator = 95, denominator = 100 }",
            f"{ratio.numerator}/{ratio.denominator}",
        )


# Quorums -------------------------------------------------------------------------------------------------------------


def _quorums(document: TreatyDocument) -> Iterator[Mistake]:
    yield from _verifier_quorums(document)
    n = len(document.parties)
    for name in ("orders", "amendments"):
        m: int = getattr(document.quorum, name)
        if n and (m > n or 2 * m <= n):
            message = f"there are only {n} parties" if m > n else "two halves could each decide the opposite: m > n/2"
            expected = f"{n // 2 + 1} to {n} (there are {n} parties)"
            yield Mistake(("quorum", name), f"treaty-quorum-{name}", message, expected, str(m))


def _verifier_quorums(document: TreatyDocument) -> Iterator[Mistake]:
    n, quorum = len(document.verifiers), document.quorum
    if not n:
        return
    f, w, k1, k2 = quorum.liars, quorum.witnesses, quorum.receipts, quorum.audit
    if n < 3 * f + 1:
        yield Mistake(
            ("quorum", "liars"),
            "treaty-quorum-liars",
            f"{f} liars among {n} verifiers cannot be outvoted: n >= 3f + 1",
            f"at most {(n - 1) // 3} with {n} verifiers (or at least {3 * f + 1} verifiers)",
            str(f),
        )
    if w > n or 2 * w <= n + f:
        message = f"there are only {n} verifiers" if w > n else "two witness quorums must share an honest one: w > (n + f)/2"
        expected = f"{min((n + f) // 2 + 1, n)} to {n}"
        yield Mistake(("quorum", "witnesses"), "treaty-quorum-witnesses", message, expected, str(w))
    for name, k in (("receipts", k1), ("audit", k2)):
        if not 1 <= k <= n:
            message = f"there are {n} logs to ask"
            yield Mistake(("quorum", name), "treaty-quorum-receipts", message, f"1 to {n}", str(k))
    if k1 <= n and k2 <= n and k1 + k2 <= n + f:
        yield Mistake(
            ("quorum", "receipts"),
            "treaty-quorum-receipts",
            "the logs a site asks and the logs an auditor reads must share an honest one: receipts + audit > n + f",
            f"receipts + audit at least {n + f + 1} (n = {n}, f = {f})",
            f"{k1} + {k2} = {k1 + k2}",
        )


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
    for key, items in (
        ("party", document.parties),
        ("lab", document.labs),
        ("third_party", document.third_parties),
        ("verifier", document.verifiers),
    ):
        for index, item in enumerate(items):
            yield from _unique(seen, item.name, (key, index, "name"), "names tell authors apart")
    for key, others in (
        ("chip_class", [item.name.lower() for item in document.chip_classes]),
        ("threshold", [item.name.lower() for item in document.thresholds]),
        ("annex", [item.name.lower() for item in document.annexes]),
    ):
        seen_here: dict[str, Path] = {}
        for index, name in enumerate(others):
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
    for key, items, known in (("lab", document.labs, parties), ("verifier", document.verifiers, runners)):
        for index, item in enumerate(items):
            if item.party not in known:
                yield Mistake(
                    (key, index, "party"),
                    "treaty-party-unknown",
                    f"the {key} {item.name} belongs to somebody this treaty does not name",
                    " or ".join(sorted(known))[:200] or "a [[party]]",
                    item.party,
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
            yield Mistake(("rule", index, "rule"), "treaty-rule-duplicate", message, "one [[rule]] of this name", terms.rule)
        seen.add(terms.rule)
        yield from _parameters(index, terms, row.parameters)


def _parameters(index: int, terms: RuleTerms, wanted: tuple[Parameter, ...]) -> Iterator[Mistake]:
    names = {parameter.name for parameter in wanted}
    for parameter in wanted:
        value = terms.parameters.get(parameter.name)
        if value is None:
            message = f"{terms.rule} needs {parameter.name}: {parameter.meaning}"
            yield Mistake(
                ("rule", index, "parameters"), "treaty-rule-parameter", message, f"{parameter.name} in {parameter.unit}", "none"
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
    able = sum(verifier.disclosure_key is not None for verifier in document.verifiers)
    if not f + 1 <= sealing.holders <= able:
        yield Mistake(
            ("sealing", "holders"),
            "treaty-sealing",
            "at least one honest verifier must be able to open what is sealed: more than f, and each with a disclosure_key",
            f"{f + 1} to {able} (verifiers with a disclosure_key: {able})",
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


_CHECKS: tuple[Check, ...] = (
    _version,
    _time,
    _limits,
    _goals,
    _quorums,
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


# Warnings ------------------------------------------------------------------------------------------------------------


def _warn_liveness(document: TreatyDocument) -> Iterator[Mistake]:
    n, quorum = len(document.verifiers), document.quorum
    for name in ("witnesses", "receipts", "audit"):
        value: int = getattr(quorum, name)
        if value > n - quorum.liars:
            yield Mistake(
                ("quorum", name),
                "treaty-warning-liveness",
                f"{quorum.liars} silent verifier(s) are enough to stop this quorum: nothing false, but nothing at all",
                f"at most {n - quorum.liars}",
                str(value),
            )


def _warn_one_hand(document: TreatyDocument) -> Iterator[Mistake]:
    if len(document.verifiers) == 1:
        return
    for runner in sorted({verifier.party for verifier in document.verifiers}):
        held = sum(verifier.party == runner for verifier in document.verifiers)
        if held > document.quorum.liars:
            yield Mistake(
                ("quorum", "liars"),
                "treaty-warning-one-hand",
                f"{runner} runs {held} verifiers, more than the {document.quorum.liars} that may lie",
                "nobody runs more verifiers than may lie",
                f"{held} of {len(document.verifiers)}",
                "spread the verifiers, or have neutral bodies (third parties) run some",
            )


def _warn_timeliness(document: TreatyDocument) -> Iterator[Mistake]:
    needed = document.grid_terms.period_ms.value + document.deadlines.report_ms.value + document.deadlines.notice_ms.value
    if document.goals.timeliness_ms.value < needed:
        yield Mistake(
            ("goals", "timeliness_ms"),
            "treaty-warning-timeliness",
            "a breach can be older than the goal before its books are due and a brake has bitten",
            f"at least period + report + notice = {needed} ms",
            str(document.goals.timeliness_ms),
        )


def _warn_rules(document: TreatyDocument) -> Iterator[Mistake]:
    for rule, row in RULES.items():
        if document.rule(rule) is None:
            message = f"the rule {rule} is not in force: nobody will be told when {row.fires}"
            yield Mistake(("rule",), "treaty-warning-rule-absent", message, f'[[rule]] rule = "{rule}"', "none")
    meters = any(third.kind == "meter" for third in document.third_parties)
    if document.rule("energy-gap") is not None and not meters:
        message = "energy-gap needs somebody outside who meters: it will never fire"
        yield Mistake(("third_party",), "treaty-warning-no-meter", message, 'a [[third_party]] of kind = "meter"', "none")
    if document.rule("threshold") is not None and not document.thresholds:
        message = "the rule threshold is in force and there is none"
        yield Mistake(("threshold",), "treaty-warning-no-threshold", message, "a [[threshold]]", "none")


def _warn_sealing(document: TreatyDocument) -> Iterator[Mistake]:
    if document.sealing.fields:
        message = "statements of this version of brakeline cannot carry sealed values yet: every figure is public"
        path: Path = ("sealing", "fields")
        yield Mistake(path, "treaty-warning-sealing", message, "[]", f"{len(document.sealing.fields)} pattern(s)")


_WARNINGS: tuple[Check, ...] = (_warn_liveness, _warn_one_hand, _warn_timeliness, _warn_rules, _warn_sealing)
