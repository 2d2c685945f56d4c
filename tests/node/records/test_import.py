"""``node import``: rows of files become books through the journal; late ones a correction; again, nothing."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import pytest
import trustme
from brakeline.ledger.entry import Kind
from brakeline.node.channel import Hello, Sample
from brakeline.node.commands import app
from brakeline.node.journal import JournalError
from brakeline.node.records.importing import Outcome, run_in
from brakeline.node.records.mapping import Mapping, RecordsError, load
from brakeline.node.records.record import AMOUNTS
from brakeline.node.setup import open_site
from brakeline.node.site import Site
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.oversight import Correction
from brakeline.treaty.sealing import PATTERNS
from brakeline.treaty.statements import Activity, Usage
from typer.testing import CliRunner

from tests.node import house
from tests.support import cast, sealing

HEADER = "chip,job,start,end,activity,flop,tokens,joules,model,code,upstream,node_name\n"
FIRST, SECOND = (f"{cast.SITE}/cpu-core/{i}" for i in range(2))
OVER = 6
"""Periods of a second that are over."""
MAPPING = Mapping(time="ms", ignore=("node_name",), activities={"pretrain": Activity.TRAINING}, jobs={"9!": "job-9"})
CODE = "c" * 64


def clock() -> int:
    return cast.START + OVER * house.PERIOD_MS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA) -> Path:
    house.make(tmp_path, house.treaty(cast.START), authority, clock=clock).journal.close()
    return tmp_path / "node"


def row(
    chip: str, job: str, start: int, end: int, activity: str = "pretrain", flop: str = "1000", more: str = ""
) -> str:
    return f"{chip},{job},{cast.START + start},{cast.START + end},{activity},{flop},7,3,,{CODE},{more},host\n"


def written(folder: Path, *rows: str, name: str = "rows.csv", header: str = HEADER) -> Path:
    path = folder.parent / name
    path.write_text(header + "".join(rows))
    return path


def imported(folder: Path, *paths: Path, mapping: Mapping = MAPPING, sign: bool = True) -> Outcome:
    return run_in(folder, [(p, None) for p in paths], mapping, sign=sign, passphrase=None, now_ms=clock)


def standing(folder: Path) -> tuple[dict[int, Usage], list[Correction]]:
    """Return the books that count, by period, and the corrections; check that the chain holds nothing else."""
    _, site = open_site(folder, None, clock)
    try:
        said = house.statements(site)
    finally:
        site.journal.close()
    corrections = [s.predicate for s in said if isinstance(s.predicate, Correction)]
    gone = {c.corrects for c in corrections}
    books: dict[int, Usage] = {}
    for statement in said:
        usage = statement.predicate
        if isinstance(usage, Usage) and statement.digest not in gone:
            period = (usage.start.value - cast.START) // house.PERIOD_MS
            assert period not in books
            books[period] = usage
    assert sorted(books) == list(range(len(books)))
    return books, corrections


def sums(books: dict[int, Usage]) -> dict[str, int]:
    lines = [line for usage in books.values() for line in usage.lines if line.meter is not None]
    figures = {"flop": "flop_model"}
    found = {n: sum(v.value for x in lines if (v := getattr(x, figures.get(n, n))) is not None) for n in AMOUNTS}
    return found | {"chip_ms": sum(t.value.value for line in lines for t in line.chip_ms)}


def findings(folder: Path, document: TreatyDocument) -> set[str]:
    """Return the rules that find something in what the site said."""
    _, site = open_site(folder, None, clock)
    judge = LogJudge(document)
    try:
        for index, statement in enumerate(house.statements(site)):
            judge.add(index, Kind.STATEMENT, statement)
    finally:
        site.journal.close()
    return {finding.rule for finding in judge.standing().values()}


ROWS = (
    row(FIRST, "lm", 0, 500),
    row(SECOND, "lm", 0, 2_500, flop="2.5e3"),
    row(FIRST, "9!", 600, 1_000, "inference", more="d" * 64),
    row(SECOND, "", 2_500, 2_600),
    row(FIRST, "lm", 1_500, 1_600, "mining"),
    row(FIRST, "lm", 400, 700),
    row("gpu-7", "lm", 0, 10),
    row(FIRST, "lm", 5_500, 6_500),
    row(FIRST, "lm", 900, 900),
    row(FIRST, "lm", 2_000, 2_100, flop="0.5"),
    "too,short\n",
)


def test_every_row_is_booked_unattributed_or_rejected_with_line_and_reason_and_the_sums_agree(folder: Path) -> None:
    outcome = imported(folder, written(folder, *ROWS, ROWS[0]))
    assert (outcome.booked.rows, outcome.unattributed.rows, outcome.rejected.rows) == (3, 2, 7)
    assert {(r.source.line, r.code) for r in outcome.rejections} == {
        (7, "import-overlap"),
        (8, "import-chip"),
        (9, "import-not-over"),
        (10, "import-window"),
        (11, "import-number"),
        (12, "import-row"),
        (13, "import-twice"),
    }
    for name in ("rows", "chip_ms"):
        parts = (getattr(t, name) for t in (outcome.booked, outcome.unattributed, outcome.rejected))
        assert getattr(outcome.read, name) == sum(parts)
    for name in AMOUNTS:
        parts = (t.amounts[name] for t in (outcome.booked, outcome.unattributed, outcome.rejected))
        assert outcome.read.amounts[name] == sum(parts)
    books, corrections = standing(folder)
    assert corrections == []
    placed = {n: outcome.booked.amounts[n] + outcome.unattributed.amounts[n] for n in AMOUNTS}
    assert sums(books) == placed | {"chip_ms": outcome.booked.chip_ms + outcome.unattributed.chip_ms}
    for usage in books.values():
        assert sum(t.value.value for line in usage.lines for t in line.chip_ms) == 2 * house.PERIOD_MS
    inference = next(line for line in books[0].lines if line.activity == "inference")
    assert (inference.workload, inference.parents, inference.code) == ("job-9", ("d" * 64,), CODE)
    assert ("rows.csv, line 5", "job: the row names none; booked unattributed (map it in [jobs])") in outcome.notes


def test_the_same_rows_again_sign_nothing_and_late_rows_become_a_correction_whatever_their_order(
    folder: Path, tmp_path: Path, authority: trustme.CA
) -> None:
    assert imported(folder, written(folder, *ROWS[:2])).stated
    again = imported(folder, written(folder, *ROWS[:2]))
    assert (again.stated, again.known) == ([], 2)
    late = imported(folder, written(folder, *ROWS[2:5], name="late.csv"))
    assert [(s.period, s.corrects is not None) for s in late.stated] == [(0, True), (1, True), (2, True)]
    books, corrections = standing(folder)
    assert [c.period for c in corrections] == [0, 1, 2]
    assert all("late data" in c.reason for c in corrections)
    other = tmp_path / "other"
    other.mkdir()
    house.make(other, house.treaty(cast.START), authority, clock=clock).journal.close()
    imported(other / "node", written(other / "node", *reversed(ROWS[:5])))
    at_once, none = standing(other / "node")
    assert none == []
    assert {p: u.lines for p, u in at_once.items()} == {p: u.lines for p, u in books.items()}


def test_verifiers_find_nothing_wrong_with_what_an_import_signs_but_time_that_nobody_accounts_for(folder: Path) -> None:
    imported(folder, written(folder, *ROWS[:2]))
    imported(folder, written(folder, *ROWS[2:5], name="late.csv"))
    assert findings(folder, house.treaty(cast.START)) <= {"muf"}


@pytest.mark.parametrize("fields", [sealing.FIGURES, PATTERNS], ids=["figures", "all that can be"])
def test_books_that_are_sealed_are_imported_into_alike(
    tmp_path: Path, authority: trustme.CA, fields: Collection[str]
) -> None:
    document = sealing.document(fields, grid={"start": cast.START, "period_ms": house.PERIOD_MS})
    house.make(tmp_path, document, authority, clock=clock).journal.close()
    folder = tmp_path / "node"
    assert imported(folder, written(folder, *ROWS[:2])).stated
    assert imported(folder, written(folder, *ROWS[:2])).stated == []
    late = imported(folder, written(folder, *ROWS[2:5], name="late.csv"))
    assert [(s.period, s.corrects is not None) for s in late.stated] == [(0, True), (1, True), (2, True)]
    assert imported(folder, written(folder, *ROWS[:5])).stated == []


def test_a_row_that_comes_late_and_has_the_chip_first_displaces_another(folder: Path) -> None:
    imported(folder, written(folder, row(FIRST, "lm", 100, 200)))
    late = imported(folder, written(folder, row(FIRST, "chat", 50, 150), name="late.csv"))
    assert len(late.displaced) == 1
    books, _ = standing(folder)
    assert {line.workload for line in books[0].lines} == {"chat", "unattributed"}


def test_a_dry_run_signs_and_keeps_nothing_and_shows_what_would_be_signed(folder: Path) -> None:
    path = written(folder, *ROWS[:2])
    would = imported(folder, path, sign=False)
    assert standing(folder)[0] == {}
    did = imported(folder, path)
    assert [(s.period, s.books.lines) for s in would.stated] == [(s.period, s.books.lines) for s in did.stated]
    assert all(s.signed is None for s in would.stated)


def test_a_crash_between_new_books_and_their_correction_loses_neither(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(folder, written(folder, *ROWS[:2]))
    late = written(folder, *ROWS[2:5], name="late.csv")
    with monkeypatch.context() as patch:
        patch.setattr(Site, "_settle", _crash)
        with pytest.raises(KeyboardInterrupt):
            imported(folder, late)
    resumed = imported(folder)
    assert [s.period for s in resumed.stated] == [1, 2]
    books, corrections = standing(folder)
    assert [c.period for c in corrections] == [0, 1, 2]
    assert sums(books)["chip_ms"] == 500 + 2_500 + 400 + 100 + 100


def _crash(site: Site) -> None:
    if site.journal.owed():
        raise KeyboardInterrupt


def test_rows_behind_books_that_were_replaced_can_still_be_opened(folder: Path) -> None:
    first = imported(folder, written(folder, *ROWS[:1])).stated[0]
    imported(folder, written(folder, *ROWS[1:2], name="late.csv"))
    _, site = open_site(folder, None, clock)
    assert site.journal.rows_of(0, str(first.signed)) == list(first.books.rows)
    assert site.journal.usage(0) != first.signed
    site.journal.close()


def test_what_the_node_metered_itself_is_not_booked_again(folder: Path) -> None:
    _, site = open_site(folder, None, clock)
    site.journal.open_session(Hello("hook", "a" * 32, "own", Activity.TRAINING), cast.START)
    site.journal.add_samples("a" * 32, [Sample(1, cast.START + 900, 800, "own", Activity.TRAINING, 1, 10, 1)])
    site.journal.end_session("a" * 32, cast.START + 900)
    site.journal.close()
    outcome = imported(folder, written(folder, row(FIRST, "lm", 0, 100), row(FIRST, "lm", 1_100, 1_200)))
    assert [r.code for r in outcome.rejections] == ["import-metered"]
    books, _ = standing(folder)
    assert {line.workload for line in books[0].lines} == {"own", "idle"}
    assert {line.workload for line in books[1].lines} == {"lm", "unattributed"}


def test_json_lines_say_the_same_as_csv(folder: Path) -> None:
    path = folder.parent / "windows.jsonl"
    value = {"chip": FIRST, "job": "lm", "start": cast.START, "end": cast.START + 100, "activity": "training"}
    value |= {"flop": 1.5e18, "batch_size": 8, "sequence_length": 128, "data_sources": ["a", "b"], "upstream": None}
    lines: list[object] = [
        value,
        {**value, "chip": SECOND, "model": "e" * 64},
        {**value, "colour": 1},
        [1],
        {**value, "flop": {}},
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + '\n{"chip": 1, "chip": 2}\n')
    outcome = imported(folder, path)
    assert [(r.source.line, r.code) for r in outcome.rejections] == [(n, "import-row") for n in (3, 4, 5, 6)]
    books, _ = standing(folder)
    training = [line for line in books[0].lines if line.activity == "training"]
    assert [(str(x.flop_model), x.model_out) for x in training] == [
        ("1500000000000000000", None),
        ("1500000000000000000", "e" * 64),
    ]


def test_sacct_s_text_places_jobs_on_free_chips(folder: Path) -> None:
    path = folder.parent / "jobs.txt"
    start = cast.START // 1000
    head = "JobIDRaw|State|Start|End|ElapsedRaw|AllocTRES|TotalCPU|ConsumedEnergyRaw|JobName\n"
    jobs = [
        f"1|COMPLETED|{start}|{start + 2}|2|cpu=1,gres/gpu:core=2,gres/gpu=2|00:00:01|50|my-run",
        f"1.batch|COMPLETED|{start}|{start + 2}|2|cpu=1|00:00:01||batch",
        f"2|RUNNING|{start + 2}|Unknown|2|gres/gpu:core=1,gres/gpu=1|00:00:00||other",
        f"3|COMPLETED|{start}|{start + 1}|1|gres/gpu:core=1,gres/gpu=1|00:00:00||late",
        f"4|COMPLETED|{start}|{start + 1}|1|cpu=4|00:00:00||no-chips",
        f"5|COMPLETED|then|{start + 1}|1|cpu=4|00:00:00||odd",
    ]
    path.write_text(head + "\n".join(jobs) + "\n")
    mapping = Mapping(columns={"job": "JobName"}, classes={"core": "cpu-core"}, activity=Activity.TRAINING)
    outcome = imported(folder, path, mapping=mapping)
    assert [(r.source.line, r.code) for r in outcome.rejections] == [
        (4, "import-running"),
        (5, "import-room"),
        (6, "import-chip"),
        (7, "import-row"),
    ]
    books, _ = standing(folder)
    assert [(x.workload, x.chip_ms[0].value.value, str(x.joules)) for p in (0, 1) for x in books[p].lines] == [
        ("my-run", 2_000, "24"),
        ("my-run", 2_000, "26"),
    ]


def test_a_file_or_a_mapping_that_is_not_right_says_where(folder: Path) -> None:
    with pytest.raises(RecordsError, match="import-columns") as strange:
        imported(folder, written(folder, header="chip,colour\n"))
    assert strange.value.found == "colour"
    with pytest.raises(RecordsError, match="import-unreadable"):
        imported(folder, folder / "absent.csv")
    with pytest.raises(RecordsError, match="import-columns"):
        imported(folder, written(folder, name="x.txt", header="not sacct\n"))
    toml = folder.parent / "import.toml"
    toml.write_text('time = "ms"\n[activities]\npretrain = "swimming"\n')
    with pytest.raises(RecordsError, match=r"import\.toml, line 3: activities\.pretrain"):
        load(toml)
    toml.write_text('[columns]\nchip = "end"\n')
    with pytest.raises(RecordsError, match="import-columns"):
        load(toml)
    toml.write_text('[columns]\ncolour = "end"\n')
    with pytest.raises(RecordsError, match="no such field"):
        load(toml)
    assert load(None) == Mapping()


def test_rows_of_another_site_are_not_this_node_s(folder: Path) -> None:
    mapping = MAPPING.model_copy(update={"operators": {"us": cast.SITE, "them": cast.OTHER_SITE}})
    header = "chip,job,start,end,activity,operator\n"
    rows = [f"{FIRST},lm,{cast.START},{cast.START + 9},training,{who}\n" for who in ("us", "them", "nobody")]
    outcome = imported(folder, written(folder, *rows, header=header), mapping=mapping)
    assert (outcome.booked.rows, [r.code for r in outcome.rejections]) == (1, ["import-operator"] * 2)


def test_the_command_prints_what_it_did_writes_what_it_rejected_and_will_not_run_beside_the_node(folder: Path) -> None:
    rows, toml = written(folder, *ROWS[:6]), folder.parent / "import.toml"
    toml.write_text('time = "ms"\nignore = ["node_name"]\n[activities]\npretrain = "training"\n')
    words = ["import", str(rows), "--dir", str(folder), "--map", str(toml), "--rejected", str(folder / "no.jsonl")]
    run = CliRunner().invoke(app, [*words, "--dry-run"])
    assert run.exit_code == 4
    assert "rows.csv, line 7: import-overlap" in run.stdout
    assert "would be booked" in run.stdout
    done = CliRunner().invoke(app, [*words, "--format", "json"])
    value = json.loads(done.stdout)
    assert (value["read"]["rows"], value["rejected"]["rows"], value["signed"]) == (6, 1, True)
    assert [json.loads(line)["line"] for line in (folder / "no.jsonl").read_text().splitlines()] == [7]
    assert len(value["statements"]) >= OVER // 2
    _, site = open_site(folder, None, clock)
    with pytest.raises(JournalError, match="journal-locked"):
        imported(folder, rows)
    site.journal.close()
    assert CliRunner().invoke(app, ["import", "--dir", str(folder), "--records", "xls"]).exit_code == 2
