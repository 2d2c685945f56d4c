"""A bad season: statements of three sites and of whoever watches them, in which every rule finds something.

Nothing here is likely. Choices come from hashes, so that they are the same everywhere and for ever; digests too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.sealing import PATTERNS
from brakeline.treaty.statements import Enrolment, Usage, UsageLine, encode_statement
from brakeline.treaty.strictjson import JsonObject, JsonValue, canonical

from tests.support import cast, sealing
from tests.support.cast import LABS, METER, OTHER_SITE, SITE
from tests.support.judging import digest
from tests.support.predicates import build
from tests.support.scenes import COMMIT, EVALUATOR, INSPECTOR, PROVIDER, VENDOR, ratio, span
from tests.support.sealing import SealingAuthor

T = TypeVar("T")
SECOND_SITE = f"{LABS[0]}/site-2"
SITES = (SITE, SECOND_SITE, OTHER_SITE)
PERIODS = 12
STRICT: dict[str, dict[str, JsonValue]] = {
    "threshold": {"presumed_permille": 1},
    "idle-compute": {"idle_percent": 90, "maintenance_percent": 150},
    "activity-shape": {
        "work_flop_permille": 150, "work_joules_permille": 300, "training_flop_permille": 400,
        "h_flop": "20000000000", "h_joules": "30",
    },
    "method-gap": {"h_flop": "20000000000"},
    "muf": {"k_permille": 60, "h_flop": "30000000000"},
    "energy-gap": {"k_joules": "5", "k_permille": 20, "h_joules": "50"},
    "undeclared-run": {"floor_flop": "150000000000", "k_permille": 50, "h_flop": "100000000000"},
    "unlinked-runs": {"k_permille": 20, "h_flop": "90000000000"},
    "sandbagging-order": {"floor_flop": "50000000000", "grace_periods": 2},
    "autonomy-tripwire": {
        "written_permille": 400, "reviewed_permille": 300, "unattended_ms": 60_000, "speed_up_permille": 1400,
    },
    "inventory-continuity": {"grace_periods": 2},
    "contradiction": {"tolerance_permille": 50},
}  # fmt: skip
"""Parameters under which almost any books are found fault with; other rules keep those of the tests' treaty."""


def treaty(profile: str) -> TreatyDocument:
    """Return the season's treaty: two thresholds, two classes of chips, every leaf may be sealed."""
    rules: list[JsonValue] = []
    for item in cast.json_lines(cast.terms()["rule"]):
        rules.append({**item, "parameters": STRICT.get(str(item["rule"]), item["parameters"])})
    rules.append({"rule": "wrong-version", "severity": "note", "article": "Art. 40", "parameters": {}})
    kinds = {METER: "meter", VENDOR: "vendor", PROVIDER: "provider", INSPECTOR: "inspector", EVALUATOR: "evaluator"}
    lines: list[JsonValue] = [
        {"name": name, "flop": flop, "activities": [*activities], "article": article}
        for name, flop, activities, article in (
            ("line", "600000000000", ["training"], "Art. 4"),
            ("wide", "1200000000000", ["training", "evaluation", "other"], "Art. 5"),
        )
    ]
    classes = cast.json_lines(cast.terms()["chip_class"])
    fast = {**classes[0], "name": "gpu", "peak_flop_per_s": "300000000000", "board_watts": 300, "idle_watts": 45}
    third: list[JsonValue] = [{"name": name, "kind": kind, "key": str(cast.vkey(name))} for name, kind in kinds.items()]
    counting: JsonObject = {"profile": profile, "margin": ratio(300), "pue": ratio(1300)}
    return sealing.document(
        rule=rules, threshold=lines, chip_class=[classes[0], fast], third_party=third, counting=counting
    )


CLASSES = ("cpu-core", "gpu")
ACTIVITIES = ("training", "training", "inference", "evaluation", "idle", "maintenance", "unattributed")
PURPOSES = ("private-synthetic-data", "failed-exploration")
SEALS = ((), (), sealing.FIGURES[:1], sealing.FIGURES[2:3], sealing.FIGURES, PATTERNS)
"""What the second site of an odd season seals, now and then."""


