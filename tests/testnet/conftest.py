"""Logs that are audited here are put to the independent checker too."""

from __future__ import annotations

from tests.support.agreement import second_opinion as second_opinion
