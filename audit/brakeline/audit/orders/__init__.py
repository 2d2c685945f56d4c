"""The report of one order: who saw it, who stopped, when, and how much compute leaked meanwhile.

What it is: the figures of :mod:`brakeline.treaty.order_report`, computed from logs that are replayed and verified
first, as JSON (docs/spec/report.md, "The report of an order"), as text and as one self-contained page with a plot a
site. What it is not: a second judge: findings are those of the audit, as far as they rest on the order.

Reading order: ``gather`` (sources -> figures, and the exit code), ``plain`` (JSON), ``text`` (a terminal), ``plot``
(compute over time, with the order drawn in), ``page`` (HTML).
"""
