"""The command line of the terms: ``brakeline key``, ``brakeline treaty``, ``brakeline brake``.

What it is: the only part of :mod:`brakeline.treaty` that touches files, a terminal, a clock or randomness; each command
reads, calls the pure modules, and prints. What it is not: a place where anything is decided.

Nothing heavy is imported before a command runs. Exit codes: 0 fine, 2 wrong usage (typer), 3 a mistake in what was
read, 4 not complete yet (``treaty sign``, ``treaty show`` and ``brake status`` with ``--require-complete``).

Reading order: :mod:`~brakeline.treaty.commands.files`, then ``key``, ``treaty``, ``validation``, ``brake``.
"""

from brakeline.treaty.commands.brake import brake_app
from brakeline.treaty.commands.key import key_app
from brakeline.treaty.commands.treaty import treaty_app
from brakeline.treaty.commands.validation import validate

__all__ = ["brake_app", "key_app", "treaty_app", "validate"]
