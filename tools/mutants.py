"""Mutation testing of rules, admission and accounting: change the code in one place, and see whether a test notices.

    python -m tools.mutants [--sample 420] [--seed 1] [--module rules.threshold] [--out mutants.json]

What is changed, and how, is mutmut's: its operators, one active mutant at a time (tools/mutated.py). What is ours is
the driver, because mutmut's own copies a source tree whose folders are the packages, and here each party's folder is a
root of one namespace. The mutated modules are imported under their own names into one pytest session. A child of it
runs every test once with nothing changed: that tells which tests reach which functions, and how long they take. Then,
for each mutant, a child runs the tests that reach its function, the most promising first, until one fails.

*Killed*: a test failed that passes in such a child, alone, with nothing changed; or it ran ten times as long as it
does. Of a few mutants (``--controls``) all tests are run first, in their order, with nothing changed: what fails then
is put aside. *Survived*: none did. The tests are those of tests/treaty; property tests try ten examples
(``--examples``), a test that takes more than 0.7 seconds is left out (``--slow``), and of the others those that have
killed least for their time, beyond eight seconds in all (``--budget``): this can only make mutants survive.

Not drawn are mutants of words for people (text with a space in it, and the ``message``, ``expected``, ``found`` and
``fix`` of a refusal), since no rule says how a sentence reads; of the type in a cast, and of what pydantic asks for
while modules are imported, since no run of a test shows them. Module-level tables and decorated functions are not
changed, which is mutmut's rule.

The draw is stratified: each module has mutants in proportion to how many there are, five at least. What became of
each is kept in ``.mutants``, so that a draw which was broken off goes on; a mutant is tried again when its file
changed, when the test that killed it did, or, if it survived, when any test that reaches it did. ``--again`` tries all
again.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import random
import resource
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import pytest

from tools.mutated import PREFIX, STATE, Mutant, Mutated

ROOT = Path(__file__).resolve().parents[1]
CODE = ROOT / "treaty" / "brakeline" / "treaty"
FILES = (
    "admission.py", "version_admission.py", "register.py", "author_tree.py", "counting.py", "quantities.py",
    "succession.py", "judge.py", "bookshelf.py",
)  # fmt: skip
FOLDERS = ("rules", "reconcile")
AT_LEAST = 5
SLOWER, SPARE_S, SPARE_BYTES = 10, 2, 4 << 30
KILLED, TIMEOUT, SURVIVED, UNREACHED = "killed", "killed by time", "survived", "survived: no test reaches it"


def targets() -> dict[str, Path]:
    """Return module name -> file of everything that is mutated."""
    paths = [CODE / name for name in FILES]
    for folder in FOLDERS:
        paths += sorted(path for path in (CODE / folder).glob("*.py") if path.name != "__init__.py")
    return {PREFIX + ".".join(path.relative_to(CODE).with_suffix("").parts): path for path in paths}


def digest_of(*parts: str | bytes) -> str:
    """Return the SHA-256 of *parts*, one after the other."""
    return hashlib.sha256(b"\0".join(p if isinstance(p, bytes) else p.encode() for p in parts)).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        outcome: one of the words above.
        test: the test that failed or ran too long, "" if none.
        basis: SHA-256 of the tests that this rests on.
    """

    outcome: str
    test: str
    basis: str

    @property
    def survived(self) -> bool:
        """Whether no test noticed."""
        return self.outcome in (SURVIVED, UNREACHED)


Reach: TypeAlias = dict[str, tuple[float, list[str]]]
"""Test -> its seconds of CPU, and the functions that it runs ("module name")."""


