"""What the Go program of tests/go is asked and answers, how it is built and run, and the cases it is given."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from brakeline.ledger.entry import MAX_ENTRY, Entry, Kind
from brakeline.ledger.export import export
from brakeline.ledger.proof import Receipt
from brakeline.ledger.sequencer import Candidate, Sequencer
from pydantic import BaseModel

from tests.ledger.logs import KEY, TIME, WITNESSES, candidates, cosigned, sequencer
from tests.support.cast import vkey

SOURCES = Path(__file__).parents[1] / "go"
GOPATHS = (*filter(None, os.environ.get("GOPATH", "").split(os.pathsep)), "/usr/share/gocode")
EDGES = (1, 2, 3, 127, 128, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537)


# What the program is asked, and what it answers.


class InclusionProof(BaseModel):
    index: int
    size: int
    hashes: list[str]


class ConsistencyProof(BaseModel):
    old: int
    new: int
    hashes: list[str]


class Job(BaseModel):
    key: str
    witnesses: list[str]
    quorum: int
    older: list[str] = []
    receipts: list[str] = []
    inclusion: list[InclusionProof] = []
    consistency: list[ConsistencyProof] = []
    vast_inclusion: list[InclusionProof] = []
    vast_consistency: list[ConsistencyProof] = []


class Problem(BaseModel):
    check: str
    where: str
    why: str


class GoSigned(BaseModel):
    key: str
    witness: str
    timestamp: int
    note: str


class Verdict(BaseModel):
    ok: bool
    problems: list[Problem]
    origin: str
    size: int
    root: str
    cosigned: dict[str, int]
    counts: dict[str, int]
    go_inclusion: list[InclusionProof] | None
    go_consistency: list[ConsistencyProof] | None
    go_signed: GoSigned | None

    @property
    def named(self) -> set[tuple[str, str]]:
        """Which checks failed where."""
        return {(item.check, item.where) for item in self.problems}


def text(hashes: Iterable[bytes]) -> list[str]:
    return [base64.b64encode(item).decode() for item in hashes]


def raw(hashes: Iterable[str]) -> list[bytes]:
    return [base64.b64decode(item) for item in hashes]


def read_job(case: Path) -> Job:
    return Job.model_validate_json((case / "job.json").read_bytes())


def write_job(case: Path, job: Job) -> None:
    (case / "job.json").write_text(job.model_dump_json(), encoding="utf-8")


# The program.


@cache
def gopath() -> str:
    """Return the GOPATH with tlog and note in it; empty when there is none."""
    found = (top for top in GOPATHS if (Path(top) / "src/golang.org/x/mod/sumdb/tlog/tlog.go").is_file())
    return next(found, "")


def go(work: Path, *arguments: str | Path) -> str:
    """Run go without modules and without network, its caches in *work*; return what it prints."""
    settings = {"GO111MODULE": "off", "GOPROXY": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOPATH": gopath()}
    done = subprocess.run(
        ["go", *arguments],
        cwd=SOURCES,
        env={**os.environ, **settings, "GOCACHE": str(work / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def judge(program: Path, case: Path) -> Verdict:
    """Return the program's verdict; its exit status says the same."""
    done = subprocess.run([program, case], capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    verdict = Verdict.model_validate_json(done.stdout)
    assert (done.returncode == 0) == verdict.ok == (not verdict.problems)
    return verdict


# The logs.


def bodies(first: int, stop: int) -> list[Candidate]:
    """Entries first to stop; entry 1 has no body, entry 2 is as long as an entry can be."""
    items = candidates(stop - first, first)
    head = len(Entry(0, bytes(32), TIME, Kind.STATEMENT, items[0].source, b"").encode())
    for index, body in ((1, b""), (2, b"\xff" * (MAX_ENTRY - head))):
        if first <= index < stop:
            items[index - first] = Candidate(Kind.STATEMENT, items[0].source, body)
    return items


def write_case(case: Path, size: int) -> None:
    """Make a log that grew over the edges to *size*, export it, and ask everything about it."""
    log = sequencer(case / "live")
    note = b""
    sizes = sorted({item for item in (*EDGES, size // 3) if 1 <= item < size} | {size})
    job = Job(key=str(KEY), witnesses=[str(vkey(name, "witness")) for name in WITNESSES], quorum=len(WITNESSES))
    for first, stop in zip((0, *sizes), sizes, strict=False):
        note = log.append(bodies(first, stop), TIME + stop).note
        (case / f"older-{stop}").write_bytes(note)
        job.older.append(f"older-{stop}")
    note = cosigned(note)
    export(log.store, note, case / "log")
    write_proofs(log, sizes, job)
    for index in sorted({0, size // 2, size - 1}):
        entry = next(log.store.read_entries(index, index + 1))
        receipt = Receipt(index, entry, tuple(log.inclusion(index, size)), note)
        (case / f"receipt-{index}").write_bytes(receipt.render())
        job.receipts.append(f"receipt-{index}")
    log.close()
    write_job(case, job)


def write_proofs(log: Sequencer, sizes: list[int], job: Job) -> None:
    """Add brakeline's proofs between all these sizes, and of the entries at their edges."""
    indices = sorted({0, *(size - 1 for size in sizes)})
    for new in sizes:
        for old in (item for item in sizes if item <= new):
            job.consistency.append(ConsistencyProof(old=old, new=new, hashes=text(log.consistency(old, new))))
        for index in (item for item in indices if item < new):
            job.inclusion.append(InclusionProof(index=index, size=new, hashes=text(log.inclusion(index, new))))
