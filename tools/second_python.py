"""Audit ``examples/logs`` with another Python as well, and say whether both found the same.

    .venv/bin/python tools/second_python.py python3.12

Installs this tree, with what it depends on, for that interpreter in a folder that is removed again, runs ``brakeline
audit replay`` there and here, and compares the reports byte for byte. Exit status 0: the same; 1: not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / "examples" / "logs"


def report(brakeline: Path) -> bytes:
    """Return the report of the example logs as the command *brakeline* writes it."""
    logs = sorted(str(path.relative_to(ROOT)) for path in LOGS.iterdir() if path.is_dir())
    pin = (LOGS / "pin").read_text("utf-8").strip()
    treaty = str((LOGS / "treaty.json").relative_to(ROOT))
    words = [str(brakeline), "audit", "replay", *logs, "--treaty", treaty, "--pin", pin, "--format", "json"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, check=False).stdout


def install(python: str, folder: Path) -> Path:
    """Install this tree for *python* below *folder*; return its ``brakeline``."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    subprocess.run([str(folder / "bin" / "pip"), "install", "--quiet", str(ROOT)], check=True)
    return folder / "bin" / "brakeline"


def main() -> int:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", help="another interpreter, by name or path")
    arguments = parser.parse_args()
    version = subprocess.run([arguments.python, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as scratch:
        other = report(install(arguments.python, Path(scratch)))
    own = report(Path(sys.executable).parent / "brakeline")
    same = own == other and bool(own)
    found = json.loads(own)["findings_digest"]
    verdict = "the same report, byte for byte" if same else "ANOTHER REPORT"
    print(f"Python {sys.version.split()[0]} and {version}: {verdict}; findings {found}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
