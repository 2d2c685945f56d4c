"""How much of a long count a run does: all that CI promises where everything is required, less for a newcomer."""

from __future__ import annotations

import os

REQUIRE_ALL = os.environ.get("BRAKELINE_REQUIRE_ALL") == "1"


def count(ci: int, short: int) -> int:
    """Return *ci* where everything is required, else *short*."""
    return ci if REQUIRE_ALL else short
