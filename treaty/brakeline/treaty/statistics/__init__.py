"""How much an inspector must look at, and what looking that much shows: the statistics of safeguards, on chip-hours.

What it is: closed formulas of nuclear safeguards, applied to chips, chip-hours and training segments. Everything in
this package itself is exact: integers in, integers or :class:`~fractions.Fraction` out, the same on every machine, so
that a finding may rest on it. What it is not: a judgement. A sample size says how likely a cheat of a given size is to
be *seen*; that a site passed its sample never says that it is honest.

:mod:`~brakeline.treaty.statistics.exploring` is apart: it computes with floating point, for negotiators and charts, and
an import contract keeps every rule, and all admission, from it.

Reading order:

1. :mod:`~brakeline.treaty.statistics.bounds` (what may be asked), :mod:`~brakeline.treaty.statistics.exact` (comparing
   powers without rounding)
2. :mod:`~brakeline.treaty.statistics.attribute` (how many items to draw),
   :mod:`~brakeline.treaty.statistics.chip_sampling` (how many chips to visit),
   :mod:`~brakeline.treaty.statistics.segments` (how much training to run again)
3. :mod:`~brakeline.treaty.statistics.committee` (captured committees, split views),
   :mod:`~brakeline.treaty.statistics.timeliness` (how long a significant quantity takes),
   :mod:`~brakeline.treaty.statistics.page` (a small loss, every period)
4. :mod:`~brakeline.treaty.statistics.exploring`
"""
