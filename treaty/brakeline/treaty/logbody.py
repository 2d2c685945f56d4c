"""Bodies that a verifier writes into its own log: heartbeats (findings are in :mod:`brakeline.treaty.findings`).

A heartbeat puts the passage of time into the log, so that a missing report is provable. It embeds the newest published
checkpoint of its own log with its cosignatures (absent only in the first heartbeat of a fresh log), and for each peer
the newest checkpoint whose tiles this verifier has mirrored, checked *and stored*. By that it stakes its name: an
admissible statement below a mirrored checkpoint that is absent here after the take-over grace is a provable omission.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

from brakeline.treaty.errors import StatementError
from brakeline.treaty.statements import HostName, Model, to_json
from brakeline.treaty.strictjson import canonical, parse_object
from pydantic import Field, StrictStr, ValidationError

MAX_HEARTBEAT = 60 * 1024
"""Bytes of a heartbeat's canonical JSON."""

NoteText = Annotated[StrictStr, Field(min_length=1, max_length=32 * 1024)]


class Mirrored(Model):
    """A peer's checkpoint (signed note text) that this verifier holds in full."""

    origin: HostName
    checkpoint: NoteText


class Heartbeat(Model):
    """The body of a heartbeat entry; ``mirrored`` is sorted by origin, one per peer, never the log's own."""

    checkpoint: NoteText | None = None
    mirrored: Annotated[tuple[Mirrored, ...], Field(max_length=64)]

    @cached_property
    def body(self) -> bytes:
        """The canonical JSON: the body of the entry."""
        return canonical(to_json(self))


def parse_heartbeat(body: bytes) -> Heartbeat:
    """Read the body of a heartbeat entry, strictly.

    Raises:
        StatementError: ``heartbeat-schema``; JsonError: ``json-*``.
    """
    value = parse_object(body, max_bytes=MAX_HEARTBEAT)
    try:
        heartbeat = Heartbeat.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise StatementError(
            code="heartbeat-schema",
            message="a heartbeat entry does not have the form of a heartbeat",
            expected=first["msg"][:160],
            found="/".join(str(part) for part in first["loc"]),
        ) from None
    origins = [item.origin for item in heartbeat.mirrored]
    if origins != sorted(set(origins)):
        raise StatementError(
            code="heartbeat-schema", message="mirrored peers are not sorted and unique", expected="sorted origins"
        )
    return heartbeat
