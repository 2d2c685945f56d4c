"""Trees and proofs against RFC 6962's recursive definitions, and against an implementation that nobody here wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from random import Random

import pymerkle
import pytest
from brakeline.ledger import merkle
from brakeline.ledger.errors import ProofError
from brakeline.ledger.merkle import (
    EMPTY_ROOT,
    Frontier,
    InclusionProofs,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_from,
    verify_consistency,
    verify_inclusion,
)
from brakeline.ledger.treebuilder import TileBuilder
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.ledger import reference

SIZES = 70
LEAVES = [leaf_hash(i.to_bytes(2, "big")) for i in range(SIZES)]
ROOTS = [reference.mth(LEAVES[:size]) for size in range(SIZES + 1)]


def subtree(level: int, index: int) -> bytes:
    """The hash of a complete subtree, by definition."""
    return reference.mth(LEAVES[index << level : (index + 1) << level])


def code(call: Callable[..., None], *args: object) -> str:
    try:
        call(*args)
    except ProofError as error:
        return error.code
    return ""


def test_hashes_are_rfc_6962s() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"x") == hashlib.sha256(b"\0x").digest()
    assert node_hash(LEAVES[0], LEAVES[1]) == hashlib.sha256(b"\1" + LEAVES[0] + LEAVES[1]).digest()


def test_every_way_to_a_root_agrees_with_the_definition() -> None:
    frontier, builder = Frontier(), TileBuilder()
    oracle = pymerkle.InmemoryTree(algorithm="sha256")
    for size in range(SIZES + 1):
        assert frontier.root() == builder.root() == root_from(size, subtree) == ROOTS[size]
        assert frontier.size == builder.size == size
        assert frontier.copy().root() == Frontier(size, frontier.roots).root() == ROOTS[size]
        if size:
            assert oracle.get_root(size) == ROOTS[size]
        if size < SIZES:
            for level, index, value in frontier.append(LEAVES[size]):
                assert value == subtree(level, index)
            builder.extend([LEAVES[size]])
            oracle.append_entry(size.to_bytes(2, "big"))


def test_inclusion_of_every_leaf_in_every_tree() -> None:
    for size in range(1, SIZES + 1):
        for index in range(size):
            proof = inclusion_proof(index, size, subtree)
            assert proof == reference.path(index, LEAVES[:size])
            verify_inclusion(index, size, LEAVES[index], proof, ROOTS[size])


@settings(max_examples=20)
@given(size=st.integers(1, 1_500), random=st.randoms(use_true_random=False))
def test_proofs_made_together_are_those_made_one_by_one(size: int, random: Random) -> None:
    """In any order: what is kept for neighbours never ends in another leaf's proof."""
    frontier, nodes = Frontier(), dict[tuple[int, int], bytes]()
    for number in range(size):
        for level, index, value in frontier.append(leaf_hash(number.to_bytes(2, "big"))):
            nodes[level, index] = value
    together = InclusionProofs(size, lambda level, index: nodes[level, index])
    for index in random.sample(range(size), min(size, 300)):
        proof = together.of(index)
        assert proof == inclusion_proof(index, size, lambda level, index: nodes[level, index])
        verify_inclusion(index, size, nodes[0, index], proof, frontier.root())


def test_consistency_of_every_pair_of_trees() -> None:
    for size2 in range(SIZES + 1):
        for size1 in range(size2 + 1):
            proof = consistency_proof(size1, size2, subtree)
            assert proof == (reference.proof(size1, LEAVES[:size2]) if size1 else [])
            verify_consistency(size1, size2, proof, ROOTS[size1], ROOTS[size2])


indices = st.integers(0, SIZES - 1)
flips = st.tuples(st.integers(0, 10_000), st.integers(0, 255))


def flipped(item: bytes, bit: int) -> bytes:
    return (int.from_bytes(item, "big") ^ 1 << bit).to_bytes(32, "big")


@given(st.data(), st.sampled_from(["bit", "drop", "double", "insert", "swap", "index", "size", "leaf", "root"]))
def test_a_changed_inclusion_proof_is_refused(data: st.DataObject, change: str) -> None:
    size = data.draw(st.integers(1, SIZES))
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, subtree)
    at, bit = data.draw(st.integers(0, max(0, len(proof) - 1))), data.draw(st.integers(0, 255))
    leaf, root, claimed_index, claimed_size = LEAVES[index], ROOTS[size], index, size
    match change:
        case "bit":
            assume(proof)
            proof[at] = flipped(proof[at], bit)
        case "drop":
            assume(proof)
            del proof[at]
        case "double":
            assume(proof)
            proof.insert(at, proof[at])
        case "insert":
            proof.insert(at, root)
        case "swap":
            assume(len(proof) > 1)
            proof[at - 1], proof[at] = proof[at], proof[at - 1]
        case "index":
            claimed_index = data.draw(st.integers(0, 2 * SIZES).filter(lambda i: i != index))
        case "size":
            claimed_size = data.draw(st.integers(0, 2 * SIZES).filter(lambda i: i != size))
            # A root says nothing about sizes: where the siblings stand on the same sides, the proof is the same.
            assume(claimed_size <= index or reference_shape(index, claimed_size) != reference_shape(index, size))
        case "leaf":
            leaf = flipped(leaf, bit)
        case _:
            root = flipped(root, bit)
    assert code(verify_inclusion, claimed_index, claimed_size, leaf, proof, root)


def reference_shape(index: int, size: int) -> list[bool]:
    """On which side the siblings stand, from the leaf up."""
    sides: list[bool] = []
    while size > 1:
        k = reference.split(size)
        sides.append(index < k)
        index, size = (index, k) if index < k else (index - k, size - k)
    return sides[::-1]


