"""The register: what admission remembers of one log prefix, and nothing more.

Keys and who holds them, and for every author the tree of statement digests: 40 bytes a statement, of which memory
holds the newest, and no payloads. A treaty and its amendments each name keys of their own; a statement is held against
those of the version that it names. Positions answer two questions: *is this digest here, at which index?*
and *is this parent here?* The register trusts its caller: :meth:`Register.record` is for statements that
:func:`brakeline.treaty.admission.admit` admitted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from brakeline.ledger.vkey import VKey
from brakeline.treaty.author_tree import AuthorTree, Node
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.rules.columns import Archive
from brakeline.treaty.statements import Enrolment, Statement


class Role(StrEnum):
    """What a key is enrolled for, as far as signing statements goes."""

    PARTY = "party"
    LAB_ROOT = "lab root"
    SITE = "site"
    METER = "meter"
    PROVIDER = "provider"
    VENDOR = "vendor"
    INSPECTOR = "inspector"
    EVALUATOR = "evaluator"


class Holder(NamedTuple):
    """Who holds a statement key, and as what."""

    role: Role
    name: str
    key: VKey


class _Version:
    """What one version of the treaty says of keys."""

    def __init__(self, document: TreatyDocument) -> None:
        self.document = document
        self.named_keys = frozenset(document.all_statement_and_log_keys())
        self.holders: dict[str, list[Holder]] = defaultdict(list)
        for party in document.parties:
            self._hold(Role.PARTY, party.name, party.key)
        for lab in document.labs:
            self._hold(Role.LAB_ROOT, lab.name, lab.root_key)
        for third in document.third_parties:
            self._hold(Role(third.kind), third.name, third.key)

    def _hold(self, role: Role, name: str, key: VKey) -> None:
        self.holders[key.keyid].append(Holder(role, name, key))


class Register:
    """What admission remembers of one log prefix: versions of the treaty and their keys, positions, digests."""

    def __init__(
        self, document: TreatyDocument, archive: Archive | None = None, versions: Iterable[TreatyDocument] = ()
    ) -> None:
        """Start from the keys of *document*, the first version, and an empty prefix; what is old goes to *archive*.

        *versions*: later ones that the caller believes, because a pin holds them; a log's own are recorded.
        """
        self._archive = archive
        self.document = document
        self.treaty_digest = document.digest
        self._versions = {item.digest: _Version(item) for item in (document, *versions)}
        self._sites: dict[str, list[Holder]] = defaultdict(list)
        self._chains: dict[str, AuthorTree] = {}
        self._unchained: dict[str, int] = {}

    def version(self, digest: str) -> TreatyDocument | None:
        """Return the version of the treaty with this digest, None where it is not known here."""
        known = self._versions.get(digest)
        return None if known is None else known.document

    def before(self, version: TreatyDocument) -> tuple[TreatyDocument, ...]:
        """Return the versions that *version* comes after, as far as they are known here, the newest first."""
        found: list[TreatyDocument] = []
        while (known := self.version(version.previous)) is not None:
            found.append(version := known)
        return tuple(found)

    def amendments(self) -> tuple[TreatyDocument, ...]:
        """Return the versions known here but the first, in the order in which they came."""
        return tuple(item.document for item in self._versions.values())[1:]

    def holders(self, keyid: str) -> tuple[Holder, ...]:
        """Who holds the key with this id, by any version or enrolment (several across these, which is a finding)."""
        named = [holder for item in self._versions.values() for holder in item.holders.get(keyid, ())]
        return tuple(dict.fromkeys((*named, *self._sites.get(keyid, ()))))

    def holds_under(self, holder: Holder, digest: str) -> bool:
        """Say whether *holder* is one under the version *digest*: named by it, or a site enrolled here."""
        if holder.role is Role.SITE:
            return True
        known = self._versions.get(digest)
        return known is not None and holder in known.holders.get(holder.key.keyid, ())

    def named_by(self, digest: str, keyid: str) -> bool:
        """Say whether the version *digest* itself names this key, in whatever role (log and witness keys included)."""
        known = self._versions.get(digest)
        return known is not None and keyid in known.named_keys

    def index_of(self, statement: Statement) -> int | None:
        """Return the log index of a statement this prefix holds, else None."""
        authored = statement.placed
        if authored is None:
            return self.find_unchained(statement.digest)
        return self.find_position(authored.author, authored.sequence, statement.digest)

    def find_position(self, author: str, sequence: int, digest: str) -> int | None:
        """Return the log index of the statement of *author* at *sequence* with this digest, else None."""
        chain = self._chains.get(author)
        if chain is None:
            return None
        return chain.find(sequence, bytes.fromhex(digest))

    def find_unchained(self, digest: str) -> int | None:
        """Return the log index of a statement without a chain (treaty, order), else None."""
        return self._unchained.get(digest)

    def holds(self, author: str, sequence: int, digest: str) -> bool:
        """Say whether the prefix holds this statement of this author at this position."""
        return self.find_position(author, sequence, digest) is not None

    def children(self, author: str, sequence: int, parent: str) -> int:
        """Return how many statements of *author* at *sequence* name *parent* as their parent."""
        chain = self._chains.get(author)
        raw = bytes.fromhex(parent)
        return len(chain.children(sequence, raw)) if chain else 0

    def heads(self, author: str) -> list[tuple[int, str]]:
        """Return the leaves of an author's tree as (sequence, digest), sorted: statements without a child here."""
        chain = self._chains.get(author)
        if chain is None:
            return []
        positions = {*chain.forks, chain.length() - 1}  # of the packed branch, only the last may be without a child
        leaves: list[tuple[int, str]] = []
        for position in sorted(p for p in positions if p >= 0):
            parents = {parent for _, parent, _ in chain.at(position + 1)}
            leaves += [(position, digest.hex()) for digest, _, _ in chain.at(position) if digest not in parents]
        return sorted(leaves)

    def record(self, statement: Statement, index: int) -> None:
        """Take a statement that was admitted, and appended at *index*, into the prefix."""
        authored = statement.placed
        if authored is None:
            self._unchained[statement.digest] = index
            if isinstance(statement.predicate, TreatyDocument):
                self._versions.setdefault(statement.predicate.digest, _Version(statement.predicate))
            return
        self.place(authored.author, authored.sequence, statement.digest, authored.previous, index)
        if isinstance(authored, Enrolment) and authored.action != "end":
            key = VKey.parse(authored.key)
            self._sites[key.keyid].append(Holder(Role.SITE, authored.site, key))

    def place(self, author: str, sequence: int, digest: str, previous: str, index: int) -> None:
        """Take the position of an admitted statement that is no enrolment into the prefix, without the statement."""
        chain = self._chains.get(author)
        if chain is None:
            chain = self._chains[author] = AuthorTree(self._archive)
        chain.add(sequence, Node(bytes.fromhex(digest), bytes.fromhex(previous), index))
