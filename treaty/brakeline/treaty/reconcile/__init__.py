"""The reconcile rules: what only several logs together show. Pure, over the facts of each log's replay.

A finding about arrival or about a verifier depends on which logs the auditor has read, so none is ever logged by one
log. A log that was not read, or was read only up to some instant, is *unknown* from there on, and a rule fires only
when it holds whatever the unknown logs say: one silent verifier accuses nobody.

:mod:`~brakeline.treaty.reconcile.logs` (the logs together, and what is unknown),
:mod:`~brakeline.treaty.reconcile.reporting` (``missing-period``, ``late``),
:mod:`~brakeline.treaty.reconcile.braking` (``brake-breach``, ``unacknowledged-order``),
:mod:`~brakeline.treaty.reconcile.conduct` (``verifier-conduct``). Rules over one log are in
:mod:`brakeline.treaty.rules`.
"""
