"""One flipped bit anywhere in a log's files: found before anything is signed over it, or of no consequence.

Every page of a small log is struck, its beginning (where SQLite keeps its own structure) as often as the rest. After
each flip the log is opened, checked, appended to and signed by the real code. Either that is refused with a documented
code; or the flip was *benign*: every entry, tile and root is what it was before, also after the append.

Benign are flips in bytes that carry nothing, and no others (:func:`carries_nothing` is the list):

- the gap between a page's cell pointers and its cells, the free blocks between cells, free pages, and the rest of the
  last page of a long entry: unused space;
- in the file's header: the counters by which SQLite's caches notice changes (24-27, 40-43, 92-99); settings that this
  schema does not use (48-51 cache size, 60-63 user version, 64-67 vacuum mode, 68-71 application id, 72-91 reserved);
  and all but the last byte (44-46) of the schema format, all but the value of the text encoding's two last bits (56-59,
  where 0 means UTF-8 as 1 does): SQLite reads no more of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from brakeline.ledger.entry import Kind
from brakeline.ledger.errors import LedgerError
from brakeline.ledger.sequencer import Candidate

from tests.ledger.crash import judge
from tests.ledger.crash.disk import scratch_directory
from tests.ledger.crash.states import Image
from tests.ledger.crash.workload import LOG, MEMORY, Promises, Witnessed, opened
from tests.support.cast import START

HEAD = 160
"""Bytes at the beginning of a page that are struck as often as all the others together."""
UNUSED_HEADER = (range(24, 28), range(40, 47), range(48, 52), range(56, 100))
FOUND = judge.REFUSALS | {"note-malformed", "note-signature-invalid", "note-unsigned", "checkpoint-malformed"}
FLIPS = 60
"""Bits flipped in every page."""


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    with scratch_directory(tmp_path) as directory:
        yield directory


def whole(scratch: Path) -> Image:
    """Return the files of a sound log of 304 entries: full and partial tiles, interior pages, a long entry."""
    random = Random(3)
    with opened(scratch) as sequencer:
        for count, size in ((150, 900), (1, 65_000), (150, 900), (3, 60)):
            sequencer.append([Candidate(Kind.STATEMENT, b"a", random.randbytes(size)) for _ in range(count)], START)
    return {scratch / path: (scratch / path).read_bytes() for path in (LOG, MEMORY)}


def strike(scratch: Path, image: Image, promises: Promises) -> str:
    """Open, append and sign; return the code of the refusal, or ``benign``, or what went wrong."""
    judge.clear(scratch)
    judge.write(image)
    try:
        with opened(scratch, Witnessed(promises)) as sequencer:
            sequencer.append([Candidate(Kind.HEARTBEAT, b"", b"after the flip")], START)
    except LedgerError as error:
        return error.code
    broken = judge.problems(scratch, promises)
    return broken[0] if broken else "benign"


def flips(image: bytes, random: Random, count: int) -> Iterator[int]:
    """Yield the bits to flip: *count* in every page."""
    size = page_size(image)
    for page in range(len(image) // size):
        for number in range(count):
            offset = random.randrange(HEAD if number % 2 else size)
            yield (page * size + offset) * 8 + random.randrange(8)


def judged(scratch: Path, path: Path, seed: int, count: int) -> Counter[str]:
    """Strike the file *path* of a sound log; return how often each outcome came, and where none may."""
    sound = whole(scratch)
    with opened(scratch) as sequencer:
        entries = list(sequencer.store.read_entries(0, sequencer.size))
    data = sound[scratch / path]
    outcomes: Counter[str] = Counter()
    for bit in flips(data, Random(seed), count):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        promises = Promises(acknowledged=[(0, entry) for entry in entries])
        outcome = strike(scratch, {**sound, scratch / path: bytes(flipped)}, promises)
        if outcome == "benign" and not carries_nothing(data, bit // 8):
            number, offset = divmod(bit // 8, page_size(data))
            outcome = f"benign, but it carries something: page {number + 1}, byte {offset}, bit {bit % 8}"
        outcomes[outcome] += 1
    return outcomes


def carries_nothing(data: bytes, at: int) -> bool:
    """Say whether SQLite keeps nothing of consequence in byte *at* of a file (see the list above)."""
    size = page_size(data)
    number, offset = at // size + 1, at % size
    page = data[at - offset : at - offset + size]
    start = 100 if number == 1 else 0
    if offset < start:
        return any(offset in unused for unused in UNUSED_HEADER)
    trunks, leaves = free_pages(data)
    if number in trunks:
        return offset >= 8 + 4 * u32(page, 4)
    if number in leaves:
        return True
    if page[start] in (2, 5, 10, 13):
        pointers = start + (12 if page[start] in (2, 5) else 8) + 2 * u16(page, start + 3)
        return pointers <= offset < (u16(page, start + 5) or size) or offset in free_bytes(page, start)
    return offset >= len(page.rstrip(b"\0"))


def free_pages(data: bytes) -> tuple[set[int], set[int]]:
    """Return the file's free pages by number: trunks of the list, and leaves."""
    trunks: set[int] = set()
    leaves: set[int] = set()
    trunk, size = u32(data, 32), page_size(data)
    while trunk:
        trunks.add(trunk)
        page = data[(trunk - 1) * size : trunk * size]
        leaves |= {u32(page, 8 + 4 * number) for number in range(u32(page, 4))}
        trunk = u32(page, 0)
    return trunks, leaves


def free_bytes(page: bytes, start: int) -> set[int]:
    """Return the offsets in the free blocks between a page's cells, after each block's own four bytes."""
    found: set[int] = set()
    block = u16(page, start + 1)
    while block:
        found |= set(range(block + 4, block + u16(page, block + 2)))
        block = u16(page, block)
    return found


def page_size(data: bytes) -> int:
    """Return the bytes of a page of the SQLite file *data*, from its header."""
    size = u16(data, 16)
    return 65_536 if size == 1 else size


def u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


@pytest.mark.parametrize("path", [LOG, MEMORY], ids=str)
def test_a_flipped_bit_is_found_before_it_is_signed_over_or_is_of_no_consequence(scratch: Path, path: Path) -> None:
    outcomes = judged(scratch, path, 1, FLIPS)
    assert outcomes["benign"]
    assert outcomes["store-corrupt"]
    assert set(outcomes) - {"benign"} <= FOUND


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("path", [LOG, MEMORY], ids=str)
def test_many_more_flipped_bits_are_found_or_of_no_consequence(scratch: Path, path: Path, seed: int) -> None:
    assert set(judged(scratch, path, 100 + seed, 2_000)) - {"benign"} <= FOUND


def test_a_log_whose_checkpoint_store_is_gone_signs_nothing(scratch: Path) -> None:
    sound = whole(scratch)
    del sound[scratch / MEMORY]
    promises = Promises()
    assert strike(scratch, sound, promises) == "store-forgotten"
    assert promises.signed == []
