"""The one root error of the terms, and what it carries.

Every error that a person may see has a stable code (kebab-case, part of the public interface), says what was
expected, what was found and what to do. "The peer sent something wrong" and "the caller misused us" are different
classes: the first is a :class:`TreatyError`, the second an ordinary ``ValueError`` or ``TypeError``.
"""

from __future__ import annotations

from brakeline.ledger.errors import BrakelineError


class TreatyError(BrakelineError):
    """Something that reached the terms from outside is not as the protocol says."""


class JsonError(TreatyError):
    """Bytes that are not restricted canonical JSON (codes ``json-*``)."""


class NamingError(TreatyError):
    """A name that is not of the form its kind demands (code ``name-malformed``)."""


class QuantityError(TreatyError):
    """A number that is not of the form, or not in the range, its quantity demands (codes ``quantity-*``)."""


class EnvelopeError(TreatyError):
    """A DSSE envelope that is malformed (codes ``envelope-*``)."""


class StatementError(TreatyError):
    """A payload that is no statement of this protocol (codes ``statement-*``)."""


class DocumentError(TreatyError):
    """A treaty document with a mistake (codes ``treaty-*``)."""


class ReplayError(TreatyError):
    """A log whose entries are not what they must be, by its own verifier's doing (codes ``replay-*``)."""
