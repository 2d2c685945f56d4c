"""The pages people read: what they tell to type runs as written, what they point at exists."""

from __future__ import annotations

import contextlib
import fnmatch
import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PAGES = ("negotiators", "operators", "verifiers", "auditors")
READMES = ("proto", "treaty", "ledger", "node", "verifier", "audit", "testnet", "tests", "examples")
PACKAGES = ("cryptography", "pynacl", "grpcio", "protobuf", "pydantic", "pytest")
IMPORTED_AS = {"pynacl": "nacl", "grpcio": "grpc", "protobuf": "google.protobuf"}


def markdown() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=TOP, check=True, capture_output=True, text=True)
    return [TOP / name for name in listed.stdout.split("\0") if name and (TOP / name).is_file()]


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", PAGES)
def test_the_first_commands_of_a_page_run_as_written(page: str, tmp_path: Path) -> None:
    text = (TOP / "docs" / f"{page}.md").read_text(encoding="utf-8")
    heading, _, rest = text.partition("\n\n")
    assert heading.startswith("# For ")
    assert rest.startswith("```bash\n"), "a page begins with the commands to run"
    runs_as_written(rest.removeprefix("```bash\n").partition("\n```")[0], tmp_path)


@pytest.mark.timeout(120)
def test_a_new_site_joins_a_treaty_and_attests_a_training_as_the_page_says(tmp_path: Path) -> None:
    text = (TOP / "docs" / "operators.md").read_text(encoding="utf-8")
    block = next(b for b in re.findall(r"^```bash\n(.*?)\n```", text, re.DOTALL | re.MULTILINE) if "testnet up" in b)
    said = runs_as_written(block, tmp_path)
    assert "statements at the quorum" in said
    assert "cosigned" in said
    assert (tmp_path / "up.log").read_text().endswith("stopped; no verifier is left running\n")


def runs_as_written(block: str, tmp_path: Path) -> str:
    (tmp_path / "examples").symlink_to(TOP / "examples")
    secrets = {"BRAKELINE_PASSPHRASE", "BRAKELINE_ROOT_PASSPHRASE"}
    environment = {name: value for name, value in os.environ.items() if name not in secrets}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = ["bash", "-euo", "pipefail", "-c", block]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    ) as shell:
        try:
            output, _ = shell.communicate(timeout=100)
        finally:
            with contextlib.suppress(ProcessLookupError):  # what a block that failed left running
                os.killpg(shell.pid, signal.SIGKILL)
    assert shell.returncode == 0, output
    return output


@pytest.mark.parametrize("page", PAGES)
def test_every_code_that_a_page_explains_is_one_that_the_code_gives(page: str) -> None:
    text = (TOP / "docs" / f"{page}.md").read_text(encoding="utf-8")
    table = text.partition("| code |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    codes = {code for cell in cells for code in re.findall(r"`([a-z0-9*-]+)`", cell)}
    assert len(codes) > 5
    found = subprocess.run(
        ["git", "grep", "-ohE", r"[\"'][a-z0-9]+(-[a-z0-9]+)+[\"':]", "--", "*/brakeline/*.py"],
        cwd=TOP,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    known = {word.strip("\"':") for word in found.splitlines()}
    unknown = {code for code in codes if not any(fnmatch.fnmatch(word, code) for word in known)}
    assert unknown == set()


@pytest.mark.parametrize("path", markdown(), ids=lambda path: str(path.relative_to(TOP)))
def test_links_resolve(path: Path) -> None:
    text = without_code(path.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    missing = [
        target
        for target in targets
        if not re.match(r"https?://|#", target) and not (path.parent / target.partition("#")[0]).exists()
    ]
    assert missing == []


def test_pages_that_code_and_pages_name_exist() -> None:
    named = subprocess.run(
        ["git", "grep", "-ohE", r"\bdocs/[a-z0-9/_*.-]+\.md", "--", "*.py", "*.md", "*.toml", "*.proto"],
        cwd=TOP,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert named
    assert [name for name in sorted(set(named)) if not list(TOP.glob(name))] == []


@pytest.mark.parametrize("root", READMES)
def test_a_readme_names_files_of_its_folder_that_exist(root: str) -> None:
    text = (TOP / root / "README.md").read_text(encoding="utf-8")
    assert 1 <= len(text.splitlines()) <= 40
    portion = next((path for path in (TOP / root / "brakeline").glob("[a-z]*") if path.is_dir()), TOP / root)
    named = re.findall(r"^\|? ?((?:`[\w./]+`(?:, )?)+)", text, flags=re.MULTILINE)
    for name in re.findall(r"`([\w./]+)`", " ".join(named)):
        assert (portion / name).exists() or (TOP / root / name).exists() or (TOP / name).exists(), name


def test_the_readme_says_first_that_this_is_a_prototype_and_what_it_cannot_show() -> None:
    first = next(line for line in (TOP / "README.md").read_text(encoding="utf-8").splitlines() if line)
    assert "prototype" in first
    assert "cannot show" in first


def test_the_readme_names_the_two_commands() -> None:
    text = (TOP / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^ *make demo\b", text, flags=re.MULTILINE)
    assert re.search(r"^ *make test\b", text, flags=re.MULTILINE)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_readmes_table_says_truly_where_a_package_is_used(package: str) -> None:
    text = (TOP / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| {package} \|(.*)\|$", text, flags=re.MULTILINE)
    assert row is not None
    modules = re.findall(r"`([\w./]+)`", row.group(1))
    assert modules
    imported = IMPORTED_AS.get(package, package)
    for name in modules:
        if name.endswith(".py"):
            source = (TOP / name).read_text(encoding="utf-8")
        else:
            found = importlib.util.find_spec(name)
            assert found is not None, name
            assert found.origin is not None, name
            source = Path(found.origin).read_text(encoding="utf-8")
        assert re.search(rf"^ *(?:from|import) {re.escape(imported)}\b", source, flags=re.MULTILINE), name
