"""Answering a challenge: the rows of the chip x slot table that a log drew, opened in statements of the site's chain.

A challenge comes from one verifier, unsigned, over the connection to it. What is believed of it: nothing. It must be of
books that this site signed, and draw as many rows of them as the treaty says, no more; each verifier gets the rows of
one draw for each period and never of a second, so one that lies about the beacon sees as many rows as an honest one.
That the beacon was right is in its log, for all to check. Many rows take several statements, the first part last, so
that it stands for the whole; what a crash interrupts is gone on with when the verifier repeats the challenge, as it
does to a node that was started again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from brakeline.ledger.errors import BrakelineError
from brakeline.node.journal import Claim, Outgoing
from brakeline.node.site import Position, Site
from brakeline.treaty.oversight import MAX_ROWS, OpenedRow, Opening
from brakeline.treaty.spotcheck.challenge import RULE, Challenge, draws, parse_challenge
from brakeline.treaty.spotcheck.table import open_rows
from brakeline.treaty.statements import to_json
from brakeline.treaty.strictjson import canonical

MAX_BYTES = 40 * 1024
"""Canonical JSON of the rows of one statement; a payload is at most 60 KiB. A single row is always taken."""


class OpeningError(BrakelineError):
    """A challenge that is not answered (codes ``opening-*``)."""


def answer(site: Site, body: bytes, verifier: str) -> list[Outgoing]:
    """Open what the challenge *body* of *verifier* draws; nothing where it is another site's, or was answered.

    Raises:
        OpeningError: ``opening-rule``, ``opening-books``, ``opening-draw``.
        BrakelineError: ``challenge-schema``, ``json-*``, those of signing.
    """
    challenge = parse_challenge(body)
    if challenge.site != site.name:
        return []
    request = f"challenge:{verifier}:{challenge.usage}"
    if site.journal.answered(f"{request}:0") is not None:
        return []
    made: list[Outgoing] = []
    for number, part in reversed(list(enumerate(_parts(open_rows(_rows(site, challenge), challenge.drawn))))):
        if site.journal.answered(f"{request}:{number}") is None:
            claim = Claim(request=f"{request}:{number}")
            made.append(site.sign_and_spool(_said(challenge, part), claim=claim))
    return made


def _rows(site: Site, challenge: Challenge) -> list[bytes]:
    """Return the rows of the table that is challenged, if the challenge is one that the treaty allows."""
    treaty = site.governing(challenge.period)
    slots = treaty.rule("false-opening")
    if slots is None or treaty.rule(RULE) is None:
        raise OpeningError(
            code="opening-rule", message="the treaty has no challenges in force", expected=f"the rules {RULE} and "
            "false-opening", found="a challenge", fix="ask the verifier under which treaty it runs",
        )  # fmt: skip
    booked = site.journal.usage(challenge.period)
    rows = site.journal.rows_of(challenge.period, challenge.usage)
    if not rows:
        raise OpeningError(
            code="opening-books",
            message=f"a challenge of books of period {challenge.period} that this site did not sign",
            expected=booked or "no books of that period",
            found=challenge.usage,
            fix="compare the verifier's log with this node's receipts",
        )
    allowed = draws(treaty, len(rows), max(1, slots.integer("slots")))
    if (challenge.rows, challenge.count) != (len(rows), allowed):
        raise OpeningError(
            code="opening-draw",
            message="a challenge draws other than the treaty says",
            expected=f"{allowed} of {len(rows)} rows",
            found=f"{challenge.count} of {challenge.rows}",
            fix="report the verifier: its log shows the challenge",
        )
    return rows


def _parts(opened: Sequence[OpenedRow]) -> Iterator[tuple[OpenedRow, ...]]:
    """Divide rows among statements that are small enough."""
    part: list[OpenedRow] = []
    size = 0
    for row in opened:
        more = len(canonical(to_json(row)))
        if part and (size + more > MAX_BYTES or len(part) == MAX_ROWS):
            yield tuple(part)
            part, size = [], 0
        part.append(row)
        size += more
    if part:
        yield tuple(part)


def _said(challenge: Challenge, rows: tuple[OpenedRow, ...]) -> Callable[[Position], Opening]:
    def build(at: Position) -> Opening:
        return Opening(
            author=at.author,
            sequence=at.sequence,
            previous=at.previous,
            treaty=at.treaty,
            period=challenge.period,
            usage=challenge.usage,
            challenge=challenge.digest,
            rows=rows,
        )

    return build
