"""``brakeline ledger proof``: make a receipt from a copy of a log, check one offline, hold a log to an old checkpoint.

Checking asks nobody: a receipt, the log's key and a witness policy (C2SP tlog-policy) are enough. Imports nothing heavy
at the top.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from brakeline.ledger.output import Format, FormatOption, KeyOption, emit

if TYPE_CHECKING:
    from brakeline.ledger.errors import ForkError
    from brakeline.ledger.policy import Policy
    from brakeline.ledger.proof import VerifiedReceipt
    from brakeline.ledger.vkey import VKey

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make and check proofs, offline.")

FORKED = 1
"""Exit code of ``consistency`` when the log has signed two histories."""


@app.command(epilog="Example: brakeline ledger proof make ./copy --index 17 --out entry-17.tlog-proof")
def make(
    source: Annotated[str, typer.Argument(help="a copy of the log: a directory, or an http(s) address")],
    index: Annotated[int, typer.Option("--index", min=0, help="which entry")],
    vkey: Annotated[str, typer.Option("--vkey", help="the log's key: its signature is checked too")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="where to write it (default: stdout)")] = None,
) -> None:
    """Make the receipt of an entry (C2SP tlog-proof@v1, carrying the whole entry) under the copy's checkpoint."""
    from brakeline.ledger.prove import make_receipt
    from brakeline.ledger.source import opened
    from brakeline.ledger.vkey import VKey

    with opened(source) as log:
        receipt = make_receipt(log, index, VKey.parse(vkey) if vkey else None)
    if out is None:
        typer.echo(receipt.decode("utf-8"), nl=False)
    else:
        out.write_bytes(receipt)


