"""Making a node's folder: site key, enrolment, first inventory, ``node.toml``. What ``brakeline node init`` does."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brakeline.ledger import keyfile
from brakeline.ledger.entry import RawSignature
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.merkle import Frontier, leaf_hash
from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.node import config
from brakeline.node.journal import Journal
from brakeline.node.site import Position, Site, default_serials
from brakeline.treaty.admission import check_treaty_statement
from brakeline.treaty.document import ZERO_DIGEST
from brakeline.treaty.envelope import Envelope, pae
from brakeline.treaty.names import NameKind, check_name, lab_of
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.statements import ChipCount, Enrolment, Inventory, Serials, encode_statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from brakeline.ledger.ed25519 import Signer
    from brakeline.treaty.document import TreatyDocument

TREATY = "treaty.dsse.json"
KEY = Path("keys") / "site.pem"
JOURNAL = "journal.db"
TLS_FILES = ("tls.pem", "tls.key", "ca.pem")


class SetupError(BrakelineError):
    """A node's folder cannot be made or opened (codes ``node-*``)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a new node is to be.

    Attributes:
        site: its name; its lab must be named by the treaty.
        chips: (class, count), the metered class first.
        serials: class -> file with one serial number a line, where chips bear them.
        tls_folder: holds tls.pem, tls.key, ca.pem; they are copied.
        effective_period: first period it owes books for; None: the first that starts from now on.
        after: (sequence, digest) of the lab root's last enrolment; None when this is the lab's first.
    """

    site: str
    chips: tuple[tuple[str, int], ...]
    serials: dict[str, Path]
    tls_folder: Path
    effective_period: int | None = None
    after: tuple[int, str] | None = None


def load_treaty(data: bytes, pin: str) -> TreatyDocument:
    """Return the treaty of the DSSE JSON *data* when it is the pinned one, fully signed (codes of admission)."""
    return check_treaty_statement(Envelope.from_dsse_json(data), pin)[1]


def make_node(
    folder: Path,
    plan: Plan,
    treaty: bytes,
    pin: str,
    root: Signer,
    *,
    passphrase: bytes | None,
    now_ms: Callable[[], int],
) -> Site:
    """Make the folder, sign enrolment and inventory, and return the site with its journal open.

    Raises:
        SetupError: ``node-exists``, ``node-lab-unknown``, ``node-root-key``, ``node-chip-class``.
        BrakelineError: of the treaty, the key file, or admission.
    """
    document = load_treaty(treaty, pin)
    check_name(plan.site, NameKind.SITE)
    _check_root(document, plan.site, root)
    _check_chips(document, plan.chips)
    if (folder / config.FILE).exists():
        raise SetupError(
            code="node-exists",
            message="this folder holds a node already; its key and journal are never overwritten",
            expected="a new folder",
            found=str(folder / config.FILE),
            fix="choose another --dir",
        )
    (folder / KEY).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "tls").mkdir(exist_ok=True, mode=0o700)
    for name in TLS_FILES:
        shutil.copy(plan.tls_folder / name, folder / "tls" / name)
    (folder / TREATY).write_bytes(treaty)
    signer = keyfile.write_key(folder / KEY, keyfile.generate(), passphrase)
    vkey = VKey(plan.site, TYPE_STATEMENT, signer.public_key)
    keyfile.write_vkey(folder / KEY, vkey)
    site = Site(plan.site, document, Journal(folder / JOURNAL), signer, now_ms)
    period = plan.effective_period
    if period is None:
        period = max(document.effective_period, document.grid.first_from(InstantMs(now_ms())))
    site.spool(enrol(document, vkey, signer, root, period, plan.after))
    declare_chips(site, plan.chips, {name: config.read_serials(path) for name, path in plan.serials.items()}, period)
    _write_config(folder, plan, pin)
    return site


def open_site(folder: Path, passphrase: bytes | None, now_ms: Callable[[], int]) -> tuple[config.NodeConfig, Site]:
    """Open a node's folder: configuration, pinned treaty, key, journal (``config-*``, ``journal-*``, ``key-*``)."""
    settings = config.load(folder / config.FILE)
    document = load_treaty((folder / TREATY).read_bytes(), settings.pin)
    signer = keyfile.read_signer(folder / KEY, passphrase)
    return settings, Site(settings.site, document, Journal(folder / JOURNAL), signer, now_ms)


