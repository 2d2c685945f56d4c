"""Backups cannot fork a log: what is restored refuses to sign until it is, byte for byte, what was signed."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import apsw
import pytest
from brakeline.ledger import backup as backups
from brakeline.ledger.backup import backup, catch_up, restore
from brakeline.ledger.checkpoint import open_checkpoint
from brakeline.ledger.checkpoint_store import CheckpointStore
from brakeline.ledger.commands import app
from brakeline.ledger.entry import Entry, Kind, first_previous
from brakeline.ledger.errors import LedgerError, StoreError
from brakeline.ledger.export import export
from brakeline.ledger.mirror import Mirror
from brakeline.ledger.source import DirectorySource
from brakeline.ledger.sqlite_store import SqliteReader
from typer.testing import CliRunner

from tests.ledger.logs import KEY, ORIGIN, TIME, candidates, cosigned, filled, sequencer, write_log
from tests.support.cast import vkey


def run(*words: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def grow(directory: Path, count: int) -> bytes:
    """Append *count* entries to the log in *directory* and publish; return the note."""
    log = sequencer(directory)
    log.append(candidates(count, log.size), TIME + log.size)
    note = log.note
    assert note is not None
    log.close()
    checkpoints = CheckpointStore(directory / "checkpoint.sqlite")
    checkpoints.compare_and_swap("published", checkpoints.read("published"), cosigned(note))
    checkpoints.close()
    return note


def mirrored(directory: Path, copy: Path) -> DirectorySource:
    """A peer's mirror of the log in *directory*, as far as it is signed."""
    log = sequencer(directory)
    assert log.note is not None
    export(log.store, log.note, copy.with_name(f"{copy.name}.export"))
    log.close()
    Mirror(copy, KEY).update(DirectorySource(copy.with_name(f"{copy.name}.export")))
    return DirectorySource(copy)


def entries(path: Path) -> list[bytes]:
    store = SqliteReader(path)
    try:
        return list(store.read_entries(0, store.size()))
    finally:
        store.close()


def lose(directory: Path) -> list[bytes]:
    """The disk with the log dies; return what was on it."""
    lost = entries(directory / "log.sqlite")
    for path in directory.glob("log.sqlite*"):
        path.unlink()
    return lost


def refusal(directory: Path) -> str:
    """The code with which the log in *directory* refuses to be signed."""
    log = sequencer(directory)
    try:
        with pytest.raises(StoreError) as caught:
            log.append(candidates(1), TIME + 10_000)
        with pytest.raises(StoreError):
            log.append([], TIME + 10_000)
    finally:
        log.close()
    return caught.value.code


@pytest.mark.parametrize("size", [1, 256, 1500])
def test_a_log_restored_from_yesterdays_backup_refuses_to_sign_until_it_caught_up(tmp_path: Path, size: int) -> None:
    live = tmp_path / "live"
    grow(live, size)
    assert backup(live, tmp_path / "yesterday", KEY) == size
    signed = grow(live, 300)
    mirror = mirrored(live, tmp_path / "mirror")
    lost = lose(live)
    remembered = (live / "checkpoint.sqlite").read_bytes()

    restored = restore(tmp_path / "yesterday", live, KEY)
    assert (restored.size, restored.added, restored.ready) == (size, 0, False)
    assert refusal(live) == "store-behind"

    caught = catch_up(live, KEY, mirror)
    assert (caught.size, caught.added, caught.ready) == (size + 300, 300, True)
    assert entries(live / "log.sqlite") == lost
    assert (live / "checkpoint.sqlite").read_bytes() == remembered
    log = sequencer(live)
    assert log.note == signed
    log.append(candidates(5, log.size), TIME + log.size)
    assert log.root_at(size + 300) == open_checkpoint(signed, KEY).checkpoint.root
    log.close()
    assert entries(live / "log.sqlite")[: len(lost)] == lost


def test_a_restore_from_a_mirror_signs_again_with_the_same_history(tmp_path: Path) -> None:
    live = tmp_path / "live"
    grow(live, 100)
    backup(live, tmp_path / "yesterday", KEY)
    signed = grow(live, 200)
    mirror = mirrored(live, tmp_path / "mirror")
    lost = lose(live)
    restored = restore(tmp_path / "yesterday", live, KEY, mirror)
    assert (restored.size, restored.added, restored.ready) == (300, 200, True)
    assert entries(live / "log.sqlite") == lost
    assert sorted(path.name for path in live.iterdir() if "log" in path.name) == ["log.sqlite", "log.sqlite.lock"]
    log = sequencer(live)
    assert log.append([], 0).note == signed
    log.close()


