"""Spot checks: a period's chip x slot table, which of its rows are drawn, and what an opened row must be. Pure.

:mod:`~brakeline.treaty.spotcheck.table` (rows, salts, root, proofs), :mod:`~brakeline.treaty.spotcheck.draw` (beacon,
rows drawn, how many), :mod:`~brakeline.treaty.spotcheck.check` (an opened row against the books). What follows from
them is in :mod:`brakeline.treaty.rules.false_opening`. Format: docs/spec/spotchecks.md.
"""
