"""``brakeline node key`` and ``brakeline node takeover``: an offline root signs what is asked. Imports stay light."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from brakeline.ledger.output import Format, FormatOption, emit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from brakeline.ledger.ed25519 import Signer
    from brakeline.ledger.source import Source
    from brakeline.node.config import EgressPart, KeyPart
    from brakeline.node.keys.guard import Guard, LastSigned
    from brakeline.treaty.document import TreatyDocument
    from brakeline.treaty.envelope import Envelope

app = typer.Typer(
    help="The site's key: show it, replace it, end it. The lab's root key signs elsewhere, offline.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Folder = Annotated[Path, typer.Option("--dir", help="The node's folder.")]
Treaty = Annotated[Path, typer.Option(help="The signed treaty (DSSE JSON).")]
Pin = Annotated[str, typer.Option(help="The treaty's digest, as your government published it.")]
RootKey = Annotated[Path, typer.Option(help="The lab's root key file; BRAKELINE_ROOT_PASSPHRASE opens it.")]
Out = Annotated[Path, typer.Option(help="The file to write; never overwritten.")]
After = Annotated[
    str | None, typer.Option(help="SEQUENCE:DIGEST of the root's last statement; default: as the logs say.")
]
Logs = Annotated[
    list[str] | None, typer.Option("--log", help="VERIFIER=ADDRESS or VERIFIER=FOLDER of a log; default: the treaty's.")
]
Proxy = Annotated[
    str | None, typer.Option(help="http://host:port that leads to the logs; a take-over keeps it as [egress].")
]
Record = Annotated[
    Path | None, typer.Option(help="File that remembers what the root signed last, so that it signs no position twice.")
]


def key_options(
    module: str | None, token: str | None, label: str | None, pin_file: str | None, pin_env: str | None
) -> KeyPart:
    """Return ``[key]`` as the options give it: a file, or with *module* a key in a token."""
    from brakeline.node.config import KeyPart, PinPart

    if module is None:
        if token or label or pin_file or pin_env:
            raise typer.BadParameter("--token, --key-label, --pin-file and --pin-env belong to --pkcs11-module")
        return KeyPart()
    if not token or not label or (pin_file is None) == (pin_env is None):
        raise typer.BadParameter("--pkcs11-module needs --token, --key-label, and one of --pin-file and --pin-env")
    pin = PinPart(file=None if pin_file is None else str(Path(pin_file).absolute()), env=pin_env)
    return KeyPart(store="pkcs11", module=module, token=token, label=label, pin=pin)


@app.command(epilog="Example: brakeline node key show --dir node")
def show(folder: Folder, format: FormatOption = Format.TEXT) -> None:  # noqa: A002  the option's name is --format
    """Show the current key, where it lives, what it signed last, and whether the node may sign. The node may run."""
    from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
    from brakeline.node import config
    from brakeline.node.journal import Journal
    from brakeline.node.keys.position import doubt, signed_up_to
    from brakeline.node.keys.store import open_store
    from brakeline.node.setup import JOURNAL, open_guard

    settings = config.load(folder / config.FILE)
    store, guard = open_store(folder, settings.key, _secret("BRAKELINE_PASSPHRASE")), open_guard(folder, settings)
    key = VKey(settings.site, TYPE_STATEMENT, store.signer().public_key)
    with Journal(folder / JOURNAL, read_only=True) as journal:
        always = settings.guard is not None and settings.guard.ask == "always"
        held, stands = doubt(journal, guard, key.keyid, always=always), signed_up_to(journal)
    last = None if guard is None else guard.last(key.keyid)
    apart = guard is not None and not guard.same_disk(folder)
    value: dict[str, object] = {
        "site": settings.site,
        "key": str(key),
        "keyid": key.keyid,
        "store": str(store),
        "signed": {"sequence": stands.sequence, "digest": stands.digest},
        "record": None if guard is None else str(guard.path),
        "recorded": None if last is None else {"sequence": last.sequence, "digest": last.digest},
        "record_on_another_disk": apart,
        "held": held,
    }
    lines = [
        str(key),
        f"keyid     {key.keyid}",
        f"store     {store}",
        f"signed    up to sequence {stands.sequence}, {stands.digest}",
        f"record    {'none' if guard is None else guard.path}"
        f"{'' if guard is None or apart else ': on the same disk as the node; move it to another'}",
        f"recorded  {'nothing' if last is None else f'sequence {last.sequence}, {last.digest}'}",
        f"may sign  {'yes' if not held else f'no: {held}'}",
    ]
    emit(format, value, "\n".join(lines))


@app.command(epilog="Example: brakeline node key rotate --dir node --out request.dsse.json")
def rotate(
    folder: Folder,
    out: Out = Path("request.dsse.json"),
    after: After = None,
    log: Logs = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Go on with the old key. Only where no request was ever signed.")
    ] = False,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Make a new key in the node's store and a request to replace the current one; stop the node first.

    From now on the node signs nothing, whether it runs or not, until `key install` brings the signed statement: what it
    signed meanwhile with the old key would be disowned. It meters, and books what is due afterwards.
    """
    from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
    from brakeline.node.keys import enrolment
    from brakeline.node.keys.position import AWAITING, signed_up_to
    from brakeline.node.keys.store import open_store
    from brakeline.node.setup import open_site
    from brakeline.treaty.quantities import InstantMs

    settings, site = open_site(folder, _secret("BRAKELINE_PASSPHRASE"), _now_ms)
    try:
        if undo:
            site.journal.forget(AWAITING)
            emit(format, {"undone": True}, "the node goes on with its old key; destroy every request")
            return
        if site.held not in ("", AWAITING):
            raise typer.BadParameter(f"this node's position is in doubt ({site.held}): use `brakeline node takeover`")
        document, store = site.document, open_store(folder, settings.key, _secret("BRAKELINE_PASSPHRASE"))
        root = _pair(after) if after is not None else _root_stands(document, site.name, log or (), settings.egress)
        ended = VKey(site.name, TYPE_STATEMENT, store.signer().public_key)
        site.journal.remember(AWAITING, ended.keyid)
        last = signed_up_to(site.journal)
        period = max(document.effective_period, document.grid.first_from(InstantMs(_now_ms())))
        made = enrolment.request(document, site.name, store.make_next(), period, root, enrolment.Ending(ended, last))
    finally:
        site.journal.close()
    _write(out, made)
    _say_request(format, out, made, [f"replaces {ended.keyid}", f"honours  {last.sequence}:{last.digest}"])


