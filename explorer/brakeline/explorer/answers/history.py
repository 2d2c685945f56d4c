"""Models whose training compute is public, from GPT-3 on: ``models.toml``, with 6 P D by the treaty's own function."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal, TypeAlias

from brakeline.treaty.counting import model_flop
from brakeline.treaty.quantities import Tokens
from pydantic import BaseModel, ConfigDict, Field

Size: TypeAlias = Literal["large", "middle", "small"]


class _Row(BaseModel):
    """A table of the file: parameters and tokens in billions, or FLOP."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    name: str
    by: str
    published: str = Field(pattern=r"^20[0-9]{2}-[01][0-9]$")
    size: Size
    source: str
    parameters: int | None = None
    tokens: int | None = None
    flop: float | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model: by whom (and of which size that developer is), when published (year and month), its FLOP, how known."""

    name: str
    by: str
    size: Size
    published: str
    flop: float
    formula: str
    source: str


@lru_cache(maxsize=1)
def models() -> tuple[Model, ...]:
    """Return all of them, oldest first."""
    text = files("brakeline.explorer.answers").joinpath("models.toml").read_text("utf-8")
    return tuple(_model(_Row.model_validate(row)) for row in tomllib.loads(text)["model"])


def _model(row: _Row) -> Model:
    if row.parameters is not None and row.tokens is not None:
        done = model_flop(row.parameters * 10**9, Tokens(row.tokens * 10**9)).value
        formula = f"6 x {row.parameters}e9 x {row.tokens}e9"
        return Model(row.name, row.by, row.size, row.published, float(done), formula, row.source)
    assert row.flop is not None
    return Model(row.name, row.by, row.size, row.published, row.flop, "as estimated", row.source)
