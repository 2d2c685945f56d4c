"""Outside compute records become books: what another system wrote down of chips, jobs and time.

What it is: ``brakeline node import``. What it is not: a meter; whether a record is true is not known here.

Reading order: :mod:`mapping` (which names mean what), :mod:`record` (one row, understood), :mod:`read` (files),
:mod:`place` (which rows fit, pure), :mod:`bookings` (what a period's books then say, pure), :mod:`importing` (through
the journal: books, corrections).
"""
