"""Every author's statements as a tree, by which key each was signed, and which of them a revocation does not honour.

A lab that ends a site's key names the last statement it stands by (``honours``). What that key signed is honoured where
it is that statement or an ancestor of it, and *disowned* everywhere else: on another branch, or later. When the
revocation arrives, or in which order, changes nothing; while a log lacks the honoured statement, nothing is decided.

It keeps 40 bytes a statement (:mod:`brakeline.treaty.author_tree`), and the digests of what is disowned.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from brakeline.ledger.vkey import VKey
from brakeline.treaty.author_tree import ROOT, AuthorTree, Node
from brakeline.treaty.rules.columns import Archive
from brakeline.treaty.statements import Enrolment, Statement


@dataclass(slots=True, eq=False)
class Revocation:
    """One key that ended.

    Attributes:
        digest: of the enrolment statement that says so.
        site: whose key it was.
        keyid: the key.
        sequence, honoured: the last statement that stands (its place in the chain, its digest).
        disowned: digests of what the key signed elsewhere.
        whole: whether the honoured branch is known down to its root.
    """

    digest: str
    site: str
    keyid: str
    sequence: int
    honoured: bytes
    disowned: set[bytes] = field(default_factory=set[bytes])
    _path: dict[int, bytes] = field(default_factory=dict[int, bytes])
    whole: bool = False

    def follow(self, tree: AuthorTree) -> bool:
        """Find the honoured branch in *tree*; return whether it is known down to its root."""
        if self.whole:
            return True
        self._path.clear()
        sequence, wanted = self.sequence, self.honoured
        while sequence >= 0:
            node = next((node for node in tree.at(sequence) if node.digest == wanted), None)
            if node is None:
                return False
            self._path[sequence] = wanted
            sequence, wanted = sequence - 1, node.parent
        self.whole = wanted == ROOT
        return self.whole

    def honours(self, sequence: int, digest: bytes) -> bool:
        """Say whether the statement *digest* stands on the honoured branch."""
        return self._path.get(sequence) == digest


class Touched(NamedTuple):
    """A revocation that disowns more than before; *older*: perhaps of what came before the newest statement, too."""

    revocation: Revocation
    older: bool


class Branches:
    """The trees of all authors of one prefix, and the revocations in it."""

    def __init__(self, archive: Archive | None = None) -> None:
        """Start empty; what is old goes to *archive*, by default memory."""
        self._trees: defaultdict[str, AuthorTree] = defaultdict(partial(AuthorTree, archive))
        self._numbers: dict[str, int] = {}
        self._revocations: defaultdict[str, list[Revocation]] = defaultdict(list)

    def add(self, statement: Statement) -> list[Touched]:
        """Take an admitted statement in; return the revocations that disown more since."""
        authored = statement.placed
        if authored is None:
            return []
        keyid = statement.signed_by[0] if statement.signed_by else ""
        digest = bytes.fromhex(statement.digest)
        self._trees[authored.author].add(
            authored.sequence, Node(digest, bytes.fromhex(authored.previous), self._number(keyid))
        )
        touched: list[Touched] = []
        if isinstance(authored, Enrolment) and (last := authored.honours) is not None:
            ended = VKey.parse(authored.replaced or authored.key).keyid
            made = Revocation(statement.digest, authored.site, ended, last.sequence, bytes.fromhex(last.digest))
            self._revocations[authored.site].append(made)
            touched += self._judge(made)
        for revocation in self._revocations.get(authored.author, ()):
            touched += self._judge_one(revocation, authored.sequence, digest, keyid)
        return touched

    def children(self, author: str, sequence: int, parent: bytes) -> list[bytes]:
        """Return the digests of the statements of *author* at *sequence* whose parent is *parent*."""
        return self._trees[author].children(sequence, parent)

    def disowned(self, author: str, digest: bytes) -> bool:
        """Say whether some revocation disowns the statement *digest* of *author*."""
        return any(digest in revocation.disowned for revocation in self._revocations.get(author, ()))

    def _number(self, keyid: str) -> int:
        return self._numbers.setdefault(keyid, len(self._numbers))

    def _judge(self, revocation: Revocation) -> list[Touched]:
        """Look at everything the key signed."""
        tree, number = self._trees[revocation.site], self._number(revocation.keyid)
        if not revocation.follow(tree):
            return []
        sequences = {*range(tree.length()), *tree.forks}
        revocation.disowned = {
            node.digest
            for sequence in sequences
            for node in tree.at(sequence)
            if node.place == number and not revocation.honours(sequence, node.digest)
        }
        return [Touched(revocation, older=True)] if revocation.disowned else []

    def _judge_one(self, revocation: Revocation, sequence: int, digest: bytes, keyid: str) -> list[Touched]:
        """Look at one more statement of the site; at all of them where it completes the honoured branch."""
        if not revocation.whole:
            return self._judge(revocation)
        if keyid != revocation.keyid or revocation.honours(sequence, digest):
            return []
        revocation.disowned.add(digest)
        return [Touched(revocation, older=False)]
