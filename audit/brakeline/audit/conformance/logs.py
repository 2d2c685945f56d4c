"""Cases of whole logs: a copy that differs from its checkpoint, and what a log's own verifier must not sign."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from brakeline.audit.conformance.case import VALID, Case
from brakeline.audit.conformance.said import edited, sign
from brakeline.audit.evidence.bundle import FORMAT, Fork
from brakeline.audit.evidence.bundle import render as render_bundle
from brakeline.audit.story import (
    METER,
    SITE,
    VERIFIERS,
    Story,
    lone_note,
    make_entry,
    root_of_entries,
    signed_checkpoint,
)
from brakeline.audit.story import signer as make_signer
from brakeline.audit.story import vkey as make_vkey
from brakeline.ledger.checkpoint import Checkpoint, sign_checkpoint
from brakeline.ledger.entry import Entry, Kind
from brakeline.ledger.tiles import TileRef, encode_bundle
from brakeline.ledger.treebuilder import TileBuilder
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.findings import Finding, Severity
from brakeline.treaty.logbody import Heartbeat, Mirrored
from brakeline.treaty.strictjson import JsonObject, JsonValue

LOG = VERIFIERS[0]
Entries = list[Entry]


def log_cases(story: Story) -> Iterator[Case]:
    """Yield the cases of logs and of evidence."""
    yield from _copies(story)
    yield from _misconduct(story)
    yield from _evidence(story)


def _case(story: Story, name: str, why: str, expect: str, files: Mapping[str, bytes]) -> Case:
    treaty = story.envelopes["treaty"].to_dsse_json().decode()
    shown: JsonObject = {path: data.hex() for path, data in sorted(files.items())}
    given: JsonObject = {"treaty": treaty, "pin": story.pin, "files": shown}
    return Case(f"log-{name}", "log", why, given, expect)


def files_of(entries: Sequence[Entry], note: bytes | None = None) -> dict[str, bytes]:
    """Return the tlog-tiles files of a log of at most 256 *entries* under *note* (its own by default)."""
    builder = TileBuilder()
    tiles = builder.extend([entry.leaf_hash for entry in entries]) | builder.partial()
    bundle = TileRef(None, 0, len(entries)).path
    files = {ref.path: data for ref, data in tiles.items()}
    files[bundle] = encode_bundle([entry.encode() for entry in entries])
    files["checkpoint"] = signed_checkpoint(LOG, entries) if note is None else note
    return files


def _copies(story: Story) -> Iterator[Case]:
    """Anybody on the way can have done these: the log's verifier is not to be blamed."""
    whole = files_of(story.entries)
    bundle = next(path for path in whole if path.startswith("tile/entries"))
    tile = next(path for path in whole if path.startswith("tile/0"))

    def bit(path: str, at: int) -> dict[str, bytes]:
        data = bytearray(whole[path])
        data[at] ^= 1
        return {**whole, path: bytes(data)}

    yield _case(story, "valid", "nothing is wrong", VALID, whole)
    yield _case(story, "entry-flipped", "one bit of an entry is flipped", "copy", bit(bundle, 2_000))
    yield _case(story, "tile-flipped", "one bit of a hash tile is flipped", "copy", bit(tile, 40))
    lines = {path: data for path, data in whole.items() if path != bundle}
    yield _case(story, "bundle-missing", "the entries are missing", "copy", lines)
    tiles = {path: data for path, data in whole.items() if path != tile}
    yield _case(story, "tile-missing", "a hash tile is missing", "copy", tiles)
    older = {**files_of(story.entries[:-1]), "checkpoint": whole["checkpoint"]}
    yield _case(story, "older-files", "the files are of an older tree than the checkpoint", "copy", older)
    forged = whole["checkpoint"].replace(b"\n7\n", b"\n6\n")
    shown = {**files_of(story.entries[:-1]), "checkpoint": forged}
    yield _case(story, "checkpoint-forged", "the checkpoint is not what the log signed", "copy", shown)


def _misconduct(story: Story) -> Iterator[Case]:
    """Only the log's own key signs over these."""
    acts: Mapping[str, tuple[str, str, Callable[[Story], Entries]]] = {
        "link": ("an entry does not name the one before", "link", _unlinked),
        "index": ("an entry calls itself by another index", "link", _misnumbered),
        "time": ("an entry is older than the one before", "link", _back_in_time),
        "no-treaty": ("the first entry is no treaty", "treaty", lambda s: _rebuilt(s, lambda e: e[1:])),
        "treaty-twice": ("a treaty stands later", "treaty", lambda s: _more(s, Kind.TREATY, s.entries[0].body)),
        "repeated": ("a statement stands twice", "repeated", lambda s: _more(s, Kind.STATEMENT, s.entries[1].body)),
        "unknown-parent": ("a statement before its parent", "inadmissible", lambda s: _rebuilt(s, _without_parent)),
        "wrong-signer": ("a meter keeps a site's books", "inadmissible", _wrong_signer),
        "heartbeat-own-root": ("a heartbeat embeds another root of this log", "heartbeat", _own_root),
        "heartbeat-future": ("a heartbeat embeds a checkpoint of more entries than precede it", "heartbeat", _future),
        "finding-from-nowhere": ("a finding that follows from nothing", "judgement", _invented),
        "finding-left-out": ("books do not balance, and no finding stands after the heartbeat", "judgement", _left_out),
    }
    for name, (why, expect, make) in acts.items():
        entries = make(story)
        note = signed_checkpoint(LOG, entries)
        case = _case(story, name, why, expect, files_of(entries, note))
        yield replace(case, kind="judgement", name=f"judgement-{name}") if expect == "judgement" else case


