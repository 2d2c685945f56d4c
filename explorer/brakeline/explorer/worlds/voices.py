"""What a world says: the statements that its sites, labs, parties, evaluators and meters would sign.

Signatures are left out, because who signed is admission's question and not the rules'; keys are derived from names and
sign nothing. Every statement is one that the treaty's own code validates, and would read back as it is (a test reads
all of a world's).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import orjson
from brakeline.explorer.worlds.world import Extra, Site, Work, World
from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.treaty.document import ZERO_DIGEST
from brakeline.treaty.orders import names_site
from brakeline.treaty.oversight import Authorisation
from brakeline.treaty.statements import (
    EVIDENCE_KINDS,
    PREDICATE_PREFIX,
    PREDICATES,
    STATEMENT_TYPE,
    Order,
    Predicate,
    Statement,
    expected_subject,
)
from brakeline.treaty.strictjson import JsonObject, JsonValue

_ROWS = hashlib.sha256(b"rows").hexdigest()
CORRECTED_AFTER = 2
"""Periods until a mistake in the books is corrected."""


class Heard(NamedTuple):
    """A statement, the period in which it arrives, and when (Unix ms).

    ``hidden`` says that only f logs hold it, those of verifiers that help its author.
    """

    statement: Statement
    period: int
    at_ms: int
    hidden: bool = False


class _Chains:
    """Positions in the chains of all authors."""

    def __init__(self, treaty: str) -> None:
        self._treaty = treaty
        self._heads: defaultdict[str, tuple[int, str]] = defaultdict(lambda: (0, ZERO_DIGEST))
        self._commitments: dict[tuple[str, str], str] = {}

    def say(self, author: str, says: str, members: JsonObject, *, advance: bool = True) -> Statement:
        """Return the next statement of *author*; without *advance* the one after it has the same position."""
        name, _, kind = says.partition(":")
        model: type[Predicate] = EVIDENCE_KINDS[kind] if kind else PREDICATES[name]
        sequence, previous = self._heads[author]
        value: JsonObject = {
            "author": author,
            "sequence": sequence,
            "previous": previous,
            "treaty": self._treaty,
            **members,
        }
        statement = _spoken(name, model, value)
        if advance:
            self._heads[author] = (sequence + 1, statement.digest)
        return statement

    def decree(self, says: str, members: JsonObject) -> Statement:
        """Return what the parties sign together."""
        nonce = hashlib.sha256(repr((says, sorted(members.items(), key=str))).encode()).hexdigest()[:32]
        return _spoken(says, PREDICATES[says], {"treaty": self._treaty, "nonce": nonce, **members})

    def evaluate(self, author: str, members: JsonObject) -> Statement:
        """Return a commitment of an evaluator, or a result, which names the commitment to its model if there is one."""
        about = author, str(members["model"])
        committed = self._commitments.get(about)
        if members["stage"] == "result" and committed is not None:
            members = {**members, "commitment": committed}
        statement = self.say(author, "evaluation", members)
        if members["stage"] == "commit":
            self._commitments[about] = statement.digest
        return statement


def statements(world: World) -> Iterator[Heard]:
    """Yield everything that is said, in order of arrival."""
    speaker = _Speaker(world)
    yield from speaker.begin()
    for period in range(world.periods):
        yield from speaker.period(period)
    yield from speaker.pending


class _Speaker:
    """Says a world, period by period."""

    def __init__(self, world: World) -> None:
        self._world, self._grid = world, world.document.grid
        self._chains = _Chains(world.document.digest)
        slots = world.document.rule("false-opening")
        self._slots = 1 if slots is None else slots.integer("slots")
        self._inventories: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        self._mistakes: defaultdict[int, list[tuple[Site, int, str]]] = defaultdict(list)
        self._extras: defaultdict[int, list[Extra]] = defaultdict(list)
        for extra in world.extras:
            self._extras[extra.period].append(extra)
        self.pending: list[Heard] = []

    def begin(self) -> Iterator[Heard]:
        """Yield enrolments and first inventories."""
        start = self._grid.start_of(0).value
        for site in self._world.sites.values():
            enrolled: JsonObject = {"site": site.name, "action": "begin", "key": _key(site.name), "effective_period": 0}
            yield Heard(self._chains.say(site.lab, "enrolment", enrolled), 0, start)
            yield Heard(self._holds(site, 0, {}), 0, start)

    def period(self, period: int) -> Iterator[Heard]:
        """Yield what is said in *period*, and at its end."""
        at = self._grid.start_of(period).value + 1
        for extra in self._extras.get(period, ()):
            said = self._extra(extra)
            yield Heard(said, period, at)
            if isinstance(said.predicate, Order):
                yield from self._acknowledged(said, period, at)
        arrives = self._grid.end_of(period).value
        for site in self._world.sites.values():
            if period in site.renewed:
                yield Heard(self._renewed(site, period), period, at)
            yield from self._metered(site, period, arrives)
            yield from self._inspected(site, period, arrives)
            if period not in site.silent:
                yield from self._books(site, period, arrives)
        for site, wrong, digest in self._mistakes.pop(period, ()):
            yield from self._corrected(site, wrong, digest, period, arrives)

    def _extra(self, extra: Extra) -> Statement:
        if extra.says == "evaluation":
            return self._chains.evaluate(extra.author, extra.members)
        if PREDICATES[extra.says.partition(":")[0]] in (Order, Authorisation):
            return self._chains.decree(extra.says, extra.members)
        return self._chains.say(extra.author, extra.says, extra.members)

    def _holds(self, site: Site, period: int, more: JsonObject) -> Statement:
        held: JsonObject = {
            "effective_period": period,
            "chips": [{"class": site.chip.name, "count": site.chips}],
            "serials": {"root": _serials(site, period), "count": site.chips},
            **more,
        }
        said = self._chains.say(site.name, "inventory", held)
        self._inventories[site.name].append((period, said.digest))
        return said

    def _renewed(self, site: Site, period: int) -> Statement:
        """Return an inventory in which some chips are new, and as many gone."""

        def movement(kind: str) -> JsonObject:
            serials: JsonObject = {"root": _serials(site, f"{kind} {period}"), "count": site.renewed[period]}
            return {"kind": kind, "class": site.chip.name, "count": site.renewed[period], "serials": serials}

        bought: JsonObject = {**movement("acquired"), "counterparty": "a vendor"}
        more: JsonObject = {
            "follows": self._inventories[site.name][-1][1],
            "movements": [bought, movement("retired")],
        }
        return self._holds(site, period, more)

    def _acknowledged(self, order: Statement, period: int, at: int) -> Iterator[Heard]:
        """Yield what every site in the scope of *order* says of it: it will have stopped. Cheats say so too."""
        predicate = order.predicate
        for site in self._world.sites.values():
            if isinstance(predicate, Order) and names_site(predicate, site.name, self._world.document):
                heard: JsonObject = {"order": order.digest, "seen_at": at, "stopped_at": at, "workloads": []}
                yield Heard(self._chains.say(site.name, "acknowledgement", heard), period, at)

    def _books(self, site: Site, period: int, arrives: int) -> Iterator[Heard]:
        works = site.said[period]
        if period in site.twice:
            yield Heard(self._say_books(site, period, site.twice[period], advance=False), period, arrives)
        if period in site.mistaken:
            works = site.mistaken[period]
        said = self._say_books(site, period, works)
        if period in site.mistaken:
            self._mistakes[period + CORRECTED_AFTER].append((site, period, said.digest))
        heard = Heard(said, period, arrives, period in site.favoured)
        if period in site.late:
            due = self._grid.end_of(period).value + self._world.document.deadlines.report_ms.value
            self.pending.append(heard._replace(at_ms=due + site.late[period]))
        else:
            yield heard
        if period in site.fabricated:
            yield Heard(self._made_up(site, period, said.digest), period, arrives)

    def _made_up(self, site: Site, period: int, usage: str) -> Statement:
        """Return an opening of a row that the table's root does not commit to."""
        row: JsonObject = {
            "chip": f"{site.name}/0",
            "class": site.chip.name,
            "slot": 0,
            "parts": [{"workload": "idle", "activity": "idle", "ms": str(self._world.period_ms // self._slots)}],
            "salt": _ROWS,
        }
        opened: JsonObject = {"index": 0, "row": row, "proof": []}
        members: JsonObject = {"period": period, "usage": usage, "challenge": _ROWS, "rows": [opened]}
        return self._chains.say(site.name, "opening", members)

    def _corrected(self, site: Site, wrong: int, digest: str, period: int, arrives: int) -> Iterator[Heard]:
        right = self._say_books(site, wrong, site.said[wrong])
        yield Heard(right, period, arrives)
        corrects: JsonObject = {
            "corrects": digest,
            "period": wrong,
            "replacement": right.digest,
            "reason": "a meter was read twice",
        }
        yield Heard(self._chains.say(site.name, "correction", corrects), period, arrives)

    def _say_books(self, site: Site, period: int, works: list[Work], *, advance: bool = True) -> Statement:
        off = site.own_clock.get(period, 0)
        lines: list[JsonValue] = [_line(site, work) for work in works]
        usage: JsonObject = {
            "start": self._grid.start_of(period).value + off,
            "end": self._grid.end_of(period).value + off,
            "inventory": next(held for since, held in reversed(self._inventories[site.name]) if since <= period),
            "table": {"root": _ROWS, "rows": site.chips * self._slots},
            "lines": lines,
        }
        return self._chains.say(site.name, "usage", usage, advance=advance)

    def _metered(self, site: Site, period: int, arrives: int) -> Iterator[Heard]:
        """Yield what the treaty's meter read: PUE times what the boards really drew, the hidden ones too."""
        world = self._world
        meter = world.third_party("meter")
        if meter is None:
            return
        pue = world.document.counting.pue
        boards = sum(work.joules for work in site.truth[period]) + site.elsewhere.get(period, 0)
        read = boards * pue.numerator * world.pue[site.name, period] // (pue.denominator * 1000)
        seen: JsonObject = {**self._seen(site, period), "kind": "energy", "joules": str(read)}
        yield Heard(self._chains.say(meter, "evidence:energy", seen), period, arrives)

    def _inspected(self, site: Site, period: int, arrives: int) -> Iterator[Heard]:
        """Yield what the treaty's inspector counted, where there was a visit."""
        inspector = self._world.third_party("inspector")
        if inspector is None or period not in site.inspected:
            return
        counted: list[JsonValue] = [{"class": site.chip.name, "count": site.present}]
        seen: JsonObject = {**self._seen(site, period), "kind": "inspection", "chips": counted}
        yield Heard(self._chains.say(inspector, "evidence:inspection", seen), period, arrives)

    def _seen(self, site: Site, period: int) -> JsonObject:
        span: JsonObject = {"start": self._grid.start_of(period).value, "end": self._grid.end_of(period).value}
        return {**span, "site": site.name, "readings": _ROWS}


def _line(site: Site, work: Work) -> JsonObject:
    line: JsonObject = {
        "workload": work.workload,
        "activity": work.activity.value,
        "chip_ms": [{"class": site.chip.name, "value": str(work.chip_ms)}],
        "flop_model": str(work.flop),
        "joules": str(work.joules),
        "tokens": str(work.tokens),
    }
    if work.hardware is not None:
        line["flop_hardware"] = str(work.hardware)
    if work.parents:
        line["parents"] = list(work.parents)
    for name, value in (("model_out", work.model_out), ("code", work.code), ("data", work.data)):
        if value is not None:
            line[name] = value
    return line


def _serials(site: Site, what: object) -> str:
    return hashlib.sha256(f"{site.name} {what}".encode()).hexdigest()


def _key(name: str) -> str:
    return str(VKey(name, TYPE_STATEMENT, hashlib.sha256(name.encode()).digest()))


def _spoken(name: str, model: type[Predicate], value: JsonObject) -> Statement:
    """Return the statement that says *value*: as :func:`encode_statement` and :func:`parse_statement` would."""
    predicate = model.model_validate(value, by_alias=True, by_name=False)
    subject = expected_subject(predicate)
    payload = orjson.dumps(
        {
            "_type": STATEMENT_TYPE,
            "predicate": value,
            "predicateType": f"{PREDICATE_PREFIX}{name}/v1",
            "subject": [{"name": subject.name, "digest": {"sha256": subject.digest.sha256}}],
        },
        option=orjson.OPT_SORT_KEYS,
    )
    return Statement(hashlib.sha256(payload).hexdigest(), name, predicate, (subject,))