def enrol(
    document: TreatyDocument,
    key: VKey,
    signer: Signer,
    root: Signer,
    period: int,
    after: tuple[int, str] | None = None,
) -> Envelope:
    """Return the enrolment of a site key, signed by the lab's root key and by the key itself."""
    sequence, previous = (after[0] + 1, after[1]) if after else (0, ZERO_DIGEST)
    payload = encode_statement(
        Enrolment(
            author=lab_of(key.name),
            sequence=sequence,
            previous=previous,
            treaty=document.digest,
            site=key.name,
            action="begin",
            key=str(key),
            effective_period=period,
        )
    )
    message = pae(payload)
    root_id = VKey(lab_of(key.name), TYPE_STATEMENT, root.public_key).keyid
    return Envelope(payload, (RawSignature(root_id, root.sign(message)), RawSignature(key.keyid, signer.sign(message))))


def declare_chips(
    site: Site, chips: tuple[tuple[str, int], ...], serials: dict[str, tuple[str, ...]], period: int
) -> None:
    """Sign and queue an inventory of *chips* from *period* on; chips without serials get names made from the site's.

    Raises:
        SetupError: ``node-serials`` when a class has another number of serials than chips.
    """
    names: list[str] = []
    for chip_class, count in chips:
        own = serials.get(chip_class) or default_serials(site.name, chip_class, count)
        if len(own) != count:
            raise SetupError(
                code="node-serials",
                message=f"the serial numbers of {chip_class} are not one per chip",
                expected=str(count),
                found=str(len(own)),
            )
        names += own
    frontier = Frontier()
    for name in sorted(names, key=str.encode):
        frontier.append(leaf_hash(name.encode()))

    def build(at: Position) -> Inventory:
        return Inventory(
            author=at.author,
            sequence=at.sequence,
            previous=at.previous,
            treaty=at.treaty,
            effective_period=period,
            chips=tuple(ChipCount(chip_class=chip_class, count=count) for chip_class, count in chips),
            serials=Serials(root=frontier.root().hex(), count=len(names)),
        )

    site.sign_and_spool(build)


def _check_root(document: TreatyDocument, site: str, root: Signer) -> None:
    lab = document.lab(lab_of(site))
    if lab is None:
        raise SetupError(
            code="node-lab-unknown",
            message="the treaty does not name the lab of this site",
            expected=", ".join(item.name for item in document.labs)[:200],
            found=lab_of(site),
            fix="check --site, or have the treaty name the lab",
        )
    if lab.root_key.public_key != root.public_key:
        raise SetupError(
            code="node-root-key",
            message="this is not the root key that the treaty names for the lab",
            expected=str(lab.root_key),
            found=VKey(lab.name, TYPE_STATEMENT, root.public_key).keyid,
            fix="use the lab's offline root key file",
        )


def _check_chips(document: TreatyDocument, chips: tuple[tuple[str, int], ...]) -> None:
    for name, _ in chips:
        if document.chip_class(name) is None:
            raise SetupError(
                code="node-chip-class",
                message="the treaty does not name this class of chips",
                expected=", ".join(item.name for item in document.chip_classes)[:200],
                found=name,
                fix="check --chips, or have the treaty name the class",
            )


def _write_config(folder: Path, plan: Plan, pin: str) -> None:
    lines = [f"site = {json.dumps(plan.site)}", f"pin = {json.dumps(pin)}", "", "[tls]", 'folder = "tls"']
    for chip_class, _ in plan.chips:
        lines += ["", "[[chips]]", f"class = {json.dumps(chip_class)}"]
        if chip_class in plan.serials:
            lines.append(f"serials = {json.dumps(str(plan.serials[chip_class].resolve()))}")
    temporary = folder / f".{config.FILE}.part"
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    temporary.rename(folder / config.FILE)
