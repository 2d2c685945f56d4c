"""Checks of what lies in a node's folder: certificates, key file, disk, journal, books, outbox. Reads only."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.vkey import VKey
from brakeline.node.boards import boards
from brakeline.node.config import NodeConfig
from brakeline.node.gap import gaps_of
from brakeline.node.journal import Delivery, Journal
from brakeline.node.keys.position import BEHIND, doubt
from brakeline.node.meters.kept import Kept
from brakeline.node.meters.protocol import Reading
from brakeline.node.ops import certificates
from brakeline.node.ops.checks import Check, State
from brakeline.node.ops.metrics import periods_behind
from brakeline.node.raw import COUNTERS
from brakeline.node.setup import JOURNAL, KEY, open_guard
from brakeline.node.tls import TlsFiles
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.names import lab_of
from brakeline.treaty.statements import Enrolment, Inventory, Statement, parse_statement

FREE_BYTES = 2 * 1024**3
"""Free space below which a disk is called full soon."""
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs", "afs"}
)
"""File systems whose locks and syncs a journal must not rest on."""


def key_mode(folder: Path) -> list[Check]:
    """The key file must be its owner's alone."""
    path = folder / KEY
    if not path.exists():
        return []
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return [Check("key-mode", State.WARN, f"{path} can be read by others ({mode:o})", f"chmod 600 {path}")]
    return [Check("key-mode", State.OK, "only its owner reads the key")]


def certificate(found: certificates.Certificate, settings: NodeConfig, tls: TlsFiles, now: int) -> list[Check]:
    """Its name, its issuer, and how long it holds."""
    checks: list[Check] = []
    lab = lab_of(settings.site)
    if lab in found.names:
        checks.append(Check("certificate-name", State.OK, f"bears {lab}"))
    else:
        fix = f"ask for a certificate with {lab} as DNS SAN"
        checks.append(Check("certificate-name", State.FAIL, f"bears {', '.join(found.names) or 'no DNS name'}", fix))
    if not certificates.issued_by_known(tls):
        text = "no CA in ca.pem issued it; fine if the verifiers trust another one"
        checks.append(Check("certificate-issuer", State.WARN, text, "compare with your party's CA"))
    left = found.days_left(now)
    said = f"{left} days left" if left >= 0 else f"expired {-left} days ago"
    renew = "renew tls.pem and tls.key; a running node takes them up by itself"
    if now < found.not_before_ms:
        checks.append(Check("certificate-time", State.FAIL, "is not valid yet", "check the clock of this machine"))
    elif left < 1:
        checks.append(Check("certificate-time", State.FAIL, said, renew))
    elif left < certificates.WARN_DAYS[0]:
        checks.append(Check("certificate-time", State.WARN, said, renew))
    else:
        checks.append(Check("certificate-time", State.OK, said))
    return checks


def disk(folder: Path) -> list[Check]:
    """Space, kind of file system, and whether one can write there."""
    free = shutil.disk_usage(folder).free
    said = f"{free / 1024**3:.1f} GiB free"
    checks = [
        Check("disk-space", State.OK, said)
        if free >= FREE_BYTES
        else Check("disk-space", State.WARN, said, "make room: a full disk stops the books")
    ]
    kind = file_system(folder, _mounts())
    if kind in NETWORK_FILE_SYSTEMS:
        fix = "move the folder to a local disk: locks and syncs over a network cannot be relied on"
        checks.append(Check("disk-kind", State.FAIL, f"the folder lies on {kind}", fix))
    else:
        checks.append(Check("disk-kind", State.OK, f"a local file system ({kind or 'unknown'})"))
    if not os.access(folder, os.W_OK):
        checks.append(Check("disk-access", State.FAIL, f"{folder} cannot be written by this user", "chown it"))
    return checks


def _mounts() -> str:
    try:
        return Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def file_system(folder: Path, mounts: str) -> str:
    r"""Return the type of the file system that *folder* lies on, by the text of ``/proc/mounts``; "" when unknown.

    >>> file_system(Path("/srv/node"), "/dev/a / ext4 rw 0 0\nhost:/x /srv nfs4 rw 0 0\n")
    'nfs4'
    """
    where, best, kind = folder.resolve(), -1, ""
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) >= 3 and where.is_relative_to(mount := words[1].replace("\\040", " ")) and len(mount) > best:
            best, kind = len(mount), words[2]
    return kind


def journal(folder: Path, settings: NodeConfig, document: TreatyDocument, key: str | None, now: int) -> list[Check]:
    """The journal opens and is sound; key enrolled; books up to date; outbox not stuck."""
    try:
        with Journal(folder / JOURNAL, read_only=True) as journal:
            checks = [Check("journal", State.OK, "opens")]
            damage = journal.damage()
            if damage:
                fix = "stop the node and restore this machine's disk; never an old journal (docs/operators.md)"
                checks = [Check("journal", State.FAIL, damage, fix)]
            said = [parse_statement(Envelope.from_body(item.body).payload) for item in journal.envelopes()]
            checks += _enrolled(said, settings, key)
            checks += _position(folder, settings, journal, key)
            checks += _books(journal, document, said, now)
            checks += _boards(folder, settings, said, now)
            checks += _methods(journal, document)
            checks += _outbox(journal, document)
            return checks
    except BrakelineError as error:
        return [
            Check(
                "journal",
                State.FAIL,
                f"{error.code}: {error.message} {error.found}".strip(),
                error.fix or f"needed: {error.expected}",
            )
        ]


