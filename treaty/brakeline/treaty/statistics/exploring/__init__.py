"""Exploring: statistics in floating point, for negotiators, charts and the choice of a treaty's integers.

What it is: everything that needs a normal distribution, a matrix or a logarithm. What it is not: anything a finding may
rest on. Two machines may differ in the last digits, so no rule, no admission and no verdict imports this package
(the import contract *No finding rests on floating point*); what is chosen with it enters a treaty as integers.

Reading order: :mod:`~brakeline.treaty.statistics.exploring.normal`,
:mod:`~brakeline.treaty.statistics.exploring.muf`, :mod:`~brakeline.treaty.statistics.exploring.run_length`,
:mod:`~brakeline.treaty.statistics.exploring.fusion`.
"""
