"""One mistake in a treaty document: which member, what is wrong, what would be right, what to do. A value, no logic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from brakeline.treaty.document import TreatyDocument

Path: TypeAlias = tuple[str | int, ...]
"""Wire names and list indices from the root of the document to a member."""

Check: TypeAlias = "Callable[[TreatyDocument], Iterator[Mistake]]"
"""A pure function of a document that yields what it finds wrong."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake, or one warning, about one member.

    Attributes:
        path: from the root of the document to the member.
        code: stable, kebab-case, ``treaty-*`` (or the code of the part that refused it: ``name-malformed``, ...).
        message: what is wrong, for a person.
        expected: what would be right.
        found: what stands there.
        fix: what to do ("" when *expected* says it).
    """

    path: Path
    code: str
    message: str
    expected: str = ""
    found: str = ""
    fix: str = ""

    @property
    def where(self) -> str:
        """The path as a person reads it: ``party[2].key`` (counted from 1), or ``the document``."""
        return render_path(self.path)


def render_path(path: Path) -> str:
    """Return *path* as ``quorum.witnesses`` or ``party[2].key``; list items are counted from 1, as people do."""
    text = ""
    for step in path:
        text += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if text else step
    return text or "the document"
