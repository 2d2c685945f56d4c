"""A verification body's server: takes statements, judges them, keeps a log nobody can rewrite, watches the others.

What it is: one process with one log, one witness, and one copy of every peer's log. What it is not: a judge of last
instance (its findings are recomputed by anyone), a consensus member (order between logs does not matter), or a holder
of secrets other than its own keys.

Reading order, along the way of a statement:

    config, keys, setup     the directory, the pinned treaty
    tls, guard              who calls, and how much they may
    wire, service           proto <-> domain; the RPCs
    desk                    a call, from batch to receipts
    intake                  admission of a batch (pure)
    loop                    the one writer: when to commit
    state                   what is committed, and what it means
    storage                 the stores behind it: log, last checkpoint, proofs, tiles
    publish, clients        cosignatures of a quorum
    clock                   our clock against the witnesses': may an entry be dated now
    witness, witness_store  cosigning the others' checkpoints
    mirrors, peers          reading the others, taking over what is lacking
    http                    the public read side
    boot, server            what starts in which order, and when the log must not be signed
    recover                 a lost checkpoint store, put back from the witnesses' memory
"""
