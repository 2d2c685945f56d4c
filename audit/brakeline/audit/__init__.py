"""An auditor's tools: recompute everything a set of logs says, trust nobody, name the first divergence.

What it is: the reader's side of the protocol. It starts from a treaty whose digest the auditor has pinned and from the
addresses of logs, and ends in a report of three levels (run-correct, run-complete, fleet-complete) and an exit code.
What it is not: a judge. Every conclusion is computed by :mod:`brakeline.treaty`, the same code that a verifier runs;
this package reads, compares and reports.

Reading order, which is the way of a log to a report:

1. :mod:`~brakeline.audit.replay`: one source -> verified entries -> replayed log
2. :mod:`~brakeline.audit.receipts`: receipts against the logs that gave them
3. :mod:`~brakeline.audit.evidence`: one file a misdeed, which convicts alone
4. :mod:`~brakeline.audit.report`: several replays -> one report (JSON, text) and its exit code
5. :mod:`~brakeline.audit.html`, :mod:`~brakeline.audit.page`, :mod:`~brakeline.audit.detail`: the same report as one
   self-contained page, with books, lineages and orders
6. :mod:`~brakeline.audit.watch`: the same, kept running
7. :mod:`~brakeline.audit.orders`: what became of one order
8. :mod:`~brakeline.audit.commands`: the command line
9. :mod:`~brakeline.audit.vectors`: byte-exact test vectors of the formats, for other implementations
"""
