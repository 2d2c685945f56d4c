"""Every way we know to get round a treaty, each a small function that turns an honest world into a cheat's.

:mod:`~brakeline.explorer.evasion.strategy` says what a strategy is, :mod:`~brakeline.explorer.evasion.hidden` adds the
training that is to be hidden, and the other modules hold the strategies by what they lie about. ``STRATEGIES`` lists
them all, in the order of the table in docs/evasion.md.
"""

from __future__ import annotations

from brakeline.explorer.evasion import books, brake, hardware, labels, models, rows, splitting
from brakeline.explorer.evasion.strategy import Strategy

STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        *labels.STRATEGIES,
        *books.STRATEGIES,
        *splitting.STRATEGIES,
        *hardware.STRATEGIES,
        *brake.STRATEGIES,
        *rows.STRATEGIES,
        *models.STRATEGIES,
    )
}
"""Name -> strategy."""
