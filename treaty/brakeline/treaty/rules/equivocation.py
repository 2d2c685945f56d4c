"""``equivocation``: an author signed two different statements for one place in its chain.

Sees: two admissible statements of one author with the same parent, whatever their predicates and keys. Both are
self-authenticating, so the pair convicts without the log.
Cannot see: a second version that no log of honest verifiers ever received.
Arithmetic: none. One finding per parent, which cites every child; a further child replaces it.
Figures: ``sequence`` and ``parent`` of the place, ``versions`` (how many children).
Source: docs/spec/admission.md (an author's statements form a tree).
"""

from __future__ import annotations

from brakeline.treaty.author_tree import AuthorTree, Node
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.rules.board import Board, make
from brakeline.treaty.rules.books import Said
from brakeline.treaty.terms import RuleTerms


class Equivocation:
    """Holds every author's tree of digests."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:  # noqa: ARG002  (as every rule)
        """Judge by *terms*; nothing of *document* is needed."""
        self._terms = terms
        self._board = board
        self._trees: dict[str, AuthorTree] = {}

    def add(self, said: Said) -> None:
        """Look for siblings of what was *said*."""
        authored = said.statement.authored
        if authored is None:
            return
        tree = self._trees.setdefault(authored.author, AuthorTree())
        parent = bytes.fromhex(authored.previous)
        tree.add(authored.sequence, Node(bytes.fromhex(said.statement.digest), parent, 0))
        versions = tree.children(authored.sequence, parent)
        if len(versions) < 2:
            return
        finding = make(
            self._terms,
            authored.author,
            statements=(digest.hex() for digest in versions),
            figures={"sequence": authored.sequence, "parent": authored.previous, "versions": len(versions)},
        )
        self._board.put(("equivocation", authored.author, authored.sequence, parent), finding)
