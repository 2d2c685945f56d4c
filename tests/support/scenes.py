"""Scenes: a site under one rule of the tests' treaty, and whoever else speaks."""

from __future__ import annotations

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.findings import Finding
from brakeline.treaty.sentences import sentence
from brakeline.treaty.statements import UsageLine, encode_statement
from brakeline.treaty.strictjson import JsonObject, JsonValue

from tests.support import cast
from tests.support.cast import SITE, Author, line
from tests.support.judging import books, digest, standing
from tests.support.predicates import build

FLOOR, LINE, SERVED = 10**16, 10**15, 10**13
"""FLOP above which a run has to be declared; authorised; what serves, evaluated."""
FAST = "1" + "0" * 30
"""Peak of chips that can book anything, FLOP/s."""
VENDOR, PROVIDER, INSPECTOR, EVALUATOR = (
    f"{role}.example" for role in ("vendor", "provider", "inspector", "evaluator")
)
COMMIT: dict[str, object] = {"stage": "commit", "commitment": None, "seed": None, "passed": None, "result": None}
"""What turns the sample of an evaluation into a commitment."""


def only(rule: str, **parameters: JsonValue) -> TreatyDocument:
    """Return the tests' treaty with one rule in force, its *parameters* changed, and chips that can do anything."""
    rows = [row for row in cast.json_lines(cast.terms()["rule"]) if row["rule"] == rule]
    given_before = rows[0]["parameters"]
    assert isinstance(given_before, dict)
    classes = cast.json_lines(cast.terms()["chip_class"])
    fast: list[JsonValue] = [{**classes[0], "peak_flop_per_s": FAST}]
    changed: list[JsonValue] = [{**rows[0], "parameters": {**given_before, **parameters}}]
    return cast.document(rule=changed, chip_class=fast)


class Scene:
    """A site under one rule, and whoever else speaks."""

    def __init__(self, document: TreatyDocument, name: str = SITE) -> None:
        self.document = document
        self.site = Author(name, document)
        self.inventory = self.site.hold()
        self.said: list[Envelope] = [self.inventory]
        self._others: dict[str, Author] = {}

    def book(self, period: int, *lines: UsageLine, advance: bool = True) -> Envelope:
        self.said.append(made := books(self.site, self.inventory, period, *lines, advance=advance))
        return made

    def other(self, who: str) -> Author:
        return self._others.setdefault(who, Author(who, self.document))

    def say(self, what: str, who: str | None = None, /, **changes: object) -> Envelope:
        author = self.site if who is None else self.other(who)
        self.said.append(made := author.say(build(what, author.position(), **changes)))
        return made

    def found(self) -> list[Finding]:
        found = standing(self.said, self.document)
        assert found == standing(reversed(self.said), self.document)
        assert all(sentence(item) for item in found)
        return found

    def reasons(self, figure: str = "reason") -> list[str]:
        return [item.figures[figure] for item in self.found()]


def span(period: int) -> dict[str, JsonValue]:
    start = cast.START + period * cast.PERIOD
    return {"start": start, "end": start + cast.PERIOD}


def run(flop: int, workload: str = "job", **more: JsonValue) -> UsageLine:
    return line("training", 1_000, workload=workload, flop_model=str(flop), **more)


def declared(scene: Scene, planned: int = FLOOR, /, **changes: object) -> Envelope:
    return scene.say("declaration", **{"begins_period": 0, "planned_flop": str(planned), **changes})


def authorised(scene: Scene, flop: int = 10 * LINE, /, **changes: object) -> Envelope:
    made = build(
        "authorisation",
        {"treaty": scene.document.digest},
        **{"flop": str(flop), "effective_period": 0, "threshold": "line", **changes},
    )
    scene.said.append(signed := cast.envelope(encode_statement(made), *map(cast.signer, cast.PARTIES)))
    return signed


def moved(kind: str, count: int, counterparty: str | None = None, serials: str = "batch") -> JsonObject:
    made: JsonObject = {"kind": kind, "class": "cpu-core", "count": count}
    made["serials"] = {"root": digest(serials), "count": count}
    return made if counterparty is None else {**made, "counterparty": counterparty}


def hold(scene: Scene, chips: int, *movements: JsonValue, follows: str | None, period: int = 1) -> Envelope:
    changes: dict[str, object] = {"chips": [{"class": "cpu-core", "count": chips}], "movements": list(movements)}
    return scene.say("inventory", effective_period=period, follows=follows, **changes)


def serve(scene: Scene, period: int, flop: int, model: str = "model") -> None:
    scene.book(period, line("inference", 1_000, workload="serve", flop_model=str(flop), parents=[digest(model)]))


def ratio(numerator: int, denominator: int = 1000) -> JsonObject:
    return {"numerator": numerator, "denominator": denominator}


def evaluated() -> TreatyDocument:
    """Return a treaty with the order of evaluations alone, and an evaluator."""
    rule = only("sandbagging-order").to_json()
    evaluator: JsonObject = {"name": EVALUATOR, "kind": "evaluator", "key": str(cast.vkey(EVALUATOR))}
    return TreatyDocument.from_json({**rule, "third_party": [evaluator]})
