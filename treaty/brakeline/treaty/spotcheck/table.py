"""The chip x slot table of a period: one row a chip and slot, salted, under one Merkle root.

A period is cut into slots; slot k of n begins at start + (end - start) x k // n. The table has exactly one row for each
chip in each slot, ordered by slot and then by the site's own order of its chips, the same in every slot: row i is of
slot i // chips. So the number of rows follows from the inventory, and nobody can thin out false rows among invented
ones. A leaf of the tree (RFC 6962) is the canonical JSON of a row.

Each row has a salt of its own, without which a neighbour's hash in a proof could be opened by trying what a chip may
have done. Salts of a table come from one secret:

    salt of row i = SHA-256("brakeline/row-salt/v1" || 0x00 || secret[32] || u64 i, big-endian)

Opening a row reveals its salt and no other. What it is not: a source of secrets (the caller brings one, from a secure
source, new for every table), nor a check of what rows say (:mod:`brakeline.treaty.spotcheck.check`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from brakeline.ledger.merkle import Frontier, inclusion_proof, leaf_hash
from brakeline.treaty.errors import StatementError
from brakeline.treaty.oversight import OpenedRow, Row
from brakeline.treaty.statements import Table, to_json
from brakeline.treaty.strictjson import canonical, parse_object
from pydantic import ValidationError

SECRET_BYTES = 32
_SALT = b"brakeline/row-salt/v1\x00"


def row_salt(secret: bytes, index: int) -> str:
    """Return the salt (lowercase hex) of row *index* of the table made with *secret* (32 bytes).

    Raises:
        StatementError: ``row-secret``.
    """
    if len(secret) != SECRET_BYTES:
        raise StatementError(
            code="row-secret",
            message="a table's secret has the wrong size",
            expected=f"{SECRET_BYTES} bytes",
            found=f"{len(secret)} bytes",
        )
    return hashlib.sha256(_SALT + secret + index.to_bytes(8, "big")).hexdigest()


def encode_row(row: Row) -> bytes:
    """Return the bytes of a leaf: the row's canonical JSON."""
    return canonical(to_json(row))


def read_row(data: bytes) -> Row:
    """Read what :func:`encode_row` wrote.

    Raises:
        StatementError: ``row-schema``; JsonError: ``json-*``.
    """
    try:
        return Row.model_validate(parse_object(data), by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise StatementError(
            code="row-schema",
            message="this is not a row of a chip x slot table",
            expected=first["msg"][:160],
            found="/".join(str(part) for part in first["loc"]),
        ) from None


def table_of(rows: Iterable[bytes]) -> Table:
    """Return the commitment to *rows*, each as :func:`encode_row` gives it, in their order."""
    frontier = Frontier()
    for row in rows:
        frontier.append(leaf_hash(row))
    return Table(root=frontier.root().hex(), rows=frontier.size)


def open_rows(rows: Sequence[bytes], indexes: Iterable[int]) -> tuple[OpenedRow, ...]:
    """Return the rows at *indexes*, in order and without repeats, each with its proof.

    Raises:
        ProofError: ``proof-range`` when there is no such row.
    """
    levels: list[list[bytes]] = [[]]
    frontier = Frontier()
    for row in rows:
        for level, place, value in frontier.append(leaf_hash(row)):
            while len(levels) <= level:
                levels.append([])
            assert len(levels[level]) == place  # complete subtrees of a level come in order
            levels[level].append(value)
    proofs = {i: inclusion_proof(i, len(rows), lambda level, place: levels[level][place]) for i in sorted(set(indexes))}
    return tuple(
        OpenedRow(index=index, row=read_row(rows[index]), proof=tuple(item.hex() for item in proof))
        for index, proof in proofs.items()
    )


def slot_edges(start_ms: int, end_ms: int, slots: int) -> list[int]:
    """Return where the slots of a period begin, and its end: slots + 1 instants (Unix ms).

    >>> slot_edges(0, 10, 3)
    [0, 3, 6, 10]
    """
    return [start_ms + (end_ms - start_ms) * number // slots for number in range(slots + 1)]