@given(st.data(), st.sampled_from(["bit", "drop", "double", "insert", "size1", "root1", "root2", "roots"]))
def test_a_changed_consistency_proof_is_refused(data: st.DataObject, change: str) -> None:
    size2 = data.draw(st.integers(1, SIZES))
    size1 = data.draw(st.integers(1, size2))
    proof = consistency_proof(size1, size2, subtree)
    at, bit = data.draw(st.integers(0, max(0, len(proof) - 1))), data.draw(st.integers(0, 255))
    root1, root2, claimed = ROOTS[size1], ROOTS[size2], size1
    match change:
        case "bit":
            assume(proof)
            proof[at] = flipped(proof[at], bit)
        case "drop":
            assume(proof)
            del proof[at]
        case "double":
            assume(proof)
            proof.insert(at, proof[at])
        case "insert":
            proof.insert(at, root1)
        case "size1":
            claimed = data.draw(st.integers(0, SIZES).filter(lambda i: i != size1))
        case "root1":
            root1 = flipped(root1, bit)
        case "root2":
            root2 = flipped(root2, bit)
        case _:
            assume(size1 != size2)
            root1, root2 = root2, root1
    assert code(verify_consistency, claimed, size2, proof, root1, root2)


def test_a_hundred_thousand_changed_proofs_are_refused() -> None:
    accepted = 0
    honest = {(i, n): reference.path(i, LEAVES[:n]) for n in range(2, SIZES) for i in range(n)}
    cases = list(honest)
    for number in range(100_000):
        index, size = cases[number % len(cases)]
        proof = list(honest[index, size])
        seed = int.from_bytes(hashlib.sha256(number.to_bytes(4, "big")).digest(), "big")
        proof[seed % len(proof)] = flipped(proof[seed % len(proof)], seed >> 8 & 255)
        accepted += not code(verify_inclusion, index, size, LEAVES[index], proof, ROOTS[size])
    assert accepted == 0


def zeros(level: int, index: int) -> bytes:
    """Subtrees of an endless log of equal entries."""
    value = LEAVES[0]
    for _ in range(level):
        value = node_hash(value, value)
    return value


@given(st.integers(1, 2**63), st.data())
def test_proofs_hold_for_trees_up_to_2_to_63(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    smaller = data.draw(st.integers(1, size))
    root = root_from(size, zeros)
    inclusion = inclusion_proof(index, size, zeros)
    assert len(inclusion) <= 63
    verify_inclusion(index, size, LEAVES[0], inclusion, root)
    consistency = consistency_proof(smaller, size, zeros)
    verify_consistency(smaller, size, consistency, root_from(smaller, zeros), root)
    assert code(verify_inclusion, index, size, LEAVES[1], inclusion, root) == "proof-root-mismatch"


@pytest.mark.parametrize(
    ("index", "size"), [(0, 0), (-1, 1), (1, 1), (5, 4), (2**63, 2**63), (0, 2**63 + 1), (2**63, 2**63 + 1)]
)
def test_indices_and_sizes_out_of_range_are_refused(index: int, size: int) -> None:
    assert code(verify_inclusion, index, size, LEAVES[0], [], LEAVES[0]) == "proof-range"
    with pytest.raises(ProofError, match="proof-range"):
        inclusion_proof(index, size, zeros)


@pytest.mark.parametrize(("size1", "size2"), [(-1, 0), (2, 1), (0, 2**63 + 1), (2**63, 2**63 + 1)])
def test_consistency_out_of_range_is_refused(size1: int, size2: int) -> None:
    assert code(verify_consistency, size1, size2, [], LEAVES[0], LEAVES[0]) == "proof-range"
    with pytest.raises(ProofError, match="proof-range"):
        consistency_proof(size1, size2, zeros)


def test_hashes_of_another_size_are_refused() -> None:
    assert code(verify_inclusion, 0, 2, LEAVES[0], [LEAVES[1][:31]], ROOTS[2]) == "proof-hash-size"
    assert code(verify_consistency, 1, 2, [LEAVES[1] + b"\0"], ROOTS[1], ROOTS[2]) == "proof-hash-size"
    assert code(verify_consistency, 0, 1, [], EMPTY_ROOT, b"short") == "proof-hash-size"


def test_the_empty_tree_is_a_prefix_of_every_tree_and_of_nothing_else() -> None:
    verify_consistency(0, 0, [], EMPTY_ROOT, EMPTY_ROOT)
    verify_consistency(0, 5, [], EMPTY_ROOT, ROOTS[5])
    assert code(verify_consistency, 0, 5, [], ROOTS[1], ROOTS[5]) == "proof-root-mismatch"
    assert code(verify_consistency, 0, 0, [], EMPTY_ROOT, ROOTS[5]) == "proof-root-mismatch"
    assert code(verify_consistency, 0, 0, [], ROOTS[5], ROOTS[5]) == "proof-root-mismatch"
    assert code(verify_consistency, 0, 5, [ROOTS[5]], EMPTY_ROOT, ROOTS[5]) == "proof-length"


def test_a_frontier_needs_exactly_the_roots_of_its_size() -> None:
    with pytest.raises(ValueError, match="complete subtrees"):
        Frontier(3, [LEAVES[0]])
    with pytest.raises(ValueError, match="complete subtrees"):
        Frontier(1, [b"short"])


def test_complete_subtrees_cover_a_tree_once() -> None:
    for size in range(SIZES):
        covered = [
            i for level, index in merkle.complete_subtrees(size) for i in range(index << level, (index + 1) << level)
        ]
        assert covered == list(range(size))
