"""Python's garbage collector, set for processes that read statements by the thousand and keep what they say.

Reading a statement makes some fifty small objects that reference counting frees; those that are kept (registers, trees,
findings) hold no cycles. The collector's defaults look at all of that again after every 700 objects: measured, a third
to a half of the time of reading. Collected still, only less often, and not what was there before the work began.
"""

from __future__ import annotations

import gc

YOUNG = 100_000
"""Objects made before the youngest are looked at: some hundred statements."""


def settle() -> None:
    """Set the collector of this process for long work; call it once what is loaded at the start is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 50, 100)
