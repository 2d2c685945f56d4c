"""A throw-away treaty whose verifiers really run, on loopback: something for a new site to join. Nothing cheats here.

OUT/site.toml  root.pem  tls/                 what `brakeline node init --from OUT/site.toml` needs
OUT/treaty.dsse.json  pin                     the terms, signed, and their digest
OUT/verifiers/<name>/  OUT/output/            the verifiers' folders, and what they printed
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from brakeline.testnet import terms
from brakeline.testnet.build import Testnet, build_verifiers
from brakeline.testnet.plan import LabPlan, Plan, Role
from brakeline.testnet.ports import Ports
from brakeline.testnet.processes import BRAKELINE, Troupe

SITE = "site.toml"
LEAD_MS = 1_000
LAB = LabPlan(1, Role.IDLE)


@contextmanager
def raised(out: Path, verifiers: int, now_ms: Callable[[], int]) -> Generator[Testnet]:
    """Build into *out*, start the verifiers, and yield when all are ready; afterwards none of them is left."""
    plan = Plan(seed=0, evidence=False, order_period=0, labs=(LAB,))
    with Ports() as ports:
        net = build_verifiers(out, plan, verifiers, now_ms, ports, lead_ms=LEAD_MS, pace=terms.PATIENT)
    shutil.copy(net.keys / f"{LAB.name}.pem", out / "root.pem")
    (out / SITE).write_text(
        f'site = "{LAB.site}"\ntreaty = "treaty.dsse.json"\npin = "{net.pin}"\ntls = "tls"\nroot_key = "root.pem"\n'
        f'guard = "last-signed.json"\n\n[[chips]]\nclass = "{terms.CHIP_CLASS}"\ncount = {terms.CHIPS}\n',
        encoding="utf-8",
    )
    with Troupe(out / "output") as troupe:
        names = [verifier.name for verifier in net.document.verifiers]
        for name in names:
            troupe.start(name, [*BRAKELINE, "verifier", "serve", "--dir", str(net.verifier(name))])
        troupe.await_ready(names)
        yield net
