"""Names of the parties to a treaty: DNS-like paths, checked by kind.

==============  ==========================================  =================================
kind            form                                        example
==============  ==========================================  =================================
party, lab,     two or more DNS labels                      ``lab-1.party-a.example``
third party,
verifier,
treaty
site            a lab's name, ``/``, one DNS label           ``lab-1.party-a.example/site-1``
==============  ==========================================  =================================

Labels are lower-case letters, digits and inner hyphens, at most 63 long; a name is at most 200 characters. Lower-case
only, so that equal names are equal bytes (no case folding, no internationalised look-alikes).
"""

from __future__ import annotations

import re
from enum import StrEnum

from brakeline.treaty.errors import NamingError

MAX_NAME = 200
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})+", re.ASCII)
_SITE = re.compile(rf"{_LABEL}(?:\.{_LABEL})+/{_LABEL}", re.ASCII)


class NameKind(StrEnum):
    """What a name stands for; it decides the form."""

    TREATY = "treaty"
    PARTY = "party"
    LAB = "lab"
    SITE = "site"
    THIRD_PARTY = "third-party"
    VERIFIER = "verifier"


def is_name(text: str, kind: NameKind) -> bool:
    """Say whether *text* has the form that *kind* demands."""
    form = _SITE if kind is NameKind.SITE else _HOST
    return len(text) <= MAX_NAME and form.fullmatch(text) is not None


def check_name(text: str, kind: NameKind) -> str:
    """Return *text* when it has the form that *kind* demands.

    Raises:
        NamingError: ``name-malformed``.
    """
    if is_name(text, kind):
        return text
    raise NamingError(
        code="name-malformed",
        message=f"this is not the name of a {kind}",
        expected="lab-1.party-a.example/site-1" if kind is NameKind.SITE else "lab-1.party-a.example",
        found=repr(text[:80]),
        fix="use lower-case DNS labels; a site is its lab's name, a slash and one label",
    )


def lab_of(site: str) -> str:
    """Return the lab's name of a site's name (``lab-1.party-a.example/site-1`` -> ``lab-1.party-a.example``)."""
    return site.partition("/")[0]
