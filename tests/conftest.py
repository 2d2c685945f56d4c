"""What every test shares: hypothesis profiles, and the rule that nothing is skipped where everything is required."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.support.counts import REQUIRE_ALL, count

collect_ignore_glob = ["support/*"]
"""Programs and helpers of tests, no tests: some of them import what a newcomer need not have."""

settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=count(60, 30), suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("soak", deadline=None, max_examples=5_000, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def structlog_is_as_it_was() -> Generator[None]:
    """A command that configures logging writes to the output captured for its test; the next test has another."""
    yield
    structlog.reset_defaults()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the long counts too (make soak)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long counts run only when asked for, and part of CI's samples of them in CI; they are deselected, not skipped."""
    if config.getoption("--soak"):
        return
    left = {"soak"} if REQUIRE_ALL else {"soak", "sample"}
    config.hook.pytest_deselected(items=[item for item in items if left & set(item.keywords)])
    items[:] = [item for item in items if not left & set(item.keywords)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With BRAKELINE_REQUIRE_ALL=1 a skip is a failure, unless the test needs an accelerator."""
    report = yield
    if REQUIRE_ALL and report.skipped and "gpu" not in item.keywords and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although everything is required here: {report.longrepr}"
    return report
