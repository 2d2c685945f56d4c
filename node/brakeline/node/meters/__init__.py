"""Meters: what a machine, a cluster's scheduler or a process says of its own use, as raw integers that are kept.

What it is: several ways to read counters behind one narrow protocol. What it is not: the books. A meter says what it
read and what it could not read; what a period adds up to, and which activity it was, is decided elsewhere
(:mod:`brakeline.node.books`). No meter changes a setting of what it meters.

Reading order: :mod:`protocol` (a reading, a gap, what a meter sees), :mod:`totals` (from readings to amounts and
shares), :mod:`kept` (readings on disk, and what commits to them); then the meters: :mod:`processes`, :mod:`nvml`,
:mod:`dcgm`, :mod:`slurm`; :mod:`available` (which of them work here).
"""
