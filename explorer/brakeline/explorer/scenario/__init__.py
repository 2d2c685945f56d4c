"""Scenarios: a treaty and the world it would meet, as files in which every input says how it is known.

:mod:`~brakeline.explorer.scenario.form` says what may stand in one, :mod:`~brakeline.explorer.scenario.load` reads it
and explains every mistake by file and line, :mod:`~brakeline.explorer.scenario.presets` lists those that come with the
program, :mod:`~brakeline.explorer.scenario.designs` moves terms of a treaty's text and says how two designs differ.
"""
