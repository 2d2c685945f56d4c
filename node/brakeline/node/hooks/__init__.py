"""Hooks for trainers: PyTorch (:mod:`.torch`), Lightning (:mod:`.lightning`), Hugging Face (:mod:`.huggingface`).

Each needs its library (the extras ``torch``, ``lightning``, ``huggingface``) and nothing else beyond the standard
library; importing this package imports none of them. A trainer that is not here uses :mod:`brakeline.node.hook`.
"""
