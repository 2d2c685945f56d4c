"""The one root error of brakeline, and the errors of the log.

Every error that a person may see has a stable ``code`` (kebab-case, part of the public interface), a message, what was
expected, what was found, and what to do. Parties subclass :class:`BrakelineError`; edges wrap foreign exceptions.
"""

from __future__ import annotations


class BrakelineError(Exception):
    """Something from outside is not as it must be.

    Attributes:
        code: stable, kebab-case; programs match on it.
        message: one sentence for a person.
        expected, found: what was looked for and what was there ("" when there is nothing to say).
        fix: what to do about it ("" when *expected* says it).
    """

    def __init__(self, *, code: str, message: str, expected: str = "", found: str = "", fix: str = "") -> None:
        """Make an error; all fields are plain text."""
        self.code = code
        self.message = message
        self.expected = expected
        self.found = found
        self.fix = fix
        super().__init__(code, message, expected, found, fix)

    def __str__(self) -> str:
        """Return ``code: message (expected ..., found ...). fix``."""
        parts = [f"expected {self.expected}"] * bool(self.expected) + [f"found {self.found}"] * bool(self.found)
        detail = f" ({', '.join(parts)})" if parts else ""
        fix = f". {self.fix[0].upper()}{self.fix[1:]}" if self.fix else ""
        return f"{self.code}: {self.message}{detail}{fix}"

    def as_dict(self) -> dict[str, str]:
        """Return the fields, for ``--format json``."""
        return {
            "code": self.code,
            "message": self.message,
            "expected": self.expected,
            "found": self.found,
            "fix": self.fix,
        }


class LedgerError(BrakelineError):
    """Something that reached the log, or came from one, is not as the standards say."""


class KeyUnfitError(LedgerError):
    """A key that may not be registered (codes ``key-*``)."""


class VKeyError(LedgerError):
    """Text that is not a verifier key (codes ``vkey-*``)."""


class NoteError(LedgerError):
    """A signed note or checkpoint that is malformed or does not verify (codes ``note-*``, ``checkpoint-*``)."""


class PolicyError(LedgerError):
    """A witness policy that is malformed (codes ``policy-*``)."""


class ProofError(LedgerError):
    """A Merkle proof or receipt that does not prove what it should (codes ``proof-*``)."""


class TileError(LedgerError):
    """A tile, bundle or tile path that is malformed (codes ``tile-*``)."""


class EntryError(LedgerError):
    """An entry or statement body that is malformed (codes ``entry-*``)."""


class StoreError(LedgerError):
    """A store that cannot do what was asked (codes ``store-*``)."""


class SourceError(LedgerError):
    """A copy of a log that cannot be read: missing, unreachable, too large (codes ``source-*``)."""


class DivergenceError(LedgerError):
    """A copy of a log that is not what its checkpoint commits to (codes ``replay-*``).

    Attributes:
        index: the first entry that differs, or None.
        path: the tile that differs, or "".
    """

    def __init__(
        self,
        *,
        code: str,
        message: str,
        expected: str = "",
        found: str = "",
        fix: str = "",
        index: int | None = None,
        path: str = "",
    ) -> None:
        """Make an error that names the first divergence."""
        super().__init__(code=code, message=message, expected=expected, found=found, fix=fix)
        self.index = index
        self.path = path


class ForkError(LedgerError):
    """Two checkpoints signed by one log that cannot both be true (code ``log-forked``).

    Attributes:
        origin: the log. first, second: the two signed notes.
    """

    def __init__(self, origin: str, first: bytes, second: bytes) -> None:
        """Make the error that carries the evidence."""
        super().__init__(
            code="log-forked",
            message=f"{origin} has signed two histories",
            expected="one append-only history",
            found="two inconsistent checkpoints signed by its key",
            fix="keep both checkpoints: together they are the evidence",
        )
        self.origin = origin
        self.first = first
        self.second = second
