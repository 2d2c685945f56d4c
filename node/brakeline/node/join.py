"""A join file: one TOML file that sets a site up, written by the lab or handed out by its party. Options override it.

site = "lab-1.party-a.example/site-1"
treaty = "treaty.dsse.json"          # paths are relative to this file
pin = "5f3c..."                      # compare it with what your government published
tls = "tls"                          # holds tls.pem, tls.key, ca.pem
root_key = "root.pem"                # leave out where the root key stays on a machine of its own
guard = "/mnt/other-disk/last-signed.json"
effective_period = 412               # first period to book; leave out for the next one
seal = ["/predicate/lines/*/joules"] # leave out to seal all that the treaty lets a site seal

[[chips]]                            # the metered class first
class = "cpu-core"
count = 2
serials = "serials.txt"

[verifiers]                          # only where an address differs from the treaty's
"verifier.party-b.example" = "10.0.0.2:7443"
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from brakeline.node.config import FILE, Codes, read_toml
from brakeline.treaty.statements import SiteName
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

CODES = Codes("join-unreadable", "join-toml", "join-value")


class JoinChips(BaseModel):
    """``[[chips]]``: how many of a class, and their serials where they bear them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    chip_class: Annotated[StrictStr, Field(alias="class")]
    count: Annotated[StrictInt, Field(ge=0)]
    serials: StrictStr | None = None


class Join(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    site: SiteName
    treaty: StrictStr
    pin: Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{64}$")]
    tls: StrictStr
    chips: Annotated[tuple[JoinChips, ...], Field(min_length=1)]
    root_key: StrictStr | None = None
    guard: StrictStr | None = None
    effective_period: Annotated[StrictInt, Field(ge=0)] | None = None
    seal: tuple[StrictStr, ...] | None = None
    verifiers: dict[StrictStr, Annotated[StrictStr, Field(pattern=r"^[^\s/]+:[0-9]{1,5}$")]] = {}


def load(path: Path) -> Join:
    """Read a join file.

    Raises:
        ConfigError: ``join-unreadable``, ``join-toml``, ``join-value`` (every mistake, with its line).
    """
    return read_toml(path, Join, CODES, "brakeline.node.join")


def settle(folder: Path, join: Join) -> None:
    """Add to the ``node.toml`` of *folder* what *join* says beyond the options of ``init``."""
    lines: list[str] = []
    if join.seal is not None:
        lines += ["", "[disclosure]", f"seal = {json.dumps(join.seal)}"]
    if join.verifiers:
        lines += ["", "[verifiers]", *(f"{json.dumps(name)} = {json.dumps(at)}" for name, at in join.verifiers.items())]
    if lines:
        with (folder / FILE).open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