def _rebuilt(story: Story, choose: Callable[[Entries], Entries]) -> Entries:
    """Link the chosen entries anew, heartbeats left out: they would embed the old history."""
    entries: Entries = []
    for entry in choose([item for item in story.entries if item.kind is not Kind.HEARTBEAT]):
        entries.append(replace(make_entry(LOG, entries, entry.kind, entry.source, entry.body)))
    return entries


def _more(story: Story, kind: Kind, body: bytes) -> Entries:
    return [*story.entries, make_entry(LOG, story.entries, kind, b"", body)]


def _unlinked(story: Story) -> Entries:
    last = story.entries[-1]
    return [*story.entries[:-1], replace(last, previous=bytes(32))]


def _misnumbered(story: Story) -> Entries:
    last = story.entries[-1]
    return [*story.entries[:-1], replace(last, index=last.index + 1)]


def _back_in_time(story: Story) -> Entries:
    last = story.entries[-1]
    return [*story.entries[:-1], replace(last, received_at_ms=story.entries[0].received_at_ms)]


def _without_parent(entries: Entries) -> Entries:
    return [entry for entry in entries if entry.index != 2]


def _wrong_signer(story: Story) -> Entries:
    body = Envelope.from_dsse_json(sign(story.payloads["usage"], METER).encode()).to_body()
    return [*story.entries[:3], make_entry(LOG, story.entries[:3], Kind.STATEMENT, b"", body)]


def _beat(story: Story, own: bytes) -> Entries:
    body = Heartbeat(checkpoint=own.decode(), mirrored=()).body
    return _more(story, Kind.HEARTBEAT, body)


def _own_root(story: Story) -> Entries:
    return _beat(story, lone_note(LOG, 5, b"another history"))


def _future(story: Story) -> Entries:
    return _beat(story, lone_note(LOG, 50, b"what is to come"))


def _invented(story: Story) -> Entries:
    finding = Finding(
        rule="imbalance", severity=Severity.DISCREPANCY, article="Art. 1", about=METER, statements=(), figures={}
    )
    peer = Mirrored(origin=VERIFIERS[1], checkpoint=lone_note(VERIFIERS[1], 4, b"another log").decode())
    body = Heartbeat(mirrored=(peer,)).body
    entries = _more(story, Kind.HEARTBEAT, body)
    return [*entries, make_entry(LOG, entries, Kind.FINDING, b"", finding.body)]


def _left_out(story: Story) -> Entries:
    books = edited(story.payloads["usage"], ("predicate/lines/1/chip_ms/0/value", "1"))
    body = Envelope.from_dsse_json(sign(books, SITE).encode()).to_body()
    entries = [*story.entries[:3], make_entry(LOG, story.entries[:3], Kind.STATEMENT, b"", body)]
    for kind, body in ((Kind.HEARTBEAT, Heartbeat(mirrored=()).body), (Kind.STATEMENT, story.entries[5].body)):
        entries.append(make_entry(LOG, entries, kind, b"", body))
    return entries


def _evidence(story: Story) -> Iterator[Case]:
    treaty = story.envelopes["treaty"].to_dsse_json().decode()
    one, two = lone_note(LOG, 7, b"one history").decode(), lone_note(LOG, 7, b"another").decode()
    other = lone_note(VERIFIERS[1], 7, b"another").decode()

    def ask(name: str, why: str, expect: str, notes: tuple[str, str], about: str = LOG) -> Case:
        bundle = Fork(format=FORMAT, treaty=story.pin, about=about, checkpoints=notes)
        text = render_bundle(bundle).decode()
        given: dict[str, JsonValue] = {"treaty": treaty, "pin": story.pin, "bundle": text}
        return Case(f"evidence-{name}", "evidence", why, given, expect)

    yield ask("fork", "two roots at one size: it convicts", VALID, (one, two))
    yield ask("same", "one checkpoint twice convicts nobody", "evidence", (one, one))
    yield ask("stranger", "the treaty names no such verifier", "evidence", (one, two), "verifier-9.example")
    yield ask("anothers", "a checkpoint is another log's", "signature", (one, other))
    size = len(story.entries)
    grown = sign_checkpoint(
        Checkpoint(LOG, size, root_of_entries(story.entries)), make_vkey(LOG, "log"), make_signer(LOG, "log")
    ).decode()
    smaller = lone_note(LOG, 3, b"one history").decode()
    yield ask("unproven", "sizes differ and nothing leads from one to the other", "evidence", (smaller, grown))