def _enrolled(said: list[Statement], settings: NodeConfig, key: str | None) -> list[Check]:
    """The key in the folder is the one that the newest enrolment of this site begins."""
    begun = [s.predicate for s in said if isinstance(s.predicate, Enrolment) and s.predicate.site == settings.site]
    keys = [VKey.parse(item.key).public_key.hex() for item in begun if item.action != "end"]
    if key is None:
        return []
    if not keys or keys[-1] != key:
        fix = "use the key that the lab's root enrolled last, or enrol this one"
        return [Check("enrolment", State.FAIL, "the key is not the one enrolled last", fix)]
    return [Check("enrolment", State.OK, "the key is enrolled")]


def _position(folder: Path, settings: NodeConfig, journal: Journal, key: str | None) -> list[Check]:
    """The record of what was signed last lies apart, and agrees with the journal."""
    guard = open_guard(folder, settings)
    if guard is None:
        said = "no [guard]: at every start all verifiers must answer before anything is signed"
        return [Check("last-signed", State.WARN, said, "brakeline node init --guard; docs/operators.md, 'The key'")]
    checks: list[Check] = []
    if guard.same_disk(folder):
        said = f"{guard.path} lies on the journal's disk: one image takes both back"
        checks.append(Check("last-signed-disk", State.WARN, said, "move it to another disk, and [guard] path with it"))
    if key is None:
        return checks
    held = doubt(journal, guard, hashlib.sha256(bytes.fromhex(key)).hexdigest())
    if held == BEHIND:
        fix = "the journal is old: brakeline node takeover"
        return [*checks, Check("last-signed", State.FAIL, f"{held}: more was signed than the journal holds", fix)]
    if held:
        fix = "start the node, it asks the verifiers; or brakeline node key install"
        return [*checks, Check("last-signed", State.WARN, f"{held}: nothing is signed for now", fix)]
    return [*checks, Check("last-signed", State.OK, "record and journal agree")]


def _books(journal: Journal, document: TreatyDocument, said: list[Statement], now: int) -> list[Check]:
    owed = [s.predicate.effective_period for s in said if isinstance(s.predicate, Inventory)]
    behind = periods_behind(document, min(owed, default=None), journal.last_period(), now)
    if not owed:
        return [Check("books", State.FAIL, "no chips are declared", "brakeline node init, or say an inventory")]
    if behind > 1:
        return [Check("books", State.WARN, f"{behind} periods are over and not booked", "start the node")]
    return [Check("books", State.OK, f"booked up to period {journal.last_period()}")]


def _boards(folder: Path, settings: NodeConfig, said: list[Statement], now: int) -> list[Check]:
    """The boards' counters are read, and tell of as many chips as are declared."""
    if settings.accelerators is None:
        return []
    meter, span = settings.accelerators.meter, 3 * settings.accelerators.every_ms
    declared = [s.predicate.chips[0] for s in said if isinstance(s.predicate, Inventory)]
    lines = Kept(folder / COUNTERS).lines(meter, now - span, now + 1) if (folder / COUNTERS).is_dir() else iter(())
    readings = [Reading.of_line(line) for line in lines]
    if not readings:
        found = f"{meter} was not read within {span // 1000} s: that time is unattributed in the books"
        return [Check("boards", State.WARN, found, "start the node; its log says boards-not-read, and why")]
    chips = {chip for reading in readings for chip in boards(reading)}
    gaps = sorted({f"{gap.quantity} ({gap.code})" for gap in readings[-1].gaps})
    found = f"{meter} tells of {len(chips)} chips" + (f", without {', '.join(gaps)}" if gaps else "")
    if declared and len(chips) != declared[-1].count:
        fix = "meter all machines of the site, or correct the inventory; unmetered chips are unattributed in the books"
        said_ = f"{found}; the inventory declares {declared[-1].count} {declared[-1].chip_class}"
        return [Check("boards", State.WARN, said_, fix)]
    return [Check("boards", State.OK, found)]


def _methods(journal: Journal, document: TreatyDocument) -> list[Check]:
    """Both methods of counting agree in the books as they stand."""
    fix = "compare utilisation, counters and what programs report, before the sum is a finding; docs/meters.md"
    found = [Check("method-gap", State.WARN, gap.text(), fix) for gap in gaps_of(document, journal)]
    return found or [Check("method-gap", State.OK, "both methods agree, where both are stated")]


def _outbox(journal: Journal, document: TreatyDocument) -> list[Check]:
    held = journal.receipts()
    lacking = sum(count < document.quorum.receipts for count in held.values())
    refused = {v.name: journal.progress(v.name)[Delivery.REFUSED] for v in document.verifiers}
    checks = [
        Check("receipts", State.OK, f"a quorum holds each of {len(held)} statements")
        if not lacking
        else Check(
            "receipts",
            State.WARN,
            f"{lacking} of {len(held)} statements lack receipts of {document.quorum.receipts} logs",
            "see the verifiers below; `brakeline node outbox export` where no network leads there",
        )
    ]
    checks += [
        Check(f"refused {name}", State.FAIL, f"{count} statements refused for good", "the node's log names the codes")
        for name, count in refused.items()
        if count
    ]
    return checks
