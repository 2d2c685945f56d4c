"""A real SoftHSM token in a folder of its own, for tests; skipped with a reason where SoftHSM is not installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from brakeline.node.config import KeyPart, PinPart

MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
MODULE = next((path for path in MODULES if Path(path).exists()), "")
needs_softhsm = pytest.mark.skipif(
    not MODULE or shutil.which("softhsm2-util") is None, reason="SoftHSM (Debian: softhsm2) is not installed"
)
TOKEN, PIN = "brakeline-tests", "4711-0815"


def make_token(folder: Path, monkeypatch: pytest.MonkeyPatch) -> KeyPart:
    """Initialise a token below *folder* and return what [key] says of it; its PIN is in a file."""
    (folder / "tokens").mkdir(parents=True)
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(settings))
    command = ["softhsm2-util", "--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", "0000-0000"]
    subprocess.run(command, check=True, capture_output=True)
    import pkcs11

    pkcs11.lib(MODULE).reinitialize()  # the module has read the settings of the token before, if there was one
    (folder / "pin").write_text(f"{PIN}\n")
    return KeyPart(store="pkcs11", module=MODULE, token=TOKEN, label="site-1", pin=PinPart(file=str(folder / "pin")))
