"""Lies about models: served without an evaluation, evaluated in the wrong order; and what no evaluation sees.

The training itself is declared, permitted and booked as it was: nothing but the model is hidden.
"""

from __future__ import annotations

from dataclasses import replace

from brakeline.explorer.evasion.books import declare, permit
from brakeline.explorer.evasion.hidden import said_as, train
from brakeline.explorer.evasion.strategy import Plan, Strategy
from brakeline.explorer.worlds.honest import digest
from brakeline.explorer.worlds.world import Extra, World
from brakeline.treaty.statements import Activity
from brakeline.treaty.strictjson import JsonObject

MODEL = digest("a model that nobody tested")


def _trained(world: World, plan: Plan) -> None:
    """Train openly, and serve the model from the first day on in the place of the one that was tested."""
    site = world.first
    declare(world, site, "side", plan.flop, plan.begins)
    permit(world, site, "side", plan.flop * 2)
    for period, hidden in train(world, plan).items():
        said_as(site, period, hidden, hidden)
    for period in range(plan.begins, world.periods):
        site.said[period] = [
            replace(work, parents=(MODEL,)) if work.activity is Activity.INFERENCE else work
            for work in site.said[period]
        ]


def _unevaluated(world: World, plan: Plan) -> None:
    _trained(world, plan)


def _uncommitted(world: World, plan: Plan) -> None:
    """Have an evaluator report a result without having committed to a protocol: made to measure."""
    _trained(world, plan)
    evaluator = world.third_party("evaluator")
    result: JsonObject = {
        "stage": "result",
        "model": MODEL,
        "protocol": digest("a protocol made to measure"),
        "seed": "00",
        "passed": True,
        "result": digest("report"),
    }
    if evaluator is not None:
        world.extras.append(Extra(plan.begins, evaluator, "evaluation", result))


def _nothing(_world: World, _plan: Plan) -> None:
    """Nothing in any log changes."""


STRATEGIES = (
    Strategy(
        "unevaluated",
        "a model serves that nobody evaluated",
        ("sandbagging-order",),
        _unevaluated,
        days=45,
    ),
    Strategy(
        "evaluation-made-to-measure",
        "a model serves on a result whose protocol nobody committed to",
        ("sandbagging-order",),
        _uncommitted,
        days=45,
    ),
    Strategy(
        "sandbagged",
        "a model hides in its evaluation what it can do",
        (),
        _nothing,
        residual="a capability that a model hides",
    ),
    Strategy(
        "distilled",
        "a model learns from the answers of one whose training no treaty covers",
        (),
        _nothing,
        residual="distillation from a model whose training is not covered",
    ),
)
