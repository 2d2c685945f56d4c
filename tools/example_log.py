"""Write ``examples/logs/``: the logs of four verifiers in a small treaty with a cheat, and the report an audit gives.

    python tools/example_log.py [--check]

Deterministic: keys come from names, the clock from the treaty. With ``--check`` nothing is written, and the exit status
is 1 when what is committed differs. The world is the tests' own (``tests/support/worlds.py``): one site leaves 500
chip-milliseconds out of its books, and signs two versions of a later period.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "examples" / "logs"
sys.path.insert(0, str(ROOT))

from brakeline.audit.replay import audit_sources  # noqa: E402

from tests.support import cast, worlds  # noqa: E402


def write(target: Path) -> None:
    """Write the example below *target*, which must not exist."""
    terms = cast.json_lines([cast.terms()["deadlines"]])[0]
    world = worlds.cheating(
        document=cast.document(deadlines={**terms, "heartbeat_ms": 4_000, "report_ms": 18_000})
    )  # keeps the logs small
    paths = world.export(target)
    treaty = world.write_treaty(target / "treaty.json")
    (target / "pin").write_text(f"{world.pin}\n", encoding="utf-8")
    report = audit_sources([str(path) for path in paths], treaty, world.pin)
    logs = tuple(replace(log, source=Path(log.source).name) for log in report.logs)
    value = replace(report, logs=logs).to_json()
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    (target / "report.json").write_text(text + "\n", encoding="utf-8")


def files(folder: Path) -> dict[str, bytes]:
    """Return path -> bytes of every file below *folder*, READMEs left out."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "README.md")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def main() -> int:
    """Write, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is committed; write nothing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / "logs"
        write(fresh)
        made, held = files(fresh), files(TARGET)
        if arguments.check:
            different = sorted(name for name in made.keys() | held.keys() if made.get(name) != held.get(name))
            print(
                "\n".join(f"differs: {name}" for name in different)
                or "examples/logs is what tools/example_log.py writes"
            )
            return 1 if different else 0
        for name in held:
            (TARGET / name).unlink()
        shutil.copytree(fresh, TARGET, dirs_exist_ok=True)
    print(f"wrote {len(made)} files, {sum(map(len, made.values()))} bytes, below {TARGET.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
