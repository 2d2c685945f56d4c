"""What is remembered of every statement: as dictionaries and lists would say it, in memory that does not grow."""

from __future__ import annotations

import hashlib
from typing import cast as typed

import pytest
from brakeline.ledger.spill import Spill
from brakeline.treaty.bookshelf import Books, Bookshelf, Work
from brakeline.treaty.claims import Claim, Claims, Seen
from brakeline.treaty.parts import Activity
from brakeline.treaty.spotcheck.challenge import Drawn
from brakeline.treaty.spotcheck.record import Challenges, Openings
from brakeline.treaty.tape import BLOCK, Arrival, Arrivals, Tape
from brakeline.treaty.usage import ReadLine, ReadUsage
from hypothesis import given
from hypothesis import strategies as st

SITE = "lab-1.party-a.example/site-1"


class Counting:
    """An archive that knows how many bytes it was given, in a scratch file."""

    def __init__(self) -> None:
        self.spill, self.given = Spill(), 0

    def put(self, data: bytes) -> int:
        self.given += len(data)
        return self.spill.put(data)

    def get(self, handle: int) -> bytes:
        return self.spill.get(handle)

    def drop(self, handle: int) -> None:
        self.spill.drop(handle)


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def test_a_tape_gives_every_record_back_from_its_archive() -> None:
    archive = Counting()
    tape = Tape(32, archive)
    for number in range(12 * BLOCK + 7):
        assert len(tape) == number
        tape.append(digest(number))
        assert tape[number] == digest(number)
    assert archive.given >= 10 * BLOCK * 32
    for number in [*range(0, 12 * BLOCK, 97), 0, 12 * BLOCK + 6]:
        assert tape[number] == digest(number)
    for number in (-1, 12 * BLOCK + 7):
        with pytest.raises(IndexError):
            tape[number]


def test_arrivals_are_a_dictionary_by_digest() -> None:
    archive = Counting()
    mine, other = Arrivals(archive), Arrivals()
    for number in range(20_000):
        mine.add(digest(number), 1_000 + number, number)
        if number % 1_000:
            other.add(digest(number), 5, number)
        if number % 4_999 == 0:
            assert mine.get(digest(number)) == Arrival(1_000 + number, number)
    assert archive.given > 15_000 * 48
    assert (len(mine), len({*mine}), digest(7) in mine, digest(-1) in mine) == (20_000, 20_000, True, False)
    assert dict(mine.items())[digest(7)] == Arrival(1_007, 7)
    assert mine.get(digest(-1)) is None
    assert sorted(arrival.entry for _, arrival in mine.absent_from(other)) == list(range(0, 20_000, 1_000))
    assert list(other.absent_from(mine)) == []


LINES = st.lists(
    st.builds(
        ReadLine,
        st.sampled_from(["a", "b"]),
        st.sampled_from(Activity),
        st.lists(st.tuples(st.sampled_from(["x", "y"]), st.sampled_from([0, 1, 10**39])), min_size=1, max_size=3).map(
            tuple
        ),
        st.sampled_from([None, 0, 5]),
        st.sampled_from([None, 7]),
    ),
    min_size=1,
    max_size=3,
)


@given(st.lists(st.tuples(st.sampled_from([SITE, f"{SITE}0"]), st.integers(0, 300), LINES), max_size=12))
def test_a_bookshelf_is_a_dictionary_by_site_and_period(said: list[tuple[str, int, list[ReadLine]]]) -> None:
    shelf = Bookshelf(Counting())
    plain: dict[tuple[str, int], list[Books]] = {}
    for number, (site, period, lines) in enumerate(said):
        name = digest(number).hex()
        zeros = "0" * 64
        shelf.add(name, number, period, ReadUsage(site, number, zeros, zeros, 0, 1, zeros, zeros, 1, tuple(lines)))
        work = [Work(line.workload, line.activity, line.chips, line.flop) for line in lines]
        kept = tuple(item for item in work if item.total_ms or item.flop)
        plain.setdefault((site, period), []).append(Books(name, number, kept))
    assert {*shelf} == plain.keys()
    assert {*shelf.sites} == {site for site, _ in plain}
    for key, books in plain.items():
        assert shelf.get(key) == books
        assert shelf.arrivals(*key) == [item.received_at_ms for item in books]
        assert next(shelf.periods(key[0], key[1])) == key[1]
    assert shelf.get(("nobody", 0)) == ()
    assert typed("object", shelf.arrivals("nobody", 0)) == []


CLAIMS = st.builds(
    Claim,
    st.sampled_from(["verifier-1.example", "verifier-2.example"]),
    st.one_of(st.integers(0, 6), st.integers(0, 2**40)),
    st.sampled_from([digest(1), digest(2)]),
)


@given(st.lists(CLAIMS, max_size=30), st.integers(0, 700))
def test_claims_are_a_dictionary_that_keeps_the_first(made: list[Claim], grown: int) -> None:
    claims, plain = Claims(Counting()), dict[Claim, Seen]()
    growing = [Claim("verifier-1.example", 5 * size, digest(size)) for size in range(grown)]
    for number, claim in enumerate([*growing, *made, *made]):
        claims.add(claim, Seen(number, number + 1))
        plain.setdefault(claim, Seen(number, number + 1))
    assert sorted(claims) == sorted(plain)
    assert {claim: claims.get(claim) for claim in plain} == plain
    assert claims.get(Claim("verifier-2.example", 3, digest(9))) is None
    for origin in ("verifier-1.example", "verifier-2.example", "nobody"):
        assert [*claims.of(origin)] == sorted(item for item in plain.items() if item[0].origin == origin)


def test_claims_of_a_log_that_grows_lie_in_the_archive() -> None:
    archive = Counting()
    claims = Claims(archive)
    for size in range(5_000):
        claims.add(Claim("verifier-1.example", size, digest(size)), Seen(size, size))
    (tape,) = claims._tapes.values()
    assert len(tape._blocks) > 5_000 // 256 - 3
    assert len(tape._tail) < 2 * 256 * 56
    assert not claims._others


def test_challenges_are_a_list_and_openings_a_dictionary_of_first_arrivals() -> None:
    archive = Counting()
    challenges, plain = Challenges(archive), list[Drawn]()
    openings, expected = Openings(archive), dict[str, dict[int, int]]()
    for number in range(4 * BLOCK):
        site = f"lab-1.party-a.example/site-{number % 3}"
        usage, drawn = digest(number // 2).hex(), digest(-1 - number).hex()
        made = Drawn(
            drawn, site, number // 6, usage, 1000 + number, 1 + number % 40, digest(2 * number), 10**12 + number
        )
        challenges.append(made)
        plain.append(made)
        first = dict.fromkeys(range(number % 7), 5 * number)
        again = dict.fromkeys(range(2, number % 9), 5 * number + 3)
        for period, rows in ((made.period, first), (made.period if number % 5 else None, again)):
            if rows:
                at_ms = next(iter(rows.values()))
                openings.add(site, usage, drawn, rows, at_ms, period=period)
        expected[drawn] = again | first
    assert len(challenges) == len(plain)
    assert list(challenges) == plain
    assert archive.given > 2 * BLOCK * 128
    for made in plain:
        assert openings.of(made) == expected[made.digest]
        assert openings.of(made._replace(usage=digest(-7).hex())) == {}
