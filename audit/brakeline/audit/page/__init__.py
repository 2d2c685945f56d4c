"""The report as one self-contained page: what a delegate reads first, and what an engineer drills into.

What it is: HTML of :class:`~brakeline.audit.report.AuditReport` and :class:`~brakeline.audit.detail.Detail`. No script,
no network, no font from elsewhere; a content security policy forbids all three; prints as it reads. What it is not:
judgement: every figure is the report's, and the last section says how to recompute it. Names and texts come from logs
that may be hostile: all of them go through :func:`~brakeline.audit.page.parts.esc`. Bounded in size: what is left out
is counted, and is whole in the JSON and the tables.

Reading order: ``parts`` (escaping, tables, the document), ``first`` (the first screen: who is accused, what could not
be checked, how fresh; the three levels), ``found`` (findings, docket), ``books`` and ``charts`` (what chips did, who
descends from whom), ``orders``, ``conduct`` (logs and verifiers), ``recompute``. :mod:`brakeline.audit.html` puts them
together.
"""
