"""``python -m bench`` with ingest, replay, log, hook, training, judge, workbench: measure, and write ``bench-out/``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench import hook, house, ingest, judge, log, replay, report, training, workbench
from bench.payloads import Payload, SiteChain

FIGURES = ("ingest", "replay", "log", "hook", "training", "judge", "workbench")
ROUNDS = 5


def main() -> int:
    """Read the command line, measure what it names, print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="figure", help=f"{', '.join(FIGURES)}; default: all")
    parser.add_argument("--entries", type=int, default=4_096, help="statements in a round (default 4096)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"timed rounds, at least {ROUNDS}")
    parser.add_argument("--scale", action="store_true", help="log and judge at all sizes, not the smallest only")
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="folder of the results")
    options = parser.parse_args()
    wanted: list[str] = options.figures or list(FIGURES)
    unknown = sorted(set(wanted) - set(FIGURES))
    if unknown or options.rounds < ROUNDS or options.entries < 1:
        parser.error(f"figures: {', '.join(FIGURES)}; --rounds: {ROUNDS} or more; --entries: 1 or more")
    figures: list[report.Figure] = []
    for payload in Payload:
        with tempfile.TemporaryDirectory(prefix="brakeline-bench-") as folder:
            figures += measure(Path(folder), payload, wanted, options.entries, options.rounds)
            if "log" in wanted:
                chain = SiteChain(house.LABS[0], house.build(Path(folder) / "log").document)
                sizes = log.SIZES[payload][: None if options.scale else 1]
                figures += log.measure(chain, payload, sizes, options.rounds, progress)
    names = [figure.name for figure in figures]
    figures.sort(key=lambda figure: names.index(figure.name))
    print(report.write(options.out, figures), end="")
    if "hook" in wanted:
        options.out.mkdir(parents=True, exist_ok=True)
        print(hook.table(hook.measure(options.rounds, progress), options.out), end="")
    if "training" in wanted:
        options.out.mkdir(parents=True, exist_ok=True)
        print(training.table(training.measure(options.rounds, progress), options.out), end="")
    if "judge" in wanted:
        with tempfile.TemporaryDirectory(prefix="brakeline-bench-") as folder:
            document = house.build(Path(folder)).document
            sizes = judge.SIZES[: None if options.scale else 1]
            print(judge.table(judge.measure(sizes, document, progress)), end="")
    if "workbench" in wanted:
        rounds = workbench.measure(options.rounds, progress)
        print(workbench.table(rounds, workbench.sweep()), end="")
    print(f"wrote {options.out / 'bench.json'} and {options.out / 'bench.md'}")
    return 0


def measure(folder: Path, payload: Payload, wanted: list[str], entries: int, rounds: int) -> list[report.Figure]:
    """Measure one payload: the log that ingest made is what replay reads."""
    if not {"ingest", "replay"} & set(wanted):
        return []
    made, took = ingest.measure(folder, payload, entries, rounds if "ingest" in wanted else 0, progress)
    figures = [report.Figure("ingest", payload, took)] if "ingest" in wanted else []
    if "replay" in wanted:
        figures.append(report.Figure("replay", payload, replay.measure(made, payload, rounds, progress)))
    return figures


def progress(text: str) -> None:
    """Say on standard error how far it is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
