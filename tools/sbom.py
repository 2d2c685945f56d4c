"""Write a CycloneDX bill of materials a pin file: ``python tools/sbom.py build/sbom``.

From the pins, not from what happens to be installed: every package with its version and hashes, no path of this
machine, and the same bytes for the same pins. What the pins do not say (who needs whom, licences of others) is not in
it; docs/trusted-base.md says why each package of an auditor is there.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent


def write(out: Path, names: Sequence[str] = ()) -> list[Path]:
    """Write one file a pin file (those of *names*; all by default) into *out*, made if absent; return the paths."""
    out.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    for pins in sorted((TOP / "requirements").glob("*.txt")):
        if names and pins.stem not in names:
            continue
        path = out / f"brakeline-{pins.stem}.cdx.json"
        command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", f"requirements/{pins.name}"]
        options = ["--pyproject", "pyproject.toml", "--output-reproducible", "--output-format", "JSON", "-o", str(path)]
        subprocess.run([*command, *options], cwd=TOP, check=True)
        made.append(path)
    return made


def main() -> int:
    """Write into the folder given, or into build/sbom."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else TOP / "build" / "sbom"
    for path in write(out.resolve()):
        print(path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
