"""Follow logs as they grow, and say what a replay would find as soon as it can be found.

What it is: the audit of :mod:`brakeline.audit.replay`, kept running: each log is mirrored into the watcher's own folder
(verified, append-only, so that a log that goes back is caught), new entries are judged without reading old ones again,
and all logs are compared in every round. What is new is told once, as an alarm; what ends is told too. State survives
restarts: what was mirrored is judged again from the first entry, what was told is not told twice, and nothing is
skipped. What it is not: a service that anybody else can reach (``--metrics-port`` opens one local port on request).

Reading order: :mod:`~brakeline.audit.watch.follow` (one log), :mod:`~brakeline.audit.watch.alarms` (what is told, and
the memory of it), :mod:`~brakeline.audit.watch.rounds` (all logs together), :mod:`~brakeline.audit.watch.metrics`.
"""
