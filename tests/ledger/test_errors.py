"""Errors: what a person and a program read."""

from __future__ import annotations

import pytest
from brakeline.ledger import errors
from brakeline.ledger.errors import BrakelineError, DivergenceError, ForkError, LedgerError


def test_an_error_says_what_was_expected_what_was_found_and_what_to_do() -> None:
    error = BrakelineError(code="x-y", message="no", expected="a", found="b", fix="do this")
    assert str(error) == "x-y: no (expected a, found b). Do this"
    assert str(BrakelineError(code="x-y", message="no")) == "x-y: no"
    assert str(BrakelineError(code="x-y", message="no", found="b")) == "x-y: no (found b)"
    assert error.as_dict() == {"code": "x-y", "message": "no", "expected": "a", "found": "b", "fix": "do this"}


def test_a_divergence_names_its_place_and_a_fork_carries_its_evidence() -> None:
    divergence = DivergenceError(code="replay-tile", message="no", index=7, path="tile/0/000")
    assert (divergence.index, divergence.path) == (7, "tile/0/000")
    fork = ForkError("log.example", b"one", b"two")
    assert (fork.origin, fork.first, fork.second, fork.code) == ("log.example", b"one", b"two", "log-forked")


@pytest.mark.parametrize("name", [name for name in vars(errors) if name.endswith("Error") and name != "BrakelineError"])
def test_every_error_of_the_log_is_a_ledger_error(name: str) -> None:
    assert issubclass(getattr(errors, name), LedgerError)
