"""An honest verifier on a machine whose clock is off: ``python -m brakeline.testnet.skewed --dir DIR --offset-ms 700``.

It is the verifier's own code with another clock put in from outside, constantly off by so many milliseconds (ahead when
positive). Within the treaty's skew it must be accused of nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from brakeline.verifier.config import Config
from brakeline.verifier.keys import Signers, Terms
from brakeline.verifier.server import VerifierServer, run, unix_ms


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verifier with its own idea of the time until SIGTERM."""
    parser = argparse.ArgumentParser(description="Run an honest verifier whose clock is off (for tests).")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--offset-ms", type=int, required=True)
    options = parser.parse_args(argv)

    def make(directory: Path, config: Config, terms: Terms, signers: Signers) -> VerifierServer:
        return VerifierServer(directory, config, terms, signers, now_ms=lambda: unix_ms() + options.offset_ms)

    def ready(addresses: object) -> None:
        print(json.dumps({"ready": addresses}), flush=True)

    run(options.dir, passphrase=None, on_ready=ready, make=make)
    return 0


if __name__ == "__main__":
    sys.exit(main())