def test_the_commands_say_what_to_do_next(tmp_path: Path) -> None:
    live, key = tmp_path / "live", ("--vkey", str(KEY))
    grow(live, 10)
    assert run("backup", live, tmp_path / "b", *key) == f"10 entries in {tmp_path / 'b'}\n"
    grow(live, 5)
    mirrored(live, tmp_path / "mirror")
    lose(live)
    told = run("restore", tmp_path / "b", live, *key, code=1)
    assert "15 entries were signed, so the log refuses to be signed (store-behind)" in told
    assert f"`brakeline ledger catch-up {live} --from MIRROR" in told
    value = json.loads(run("catch-up", live, "--from", tmp_path / "mirror", *key, "--format", "json"))
    assert value["to_do"].startswith("start the verifier")
    del value["to_do"]
    assert value == {"entries": 15, "added": 5, "signed": 15, "ready": True}
    lose(live)
    assert "5 of them from the mirror" in run("restore", tmp_path / "b", live, "--from", tmp_path / "mirror", *key)
    told = run("restore", tmp_path / "b", tmp_path / "new", *key, code=1)
    assert "put the checkpoint store back too" in told
    assert "store-forgotten" in told


def test_without_its_checkpoint_store_a_restored_log_refuses_too(tmp_path: Path) -> None:
    grow(tmp_path / "live", 10)
    backup(tmp_path / "live", tmp_path / "b", KEY)
    mirror = mirrored(tmp_path / "live", tmp_path / "mirror")
    assert not restore(tmp_path / "b", tmp_path / "new", KEY, mirror).ready
    assert not (tmp_path / "new/checkpoint.sqlite").exists()
    assert refusal(tmp_path / "new") == "store-forgotten"


def test_a_backup_is_taken_while_the_log_is_written(tmp_path: Path) -> None:
    live = tmp_path / "live"
    log = filled(live, 50)
    ended = threading.Event()
    sizes: list[int] = []

    def write() -> None:
        while not ended.is_set():
            sizes.append(log.append(candidates(20, log.size), TIME + log.size).size)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        taken = [backup(live, tmp_path / f"b{i}", KEY) for i in range(4)]
    finally:
        ended.set()
        writer.join()
    assert taken == sorted(taken)
    assert len(set(sizes)) == len(sizes) > 0
    log.close()
    whole = entries(live / "log.sqlite")
    for i, size in enumerate(taken):
        assert entries(tmp_path / f"b{i}/log.sqlite") == whole[:size]
        assert [path.name for path in (tmp_path / f"b{i}").iterdir()] == ["log.sqlite"]  # nothing was published yet


def test_a_backup_holds_all_that_was_signed_before_and_never_the_checkpoint_store(tmp_path: Path) -> None:
    note = grow(tmp_path / "live", 30)
    backup(tmp_path / "live", tmp_path / "b", KEY)
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["log.sqlite", "published.note"]
    assert (tmp_path / "b/published.note").read_bytes() == cosigned(note)
    assert not list(tmp_path.glob(".*unfinished*"))


def test_a_damaged_log_is_not_called_a_backup(tmp_path: Path) -> None:
    grow(tmp_path / "live", 30)
    damage(tmp_path / "live/log.sqlite", 7)
    with pytest.raises(LedgerError, match="fsck-damaged"):
        backup(tmp_path / "live", tmp_path / "b", KEY)
    assert not (tmp_path / "b").exists()
    log = filled(tmp_path / "two", 3)
    log.close()
    shutil.copy(tmp_path / "live/checkpoint.sqlite", tmp_path / "two/checkpoint.sqlite")
    with pytest.raises(LedgerError, match="holds less than the log has signed"):
        backup(tmp_path / "two", tmp_path / "b", KEY)


def damage(path: Path, index: int) -> None:
    db = apsw.Connection(str(path))
    data = bytearray(db.execute("SELECT data FROM entry WHERE idx = ?", (index,)).get)
    data[-1] ^= 1
    db.execute("UPDATE entry SET data = ? WHERE idx = ?", (bytes(data), index))
    db.close()


