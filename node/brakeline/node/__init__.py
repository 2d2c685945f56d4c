"""A lab's node: meters, keys, books, outbox, sender, brake hook.

It is the one process a lab runs next to its training. It books every chip-millisecond of a site, signs the books,
gets them to every verifier, keeps the receipts, and presses the brake when the parties order it. It is not a
verifier, judges nothing, and never believes one: an order counts only with the signatures the pinned treaty demands.

Reading order, along the way of a figure from the chip to the log: :mod:`hook` (inside the training process),
:mod:`meter` and :mod:`relay` (around it), :mod:`channel` (the Unix socket), :mod:`journal` (what must survive),
:mod:`books` (what a period adds up to), :mod:`site` (the next statement, signed once), :mod:`sender` and :mod:`watch`
(the verifiers), :mod:`brake` with :mod:`ranks` and :mod:`acknowledge`, :mod:`service` (how it runs), :mod:`commands`.
"""
