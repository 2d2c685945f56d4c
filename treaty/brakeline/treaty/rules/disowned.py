"""``disowned``: what a key signed off the branch that its revocation honours.

Sees: statements of a site, signed by a key that its lab ended, which are neither the last statement that the lab stands
by nor an ancestor of it. They stay in the log, and the rules read them as any other: what a thief signs is shown, and
shown to be a thief's.
Cannot see: who held the key; a theft that nobody noticed; anything, while the log lacks the statement that is honoured.
Arithmetic: none (:mod:`brakeline.treaty.rules.branches`). One finding a revocation, which cites it and the statements.
Figures: ``key`` (its id), ``sequence`` and ``honours`` (the last statement that stands), ``statements`` (how many are
disowned). About the site.
Source: docs/spec/rules.md; revocation as in protocol: it never affects admission.
"""

from __future__ import annotations

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.rules.board import MAX_CITED, Board, make
from brakeline.treaty.rules.books import Said
from brakeline.treaty.terms import RuleTerms


class Disowned:
    """Tells what the revocations of a prefix disown."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:  # noqa: ARG002  (as every rule)
        """Judge by *terms*; nothing of *document* is needed."""
        self._terms = terms
        self._board = board

    def add(self, said: Said) -> None:
        """Tell what the statement *said* has changed."""
        for revocation, _ in said.touched:
            figures = {
                "key": revocation.keyid,
                "sequence": revocation.sequence,
                "honours": revocation.honoured.hex(),
                "statements": len(revocation.disowned),
            }
            some = sorted(digest.hex() for digest in revocation.disowned)[: MAX_CITED - 1]
            finding = make(self._terms, revocation.site, statements=[revocation.digest, *some], figures=figures)
            self._board.put((self._terms.rule, revocation.digest), finding)
