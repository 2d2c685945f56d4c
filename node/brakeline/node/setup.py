"""Making a node's folder: site key, enrolment, first inventory, ``node.toml``. What ``brakeline node init`` does."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from brakeline.ledger import keyfile
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.merkle import Frontier, leaf_hash
from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.node import config
from brakeline.node.journal import Journal
from brakeline.node.keys import enrolment
from brakeline.node.keys.guard import FRESH, Guard, LastSigned
from brakeline.node.keys.position import AWAITING, doubt
from brakeline.node.keys.store import open_store
from brakeline.node.raw import RawCounters
from brakeline.node.site import Position, Site, default_serials
from brakeline.treaty.admission import check_treaty_statement
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.names import NameKind, check_name, lab_of
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.statements import ChipCount, Inventory, Serials
from brakeline.treaty.version_admission import check_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from brakeline.ledger.ed25519 import Signer
    from brakeline.treaty.document import TreatyDocument
    from brakeline.treaty.succession import Succession

TREATY = "treaty.dsse.json"
KEY = Path("keys") / "site.pem"
JOURNAL = "journal.db"
CHIPS = "planned-chips"
"""Under which the journal keeps what a new node will declare when its key is enrolled."""
REQUEST = "request.dsse.json"
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
        guard: where the record of what was signed last lies, apart from the folder; None: the node keeps none, and asks
            all verifiers at every start.
        key: where the site's key lives.
        egress: the one way out, None where there are others.
    """

    site: str
    chips: tuple[tuple[str, int], ...]
    serials: dict[str, Path]
    tls_folder: Path
    effective_period: int | None = None
    after: tuple[int, str] | None = None
    guard: Path | None = None
    key: config.KeyPart = field(default_factory=config.KeyPart)
    egress: config.EgressPart | None = None


def load_treaty(data: bytes, pin: str) -> TreatyDocument:
    """Return the treaty of the DSSE JSON *data* when it is the pinned one, fully signed (codes of admission)."""
    return check_treaty_statement(Envelope.from_dsse_json(data), pin)[1]


def load_versions(treaty: Path, pin: str, later: Iterable[Envelope] = ()) -> Succession:
    """Return the treaty in the file *treaty*, or of all files (``*.json``) of a folder, and its *later* versions.

    Raises:
        BrakelineError: ``treaty-not-pinned``, and the codes of admission.
    """
    files = sorted(treaty.glob("*.json")) if treaty.is_dir() else [treaty]
    return check_versions([*(Envelope.from_dsse_json(file.read_bytes()) for file in files), *later], pin)


def amendments_in(folder: Path) -> list[Envelope]:
    """Return the amendments that the node of *folder* follows. Reads only; the node may run."""
    if not (folder / JOURNAL).is_file():
        return []
    with Journal(folder / JOURNAL, read_only=True) as journal:
        return [Envelope.from_body(item.body) for item in journal.named("amendment")]


def versions_of(folder: Path, settings: config.NodeConfig) -> Succession:
    """Return the pinned treaty and the amendments that the node of *folder* follows. Reads only; the node may run.

    Raises:
        BrakelineError: of the treaty, and ``journal-*``.
    """
    return load_versions(folder / TREATY, settings.pin, amendments_in(folder))


def treaty_of(folder: Path, settings: config.NodeConfig, now_ms: int) -> TreatyDocument:
    """Return the version that governs at *now_ms* (Unix ms), as :func:`versions_of` does."""
    versions = versions_of(folder, settings)
    return versions.last(versions.root.grid.period_of(InstantMs(now_ms)))


def make_node(
    folder: Path,
    plan: Plan,
    treaty: bytes,
    pin: str,
    root: Signer | None,
    *,
    passphrase: bytes | None,
    now_ms: Callable[[], int],
) -> Site:
    """Make the folder, sign enrolment and inventory, and return the site with its journal open.

    Without *root* a request for its signature is written instead (``request.dsse.json``), and the site is held; the
    inventory is signed when the answer is installed.

    Raises:
        SetupError: ``node-exists``, ``node-lab-unknown``, ``node-root-key``, ``node-chip-class``.
        BrakelineError: of the treaty, the key file, or admission.
    """
    document = load_treaty(treaty, pin)
    check_name(plan.site, NameKind.SITE)
    _check_root(document, plan.site, root)
    _check_chips(document, plan.chips)
    furnish(folder, plan, treaty)
    signer = open_store(folder, plan.key, passphrase).make()
    vkey = VKey(plan.site, TYPE_STATEMENT, signer.public_key)
    keyfile.write_vkey(folder / KEY, vkey)
    guard = None if plan.guard is None else Guard(plan.guard)
    if guard is not None:
        guard.begin(plan.site, vkey.keyid)
    raw = RawCounters(folder, config.RawPart())
    site = Site(plan.site, document, Journal(folder / JOURNAL), signer, now_ms, guard, raw=raw)
    period = plan.effective_period
    if period is None:
        period = max(document.effective_period, document.grid.first_from(InstantMs(now_ms())))
    if root is None:
        after = FRESH if plan.after is None else LastSigned(*plan.after)
        asked = enrolment.request(document, plan.site, signer, period, after)
        site.journal.remember(CHIPS, json.dumps([period, *plan.chips]))
        site.journal.remember(AWAITING, "")
        site.hold(AWAITING)
        (folder / REQUEST).write_bytes(asked.to_dsse_json())
    else:
        site.spool(enrol(document, vkey, signer, root, period, plan.after))
        declare_chips(site, plan.chips, {c: config.read_serials(path) for c, path in plan.serials.items()}, period)
    write_config(folder, plan, pin)
    return site


