"""The site's key: where it lives, how it is enrolled, replaced and ended, and why it never signs two truths.

In reading order: :mod:`.store` (a file) and :mod:`.token` (a PKCS#11 token); :mod:`.guard` (what was signed last, apart
from the journal); :mod:`.enrolment` (requests that the lab's offline root key signs); :mod:`.position` (may this node
sign, or was it restored?); :mod:`.chain` and :mod:`.takeover` (another host goes on from what the logs hold).
"""
