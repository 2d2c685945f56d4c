"""docs/trusted-base.md lists what is installed, each with its reason; the bill of materials lists the same."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs" / "trusted-base.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table whose heading begins so."""
    table = PAGE.partition(f"| {heading}")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def packages(cells: list[list[str]]) -> set[str]:
    return {row[0].partition(" ")[0] for row in cells if re.fullmatch(r"[a-z0-9-]+( \(.*\))?", row[0])}


DECIDING, CARRYING = packages(rows("what decides a verdict")), packages(rows("what only carries or prints"))


def needed() -> dict[str, set[str]]:
    """Every package that brakeline alone brings with it on this machine, and who asks for it, by installed metadata."""
    found: dict[str, set[str]] = {}
    todo: list[tuple[str, frozenset[str]]] = [("brakeline", frozenset())]
    done: set[tuple[str, frozenset[str]]] = set()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in done:
            continue
        done.add((name, extras))
        for line in importlib.metadata.requires(name) or []:
            asked = Requirement(line)
            if asked.marker is None or any(asked.marker.evaluate({"extra": extra}) for extra in extras | {""}):
                child = canonicalize_name(asked.name)
                found.setdefault(child, set()).add(name)
                todo.append((child, frozenset(asked.extras)))
    return found


def pinned(name: str) -> dict[str, str]:
    text = (TOP / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9.-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", text, re.MULTILINE))


def test_the_page_lists_what_is_installed_and_pinned_and_nothing_else() -> None:
    assert not DECIDING & CARRYING
    assert set(pinned("base")) == DECIDING | CARRYING
    here = set(needed())
    assert here <= DECIDING | CARRYING
    assert (DECIDING | CARRYING) - here <= {"colorama"}, "on Windows only"
    assert f"{len(pinned('base'))} packages" in " ".join(PAGE.split())


def test_each_has_a_reason_and_is_asked_for_by_whom_the_page_says() -> None:
    asked = needed()
    for row in rows("what only carries or prints"):
        name, reason, because = row
        assert reason
        if name in asked:
            told = {item.strip() for item in because.partition(" on ")[0].split(",")}
            assert told == asked[name] or (told < asked[name] and len(asked[name]) > 3), (name, asked[name])
    assert all(len(row) == 3 and all(row) for row in rows("what decides a verdict"))


def test_a_replay_of_directories_loads_what_decides_and_hardly_more() -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from brakeline.audit.replay import audit_sources\n"
        "logs = Path('examples/logs')\n"
        "pin = (logs / 'pin').read_text().strip()\n"
        "report = audit_sources([str(logs / 'verifier-1.example')], logs / 'treaty.json', pin)\n"
        "assert report.logs[0].root\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, check=True)
    owners = importlib.metadata.packages_distributions()
    loaded = {canonicalize_name(owner) for name in done.stdout.split() for owner in owners.get(name, ())}
    helping = {"cffi", "annotated-types", "typing-extensions", "typing-inspection"}
    assert loaded & (DECIDING | CARRYING) == DECIDING | helping
    assert all(name in PAGE.partition("A replay of directories loads")[2].partition("\n")[0] for name in helping)


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", TOP / "tools" / "sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_bill_of_materials_is_the_pins_with_hashes_and_nothing_of_this_machine(
    sbom: ModuleType, tmp_path: Path
) -> None:
    (path,) = sbom.write(tmp_path, ["base"])
    text = path.read_text(encoding="utf-8")
    bill = json.loads(text)
    assert bill["metadata"]["component"]["name"] == "brakeline"
    assert {item["name"]: item["version"] for item in bill["components"]} == pinned("base")
    assert all(item["externalReferences"][0]["hashes"] for item in bill["components"])
    assert str(TOP) not in text
    assert "timestamp" not in bill["metadata"]
    assert "serialNumber" not in bill
