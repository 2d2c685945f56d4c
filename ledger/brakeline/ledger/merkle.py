"""Merkle trees of RFC 6962 / RFC 9162: hashing, proofs, and the compact range that a writer keeps.

    leaf hash = SHA-256(0x00 || entry)        node hash = SHA-256(0x01 || left || right)        empty root = SHA-256("")

Subtrees are addressed as (level, index): level 0 are leaf hashes; (l, i) covers leaves [i << l, (i + 1) << l) and only
*complete* subtrees have a hash that never changes. Proof makers read such hashes through a :data:`HashReader`; proof
checkers take index, sizes and roots from their caller and only sibling hashes from the prover, and they decide for
trees up to 2^63. Algorithms: RFC 9162, sections 2.1.3.2 and 2.1.4.2.

>>> frontier = Frontier()
>>> for item in (b"a", b"b", b"c"):
...     completed = frontier.append(leaf_hash(item))
>>> verify_inclusion(2, 3, leaf_hash(b"c"), [node_hash(leaf_hash(b"a"), leaf_hash(b"b"))], frontier.root())
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from brakeline.ledger.errors import ProofError

HASH_SIZE = 32
_SHARED = 8
"""From this level on the hashes of a proof are kept for the leaf's 2^8 neighbours."""
MAX_SIZE = 2**63
EMPTY_ROOT = hashlib.sha256(b"").digest()

HashReader: TypeAlias = Callable[[int, int], bytes]
"""(level, index) -> the 32-byte hash of a complete subtree."""


