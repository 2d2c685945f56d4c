"""``equivocation``: an author signed two different statements for one place in its chain.

Sees: two admissible statements of one author with the same parent, whatever their predicates and keys. Both are
self-authenticating, so the pair convicts without the log.
Cannot see: a second version that no log of honest verifiers ever received.
Arithmetic: none. One finding per parent, which cites every child; a further child replaces it. Where a revocation
disowns one of the children (:mod:`brakeline.treaty.rules.branches`) a referral becomes a discrepancy: it may be a
thief's.
Figures: ``sequence`` and ``parent`` of the place, ``versions`` (how many children).
Source: docs/spec/admission.md (an author's statements form a tree).
"""

from __future__ import annotations

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Severity
from brakeline.treaty.rules.board import Board, make
from brakeline.treaty.rules.books import Said
from brakeline.treaty.terms import RuleTerms


class Equivocation:
    """Tells where authors have several children of one parent."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:  # noqa: ARG002  (as every rule)
        """Judge by *terms*; nothing of *document* is needed."""
        self._terms = terms
        self._board = board
        self._places: dict[str, set[tuple[int, str]]] = {}

    def add(self, said: Said) -> None:
        """Look for siblings of what was *said*, and again at known ones of a site whose key ended."""
        authored = said.statement.placed
        if authored is None:
            return
        self._judge(authored.author, authored.sequence, authored.previous)
        for revocation, older in said.touched:
            for sequence, parent in self._places.get(revocation.site, ()) if older else ():
                self._judge(revocation.site, sequence, parent)

    def _judge(self, author: str, sequence: int, parent: str) -> None:
        versions = self._board.branches.children(author, sequence, bytes.fromhex(parent))
        if len(versions) < 2:
            return
        self._places.setdefault(author, set()).add((sequence, parent))
        finding = make(
            self._terms,
            author,
            statements=(digest.hex() for digest in versions),
            figures={"sequence": sequence, "parent": parent, "versions": len(versions)},
        )
        stolen = any(self._board.branches.disowned(author, digest) for digest in versions)
        if stolen and finding.severity is Severity.REFERRAL:
            finding = finding.model_copy(update={"severity": Severity.DISCREPANCY})
        self._board.put((self._terms.rule, author, sequence, parent), finding)