@app.command(
    epilog="Example: brakeline node key sign request.dsse.json --treaty treaty.dsse.json --pin 5f3c..."
    " --root-key root.pem --record root-signed.json --out statement.dsse.json"
)
def sign(
    request: Annotated[Path, typer.Argument(help="The node's request.")],
    treaty: Treaty,
    pin: Pin,
    root_key: RootKey,
    out: Out = Path("statement.dsse.json"),
    record: Record = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be signed, sign nothing.")] = False,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """On the root key's machine: look at a request, and sign it. Needs no network."""
    from brakeline.node.keys import enrolment
    from brakeline.node.setup import load_treaty
    from brakeline.treaty.envelope import Envelope

    document = load_treaty(treaty.read_bytes(), pin)
    envelope = Envelope.from_dsse_json(request.read_bytes())
    asked = enrolment.read(document, envelope)
    lines = [f"{asked.action} a key of {asked.site} from period {asked.effective_period} on", f"key       {asked.key}"]
    if asked.honours is not None:
        lines += [f"replaces  {asked.replaced}", f"honours   {asked.honours.sequence}:{asked.honours.digest}"]
    lines += [f"position  {asked.sequence} of {asked.author}, after {asked.previous}"]
    value = asked.model_dump(mode="json", by_alias=True, exclude_none=True)
    if dry_run:
        emit(format, {"signed": False, "statement": value}, "\n".join(["would sign:", *lines]))
        return
    made = enrolment.root_sign(document, envelope, _root(root_key), _guard(record))
    _write(out, made)
    result: dict[str, object] = {"signed": True, "digest": made.digest, "statement": value, "out": str(out)}
    emit(format, result, "\n".join([*lines, f"signed    {made.digest}, written to {out}"]))


@app.command(epilog="Example: brakeline node key install statement.dsse.json --dir node")
def install(
    statement: Annotated[Path, typer.Argument(help="What `key sign` has written.")],
    folder: Folder,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Take the signed statement: the new key signs from now on, when the node is started."""
    from brakeline.node.keys.takeover import finish
    from brakeline.treaty.envelope import Envelope

    envelope = Envelope.from_dsse_json(statement.read_bytes())
    at = finish(folder, envelope, _secret("BRAKELINE_PASSPHRASE"), _now_ms)
    value: dict[str, object] = {"digest": envelope.digest, "goes_on_after": at.sequence}
    emit(format, value, f"the key is enrolled; the chain goes on after sequence {at.sequence}. Start the node")


@app.command(
    epilog="Example: brakeline node key revoke --key lab-1.party-a.example/site-1+1f6b2a0c+/... --honours 17:ab12..."
    " --after 3:cd34... --period 412 --treaty treaty.dsse.json --pin 5f3c... --root-key root.pem --out end.dsse.json"
)
def revoke(
    key: Annotated[str, typer.Option(help="The key that ends (`key show` of its node, or the inventory of the lab).")],
    honours: Annotated[str, typer.Option(help="SEQUENCE:DIGEST of the site's last statement that stands.")],
    period: Annotated[int, typer.Option(help="From which period on.", min=0)],
    treaty: Treaty,
    pin: Pin,
    root_key: RootKey,
    after: After = None,
    log: Logs = None,
    out: Out = Path("end.dsse.json"),
    record: Record = None,
    proxy: Proxy = None,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """End a site's key without another in its place: what it signed beyond the honoured statement is disowned.

    Anybody submits the file: brakeline node submit end.dsse.json. With --after no network is needed.
    """
    from brakeline.ledger.vkey import VKey
    from brakeline.node.keys import enrolment
    from brakeline.node.setup import load_treaty

    document, ended = load_treaty(treaty.read_bytes(), pin), VKey.parse(key)
    root = _pair(after) if after is not None else _root_stands(document, ended.name, log or (), _egress(proxy))
    made = enrolment.revoke(document, ended, _pair(honours), period, _root(root_key), root, _guard(record))
    _write(out, made)
    value: dict[str, object] = {"digest": made.digest, "ends": ended.keyid, "out": str(out)}
    emit(format, value, f"ends {ended.keyid} after {honours}; {made.digest} written to {out}")


@app.command(
    epilog="Example: brakeline node key autonomy figures.toml --lab lab-1.party-a.example --treaty treaty.dsse.json"
    " --pin 5f3c... --root-key root.pem --record root-signed.json --out autonomy.dsse.json"
)
def autonomy(
    figures: Annotated[Path, typer.Argument(help="TOML: period, written_by_models, reviewed_by_people, ...")],
    lab: Annotated[str, typer.Option(help="The lab whose own use of models this is.")],
    treaty: Treaty,
    pin: Pin,
    root_key: RootKey,
    after: Annotated[
        str | None, typer.Option(help="SEQUENCE:DIGEST of the root's last statement; default: what --record remembers.")
    ] = None,
    out: Out = Path("autonomy.dsse.json"),
    record: Record = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be signed, sign nothing.")] = False,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """On the root key's machine: declare the lab's own use of models, self-declared. Needs no network.

    Anybody submits the file: brakeline node submit autonomy.dsse.json. Shares and factors are given as
    {numerator = 80, denominator = 100}.
    """
    from brakeline.node.keys.autonomy import declare, read
    from brakeline.node.keys.guard import FRESH
    from brakeline.node.setup import load_treaty
    from brakeline.treaty.parts import Authored

    document, said = load_treaty(treaty.read_bytes(), pin), read(figures, lab)
    shown = said.model_dump(mode="json", include=set(type(said).model_fields) - set(Authored.model_fields))
    lines = [f"self-declared by {lab}, measured by nobody:"]
    lines += [
        f"  {name}  {each if isinstance(each, int) else '{numerator}/{denominator}'.format_map(each)}"
        for name, each in shown.items()
    ]
    value: dict[str, object] = {"label": "self-declared", "lab": lab, "figures": shown}
    if dry_run:
        emit(format, {"signed": False, **value}, "\n".join(["would sign:", *lines]))
        return
    if out.exists():
        raise typer.BadParameter(f"--out: {out} is there already, and is not overwritten")
    root, kept = _root(root_key), _guard(record)
    named = document.lab(lab)
    last = None if kept is None or named is None else kept.last(named.root_key.keyid)
    at = _pair(after) if after is not None else last
    if at is None and named is not None:
        raise typer.BadParameter("--after SEQUENCE:DIGEST, or a --record that remembers what the root signed last")
    made = declare(document, said, root, at or FRESH, kept)
    _write(out, made)
    value = {"signed": True, **value, "digest": made.digest, "out": str(out)}
    emit(format, value, "\n".join([*lines, f"signed    {made.digest}, written to {out}"]))


def takeover(
    folder: Folder,
    treaty: Treaty,
    pin: Pin,
    site: Annotated[str, typer.Option(help="The site that is taken over.")],
    tls_dir: Annotated[Path, typer.Option(help="Folder with tls.pem, tls.key, ca.pem; copied.")],
    out: Out = Path("request.dsse.json"),
    honours: Annotated[
        str | None, typer.Option(help="SEQUENCE:DIGEST of the last statement that stands; default: the chain's end.")
    ] = None,
    serials: Annotated[list[str] | None, typer.Option(help="CLASS=FILE, one serial a line; several times.")] = None,
    log: Logs = None,
    guard: Annotated[
        Path | None, typer.Option(help="File on another disk that remembers what was signed last. Recommended.")
    ] = None,
    module: Annotated[str | None, typer.Option("--pkcs11-module", help="Key in a token: the PKCS#11 module.")] = None,
    token: Annotated[str | None, typer.Option(help="The token's label.")] = None,
    key_label: Annotated[str | None, typer.Option(help="The key's label; a new one.")] = None,
    pin_file: Annotated[str | None, typer.Option(help="File that holds the token's PIN.")] = None,
    pin_env: Annotated[str | None, typer.Option(help="Variable that holds the token's PIN.")] = None,
    proxy: Proxy = None,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """On a new host: learn from the logs where the site stands, make a new key, and ask for the old one to be replaced.

    Reads the logs of n - f verifiers whole. Then: `key sign` on the root key's machine, `key install` here, `run`. What
    the old host signs beyond the position that is honoured is disowned, whenever it arrives.
    """
    from brakeline.node.keys.takeover import prepare
    from brakeline.node.setup import Plan, load_treaty

    signed = treaty.read_bytes()
    files = {name: Path(value) for name, _, value in (item.partition("=") for item in serials or ())}
    key = key_options(module, token, key_label, pin_file, pin_env)
    egress = _egress(proxy)
    plan = Plan(site, (), files, tls_dir, guard=guard, key=key, egress=egress)
    made = prepare(
        folder,
        plan,
        signed,
        pin,
        _sources(load_treaty(signed, pin), log or (), egress),
        passphrase=_secret("BRAKELINE_PASSPHRASE"),
        now_ms=_now_ms,
        honours=None if honours is None else _pair(honours),
    )
    _write(out, made.request)
    lines = [f"{name}: read {size} entries" for name, size in made.logs.items()]
    lines += [f"{name}: not believed: {error}" for name, error in made.refused.items()]
    lines += [f"replaces {made.ended.keyid}", f"honours  {made.last.sequence}:{made.last.digest}"]
    _say_request(format, out, made.request, lines)


def _say_request(format: Format, out: Path, made: Envelope, lines: Sequence[str]) -> None:  # noqa: A002
    value: dict[str, object] = {"request": str(out), "digest": made.digest, "notes": list(lines)}
    following = "next: `brakeline node key sign` on the root key's machine, then `brakeline node key install` here"
    emit(format, value, "\n".join([*lines, f"request  {made.digest}, written to {out}", following]))


def _egress(proxy: str | None) -> EgressPart | None:
    """Return ``[egress]`` with *proxy*."""
    from brakeline.node.config import EgressPart
    from pydantic import ValidationError

    try:
        return None if proxy is None else EgressPart(proxy=proxy)
    except ValidationError:
        raise typer.BadParameter(f"--proxy: http://host:port, found {proxy!r}") from None


def _root_stands(document: TreatyDocument, site: str, logs: Sequence[str], egress: EgressPart | None) -> LastSigned:
    """Read from the logs which statement of the site's lab root is its last."""
    from brakeline.node.keys.chain import learn
    from brakeline.node.keys.guard import FRESH

    chains = learn(document, site, _sources(document, logs, egress), _now_ms)
    branch = chains.branch(chains.lab)
    return branch[-1].at if branch else FRESH


def _sources(
    document: TreatyDocument, given: Sequence[str], egress: EgressPart | None
) -> Mapping[str, Callable[[], Source]]:
    """Return what opens each verifier's log, through the proxy of *egress* where there is one."""
    from functools import partial

    from brakeline.ledger.source import open_source

    way = None if egress is None else egress.proxy
    addresses = {verifier.name: verifier.url for verifier in document.verifiers}
    for item in given:
        name, found, address = item.partition("=")
        if not found or name not in addresses:
            raise typer.BadParameter(f"--log: VERIFIER=ADDRESS, a verifier of the treaty; found {item!r}")
        addresses[name] = address
    return {name: partial(open_source, address, way) for name, address in addresses.items()}


def _pair(text: str) -> LastSigned:
    from brakeline.node.keys.guard import LastSigned

    sequence, _, digest = text.partition(":")
    if not (sequence.isascii() and sequence.isdigit() and len(sequence) < 16 and len(digest) == 64):
        raise typer.BadParameter(f"expected SEQUENCE:DIGEST, found {text!r}")
    return LastSigned(int(sequence), digest)


def _root(path: Path) -> Signer:
    from brakeline.ledger.keyfile import read_signer

    return read_signer(path, _secret("BRAKELINE_ROOT_PASSPHRASE"))


def _guard(path: Path | None) -> Guard | None:
    from brakeline.node.keys.guard import Guard

    return None if path is None else Guard(path)


def _write(path: Path, envelope: Envelope) -> None:
    try:
        with path.open("xb") as file:
            file.write(envelope.to_dsse_json())
    except FileExistsError:
        raise typer.BadParameter(f"--out: {path} is there already, and is not overwritten") from None


def _secret(variable: str) -> bytes | None:
    value = os.environ.get(variable)
    return value.encode() if value else None


def _now_ms() -> int:
    import time

    return time.time_ns() // 1_000_000
