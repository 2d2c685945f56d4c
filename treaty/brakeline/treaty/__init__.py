"""The terms of a treaty and the judgement by them: pure, exact, and the same code for every party.

What it is: the treaty document, statements and their envelopes, admission, rules, verdict. What it is not: anything
that reads a clock, a disk or a network (only :mod:`brakeline.treaty.commands`, the command line, does).

Reading order, which is the way of a statement from a site to a finding:

1. :mod:`~brakeline.treaty.quantities`, :mod:`~brakeline.treaty.names`, :mod:`~brakeline.treaty.strictjson`
2. :mod:`~brakeline.treaty.document` (the terms), :mod:`~brakeline.treaty.statements`,
   :mod:`~brakeline.treaty.envelope`
3. :mod:`~brakeline.treaty.admission` (may it enter a log?)
4. :mod:`~brakeline.treaty.findings`, :mod:`~brakeline.treaty.rules`, :mod:`~brakeline.treaty.judge` (what one log
   shows)
5. :mod:`~brakeline.treaty.replay`, :mod:`~brakeline.treaty.reconcile`, :mod:`~brakeline.treaty.verdict` (what several
   show)
6. :mod:`~brakeline.treaty.counting` and :mod:`~brakeline.treaty.chips` (how compute is counted),
   :mod:`~brakeline.treaty.statistics` (how much to look at), :mod:`~brakeline.treaty.validation` (published figures)
"""
