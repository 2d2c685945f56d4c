"""What a treaty buys, before it is signed: worlds with the truth beside them, cheats, and the real rules over both.

What it is: :mod:`~brakeline.explorer.worlds` makes honest worlds (labs, sites, runs, failures, meters) from a seed and
lets them speak in the treaty's own statements; :mod:`~brakeline.explorer.evasion` turns a world into a cheat's, one
strategy at a time, with the truth kept beside what is said; :mod:`~brakeline.explorer.trials` runs many of them through
the judge that verifiers run and counts. What it is not: a second judgement. Nothing here decides what a finding is, and
no verifier imports this room.

Random numbers come from explicit seeds only; the same seed gives the same world on every machine.
"""