def _rows(path: Path) -> list[list[Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


class Kept:
    """Outcomes, and what tests reach, in a folder: one line of JSON each, the last one of a key counts."""

    def __init__(self, folder: Path) -> None:
        """Read what is in *folder*."""
        folder.mkdir(parents=True, exist_ok=True)
        self._outcomes, self._reach = folder / "outcomes.jsonl", folder / "reach.jsonl"
        self.outcomes: dict[tuple[str, str], Outcome] = {}
        for source, name, *rest in _rows(self._outcomes):
            self.outcomes[source, name] = Outcome(*rest)
        self.reach: dict[str, Reach] = {}
        for key, told in _rows(self._reach):
            self.reach[key] = told

    def keep(self, mutant: Mutant, outcome: Outcome) -> None:
        """Write down what became of *mutant*."""
        self.outcomes[mutant.source, mutant.name] = outcome
        row = [mutant.source, mutant.name, outcome.outcome, outcome.test, outcome.basis]
        with self._outcomes.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def keep_reach(self, key: str, told: Reach) -> None:
        """Write down what the tests of one file reach, and how many seconds of CPU they take."""
        self.reach[key] = told
        with self._reach.open("a", encoding="utf-8") as file:
            file.write(json.dumps([key, told]) + "\n")


class Session:
    """The pytest plugin: instead of one run of the tests, one of them all, then one of some for each mutant."""

    def __init__(
        self, mutants: Sequence[Mutant], known: Sequence[Mutant], kept: Kept, options: argparse.Namespace
    ) -> None:
        """Try *mutants* in this order, of all that are *known*; begin none once ``options.minutes`` are over."""
        self._mutants, self._known, self._kept, self._options = mutants, known, kept, options
        self._begun = time.monotonic()
        self._stream = os.fdopen(os.dup(2), "w", buffering=1)  # pytest captures the other one
        self._failed = ""
        self._files: dict[Path, str] = {}
        self._items: dict[str, pytest.Item] = {}
        self._seconds: dict[str, float] = {}
        self._reached: defaultdict[str, list[str]] = defaultdict(list)
        self._kills: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._sound: set[str] = set()
        self.aside: dict[str, str] = {}
        self.outcomes: dict[str, Outcome] = {}

    def _echo(self, line: str) -> None:
        print(line, file=self._stream, flush=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure."""
        if report.failed and not self._failed:
            self._failed = str(report.longrepr)[-300:] or "failed"

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Learn what the tests reach, then try each mutant."""
        if session.testsfailed:
            raise session.Interrupted("the tests cannot be collected")
        self._items = {item.nodeid: item for item in session.items}
        for item in session.items:
            cheaper(item, self._options.examples)
        gc.collect()
        gc.freeze()
        self._learn()
        for mutant in self._mutants[: self._options.controls]:
            self._control(mutant)
        for mutant in self._mutants:
            if time.monotonic() - self._begun > 60 * self._options.minutes:
                break
            self._try(mutant)
        return True

    # What the tests reach

    def _file(self, item: pytest.Item) -> str:
        if item.path not in self._files:
            self._files[item.path] = digest_of(item.path.read_bytes())
        return self._files[item.path]

    def _learn(self) -> None:
        code = digest_of(
            str(self._options.examples),
            *(path.read_bytes() for top in (CODE, ROOT / "tests" / "support") for path in sorted(top.rglob("*.py"))),
        )
        files: defaultdict[str, list[pytest.Item]] = defaultdict(list)
        for item in self._items.values():
            files[digest_of(code, str(item.path), self._file(item))].append(item)
        missing = [key for key in files if key not in self._kept.reach]
        if missing:
            self._echo(f"running {sum(len(files[key]) for key in missing)} tests with nothing changed")
        for key in missing:
            self._kept.keep_reach(key, self._unchanged(files[key]))
        for key in files:
            for test, (spent, functions) in self._kept.reach[key].items():
                if spent > self._options.slow or test not in self._items:
                    continue
                self._seconds[test] = spent
                for function in functions:
                    self._reached[function].append(test)
        for mutant in self._known:
            known = self._kept.outcomes.get((mutant.source, mutant.name))
            if known is not None and known.test:
                self._count_kill(mutant, known.test)
        for test in self._items.keys() - self._seconds.keys():
            self.aside[test] = "fails with nothing changed, or is too slow"
        self._echo(f"{len(self._seconds)} tests, {sum(self._seconds.values()):.0f} s of CPU; {len(self.aside)} aside")

    def _unchanged(self, items: Iterable[pytest.Item]) -> Reach:
        """Run *items* with nothing changed, in a child, so that mutants find the session as new."""
        source, sink = os.pipe()
        child = os.fork()
        if not child:
            self._silence()
            told: Reach = {}
            for item in items:
                STATE.hits.clear()
                self._failed, began = "", time.process_time()
                item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
                if self._failed:
                    self._echo(f"{item.nodeid} fails with nothing changed: {self._failed}")
                else:
                    told[item.nodeid] = (time.process_time() - began, sorted(STATE.hits))
            with os.fdopen(sink, "w") as file:
                json.dump(told, file)
            os._exit(0)
        os.close(sink)
        with os.fdopen(source) as file:
            text = file.read()
        if os.waitpid(child, 0)[1]:
            raise pytest.UsageError("the tests break off with nothing changed")
        result: Reach = json.loads(text)
        return result

    # One mutant

    def _reaching(self, mutant: Mutant) -> list[str]:
        return [test for test in self._reached[f"{mutant.module} {mutant.function}"] if test not in self.aside]

    def _control(self, mutant: Mutant) -> None:
        """Run the tests of *mutant* in their order with nothing changed; put aside what fails then."""
        tests = self._promising(mutant, self._reaching(mutant))
        while tests:
            word, test = self._child(None, tests)
            if word == SURVIVED:
                break
            self.aside[test] = f"fails after {tests.index(test)} others with nothing changed"
            self._echo(f"put aside: {test} {self.aside[test]}")
            tests.remove(test)
        self._echo(f"control: {len(tests)} tests of {mutant.place} pass with nothing changed")

    def _try(self, mutant: Mutant) -> None:
        tests = self._reaching(mutant)
        basis = digest_of(*sorted(test + self._file(self._items[test]) for test in tests))
        known = self._kept.outcomes.get((mutant.source, mutant.name))
        if known is not None and not self._options.again and known.basis == self._basis(known, basis):
            self.outcomes[mutant.place] = known
            return
        outcome = Outcome(SURVIVED if tests else UNREACHED, "", basis)
        tests = self._promising(mutant, tests)
        while tests:
            word, test = self._child(mutant, tests)
            if word == SURVIVED:
                break
            if self._is_sound(test):
                outcome = Outcome(word, test, self._file(self._items[test]))
                self._count_kill(mutant, test)
                break
            tests.remove(test)
        self._kept.keep(mutant, outcome)
        self.outcomes[mutant.place] = outcome
        self._progress(mutant, outcome)

    def _count_kill(self, mutant: Mutant, test: str) -> None:
        for what in (mutant.function, mutant.module, ""):
            self._kills[what][test] += 1

    def _promising(self, mutant: Mutant, tests: Sequence[str]) -> list[str]:
        """Return *tests* by what they cost for what they killed so far, as many as ``--budget`` pays for."""
        function, module, anywhere = (self._kills[what] for what in (mutant.function, mutant.module, ""))

        def cost(test: str) -> float:
            return (self._seconds[test] + 0.005) / (1 + 20 * function[test] + 2 * module[test] + 0.2 * anywhere[test])

        chosen: list[str] = []
        left: float = self._options.budget
        for test in sorted(tests, key=cost):
            left -= self._seconds[test]
            if left >= 0 or not chosen:
                chosen.append(test)
        return chosen

    def _basis(self, known: Outcome, all_tests: str) -> str:
        if not known.test:
            return all_tests
        return self._file(self._items[known.test]) if known.test in self._items else ""

    def _is_sound(self, test: str) -> bool:
        """Say whether *test* passes alone in a child with nothing changed; put it aside if it does not."""
        if test not in self._sound:
            word, _ = self._child(None, [test])
            if word == SURVIVED:
                self._sound.add(test)
            else:
                self.aside[test] = "does not pass alone with nothing changed"
                self._echo(f"put aside: {test} {self.aside[test]}")
        return test in self._sound

    def _child(self, mutant: Mutant | None, tests: Sequence[str]) -> tuple[str, str]:
        """Run *tests* in a child until one fails; return the word for it and the test that was running last."""
        source, sink = os.pipe()
        child = os.fork()
        if not child:
            self._run(mutant, tests, sink)
        os.close(sink)
        with os.fdopen(source, "rb") as file:
            places = file.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        word = {0: SURVIVED, 1: KILLED}.get(code, TIMEOUT)
        return word, tests[int.from_bytes(places[-4:], "big")] if places else tests[0]

    def _run(self, mutant: Mutant | None, tests: Sequence[str], sink: int) -> NoReturn:
        """In the child: run *tests*, each within its time, and exit 1 at the first that fails."""
        self._silence()
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        memory = pages * resource.getpagesize() + SPARE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        STATE.module, STATE.name = (mutant.module, mutant.name) if mutant is not None else ("", "")
        for place, test in enumerate(tests):
            os.write(sink, place.to_bytes(4, "big"))
            limit = SPARE_S + SLOWER * self._seconds[test]
            signal.setitimer(signal.ITIMER_PROF, limit)  # nobody handles the signal: it ends the child
            signal.setitimer(signal.ITIMER_REAL, 30 + 10 * limit)
            try:
                self._items[test].ihook.pytest_runtest_protocol(item=self._items[test], nextitem=None)
            except BaseException:  # noqa: BLE001  whatever a mutant breaks, in pytest itself too, is noticed
                os._exit(1)
            if self._failed:
                os._exit(1)
        os._exit(0)

    def _silence(self) -> None:
        """Let what is printed in a child go nowhere."""
        next(iter(self._items.values())).config.pluginmanager.unregister(name="terminalreporter")
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)

    def _progress(self, mutant: Mutant, outcome: Outcome) -> None:
        done, spent = len(self.outcomes), time.monotonic() - self._begun
        dead = sum(not item.survived for item in self.outcomes.values())
        left = (len(self._mutants) - done) * spent / done / 60
        if outcome.survived:
            self._echo(f"{mutant.place} {outcome.outcome}")
        if outcome.survived or not done % 10:
            self._echo(f"  {done}/{len(self._mutants)}, {dead} killed, {spent / done:.2f} s each, {left:.0f} min left")


def cheaper(item: pytest.Item, examples: int) -> None:
    """Let a property test try few examples (0: as many as it says), keep none, and not look for a smaller one."""
    function: Any = getattr(item, "function", None)
    if not getattr(function, "is_hypothesis_test", False):
        return
    from hypothesis import Phase, settings  # not before pytest has put its hooks into what is imported

    own: settings = function._hypothesis_internal_use_settings
    function._hypothesis_internal_use_settings = settings(
        own,
        max_examples=min(examples or own.max_examples, own.max_examples),
        phases=(Phase.explicit, Phase.generate),
        database=None,
        deadline=None,
        derandomize=True,
    )


def draw(mutants: Sequence[Mutant], sample: int, seed: int) -> list[Mutant]:
    """Return *sample* of *mutants* (0: all) in random order, of each module in proportion but some at least."""
    modules: defaultdict[str, list[Mutant]] = defaultdict(list)
    for item in mutants:
        modules[item.module].append(item)
    if not sample or sample >= len(mutants):
        sample = len(mutants)
    number = {name: min(len(found), AT_LEAST) for name, found in modules.items()}
    while sum(number.values()) < sample:
        name = max(modules, key=lambda name: (len(modules[name]) / (number[name] + 1), name))
        number[name] += 1
    drawn = [
        item for name, found in modules.items() for item in random.Random(f"{seed} {name}").sample(found, number[name])
    ]
    random.Random(seed).shuffle(drawn)
    return drawn


def report(mutants: Sequence[Mutant], drawn: Sequence[Mutant], outcomes: dict[str, Outcome]) -> float:
    """Print a table by module and the survivors; return the percentage killed."""
    made = Counter(item.module for item in mutants)
    words = Counter(item.module for item in mutants if item.prose)
    tried, killed = Counter(item.module for item in drawn), Counter[str]()
    killed.update(item.module for item in drawn if not outcomes[item.place].survived)
    print("| module | mutants | of words | drawn | killed |\n|---|---|---|---|---|")
    for module in sorted(tried):
        name = module.removeprefix(PREFIX)
        print(f"| {name} | {made[module]} | {words[module]} | {tried[module]} | {killed[module]} |")
    total, dead = tried.total(), killed.total()
    share = 100 * dead / total
    print(f"| all | {made.total()} | {words.total()} | {total} | {dead} ({share:.1f} %) |\n")
    size = {module: made[module] - words[module] for module in tried}
    weighted = sum(100 * size[m] * killed[m] / tried[m] for m in tried) / sum(size.values())
    late = sum(item.outcome == TIMEOUT for item in outcomes.values())
    print(f"weighted by how many mutants a module has: {weighted:.1f} %; killed by time: {late}\n")
    for item in drawn:
        if outcomes[item.place].survived:
            print(f"{item.place} {outcomes[item.place].outcome}\n{item.diff}\n")
    return share


def options_of(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=420, help="how many mutants to draw (0: all)")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--module", action="append", default=[], help="only of this module (rules.threshold)")
    parser.add_argument("--only", action="append", default=[], help="only this mutant, as a report names it")
    parser.add_argument("--tests", action="append", default=[], help="only this file of tests")
    parser.add_argument("--file", action="append", default=[], help="NAME=PATH: mutate this file, not the treaty's")
    parser.add_argument("--examples", type=int, default=10, help="of a property test (0: as many as it says)")
    parser.add_argument("--slow", type=float, default=0.7, help="leave out tests over so many seconds of CPU")
    parser.add_argument("--budget", type=float, default=8, help="seconds of CPU that all tests of a mutant may take")
    parser.add_argument("--controls", type=int, default=3, help="of how many mutants to run all tests unchanged first")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no mutant after so many")
    parser.add_argument("--floor", type=float, default=90, help="percent that must be killed")
    parser.add_argument("--again", action="store_true", help="try again what was tried before")
    parser.add_argument("--kept", type=Path, default=ROOT / ".mutants", help="where outcomes are kept")
    parser.add_argument("--out", type=Path, help="write what became of each mutant as JSON")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Draw, try, report; exit 1 when the share killed is below ``--floor``."""
    options = options_of(argv)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    paths = targets()
    if options.file:
        paths = {name: Path(path) for name, _, path in (item.partition("=") for item in options.file)}
    finder = Mutated(paths, options.kept)
    sys.meta_path.insert(0, finder)
    pool = [item for item in finder.mutants if not item.prose]
    if options.module:
        pool = [item for item in pool if item.module.removeprefix(PREFIX) in options.module]
    drawn = draw(pool, options.sample, options.seed)
    if options.only:
        drawn = [item for item in pool if item.place in options.only]
    session = Session(drawn, finder.mutants, Kept(options.kept), options)
    tests = options.tests or [str(path) for path in sorted((ROOT / "tests" / "treaty").glob("test_*.py"))]
    quiet = ["-q", "--tb=line", "-p", "no:cacheprovider", "--no-header", "-c", "pyproject.toml", "-o", "timeout=0"]
    code = pytest.main([*quiet, *tests], plugins=[session])
    tried = [item for item in drawn if item.place in session.outcomes]
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) or not tried:
        print(f"nothing was tried (pytest: {code})", file=sys.stderr)
        return 2
    if options.out is not None:
        rows = [{"mutant": item.place, **vars(session.outcomes[item.place]), "diff": item.diff} for item in tried]
        options.out.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0 if report(finder.mutants, tried, session.outcomes) >= options.floor else 1


if __name__ == "__main__":
    sys.exit(main())
