"""``brakeline key``: make a key of one purpose, show its public half."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from brakeline.treaty.commands.files import (
    Format,
    FormatOption,
    NoPassphrase,
    PassphraseFile,
    emit,
    fail,
    open_signer,
    passphrase,
    read_bytes,
    reported,
    write_whole,
)

if TYPE_CHECKING:
    from brakeline.ledger.vkey import VKey

key_app = typer.Typer(help="Make and show keys. One key, one purpose.", no_args_is_help=True)


class Purpose(StrEnum):
    """What a key is for; it decides the type byte of its vkey and the form of its name."""

    PARTY = "party"
    LAB_ROOT = "lab-root"
    SITE = "site"
    THIRD_PARTY = "third-party"
    LOG = "log"
    WITNESS = "witness"
    DISCLOSURE = "disclosure"


@key_app.command(
    "new",
    epilog="Example: brakeline key new --purpose party --name party-a.example --out party-a.example.party.key",
)
def new_key(
    purpose: Annotated[Purpose, typer.Option(help="What the key is for.")],
    name: Annotated[str, typer.Option(help="Whose key: party-a.example, lab-1.party-a.example/site-1, ...")],
    out: Annotated[Path, typer.Option(help="The new key file; FILE.vkey beside it gets the public half.")],
    passphrase_file: PassphraseFile = None,
    no_passphrase: NoPassphrase = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Make a key: an encrypted PKCS#8 file, and its public half as a vkey, which is printed.

    Never overwrites a key. A disclosure key (X25519) prints 32 bytes in base64 instead of a vkey.
    """
    with reported():
        _check_name(purpose, name)
        for path in (out, public_file(out)):
            if path.exists():
                fail(f"key-exists: {path} is there already; keys are never overwritten. Choose another --out")
        secret = passphrase(passphrase_file, no_passphrase, new=True)
        public = make_key(purpose, name, out, secret)
        value = {"purpose": purpose.value, "name": name, "file": str(out), "public": public}
        emit(value, [public], form)


@key_app.command("show", epilog="Example: brakeline key show party-a.example.party.key")
def show_key(
    file: Annotated[Path, typer.Argument(help="A key file, or the .vkey file beside it.")],
    check: Annotated[bool, typer.Option("--check", help="Open the key file and compare it with the vkey.")] = False,
    passphrase_file: PassphraseFile = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show the public half of a key: name, purpose, vkey, keyid. Needs no pass phrase unless --check is given."""
    from brakeline.ledger.vkey import VKey

    with reported():
        beside = file if file.suffix == ".vkey" else public_file(file)
        text = read_bytes(beside).decode("ascii").strip()
        if len(text) == 44:  # 32 bytes in base64; the shortest vkey is longer
            emit({"purpose": "disclosure", "public": text}, ["purpose  disclosure (X25519)", f"public   {text}"], form)
            return
        key = VKey.parse(text)
        if check:
            signer = open_signer(file.with_suffix("") if file.suffix == ".vkey" else file, passphrase_file)
            if signer.public_key != key.public_key:
                fail(f"key-differs: {beside} is not the public half of the key file. Restore it from the treaty")
        value = {"name": key.name, "purpose": _purpose_of(key), "vkey": text, "keyid": key.keyid}
        emit(value, [f"{label:<8} {fact}" for label, fact in value.items()], form)


def public_file(path: Path) -> Path:
    """Return where the public half of a key file stands."""
    return path.with_name(f"{path.name}.vkey")


def make_key(purpose: Purpose, name: str, out: Path, secret: bytes | None) -> str:
    """Make the key and both its files; return the public half as text."""
    from brakeline.ledger import keyfile
    from brakeline.ledger.ed25519 import SeedSigner
    from brakeline.ledger.vkey import TYPE_LOG, TYPE_STATEMENT, TYPE_WITNESS, VKey

    if purpose is Purpose.DISCLOSURE:
        public = _make_x25519(out, secret)
    else:
        seed = keyfile.generate()
        kind = {Purpose.LOG: TYPE_LOG, Purpose.WITNESS: TYPE_WITNESS}.get(purpose, TYPE_STATEMENT)
        owner = f"{name}/witness" if purpose is Purpose.WITNESS else name
        vkey = VKey(owner, kind, SeedSigner(seed).public_key)
        keyfile.write_key(out, seed, secret)
        public = str(vkey)
    write_whole(public_file(out), f"{public}\n".encode("ascii"))
    return public


def _make_x25519(out: Path, secret: bytes | None) -> str:
    import base64

    from brakeline.ledger.keyfile import write_private
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = X25519PrivateKey.generate()
    lock = BestAvailableEncryption(secret) if secret else NoEncryption()
    write_private(out, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    return base64.b64encode(key.public_key().public_bytes_raw()).decode("ascii")


def _check_name(purpose: Purpose, name: str) -> None:
    from brakeline.treaty.names import NameKind, check_name

    kinds = {
        Purpose.PARTY: NameKind.PARTY,
        Purpose.LAB_ROOT: NameKind.LAB,
        Purpose.SITE: NameKind.SITE,
        Purpose.THIRD_PARTY: NameKind.THIRD_PARTY,
    }
    check_name(name, kinds.get(purpose, NameKind.VERIFIER))


def _purpose_of(key: VKey) -> str:
    from brakeline.ledger.vkey import TYPE_LOG, TYPE_WITNESS

    return {TYPE_LOG: "log", TYPE_WITNESS: "witness"}.get(key.type, "statements (party, lab-root, site or third-party)")
