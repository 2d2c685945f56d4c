"""What a world says: its statements, in order of arrival, as its labs, parties and meters would sign them.

Every payload is encoded and read back by the treaty's own code; signatures are left out, because who signed is
admission's question and not the rules'. Keys are derived from names and sign nothing.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from brakeline.explorer.worlds.world import Site, Work, World
from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.treaty.document import ZERO_DIGEST
from brakeline.treaty.orders import names_site
from brakeline.treaty.oversight import Authorisation
from brakeline.treaty.statements import (
    EVIDENCE_KINDS,
    PREDICATES,
    Order,
    Predicate,
    Statement,
    encode_statement,
    parse_statement,
)
from brakeline.treaty.strictjson import JsonObject, JsonValue

_ROWS = hashlib.sha256(b"rows").hexdigest()


class Heard(NamedTuple):
    """A statement, the period in which it arrives, and when (Unix ms)."""

    statement: Statement
    period: int
    at_ms: int


class _Chains:
    """Positions in the chains of all authors."""

    def __init__(self, treaty: str) -> None:
        self._treaty = treaty
        self._heads: defaultdict[str, tuple[int, str]] = defaultdict(lambda: (0, ZERO_DIGEST))

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
        statement = _spoken(model.model_validate(value, by_alias=True, by_name=False))
        if advance:
            self._heads[author] = (sequence + 1, statement.digest)
        return statement

    def decree(self, says: str, members: JsonObject) -> Statement:
        """Return what the parties sign together."""
        nonce = hashlib.sha256(repr((says, sorted(members.items(), key=str))).encode()).hexdigest()[:32]
        value: JsonObject = {"treaty": self._treaty, "nonce": nonce, **members}
        return _spoken(PREDICATES[says].model_validate(value, by_alias=True, by_name=False))


def statements(world: World) -> Iterator[Heard]:
    """Yield everything that is said, in order of arrival."""
    grid, chains = world.document.grid, _Chains(world.document.digest)
    inventories: dict[str, str] = {}
    start = grid.start_of(0).value
    for site in world.sites.values():
        enrolled: JsonObject = {"site": site.name, "action": "begin", "key": _key(site.name), "effective_period": 0}
        yield Heard(chains.say(site.lab, "enrolment", enrolled), 0, start)
        held: JsonObject = {
            "effective_period": 0,
            "chips": [{"class": site.chip.name, "count": site.chips}],
            "serials": {"root": hashlib.sha256(site.name.encode()).hexdigest(), "count": site.chips},
        }
        inventory = chains.say(site.name, "inventory", held)
        inventories[site.name] = inventory.digest
        yield Heard(inventory, 0, start)
    pending: list[Heard] = []
    for period in range(world.periods):
        for extra in world.extras:
            if extra.period == period:
                at = grid.start_of(period).value + 1
                joint = PREDICATES[extra.says.partition(":")[0]] in (Order, Authorisation)
                said = (
                    chains.decree(extra.says, extra.members)
                    if joint
                    else chains.say(extra.author, extra.says, extra.members)
                )
                yield Heard(said, period, at)
                if isinstance(said.predicate, Order):
                    yield from _acknowledged(world, chains, said, period, at)
        arrives = grid.end_of(period).value
        for site in world.sites.values():
            yield from _metered(world, chains, site, period, arrives)
            yield from _inspected(world, chains, site, period, arrives)
            if period in site.silent:
                continue
            for heard in _books(world, chains, site, period, inventories[site.name], arrives):
                if period in site.late:
                    due = grid.end_of(period).value + world.document.deadlines.report_ms.value
                    pending.append(heard._replace(at_ms=due + site.late[period]))
                else:
                    yield heard
    yield from pending


def _acknowledged(world: World, chains: _Chains, order: Statement, period: int, at: int) -> Iterator[Heard]:
    """Yield what every site in the scope of *order* says of it: that it will have stopped. Cheats say so too."""
    predicate = order.predicate
    for site in world.sites.values():
        if isinstance(predicate, Order) and names_site(predicate, site.name, world.document):
            heard: JsonObject = {"order": order.digest, "seen_at": at, "stopped_at": at, "workloads": []}
            yield Heard(chains.say(site.name, "acknowledgement", heard), period, at)


def _books(world: World, chains: _Chains, site: Site, period: int, inventory: str, arrives: int) -> Iterator[Heard]:
    if period in site.twice:
        first = _usage(world, site, period, inventory, site.twice[period])
        yield Heard(chains.say(site.name, "usage", first, advance=False), period, arrives)
    said = _usage(world, site, period, inventory, site.said[period])
    yield Heard(chains.say(site.name, "usage", said), period, arrives)


def _usage(world: World, site: Site, period: int, inventory: str, works: list[Work]) -> JsonObject:
    grid = world.document.grid
    lines: list[JsonValue] = [_line(site, work) for work in works]
    return {
        "start": grid.start_of(period).value,
        "end": grid.end_of(period).value,
        "inventory": inventory,
        "table": {"root": _ROWS, "rows": site.chips},
        "lines": lines,
    }


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


def _metered(world: World, chains: _Chains, site: Site, period: int, arrives: int) -> Iterator[Heard]:
    """Yield what the treaty's meter read: PUE times what the boards really drew, the hidden ones too."""
    meter = world.third_party("meter")
    if meter is None:
        return
    pue = world.document.counting.pue
    boards = sum(work.joules for work in site.truth[period]) + site.elsewhere.get(period, 0)
    read = boards * pue.numerator * world.pue[site.name, period] // (pue.denominator * 1000)
    seen: JsonObject = {**_seen(world, site, period), "kind": "energy", "joules": str(read)}
    yield Heard(chains.say(meter, "evidence:energy", seen), period, arrives)


def _inspected(world: World, chains: _Chains, site: Site, period: int, arrives: int) -> Iterator[Heard]:
    """Yield what the treaty's inspector counted, where there was a visit."""
    inspector = world.third_party("inspector")
    if inspector is None or period not in site.inspected:
        return
    counted: list[JsonValue] = [{"class": site.chip.name, "count": site.present}]
    seen: JsonObject = {**_seen(world, site, period), "kind": "inspection", "chips": counted}
    yield Heard(chains.say(inspector, "evidence:inspection", seen), period, arrives)


def _seen(world: World, site: Site, period: int) -> JsonObject:
    grid = world.document.grid
    span: JsonObject = {"start": grid.start_of(period).value, "end": grid.end_of(period).value}
    return {**span, "site": site.name, "readings": _ROWS}


def _key(name: str) -> str:
    return str(VKey(name, TYPE_STATEMENT, hashlib.sha256(name.encode()).digest()))


def _spoken(predicate: Predicate) -> Statement:
    return parse_statement(encode_statement(predicate))