def test_a_damaged_or_foreign_backup_is_not_restored(tmp_path: Path) -> None:
    grow(tmp_path / "live", 30)
    backup(tmp_path / "live", tmp_path / "b", KEY)
    lose(tmp_path / "live")
    with pytest.raises(LedgerError, match="note-"):
        restore(tmp_path / "b", tmp_path / "live", vkey("other.example", "log"))
    damage(tmp_path / "b/log.sqlite", 11)
    with pytest.raises(LedgerError, match="fsck-damaged"):
        restore(tmp_path / "b", tmp_path / "live", KEY)
    with pytest.raises(StoreError, match="store-missing"):
        restore(tmp_path / "none", tmp_path / "live", KEY)
    assert not list((tmp_path / "live").glob("*log.sqlite"))


def test_a_backup_of_another_history_than_was_signed_is_not_restored(tmp_path: Path) -> None:
    grow(tmp_path / "live", 30)
    log = sequencer(tmp_path / "other")
    log.append(candidates(30, word="other"), TIME)
    log.close()
    backup(tmp_path / "other", tmp_path / "b", KEY)
    lose(tmp_path / "live")
    with pytest.raises(LedgerError, match="does not lead to its signed root"):
        restore(tmp_path / "b", tmp_path / "live", KEY)
    assert not (tmp_path / "live/log.sqlite").exists()


@pytest.mark.parametrize("name", ["log.sqlite", "log.sqlite-wal", "log.sqlite-shm", "log.sqlite-journal"])
def test_a_restore_never_replaces_a_log_nor_joins_what_is_left_of_one(tmp_path: Path, name: str) -> None:
    grow(tmp_path / "live", 3)
    backup(tmp_path / "live", tmp_path / "b", KEY)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / name).write_bytes(b"left")
    with pytest.raises(StoreError, match="restore-occupied"):
        restore(tmp_path / "b", tmp_path / "new", KEY)
    assert (tmp_path / "new" / name).read_bytes() == b"left"
    with pytest.raises(StoreError, match="backup-occupied"):
        backup(tmp_path / "live", tmp_path / "b", KEY)


def test_neither_restore_nor_catch_up_works_under_a_running_verifier(tmp_path: Path) -> None:
    grow(tmp_path / "live", 3)
    backup(tmp_path / "live", tmp_path / "b", KEY)
    mirror = mirrored(tmp_path / "live", tmp_path / "mirror")
    log = sequencer(tmp_path / "live")
    with pytest.raises(StoreError, match="store-locked"):
        restore(tmp_path / "b", tmp_path / "live", KEY)
    with pytest.raises(StoreError, match="store-locked"):
        catch_up(tmp_path / "live", KEY, mirror)
    log.close()


def restored_yesterday(root: Path) -> tuple[Path, list[bytes]]:
    """A verifier's directory in which 20 entries were restored and 50 were signed; and the 50."""
    grow(root / "live", 20)
    backup(root / "live", root / "b", KEY)
    grow(root / "live", 30)
    lost = lose(root / "live")
    restore(root / "b", root / "live", KEY)
    return root / "live", lost


def forked(true: list[bytes], since: int, size: int) -> list[bytes]:
    """*size* entries that are *true* up to *since* and then a history of their own."""
    entries = [Entry.decode(data) for data in true[:since]]
    previous = entries[-1].digest if entries else first_previous(ORIGIN)
    for index in range(since, size):
        entries.append(Entry(index, previous, TIME + index, Kind.STATEMENT, b"", b"other"))
        previous = entries[-1].digest
    return [entry.encode() for entry in entries]


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)


def spoiled(copy: Path, true: list[bytes], how: str) -> None:
    """Write a copy of the log that a peer might hand over."""
    size, since = {"short": (40, 40), "shorter than the disk": (10, 10), "past": (50, 0), "at the end": (50, 49)}.get(
        how, (90, 45) if how == "longer" else (50, 20) if how == "future" else (50, 50)
    )
    write_log(copy, forked(true, since, size))
    if how.startswith("/"):
        spoil(copy / how[1:])
    elif how == "gone":
        (copy / "tile/entries/000.p/50").unlink()


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("short", "mirror-behind"),
        ("shorter than the disk", "mirror-behind"),
        ("past", "mirror-forked"),
        ("future", "mirror-forked"),
        ("at the end", "mirror-forked"),
        ("longer", "mirror-forked"),
        ("/tile/entries/000.p/50", "replay-entry"),
        ("/tile/0/000.p/50", "replay-tile"),
        ("/checkpoint", "note-"),
        ("gone", "source-missing-tile"),
    ],
)
def test_nothing_is_taken_from_a_mirror_that_is_not_what_was_signed(tmp_path: Path, how: str, code: str) -> None:
    live, lost = restored_yesterday(tmp_path)
    spoiled(tmp_path / "copy", lost, how)
    with pytest.raises(LedgerError, match=code):
        catch_up(live, KEY, DirectorySource(tmp_path / "copy"))
    assert entries(live / "log.sqlite") == lost[:20]
    assert refusal(live) == "store-behind"
    lose(live)
    with pytest.raises(LedgerError, match=code):
        restore(tmp_path / "b", live, KEY, DirectorySource(tmp_path / "copy"))
    assert not (live / "log.sqlite").exists()
    write_log(tmp_path / "copy", lost)
    assert restore(tmp_path / "b", live, KEY, DirectorySource(tmp_path / "copy")).ready


