"""A whole treaty on one machine: for the demo, the tests and the benchmarks.

Every party is a real process with real keys, real gRPC over mutual TLS, a real log; they meet on loopback only. Labs that
cheat are built here, on top of the node's library, and nowhere else: the node has no switch for lying.

Reading order: :mod:`~brakeline.testnet.plan` (the plot), :mod:`~brakeline.testnet.terms` (the treaty),
:mod:`~brakeline.testnet.ca`, :mod:`~brakeline.testnet.build` (keys, signatures, folders), :mod:`~brakeline.testnet.cheat`
and :mod:`~brakeline.testnet.meter` (processes that play a part), :mod:`~brakeline.testnet.processes`,
:mod:`~brakeline.testnet.stage` (the play), :mod:`~brakeline.testnet.compare` (planted truth against findings).
"""
