"""The fast model: sites, cheats and rules as arrays, and the exact mode that holds it against the real rules.

:mod:`~brakeline.explorer.model.habits` has the numbers, :mod:`~brakeline.explorer.model.sample` draws worlds,
:mod:`~brakeline.explorer.model.books` says what they book and what a cheat's books say,
:mod:`~brakeline.explorer.model.rules` judges all worlds at once, :mod:`~brakeline.explorer.model.exact` lets the judge
of verifiers judge the same worlds, :mod:`~brakeline.explorer.model.agree` holds the two against each other,
:mod:`~brakeline.explorer.model.many` judges many designs at once.

Arrays have a row a period and a column a world. FLOP are shares of what all chips of the site can do in a period at
their dense peak, joules shares of what all boards draw in a period at full power. Floating point: it explores.
"""