def test_a_mirror_that_has_less_than_this_disk_adds_nothing(tmp_path: Path) -> None:
    grow(tmp_path / "live", 20)
    mirror = mirrored(tmp_path / "live", tmp_path / "mirror")
    grow(tmp_path / "live", 10)
    caught = catch_up(tmp_path / "live", KEY, mirror)
    assert (caught.size, caught.added, caught.ready) == (30, 0, True)
    write_log(tmp_path / "copy", forked(entries(tmp_path / "live/log.sqlite"), 15, 25))
    with pytest.raises(StoreError, match="mirror-forked"):
        catch_up(tmp_path / "live", KEY, DirectorySource(tmp_path / "copy"))


def test_a_log_without_a_backup_is_taken_whole_from_a_mirror_or_not_at_all(tmp_path: Path) -> None:
    live = tmp_path / "live"
    signed = grow(live, 300)
    lost = lose(live)
    write_log(tmp_path / "short", lost[:299])
    with pytest.raises(StoreError, match="mirror-behind"):
        catch_up(live, KEY, DirectorySource(tmp_path / "short"))
    assert not (live / "log.sqlite").exists()
    write_log(tmp_path / "copy", lost)
    assert catch_up(live, KEY, DirectorySource(tmp_path / "copy")).added == 300
    assert entries(live / "log.sqlite") == lost
    log = sequencer(live)
    assert log.append([], 0).note == signed
    log.close()


def test_a_damaged_disk_is_not_built_upon(tmp_path: Path) -> None:
    live, lost = restored_yesterday(tmp_path)
    write_log(tmp_path / "copy", lost)
    damage(live / "log.sqlite", 3)
    with pytest.raises(LedgerError, match="fsck-damaged"):
        catch_up(live, KEY, DirectorySource(tmp_path / "copy"))
    with pytest.raises(StoreError, match="store-missing"):
        catch_up(tmp_path / "nothing", KEY, DirectorySource(tmp_path / "copy"))


def test_a_catch_up_that_was_interrupted_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "_BATCH", 100)
    live = tmp_path / "live"
    grow(live, 20)
    backup(live, tmp_path / "b", KEY)
    grow(live, 600)
    lost = lose(live)
    restore(tmp_path / "b", live, KEY)
    write_log(tmp_path / "copy", lost)

    def stop(done: int, _total: int) -> None:
        if done == 256:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catch_up(live, KEY, DirectorySource(tmp_path / "copy"), stop)
    assert entries(live / "log.sqlite") == lost[:220]
    assert refusal(live) == "store-behind"
    assert catch_up(live, KEY, DirectorySource(tmp_path / "copy")).added == 400
    assert entries(live / "log.sqlite") == lost


def test_a_restore_that_was_interrupted_leaves_no_log_and_is_done_again(tmp_path: Path) -> None:
    grow(tmp_path / "live", 30)
    backup(tmp_path / "live", tmp_path / "b", KEY)
    lost = lose(tmp_path / "live")
    seen: list[int] = []

    def stop(done: int, total: int) -> None:
        seen.append(done)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(tmp_path / "b", tmp_path / "live", KEY, progress=stop)
    assert not (tmp_path / "live/log.sqlite").exists()
    assert restore(tmp_path / "b", tmp_path / "live", KEY).ready
    assert entries(tmp_path / "live/log.sqlite") == lost


@pytest.mark.parametrize("command", ["backup", "restore", "catch-up"])
def test_help_has_an_example(command: str) -> None:
    assert f"Example: brakeline ledger {command} /" in " ".join(run(command, "--help").split())
