"""Generate the code of the wire from proto/: ``python tools/proto.py``; ``--check`` fails when it is not up to date."""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PROTO = TOP / "proto"
SOURCE = "brakeline/v1/verifier.proto"


def generate(out: Path) -> None:
    """Write protobuf, gRPC and typing code below *out*."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    flags = [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", *flags, str(PROTO / SOURCE)],
        check=True,
        env={**os.environ, "PATH": path},
        stderr=subprocess.DEVNULL,
    )


def main() -> int:
    """Generate in place, or compare with what is there."""
    if "--check" not in sys.argv:
        generate(PROTO)
        return 0
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory)
        generate(out)
        made = sorted(path.relative_to(out) for path in out.rglob("*.py*"))
        stale = [str(path) for path in made if not filecmp.cmp(out / path, PROTO / path, shallow=False)]
    for path in stale:
        print(f"proto/{path} is not what verifier.proto generates: run `make proto`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
