"""``brakeline explore answer``, ``exact``, ``presets``: the negotiators' questions, before anybody signs.

Added to the commands of :mod:`brakeline.explorer.commands`; what they compute is in the library.
"""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from brakeline.explorer.formats import Format, FormatOption

if TYPE_CHECKING:
    from brakeline.explorer.answers.forms import Answer, AnswerId, Figure
    from brakeline.explorer.model.agree import Agreement
    from brakeline.explorer.scenario.load import Scenario

EXIT_MISTAKE = 3
EXIT_DIFFERS = 4
ScenarioArgument = Annotated[str, typer.Argument(help="A scenario file (TOML), or the name of a preset.")]


def read(name: str) -> Scenario:
    """Return the scenario of a file or preset; print every mistake by file and line, and exit with 3."""
    from brakeline.explorer.scenario.load import load_scenario
    from brakeline.explorer.scenario.presets import PRESETS, preset

    if name in PRESETS and not Path(name).exists():
        return preset(name)
    try:
        loaded = load_scenario(Path(name))
    except (OSError, UnicodeDecodeError) as error:
        typer.echo(f"scenario-unreadable: {name}: {error}. Presets: {', '.join(PRESETS)}", err=True)
        raise typer.Exit(EXIT_MISTAKE) from None
    if loaded.scenario is None:
        typer.echo("\n".join(map(str, loaded.problems)), err=True)
        raise typer.Exit(EXIT_MISTAKE)
    return loaded.scenario


def questions(named: list[str] | None) -> list[AnswerId]:
    """Return the questions *named*, in their order; all six where none is."""
    from brakeline.explorer.answers.forms import QUESTIONS

    unknown = sorted(set(named or ()) - set(QUESTIONS))
    if unknown:
        raise typer.BadParameter(f"--question: no {', '.join(unknown)}; {', '.join(QUESTIONS)}")
    return [name for name in QUESTIONS if not named or name in named]


