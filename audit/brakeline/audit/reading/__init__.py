"""How an audit reads a long log: signatures verified ahead by other processes, a state to go on from, what was kept.

:mod:`~brakeline.audit.reading.ahead` (worker processes), :mod:`~brakeline.audit.reading.state` (what is saved of a
replay and what makes it believed), :mod:`~brakeline.audit.reading.pace` (rate and time left),
:mod:`~brakeline.audit.reading.one` (one log with all of it). None of it changes what an audit concludes: one log has
one report, however it was read.
"""