@app.command(epilog="Example: brakeline ledger proof check entry-17.tlog-proof --policy witnesses.policy")
def check(
    file: Annotated[Path, typer.Argument(help="the receipt")],
    policy: Annotated[Path, typer.Option("--policy", help="which witnesses must have cosigned (C2SP tlog-policy)")],
    vkey: Annotated[str, typer.Option("--vkey", help="the log's key, when no log line of the policy has it")] = "",
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Check a receipt offline and say what it proves. Exit code 0: it holds; 3: it does not, with a code that says why.

    The policy is never optional: without witnesses a receipt proves only what the log chose to show to one reader. Who
    wants just that writes `quorum none`.
    """
    from brakeline.ledger import policy as tlog_policy
    from brakeline.ledger.policy import MAX_POLICY
    from brakeline.ledger.proof import MAX_RECEIPT, verify_receipt
    from brakeline.ledger.vkey import VKey

    data = _read(file, MAX_RECEIPT)
    terms = tlog_policy.parse(_read(policy, 4 * MAX_POLICY).decode("utf-8", "replace"))
    verified = verify_receipt(data, VKey.parse(vkey) if vkey else _log_key(data, terms), terms)
    emit(format, _receipt_value(verified), _receipt_text(verified, terms))


@app.command(
    epilog="Example: brakeline ledger proof consistency last-week.checkpoint https://log.example"
    " --vkey verifier.party-a.example+1f6b2a0c+AZ..."
)
def consistency(
    old: Annotated[Path, typer.Argument(help="a checkpoint of the log that you kept")],
    source: Annotated[str, typer.Argument(help="the log now: a directory, or an http(s) address")],
    vkey: KeyOption,
    format: FormatOption = Format.TEXT,  # noqa: A002
) -> None:
    """Prove that a log still contains what an old checkpoint of it committed to.

    Exit code 0: it does. 1: it does not, and both checkpoints, which are printed, are signed: a fork. 3: undecided,
    because something is unreadable or the copy is older than the checkpoint.
    """
    from brakeline.ledger.errors import ForkError
    from brakeline.ledger.note import MAX_NOTE
    from brakeline.ledger.prove import check_consistency
    from brakeline.ledger.source import opened
    from brakeline.ledger.vkey import VKey

    with opened(source) as log:
        try:
            result = check_consistency(_read(old, MAX_NOTE), log, VKey.parse(vkey))
        except ForkError as error:
            _tell_fork(format, error)
            raise typer.Exit(FORKED) from None
    value = {
        "origin": result.new.origin,
        "consistent": True,
        "old": {"size": result.old.size, "root": result.old.root.hex()},
        "new": {"size": result.new.size, "root": result.new.root.hex()},
        "proof": [item.hex() for item in result.proof],
    }
    text = f"consistent: the {result.new.size} entries of {result.new.origin} begin with the {result.old.size} of {old}"
    emit(format, value, text)


def _tell_fork(format: Format, error: ForkError) -> None:  # noqa: A002
    notes = (error.first.decode("utf-8", "replace"), error.second.decode("utf-8", "replace"))
    value = {"origin": error.origin, "consistent": False, "problem": error.as_dict(), "evidence": list(notes)}
    emit(format, value, f"{error}\n\n{notes[0]}\n{notes[1]}".rstrip())


def _log_key(data: bytes, policy: Policy) -> VKey:
    """Return the key that the policy has for the log whose receipt this says it is."""
    from brakeline.ledger.checkpoint import Checkpoint
    from brakeline.ledger.errors import ProofError
    from brakeline.ledger.note import parse
    from brakeline.ledger.proof import Receipt

    origin = Checkpoint.parse_text(parse(Receipt.parse(data).checkpoint).text).origin
    keys = [key for key in policy.logs if key.name == origin]
    if len(keys) == 1:
        return keys[0]
    raise ProofError(
        code="proof-unknown-log",
        message="the policy does not say which key this receipt's log has",
        expected=f"one log line for {origin!a}",
        found=", ".join(sorted(key.name for key in policy.logs)) or "no log line",
        fix="check that it is the right policy, or give the key with --vkey",
    )


def _receipt_value(verified: VerifiedReceipt) -> dict[str, object]:
    entry, checkpoint = verified.entry, verified.checkpoint
    name, peer_index = _source(verified)
    return {
        "origin": checkpoint.origin,
        "index": entry.index,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "entry": {
            "digest": entry.digest.hex(),
            "leaf_hash": entry.leaf_hash.hex(),
            "kind": entry.kind.name.lower(),
            "received_at": entry.received_at_ms,
            "source": name,
            **({} if peer_index is None else {"source_index": peer_index}),
        },
        "cosignatures": [
            {"witness": key.name, "vkey": str(key), "time": seconds} for key, seconds in _cosigned(verified)
        ],
    }


def _receipt_text(verified: VerifiedReceipt, policy: Policy) -> str:
    entry, checkpoint = verified.entry, verified.checkpoint
    name, peer_index = _source(verified)
    came = "the log itself" if not name else name if peer_index is None else f"{name}, entry {peer_index} there"
    cosigned = [f"  {_instant(1000 * seconds)}  {key.name}" for key, seconds in _cosigned(verified)]
    return "\n".join(
        (
            f"it holds: entry {entry.index} stands in {checkpoint.origin} at size {checkpoint.size}",
            f"root      {checkpoint.root.hex()}",
            f"entry     {entry.digest.hex()} (SHA-256), {entry.kind.name.lower()}",
            f"received  {_instant(entry.received_at_ms)} by the log's clock, from {came}",
            f"cosigned  by {len(cosigned)} of the policy's {len(policy.witnesses)} witnesses, quorum {policy.quorum}",
            *cosigned,
        )
    )


def _source(verified: VerifiedReceipt) -> tuple[str, int | None]:
    """Return who brought the entry, as the log says: it proves nothing, so nothing fails on it."""
    from brakeline.ledger.entry import parse_source
    from brakeline.ledger.errors import EntryError

    source = verified.entry.source
    try:
        name, index = parse_source(source)
    except EntryError:
        return source.hex(), None
    return (name if name.isprintable() else ascii(name)[1:-1]), index


def _cosigned(verified: VerifiedReceipt) -> list[tuple[VKey, int]]:
    return sorted(verified.cosignatures.items(), key=lambda item: (item[1], item[0].name))


def _instant(ms: int) -> str:
    """Return an instant as people write it, or the number when no calendar reaches it."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        return file.read(limit + 1)
