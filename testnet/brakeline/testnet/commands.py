"""``brakeline demo``."""

from __future__ import annotations

import typer

demo_app = typer.Typer()
