"""What admission remembers: whose key is whose, and where every statement stands in its author's tree."""

from __future__ import annotations

import pytest
from brakeline.treaty.author_tree import ROOT, AuthorTree, Node
from brakeline.treaty.register import Holder, Register, Role
from brakeline.treaty.statements import Enrolment
from brakeline.treaty.strictjson import JsonObject
from brakeline.treaty.tape import BLOCK

from tests.support import cast
from tests.support.cast import LABS, METER, PARTIES, SITE, VERIFIERS, Author, vkey
from tests.support.judging import digest

A, B, C, D, E = (digest(name) for name in "abcde")
ZEROS = "0" * 64


def raw(name: str) -> bytes:
    return bytes.fromhex(name)


def node(name: str, parent: str, place: int) -> Node:
    return Node(raw(name), raw(parent), place)


@pytest.fixture
def tree() -> AuthorTree:
    """A, then B and its rival C, then D under B and E under C."""
    made = AuthorTree()
    for sequence, item in (
        (0, node(A, ZEROS, 3)), (1, node(B, A, 4)), (1, node(C, A, 5)), (2, node(D, B, 6)), (2, node(E, C, 2**40)),
    ):  # fmt: skip
        made.add(sequence, item)
    return made


def test_a_tree_knows_every_statement_with_its_parent_and_its_place(tree: AuthorTree) -> None:
    assert tree.length() == 3
    assert [list(tree.at(sequence)) for sequence in range(-1, 4)] == [
        [],
        [node(A, ZEROS, 3)],
        [node(B, A, 4), node(C, A, 5)],
        [node(D, B, 6), node(E, C, 2**40)],
        [],
    ]
    found = [tree.find(sequence, raw(name)) for sequence, name in ((0, A), (1, B), (1, C), (2, D), (2, E))]
    assert found == [3, 4, 5, 6, 2**40]
    assert [tree.find(sequence, raw(A)) for sequence in (-1, 1, 2, 3)] == [None] * 4
    assert {*tree.forks} == {1, 2}


def test_a_tree_knows_the_children_of_every_statement(tree: AuthorTree) -> None:
    places = [(sequence, name) for sequence in range(4) for name in (ZEROS, A, B, C)]
    children = {place: tree.children(place[0], raw(place[1])) for place in places}
    assert {key: found for key, found in children.items() if found} == {
        (0, ZEROS): [raw(A)],
        (1, A): [raw(B), raw(C)],
        (2, B): [raw(D)],
        (2, C): [raw(E)],
    }


def test_an_honest_branch_is_told_by_its_newest_statement_and_by_older_ones() -> None:
    tree = AuthorTree()
    assert tree.children(0, ROOT) == []
    names = [digest(f"statement {number}") for number in range(2 * BLOCK + 3)]
    before = ZEROS
    for number, name in enumerate(names):
        tree.add(number, node(name, before, number))
        assert tree.children(number, raw(before)) == [raw(name)]
        assert tree.children(number, raw(name)) == []
        assert tree.children(number + 1, raw(name)) == []
        before = name
    assert tree.children(7, raw(names[6])) == [raw(names[7])]
    assert tree.children(7, raw(names[5])) == []
    assert next(tree.at(9)) == node(names[9], names[8], 9)


def test_what_does_not_follow_the_newest_statement_lies_beside_the_branch() -> None:
    tree = AuthorTree()
    tree.add(0, node(A, ZEROS, 0))
    tree.add(1, node(C, B, 1))  # another parent
    tree.add(2, node(D, A, 2))  # another sequence
    assert tree.length() == 1
    assert (tree.forks[1], tree.forks[2]) == ([node(C, B, 1)], [node(D, A, 2)])


# the register ---------------------------------------------------------------------------------------------------------

DOC = cast.document()


def test_a_key_is_held_in_the_role_in_which_the_treaty_names_it() -> None:
    register = Register(DOC)
    for name, role in ((PARTIES[0], Role.PARTY), (LABS[1], Role.LAB_ROOT), (METER, Role.METER)):
        holder = Holder(role, name, vkey(name))
        assert register.holders(vkey(name).keyid) == (holder,)
        assert register.holds_under(holder, DOC.digest)
        assert not register.holds_under(holder, digest("another version"))
        assert register.named_by(DOC.digest, vkey(name).keyid)
        assert not register.named_by(digest("another version"), vkey(name).keyid)
    log = vkey(VERIFIERS[0], "log").keyid
    assert register.named_by(DOC.digest, log)
    assert register.holders(log) == ()
    assert (register.version(DOC.digest), register.version(digest("x")), register.amendments()) == (DOC, None, ())


