"""Evidence that stands alone: one file a misdeed, believed by whoever holds the treaty's pin, and by nobody's word.

What it is: the form of a bundle (docs/spec/evidence.md), how one is made from copies of logs that an audit has read,
and how one is checked. Checking opens no socket and trusts neither the maker nor the file: whom a bundle convicts
follows from signatures that only the convicted can have made. What it is not: the finding that led to it (that is
:mod:`brakeline.treaty.reconcile.conduct`), nor proof of mere refusal, which leaves none.

Reading order: :mod:`~brakeline.audit.evidence.bundle`, :mod:`~brakeline.audit.evidence.check`,
:mod:`~brakeline.audit.evidence.make`.
"""
