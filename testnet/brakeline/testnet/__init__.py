"""A whole treaty on one machine: for the demo, the tests and the benchmarks.

Every party is a real process with real keys, real gRPC over mutual TLS, a real log; they meet on loopback only. Labs
that cheat are built here, on top of the node's library, and nowhere else: the node has no switch for lying.

Reading order: ``plan`` (the plot), ``terms`` (the treaty), ``ca``, ``ports``, ``build`` (keys, signatures, folders),
``cheat`` and ``meter`` (processes that play a part), ``processes``, ``observer`` (looking on), ``stage`` (the play),
``compare`` (planted truth against findings), ``outcome`` (what is left behind), ``show``, ``whole``, ``commands``.
"""
