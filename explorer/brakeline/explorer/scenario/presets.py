"""The scenarios that come with the program: a starting point each, not a recommendation."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

from brakeline.explorer.scenario.load import Scenario, ScenarioError, load_scenario

PRESETS = ("eu-1e25", "us-1e26", "miri-draft", "pause-3-of-5", "small-labs")
"""Names, in the order in which they are listed."""


def folder() -> Traversable:
    """Return the folder of the presets: ``NAME.toml`` and ``NAME.treaty.toml``."""
    return files("brakeline.explorer.scenario").joinpath("presets")


def preset(name: str) -> Scenario:
    """Return the preset *name* (``scenario-preset`` when there is none)."""
    if name not in PRESETS:
        raise ScenarioError(
            code="scenario-preset", message="no such preset", expected=", ".join(PRESETS), found=name[:60]
        )
    return load_scenario(folder().joinpath(f"{name}.toml")).require()