def test_a_site_is_held_from_its_enrolment_on_and_after_its_end() -> None:
    register, lab = Register(DOC), Author(LABS[0], DOC)
    assert register.holders(vkey(SITE).keyid) == ()
    register.record(cast.read(lab.enrol(SITE)), 1)
    holder = Holder(Role.SITE, SITE, vkey(SITE))
    assert register.holders(vkey(SITE).keyid) == (holder,)
    assert register.holds_under(holder, digest("whichever version"))


def test_an_amendment_brings_keys_of_its_own() -> None:
    register = Register(DOC)
    other = cast.amended(DOC, 4, third_party=[{"name": METER, "kind": "vendor", "key": str(vkey(METER))}])
    register.record(cast.read(cast.amendment_envelope(other)), 7)
    assert register.amendments() == (other,)
    assert register.version(other.digest) == other
    meter, vendor = (Holder(role, METER, vkey(METER)) for role in (Role.METER, Role.VENDOR))
    assert register.holders(vkey(METER).keyid) == (meter, vendor)
    assert [register.holds_under(holder, DOC.digest) for holder in (meter, vendor)] == [True, False]
    assert [register.holds_under(holder, other.digest) for holder in (meter, vendor)] == [False, True]
    assert register.find_unchained(cast.read(cast.amendment_envelope(other)).digest) == 7


def test_positions_are_found_by_author_sequence_and_digest() -> None:
    register = Register(DOC)
    for sequence, name, previous, index in ((0, A, ZEROS, 3), (1, B, A, 5), (1, C, A, 6), (2, D, C, 9)):
        register.place(SITE, sequence, name, previous, index)
    assert [register.find_position(SITE, *at) for at in ((0, A), (1, B), (1, C), (2, D))] == [3, 5, 6, 9]
    assert [register.find_position(*at) for at in ((SITE, 1, A), (SITE, 3, D), (METER, 0, A))] == [None] * 3
    assert [register.holds(*at) for at in ((SITE, 0, A), (SITE, 1, A), (METER, 0, A))] == [True, False, False]
    assert [register.children(SITE, *at) for at in ((0, ZEROS), (1, A), (2, B), (2, C), (3, D))] == [1, 2, 0, 1, 0]
    assert register.children(METER, 0, ZEROS) == 0


def test_the_heads_of_an_author_are_the_statements_without_a_child() -> None:
    register = Register(DOC)
    assert register.heads(SITE) == []
    register.place(SITE, 0, A, ZEROS, 1)
    assert register.heads(SITE) == [(0, A)]
    register.place(SITE, 1, B, A, 2)
    register.place(SITE, 1, C, A, 3)
    assert register.heads(SITE) == sorted([(1, B), (1, C)])
    register.place(SITE, 2, D, B, 4)
    assert register.heads(SITE) == [(1, C), (2, D)]
    register.place(SITE, 0, E, ZEROS, 5)
    assert register.heads(SITE) == [(0, E), (1, C), (2, D)]


def test_a_statement_that_the_prefix_holds_has_its_index() -> None:
    register, site = Register(DOC), Author(SITE, DOC)
    books, pause = cast.read(site.hold()), cast.read(cast.order(DOC))
    assert register.index_of(books) is None
    assert register.index_of(pause) is None
    register.record(books, 11)
    register.record(pause, 12)
    assert [register.index_of(item) for item in (books, pause)] == [11, 12]
    assert register.find_unchained(books.digest) is None


def test_a_key_that_ends_is_nobodys_if_it_never_began_here() -> None:
    register, lab = Register(DOC), Author(LABS[0], DOC)
    honours: JsonObject = {"sequence": 0, "digest": A}
    members = {**lab.position(), "site": SITE, "action": "end", "key": str(vkey(SITE)), "effective_period": 3}
    register.record(cast.read(lab.say(Enrolment.model_validate({**members, "honours": honours}))), 1)
    assert register.holders(vkey(SITE).keyid) == ()
