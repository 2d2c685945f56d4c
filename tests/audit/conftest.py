"""One audit of eventful logs, for all who look at what it writes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from brakeline.audit import html
from brakeline.audit.detail import Detail, detail_of
from brakeline.audit.look import Look
from brakeline.audit.replay import audit_sources
from brakeline.audit.report import AuditReport
from brakeline.audit.tables import write_tables

from tests.audit.scenes import Scene, eventful
from tests.support.agreement import second_opinion as second_opinion


class Audited(NamedTuple):
    """The logs, and all that an audit makes of them."""

    scene: Scene
    report: AuditReport
    detail: Detail
    page: str
    tables: Path


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    root = tmp_path_factory.mktemp("eventful")
    scene = eventful(root / "logs")
    told: list[Detail] = []

    def look_at(look: Look) -> None:
        told.append(detail_of(look))
        write_tables(look, root / "tables")

    report = audit_sources(scene.logs, scene.treaty, scene.pin, tell=look_at)
    page = html.render(report, told[0], command="brakeline audit replay LOGS")
    return Audited(scene, report, told[0], page, root / "tables")
