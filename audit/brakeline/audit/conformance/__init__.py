"""A conformance suite for implementations of docs/spec: one file a case, one failure a file.

What it is: cases that must fail, each for one reason, and some that must not (an implementation that refuses all things
passes nothing); a contract by which any program can be put to them; and this package's own answers. What it is not: a
replacement for the vectors, which say what right bytes are.

Reading order: :mod:`~brakeline.audit.conformance.case` (the form), :mod:`~brakeline.audit.conformance.answers` (what
each kind asks, and our answer), :mod:`~brakeline.audit.conformance.forms`, :mod:`~brakeline.audit.conformance.said`,
:mod:`~brakeline.audit.conformance.sealed`, :mod:`~brakeline.audit.conformance.logs` and
:mod:`~brakeline.audit.conformance.amended` (the cases), :mod:`~brakeline.audit.conformance.conform` (the contract).
"""
