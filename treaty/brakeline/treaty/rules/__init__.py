"""The log rules: what one prefix of one log shows. Each is a small incremental function of a *set* of statements.

A rule takes admitted statements one at a time (:meth:`~brakeline.treaty.rules.board.LogRule.add`) and keeps its
findings on a :class:`~brakeline.treaty.rules.board.Board`. What stands on the board depends on the set of statements
alone, never on their order or time of arrival, so that honest logs with the same statements hold the same findings
(``tests/treaty/test_judge.py`` tries this on random orders). No clock, no float, no I/O.

Each module's docstring says what its rule sees, what it cannot see, its arithmetic and its source. Which rules run,
with which parameters, severity and article, is the treaty's choice; :mod:`brakeline.treaty.judge` puts them together.
Rules over several logs are in :mod:`brakeline.treaty.reconcile`.
"""