def answer(
    scenario: ScenarioArgument,
    question: Annotated[list[str] | None, typer.Option(help="Which; several times. Default: all six.")] = None,
    trials: Annotated[int | None, typer.Option(help="Worlds; default: the scenario's.", min=10)] = None,
    tables: Annotated[Path | None, typer.Option(help="Write every table into this folder, as CSV.")] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Answer the six questions of a delegation: what is caught and when, who is accused, what can be hidden, how a
    pause bites, who carries the burden, what stays unverified.

    Every number says how it is computed and how its inputs are known: json has formula, seed, interval and grade.
    """
    from brakeline.explorer.answers.ask import answer_all
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    wanted = questions(question)
    asked = read(scenario)
    columns = (TextColumn("answers"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task("answers", total=len(wanted))
        found = answer_all(asked, wanted, trials, lambda done, total: bar.update(shown, completed=done, total=total))
    if tables is not None:
        _write(tables, found)
    if form is Format.JSON:
        typer.echo(json.dumps(as_json(asked, found), ensure_ascii=False))
        return
    for item in found:
        _show(item)


def as_json(scenario: Scenario, answers: tuple[Answer, ...]) -> dict[str, object]:
    """Return everything that *answers* hold, with what they are about: the scenario's name, seed and treaty pin."""
    run = scenario.terms.run
    about = {"scenario": scenario.name, "treaty": scenario.document.digest, "seed": run.seed, "trials": run.trials}
    return {**about, "answers": [asdict(item) for item in answers]}


def _write(folder: Path, answers: tuple[Answer, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for item in answers:
        for series in item.series:
            with (folder / f"{item.id}-{series.id}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow([column.name for column in series.columns])
                writer.writerows(series.rows)


def _show(item: Answer) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    console.print(f"[bold]{escape(item.question)}[/bold]\n{escape(item.sentence)}\n[dim]{escape(item.caveat)}[/dim]")
    table = Table(box=None, pad_edge=False)
    for head in ("", "value", "95 %", "how it is known"):
        table.add_column(head, overflow="fold")
    for figure in item.figures:
        table.add_row(escape(figure.name), _value(figure), _interval(figure), figure.grade)
    console.print(table, "")


def _value(figure: Figure) -> str:
    from brakeline.explorer.answers.figures import days

    if figure.value is None:
        return figure.note or "none"
    if figure.unit == "days" and isinstance(figure.value, float):
        return days(figure.value)
    shown = figure.value if isinstance(figure.value, str) else f"{figure.value:.4g}"
    return f"{shown} {figure.unit}".strip()


def _interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f"{figure.low:.3g} to {figure.high:.3g}"


def presets(
    write: Annotated[Path | None, typer.Option(help="Write scenarios and treaties into this folder, to edit.")] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """List the scenarios that come with the program: designs after public texts, and a world to try them in."""
    from brakeline.explorer.scenario.presets import PRESETS, folder, preset

    rows = [{"name": name, "title": preset(name).terms.title, "about": preset(name).terms.about} for name in PRESETS]
    if write is not None:
        write.mkdir(parents=True, exist_ok=True)
        for name in PRESETS:
            for file in (f"{name}.toml", f"{name}.treaty.toml"):
                (write / file).write_text(folder().joinpath(file).read_text("utf-8"), "utf-8")
    if form is Format.JSON:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        typer.echo(f"{row['name']}: {row['title']}. {row['about']}")


def exact(
    scenario: ScenarioArgument,
    worlds: Annotated[int, typer.Option(help="How many worlds to judge both ways.", min=1, max=100_000)] = 20,
    days: Annotated[int | None, typer.Option(help="Length of every world; default: the scenario's.", min=4)] = None,
    flop: Annotated[float | None, typer.Option(help="FLOP to hide; default: a significant quantity.", min=1.0)] = None,
    adversary: Annotated[list[str] | None, typer.Option(help="Which; several times. Default: all.")] = None,
    jobs: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    form: FormatOption = Format.TEXT,
) -> None:
    """Judge the same worlds by the fast model and by the judge that verifiers run, and say where the two differ.

    Exit code 4: their probabilities do not lie within each other's interval.
    """
    from dataclasses import replace

    from brakeline.explorer.answers.detect import Setup, known
    from brakeline.explorer.model.agree import compare
    from brakeline.explorer.model.rules import ways
    from brakeline.ledger.errors import BrakelineError

    asked = read(scenario)
    setup = Setup.of(asked)
    habits = setup.habits if days is None else replace(setup.habits, periods=days * setup.habits.day)
    wanted = [item for item in asked.terms.adversaries if known(item) and (not adversary or item.name in adversary)]
    found: list[Agreement] = []
    for item in wanted:
        for way in ways(item.strategy, item.way):
            try:
                one = compare(
                    asked.document, habits, item.strategy, way, int(flop or setup.quantity), setup.seed, worlds, jobs
                )
            except BrakelineError as error:
                typer.echo(str(error), err=True)
                raise typer.Exit(EXIT_MISTAKE) from None
            if one is not None:
                found.append(one)
    if form is Format.JSON:
        typer.echo(json.dumps([{**asdict(both), "agrees": both.agrees} for both in found]))
    else:
        for both in found:
            low, high = both.exact_interval
            typer.echo(
                f"{both.strategy}, {both.way}: exact {both.exact}/{both.worlds} ({low:.2f} to {high:.2f}), fast "
                f"{both.fast}/{both.worlds}; they differ in {both.differ}, and in {both.later} about when"
            )
    if not all(both.agrees for both in found):
        raise typer.Exit(EXIT_DIFFERS)


def add_to(app: typer.Typer) -> None:
    """Add these commands to *app*."""
    app.command("answer", epilog="Example: brakeline explore answer eu-1e25 --question pause --format json")(answer)
    app.command("presets", epilog="Example: brakeline explore presets --write scenarios")(presets)
    app.command("exact", epilog="Example: brakeline explore exact eu-1e25 --worlds 2 --days 4 --adversary quiet")(exact)
