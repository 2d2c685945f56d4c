"""The log: a hash-chained Merkle log to the letter of the public standards. It knows no treaty.

Pure half (no I/O; an auditor must trust it): :mod:`~brakeline.ledger.ed25519`, :mod:`~brakeline.ledger.vkey`,
:mod:`~brakeline.ledger.entry`, :mod:`~brakeline.ledger.merkle`, :mod:`~brakeline.ledger.tiles`,
:mod:`~brakeline.ledger.note`, :mod:`~brakeline.ledger.checkpoint`, :mod:`~brakeline.ledger.policy`,
:mod:`~brakeline.ledger.proof`. Read in this order.

I/O half: :mod:`~brakeline.ledger.store` and its SQLite engine, :mod:`~brakeline.ledger.sequencer` (the one writer),
:mod:`~brakeline.ledger.source` and :mod:`~brakeline.ledger.reader` (read and verify), :mod:`~brakeline.ledger.mirror`,
:mod:`~brakeline.ledger.export`, :mod:`~brakeline.ledger.fsck`, :mod:`~brakeline.ledger.prove`,
:mod:`~brakeline.ledger.serve`, :mod:`~brakeline.ledger.backup`, :mod:`~brakeline.ledger.keyfile`.
"""
