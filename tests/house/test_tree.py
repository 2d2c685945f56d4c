"""The guards over the tree, and that they notice what they are there for."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

TOP = Path(__file__).resolve().parents[2]
ROOTS = ("proto", "treaty", "ledger", "node", "verifier", "audit", "testnet")


@pytest.fixture(scope="module")
def check_tree() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_tree", TOP / "tools" / "check_tree.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A tree with every root in order, under git, with a pyproject that calls one module pure."""
    for root in ROOTS:
        portion = tmp_path / root / "brakeline" / ("v1" if root == "proto" else root)
        portion.mkdir(parents=True)
        (portion / "__init__.py").write_text('"""A portion."""\n')
        (portion / "py.typed").touch()
        (tmp_path / root / "README.md").write_text(f"# {root}\n")
    (tmp_path / "ledger/brakeline/ledger/note.py").write_text("SIZE = 4 // 2\n")
    (tmp_path / "pyproject.toml").write_text(
        '[[tool.importlinter.contracts]]\nid = "pure-ledger"\nsource_modules = ["brakeline.ledger.note"]\n'
    )
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    return tmp_path


def test_this_tree_is_in_order() -> None:
    done = subprocess.run([sys.executable, "tools/check_tree.py"], cwd=TOP, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


def test_a_tree_in_order_has_no_problems(check_tree: ModuleType, house: Path) -> None:
    assert check_tree.problems_of(house) == []


@pytest.mark.parametrize("root", ROOTS)
def test_a_stray_init_that_would_hide_other_roots_is_found(check_tree: ModuleType, house: Path, root: str) -> None:
    stray = house / root / "brakeline" / "__init__.py"
    stray.touch()
    (problem,) = check_tree.problems_of(house)
    assert str(stray) in problem
    assert "hides every other source root" in problem


def test_a_portion_without_py_typed_is_found(check_tree: ModuleType, house: Path) -> None:
    (house / "node/brakeline/node/py.typed").unlink()
    (problem,) = check_tree.problems_of(house)
    assert problem.endswith("node/py.typed: missing")


def test_a_root_without_a_readme_or_with_a_long_one_is_found(check_tree: ModuleType, house: Path) -> None:
    (house / "audit/README.md").unlink()
    (house / "node/README.md").write_text("line\n" * 41)
    assert [problem.rpartition("/")[2] for problem in check_tree.problems_of(house)] == [
        "README.md: 41 lines, expected 1 to 40",
        "README.md: 0 lines, expected 1 to 40",
    ]


@pytest.mark.parametrize(
    "code",
    ["RATE = 0.5\n", "def f(a: int) -> float:\n    return a / 2\n", "print(1)\n", "import d\nd.datetime.now()\n"],
)
def test_a_pure_module_that_is_not_pure_is_found(check_tree: ModuleType, house: Path, code: str) -> None:
    (house / "ledger/brakeline/ledger/note.py").write_text(code)
    (problem,) = check_tree.problems_of(house)
    assert "a pure module has" in problem


def test_floating_point_has_a_room_of_its_own_where_the_rest_stays_pure(check_tree: ModuleType) -> None:
    room = Path("treaty/brakeline/treaty/statistics/exploring/normal.py")
    assert check_tree.purity(room, "def f(a: float) -> float:\n    return float(a) / 0.5\n") == []
    assert check_tree.purity(room, "print(1)\n") != []
    assert check_tree.purity(room.parent.parent / "exact.py", "HALF = 0.5\n") != []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("--index-url https://packages.internal.example/simple\n", "a registry's address"),
        ("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n", "a private key"),
        ("see /home/someone/notes.txt\n", "a path of a machine"),
    ],
)
def test_a_tracked_file_that_gives_something_away_is_found(
    check_tree: ModuleType, house: Path, text: str, what: str
) -> None:
    (house / "notes.txt").write_text(text)
    assert check_tree.problems_of(house) == []  # not tracked yet
    subprocess.run(["git", "add", "notes.txt"], cwd=house, check=True)
    (problem,) = check_tree.problems_of(house)
    assert problem.startswith(f"notes.txt: {what}")


def test_the_generated_code_is_what_the_proto_file_generates() -> None:
    done = subprocess.run(
        [sys.executable, "tools/proto.py", "--check"], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize("name", ["base", "node", "testnet", "dev", "build"])
def test_requirements_are_pinned_with_hashes_and_name_no_index(name: str) -> None:
    text = (TOP / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    pins = [line for line in text.splitlines() if line and not line[0].isspace() and not line.startswith("#")]
    assert pins
    for block in re.split(r"\n(?=\S)", text.strip()):
        if not block.startswith("#"):
            assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+", block), block.splitlines()[0]
            assert "--hash=sha256:" in block, block.splitlines()[0]
    assert "index-url" not in text
    assert "://" not in text


@pytest.mark.parametrize(("name", "extra"), [("base", None), ("node", "node"), ("testnet", "testnet"), ("dev", "dev")])
def test_what_pyproject_asks_for_is_pinned(name: str, extra: str | None) -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(project["optional-dependencies"][extra] if extra else [])]
    names = {re.split(r"[\[<>=! ;]", item)[0].lower().replace("_", "-") for item in asked} - {"brakeline"}
    text = (TOP / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==", text, re.MULTILINE))
    assert names - pinned == set()