def furnish(folder: Path, plan: Plan, treaty: bytes) -> None:
    """Make a node's folder with its treaty and TLS files; keys, journal and last of all the configuration follow.

    Raises:
        SetupError: ``node-exists``.
    """
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


def open_site(folder: Path, passphrase: bytes | None, now_ms: Callable[[], int]) -> tuple[config.NodeConfig, Site]:
    """Open a node's folder: configuration, pinned treaty, key, record of what was signed last, journal.

    The site is held where its position is in doubt (:func:`brakeline.node.keys.position.doubt`).

    Raises:
        BrakelineError: ``config-*``, ``journal-*``, ``key-*``, ``guard-*``.
    """
    settings = config.load(folder / config.FILE)
    document = load_treaty((folder / TREATY).read_bytes(), settings.pin)
    signer = open_store(folder, settings.key, passphrase).signer()
    guard = open_guard(folder, settings)
    journal = Journal(folder / JOURNAL)
    try:
        keyid = VKey(settings.site, TYPE_STATEMENT, signer.public_key).keyid
        held = doubt(journal, guard, keyid, always=settings.guard is not None and settings.guard.ask == "always")
        seal = settings.disclosure.seal
        raw = RawCounters(folder, settings.raw, settings.accelerators)
        return settings, Site(settings.site, document, journal, signer, now_ms, guard, held, seal, raw)
    except BaseException:
        journal.close()
        raise


def open_guard(folder: Path, settings: config.NodeConfig) -> Guard | None:
    """Return the record of what was signed last that ``[guard]`` names, None where it names none."""
    return None if settings.guard is None else Guard(folder / settings.guard.path)


def enrol(
    document: TreatyDocument,
    key: VKey,
    signer: Signer,
    root: Signer,
    period: int,
    after: tuple[int, str] | None = None,
) -> Envelope:
    """Return the enrolment of a site key, signed by the lab's root key and by the key itself."""
    last = FRESH if after is None else LastSigned(*after)
    return enrolment.root_sign(document, enrolment.request(document, key.name, signer, period, last), root)


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


def declare_planned(site: Site, serials: dict[str, tuple[str, ...]]) -> None:
    """Sign the inventory that waits for the enrolment of a new node's key; nothing happens where none waits."""
    waiting = site.journal.recall(CHIPS)
    if waiting is None:
        return
    period, *chips = json.loads(waiting)
    if site.newest_inventory() is None:
        declare_chips(site, tuple((name, count) for name, count in chips), serials, period)
    site.journal.forget(CHIPS)


def _check_root(document: TreatyDocument, site: str, root: Signer | None) -> None:
    lab = document.lab(lab_of(site))
    if lab is None:
        raise SetupError(
            code="node-lab-unknown",
            message="the treaty does not name the lab of this site",
            expected=", ".join(item.name for item in document.labs)[:200],
            found=lab_of(site),
            fix="check --site, or have the treaty name the lab",
        )
    if root is not None and lab.root_key.public_key != root.public_key:
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


def write_config(folder: Path, plan: Plan, pin: str) -> None:
    """Write ``node.toml``, whole or not at all: with it the folder is a node's."""
    lines = [f"site = {json.dumps(plan.site)}", f"pin = {json.dumps(pin)}", "", "[tls]", 'folder = "tls"']
    if plan.key.store != "file":
        pin_of = plan.key.pin.model_dump(exclude_none=True) if plan.key.pin is not None else {}
        source = ", ".join(f"{name} = {json.dumps(value)}" for name, value in pin_of.items())
        named = {"module": plan.key.module, "token": plan.key.token, "label": plan.key.label}
        lines += ["", "[key]", f'store = "{plan.key.store}"']
        lines += [*(f"{name} = {json.dumps(value)}" for name, value in named.items()), f"pin = {{{source}}}"]
    if plan.guard is not None:
        lines += ["", "[guard]", f"path = {json.dumps(str(plan.guard.absolute()))}"]
    if plan.egress is not None:
        lines += ["", "[egress]", f"proxy = {json.dumps(plan.egress.proxy)}"]
    for chip_class, _ in plan.chips:
        lines += ["", "[[chips]]", f"class = {json.dumps(chip_class)}"]
        if chip_class in plan.serials:
            lines.append(f"serials = {json.dumps(str(plan.serials[chip_class].resolve()))}")
    temporary = folder / f".{config.FILE}.part"
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    temporary.rename(folder / config.FILE)