class Season:
    """Says everything, and keeps it in ``said``."""

    def __init__(self, document: TreatyDocument, number: int) -> None:
        """Season *number*: each has choices of its own."""
        self.document = document
        self.number = number
        self.said: list[Envelope] = []
        self._drawn = 0
        self._authors = {name: SealingAuthor(name, document, ()) for name in (*SITES, *LABS)}
        self._books: dict[tuple[str, int], Envelope] = {}
        self._played()

    def _pick(self, items: Sequence[T]) -> T:
        self._drawn += 1
        return items[int(hashlib.sha256(f"season {self.number} {self._drawn}".encode()).hexdigest(), 16) % len(items)]

    def _one_in(self, number: int) -> bool:
        return self._pick(range(number)) == 0

    def _say(self, who: str, what: str, /, **changes: object) -> Envelope:
        author = self._authors.setdefault(who, SealingAuthor(who, self.document, ()))
        self.said.append(made := author.say(build(what, author.position(), **changes)))
        return made

    def _parties(self, what: str, **changes: object) -> Envelope:
        made = build(what, {"treaty": self.document.digest}, **changes)
        self.said.append(signed := cast.envelope(encode_statement(made), *map(cast.signer, cast.PARTIES)))
        return signed

    def _authorise(self, lab: str, workload: str, effective: int, **more: object) -> None:
        self._parties("authorisation", lab=lab, workload=workload, effective_period=effective, **more)

    def _played(self) -> None:
        for number, site in enumerate(SITES):
            self.said.append(self._authors[site.partition("/")[0]].enrol(site))
            self._hold(site, 2 + number % 2)
        self._authorise(LABS[0], "a", 2, flop="900000000000", threshold="line")
        pause = self._parties("order", effective_period=5, expiry_period=9)
        slow: dict[str, JsonValue] = {"kind": "slow", "ceiling": ratio(250), "nonce": "1" * 32}
        easing = self._parties("order", effective_period=8, expiry_period=30, lifts=[pause.digest], **slow)
        for period in range(PERIODS):
            for site in SITES:
                self._declare(site, period)
                self._report(site, period)
                self._watch(site, period)
            if period == 4 and self.number % 3 == 0:
                self.said.append(cast.amendment_envelope(self._amendment()))
            if self._one_in(3):
                self._evaluate()
            for site in SITES if period in (6, 9) else ():
                self._acknowledge(site, pause if period == 6 else easing)
            if self._one_in(2):
                figures = {"speed_up": ratio(self._pick([1_300, 1_400, 1_401, 2_000]))}
                figures["written_by_models"] = ratio(self._pick([300, 400, 401]))
                figures["reviewed_by_people"] = ratio(self._pick([299, 300, 1_001]))
                minutes = self._pick([60_000, 60_001])
                self._say(self._pick(LABS), "autonomy", period=period // 3, longest_unattended_ms=minutes, **figures)
        self._authorise(LABS[1], "c", 4, flop="700000000000", threshold="wide")
        self._revoke(OTHER_SITE)

    def _amendment(self) -> TreatyDocument:
        """Return a version of the treaty that governs from period 7 and is stricter, of which nobody takes notice."""
        rules = cast.with_rule(self.document, "muf", k_permille=0, h_flop="1000000000")
        line: JsonObject = {"name": "line", "flop": "300000000000", "activities": ["training"], "article": "Art. 44"}
        return cast.amended(self.document, 7, rule=rules, threshold=[line])

    def _hold(self, site: str, chips: int, *movements: JsonObject, period: int = 0, follows: str | None = None) -> None:
        held = [{"class": "cpu-core", "count": chips}, {"class": "gpu", "count": 1}]
        made = self._say(
            site, "inventory", effective_period=period, chips=held, movements=list(movements), follows=follows
        )
        self._books[site, -1] = made

    def _declare(self, site: str, period: int) -> None:
        workload = self._pick("abcdef")
        if self._one_in(4):
            planned = str(self._pick([100, 160, 250]) * 10**9)
            begins = max(0, period - self._pick([0, 1, 3]))
            self._say(site, "declaration", workload=workload, begins_period=begins, planned_flop=planned)
        if self._one_in(6):
            other = self._pick([item for item in SITES if item != site])
            kind, who = self._pick([("acquired", VENDOR), ("sent", other), ("received", other), ("retired", None)])
            count = self._pick([1, 2])
            serials: JsonObject = {"root": digest(f"batch {self._pick('xyz')}"), "count": count}
            moved: JsonObject = {"kind": kind, "class": self._pick(CLASSES), "count": count, "serials": serials}
            moved |= {} if who is None else {"counterparty": who}
            before = self._pick([self._books[site, -1].digest, digest("nowhere"), None])
            self._hold(site, self._pick([1, 2, 3, 4]), moved, period=period, follows=before)

    def _lines(self, period: int) -> tuple[UsageLine, ...]:
        made: list[UsageLine] = []
        for _ in range(self._pick([2, 3, 4, 5])):
            activity = self._pick(ACTIVITIES)
            ms = {"cpu-core": self._pick([0, 900, 2_000, 4_000]), "gpu": self._pick([0, 1, 1_500, 4_000])}
            possible, most = ms["cpu-core"] * 10**8 + ms["gpu"] * 3 * 10**8, ms["cpu-core"] // 10 + ms["gpu"] * 3 // 10
            figures: JsonObject = {}
            for name in ("flop_hardware", "flop_model"):
                share = self._pick([None, 0, 20, 45, 80, 110])
                figures |= {} if share is None else {name: str(possible * share // 100)}
            share = self._pick([None, 5, 15, 60, 100])
            figures |= {} if share is None else {"joules": str(most * share // 100)}
            figures |= {"tokens": str(self._pick([0, 7]))} if self._one_in(4) else {}
            figures |= {"parents": [digest(f"model {self._pick('123')}")]} if self._one_in(3) else {}
            figures |= {"model_out": digest(f"model {self._pick('1234')}")} if self._one_in(6) else {}
            figures |= {"code": digest(self._pick("pq")), "data": digest(self._pick("rs"))} if self._one_in(5) else {}
            figures |= {"purpose": self._pick(PURPOSES)} if self._one_in(6) else {}
            figures |= {"precision": self._pick(["fp32", "fp8"])} if self._one_in(5) else {}
            chips: list[JsonValue] = [{"class": name, "value": str(value)} for name, value in ms.items()]
            line: JsonObject = {"workload": self._pick("abcdefghij"), "activity": activity, "chip_ms": chips, **figures}
            made.append(UsageLine.model_validate_json(canonical(line)))
        return tuple(made)

    def _report(self, site: str, period: int) -> None:
        if self._one_in(9):
            return
        versions = self._pick([1, 1, 1, 2])
        for version in range(versions):
            author = self._authors[site]
            author.seal = self._pick(SEALS) if self.number % 2 and site == SECOND_SITE else ()
            inventory = digest("none") if self._one_in(15) else self._books[site, -1].digest
            said: JsonObject = {**span(period), "inventory": inventory, "table": {"root": digest("rows"), "rows": 12}}
            made = Usage.model_validate({**author.position(), **said, "lines": self._lines(period)})
            self.said.append(books := author.say(made, advance=version == versions - 1))
            author.seal = ()
            if self._one_in(7):
                self._say(site, "correction", corrects=books.digest, period=period, replacement=None)
            self._books[site, period] = books

    def _watch(self, site: str, period: int) -> None:
        if not self._one_in(3):
            joules = str(self._pick([100, 700, 1_500, 3_000]))
            self._say(METER, "evidence:energy", **span(period), site=site, joules=joules)
        kind, who = self._pick([("capacity", PROVIDER), ("inspection", INSPECTOR), ("shipment", VENDOR), ("", "")])
        if kind:
            seen: dict[str, object] = {"chips": [{"class": "gpu", "count": self._pick([1, 2])}]}
            if kind == "shipment":
                seen["serials"] = {"root": digest(f"batch {self._pick('xyz')}"), "count": 1}
            if kind == "inspection":
                seen["joules"] = self._pick([None, "900", "2500"])
            self._say(who, f"evidence:{kind}", **span(period), site=site, **seen)
        if self._one_in(4) and (site, period) in self._books:
            usage = self._pick([self._books[site, period].digest, digest("no books")])
            self._say(site, "opening", period=period, usage=usage)

    def _evaluate(self) -> None:
        model = digest(f"model {self._pick('123')}")
        before = self._say(EVALUATOR, "evaluation", **{**COMMIT, "model": model})
        named = self._pick([before.digest, before.digest, digest("nothing"), None])
        changed = self._pick([{}, {}, {"protocol": digest("another")}, {"model": digest("model 9")}])
        self._say(EVALUATOR, "evaluation", **{"model": model, "commitment": named, **changed})

    def _acknowledge(self, site: str, order: Envelope) -> None:
        for _ in range(2):
            stopped: list[JsonValue] = []
            for workload in "ab":
                state: JsonObject = {"workload": workload, "step": 7}
                state |= {"freeze": digest(self._pick(["frozen", "other"]))} if not self._one_in(3) else {}
                state |= {"resumed": digest(self._pick(["frozen", "third"]))} if self._one_in(2) else {}
                stopped.append(state)
            self._say(site, "acknowledgement", order=order.digest, workloads=stopped)

    def _revoke(self, site: str) -> None:
        """The lab ends the key of *site*, and stands by an early statement of it."""
        lab = self._authors[site.partition("/")[0]]
        honoured = cast.read(next(item for item in self.said if _place(item) == (site, 6))).digest
        key = str(VKey(site, TYPE_STATEMENT, cast.signer(site).public_key))
        members = {**lab.position(), "site": site, "action": "end", "key": key, "effective_period": PERIODS}
        last: JsonObject = {"sequence": 6, "digest": honoured}
        self.said.append(lab.say(Enrolment.model_validate({**members, "honours": last})))


def _place(item: Envelope) -> tuple[str, int] | None:
    placed = cast.read(item).placed
    return None if placed is None else (placed.author, placed.sequence)