def leaf_hash(data: bytes) -> bytes:
    """Return the leaf hash of an entry's bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The compact range of a tree: the roots of its complete subtrees, largest first. Appending costs O(log n)."""

    __slots__ = ("_roots", "_size")

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        """Start from the *roots* (32 bytes each) of the complete subtrees of a tree of *size* leaves."""
        if len(roots) != size.bit_count() or any(len(item) != HASH_SIZE for item in roots):
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} complete subtrees, got {len(roots)}")
        self._size = size
        self._roots = list(roots)

    @classmethod
    def read(cls, size: int, read: HashReader) -> Frontier:
        """Return the frontier of a tree of *size* leaves from stored subtree hashes."""
        return cls(size, [read(level, index) for level, index in complete_subtrees(size)])

    @property
    def size(self) -> int:
        """Leaves."""
        return self._size

    @property
    def roots(self) -> tuple[bytes, ...]:
        """Roots of the complete subtrees, largest first."""
        return tuple(self._roots)

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Append a leaf hash; return the subtrees it completed as (level, index, hash), the leaf itself first."""
        completed = [(0, self._size, leaf)]
        level, index, node = 0, self._size, leaf
        while index & 1:
            node = node_hash(self._roots.pop(), node)
            level, index = level + 1, index >> 1
            completed.append((level, index, node))
        self._roots.append(node)
        self._size += 1
        return completed

    def root(self) -> bytes:
        """Return the root hash of the tree."""
        if not self._roots:
            return EMPTY_ROOT
        node = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            node = node_hash(left, node)
        return node

    def copy(self) -> Frontier:
        """Return an independent copy."""
        return Frontier(self._size, self._roots)


def complete_subtrees(size: int) -> Iterator[tuple[int, int]]:
    """Yield (level, index) of the complete subtrees that make up a tree of *size* leaves, largest first."""
    start = 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            yield level, start >> level
            start += 1 << level


def root_from(size: int, read: HashReader) -> bytes:
    """Return the root of a tree of *size* leaves from stored subtree hashes."""
    return Frontier.read(size, read).root()


def inclusion_proof(index: int, size: int, read: HashReader) -> list[bytes]:
    """Return the inclusion proof of leaf *index* in a tree of *size* leaves, leaf's sibling first.

    Raises:
        ProofError: ``proof-range`` unless 0 <= index < size <= 2^63.
    """
    return InclusionProofs(size, read).of(index)


class InclusionProofs:
    """Many inclusion proofs in one tree: what they share is computed once.

    Let *last* be the newest leaf, and *inner* the level from which on leaf and *last* have one ancestor. Below it every
    sibling of the leaf's path is a complete subtree, but for the topmost, which holds *last* and may be incomplete;
    above it stand, to the left, the complete subtrees that *last* has there too (RFC 9162, 2.1.3.1, read bottom up).
    """

    def __init__(self, size: int, read: HashReader) -> None:
        """Prove in the tree of *size* leaves whose complete subtrees *read* returns."""
        self._size = size
        self._read = read
        self._above: dict[tuple[int, int], list[bytes]] = {}

    def of(self, index: int) -> list[bytes]:
        """Return the inclusion proof of leaf *index*, leaf's sibling first.

        Raises:
            ProofError: ``proof-range`` unless 0 <= index < size <= 2^63.
        """
        if not 0 <= index < self._size <= MAX_SIZE:
            raise _range("0 <= index < size <= 2^63", f"index {index}, size {self._size}")
        inner = (index ^ (self._size - 1)).bit_length()
        low = min(inner - 1, _SHARED)
        read = self._read
        proof = [read(level, index >> level ^ 1) for level in range(low)]
        above = self._above.get((inner, index >> _SHARED))
        if above is None:
            above = [read(level, index >> level ^ 1) for level in range(low, inner - 1)] + self._edge(inner)
            self._above[inner, index >> _SHARED] = above
        return proof + above

    def _edge(self, inner: int) -> list[bytes]:
        """The hashes that end the proof of all leaves of one *inner*: the right neighbour, then those to the left."""
        last = self._size - 1
        edge: list[bytes] = []
        if inner:
            edge.append(_range_hash(last >> (inner - 1) << (inner - 1), self._size, self._read))
        edge += [
            self._read(level, (last >> level) - 1) for level in range(inner, last.bit_length()) if last >> level & 1
        ]
        return edge


def consistency_proof(size1: int, size2: int, read: HashReader) -> list[bytes]:
    """Return the proof that the tree of *size1* leaves is a prefix of that of *size2* (empty for 0 or equal sizes).

    Raises:
        ProofError: ``proof-range`` unless 0 <= size1 <= size2 <= 2^63.
    """
    if not 0 <= size1 <= size2 <= MAX_SIZE:
        raise _range("0 <= size1 <= size2 <= 2^63", f"{size1}, {size2}")
    if size1 in (0, size2):
        return []
    return _subproof(size1, 0, size2, True, read)


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Check that *leaf* (a leaf hash) is leaf *index* of the tree of *size* leaves with this *root*.

    Raises:
        ProofError: ``proof-range``, ``proof-length``, ``proof-hash-size``, ``proof-root-mismatch``.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise _range("0 <= index < size <= 2^63", f"index {index}, size {size}")
    _check_hashes((leaf, root, *proof))
    inner = (index ^ (size - 1)).bit_length()
    border = (index >> inner).bit_count()
    if len(proof) != inner + border:
        raise _length(inner + border, len(proof))
    node = leaf
    for level, sibling in enumerate(proof[:inner]):
        node = node_hash(sibling, node) if index >> level & 1 else node_hash(node, sibling)
    for sibling in proof[inner:]:
        node = node_hash(sibling, node)
    _match(node, root, "inclusion proof")


def verify_consistency(size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes) -> None:
    """Check that the tree (*size1*, *root1*) is a prefix of the tree (*size2*, *root2*).

    From size 0 the proof must be empty and *root1* the empty root; from equal sizes it must be empty and the roots
    equal (that of size 0 is the empty root).

    Raises:
        ProofError: as :func:`verify_inclusion`.
    """
    if not 0 <= size1 <= size2 <= MAX_SIZE:
        raise _range("0 <= size1 <= size2 <= 2^63", f"{size1}, {size2}")
    if size1 in (0, size2):
        if proof:
            raise _length(0, len(proof))
        if size1 == 0:
            _match(root1, EMPTY_ROOT, "consistency proof (smaller tree)")
        if size1 == size2:
            _match(root2, root1, "consistency proof")
        else:
            _check_hashes((root2,))
        return
    _check_hashes((root1, root2, *proof))
    shift = (size1 & -size1).bit_length() - 1
    last = size1 - 1
    inner = (last ^ (size2 - 1)).bit_length() - shift
    border = (last >> (inner + shift)).bit_count()
    start = 0 if size1 == 1 << shift else 1
    if len(proof) != start + inner + border:
        raise _length(start + inner + border, len(proof))
    seed = root1 if start == 0 else proof[0]
    mask = last >> shift
    one = two = seed
    for level, sibling in enumerate(proof[start : start + inner]):
        if mask >> level & 1:
            one = node_hash(sibling, one)
            two = node_hash(sibling, two)
        else:
            two = node_hash(two, sibling)
    for sibling in proof[start + inner :]:
        one = node_hash(sibling, one)
        two = node_hash(sibling, two)
    _match(one, root1, "consistency proof (smaller tree)")
    _match(two, root2, "consistency proof (larger tree)")


def _split(size: int) -> int:
    """Largest power of two below *size* (size >= 2)."""
    return 1 << ((size - 1).bit_length() - 1)


def _range_hash(start: int, stop: int, read: HashReader) -> bytes:
    """Hash of leaves [start, stop), where start is a multiple of the power of two at or above stop - start."""
    size = stop - start
    nodes = [read(level, (start >> level) + index) for level, index in complete_subtrees(size)]
    node = nodes[-1]
    for left in reversed(nodes[:-1]):
        node = node_hash(left, node)
    return node


def _subproof(size1: int, start: int, stop: int, whole: bool, read: HashReader) -> list[bytes]:
    proof: list[bytes] = []
    while size1 != stop:
        middle = start + _split(stop - start)
        if size1 <= middle:
            proof.append(_range_hash(middle, stop, read))
            stop = middle
        else:
            proof.append(_range_hash(start, middle, read))
            start, whole = middle, False
    if not whole:
        proof.append(_range_hash(start, stop, read))
    return proof[::-1]


def _check_hashes(hashes: Sequence[bytes]) -> None:
    for item in hashes:
        if len(item) != HASH_SIZE:
            raise ProofError(
                code="proof-hash-size",
                message="a hash has the wrong size",
                expected="32 bytes",
                found=f"{len(item)} bytes",
            )


def _match(found: bytes, expected: bytes, what: str) -> None:
    if found != expected:
        raise ProofError(
            code="proof-root-mismatch",
            message=f"the {what} leads to another root",
            expected=expected.hex(),
            found=found.hex(),
        )


def _range(expected: str, found: str) -> ProofError:
    return ProofError(code="proof-range", message="index or size out of range", expected=expected, found=found)


def _length(expected: int, found: int) -> ProofError:
    return ProofError(
        code="proof-length",
        message="the proof has the wrong number of hashes",
        expected=str(expected),
        found=str(found),
    )
