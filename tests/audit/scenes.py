"""Logs with something in every section of a report: accused sites and a verifier, lineages, orders, a missing log.

Texts that parties choose freely are hostile: markup and quotes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import Order, Scope, UsageLine, encode_statement
from brakeline.treaty.strictjson import JsonValue

from tests.support import cast, worlds

HOSTILE = "</code><script>alert(1)</script><img src=x onerror=alert(2)> \"quoted\" 'single' &amp; {x}"
"""What a page must show as text. Characters that turn the line around are refused at admission already."""


class Scene(NamedTuple):
    """Logs on disk, and what names them."""

    logs: list[str]
    treaty: Path
    pin: str
    world: worlds.World


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def eventful(root: Path, *, periods: int = 7) -> Scene:
    """Two sites train, one from the other's model; an order pauses them; one goes on. The third log forks."""
    article: JsonValue = HOSTILE[:190]
    rules: list[JsonValue] = [
        {**item, "article": article} if item["rule"] == "imbalance" else item
        for item in cast.json_lines(cast.terms()["rule"])
    ]
    (threshold,) = cast.json_lines(cast.terms()["threshold"])
    world = worlds.World(cast.document(rule=rules, threshold=[{**threshold, "flop": "3000000"}]))
    world.beat()
    sites = [worlds.Site(world, name) for name in (cast.SITE, cast.OTHER_SITE)]
    for period in range(periods):
        world.until(cast.START + (period + 1) * cast.PERIOD + worlds.BEAT)
        if period == 3:
            world.publish(order(world, effective=5))
        for number, site in enumerate(sites):
            if number and period == 2:
                continue
            busy = number == 1 or period < 5
            rest = cast.CHIPS * cast.PERIOD - (6_000 if busy else 0) - (500 if period == 1 else 0)
            lines = [cast.line("idle", rest)]
            if busy:
                lines.append(_training("base" if number == 0 else "tuned", number, period))
            world.publish(site.author.use(period, site.inventory, tuple(lines)), by=site.author.name)
    world.beat(2)
    forked = world.logs[2]
    forked.published = forked.sign(world.now_ms, len(forked.entries), bytes(32))
    world.beat(15)
    paths = [str(path) for path in world.export(root)][:3]
    return Scene(paths, world.write_treaty(root / "treaty.json"), world.pin, world)


def order(world: worlds.World, *, effective: int) -> Envelope:
    predicate = Order.model_validate(
        {
            "treaty": world.document.digest,
            "kind": "pause",
            "scope": Scope.model_validate({"who": ("everyone",), "activities": ("training",)}),
            "effective_period": effective,
            "expiry_period": effective + 20,
            "reason": HOSTILE,
            "exercise": False,
            "lifts": (),
            "nonce": "0" * 32,
        }
    )
    return cast.envelope(encode_statement(predicate), *(cast.signer(name) for name in cast.PARTIES))


def _training(workload: str, number: int, period: int) -> UsageLine:
    parents: list[JsonValue] = [digest("base/4")] if number else []
    made = digest(f"{workload}/{period}")
    figures: dict[str, JsonValue] = {"flop_model": "1000000", "parents": parents, "model_out": made}
    figures["tokens"] = str(10**40 - 1)
    return cast.line("training", 6_000, workload=workload, **figures)
