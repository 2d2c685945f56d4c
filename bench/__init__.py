"""Benchmarks: ratios to a denominator that is measured beside them, in one run, on one machine.

What it is: ``python -m bench`` (``make bench``), which starts a real verifier, sends it real batches, replays the log
it made, and writes JSON and a Markdown table to ``bench-out/``. What it is not: a part of the tests; nothing here
asserts.

An absolute figure of a shared machine means little a week later. Every figure is therefore divided by what the same
machine did in strict Ed25519 verifications just before and just after; of each figure at least five rounds are taken
and the median is quoted.

Reading order: :mod:`bench.denominator`, :mod:`bench.payloads`, :mod:`bench.ingest`, :mod:`bench.replay`,
:mod:`bench.log`, :mod:`bench.workbench`, :mod:`bench.report`.
"""
