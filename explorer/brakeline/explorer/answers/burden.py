"""Who carries the burden? The lines of the treaty over models of the past, and over the labs of the scenario.

A lab is covered when its largest run of a year passes a line: N H U x training share x share of its largest run x a
year. Reports: one a site and period. Staff and money are counted only where the scenario gives them.
"""

from __future__ import annotations

from collections.abc import Iterator

from brakeline.explorer.answers.figures import DAY_MS, YEAR_DAYS, flop, percent, rate, weakest
from brakeline.explorer.answers.forms import QUESTIONS, Answer, Cell, Column, Figure, Rule, Series
from brakeline.explorer.answers.history import Model, models
from brakeline.explorer.scenario.form import Fleet, Grade
from brakeline.explorer.scenario.load import Scenario
from brakeline.treaty.terms import Threshold

_CAVEAT = (
    "Models are those whose compute somebody published or estimated, an estimate may be off by a factor of two, and a "
    "count of them is no count of labs. Classes of labs are the scenario's; every site under the treaty keeps books, "
    "covered or not."
)


def answer(scenario: Scenario) -> Answer:
    """Answer for *scenario*."""
    line = scenario.document.thresholds[-1] if scenario.document.thresholds else None
    figures = tuple(_figures(scenario, line))
    series = (_past(scenario), _classes(scenario), _growth(scenario))
    return Answer("burden", QUESTIONS["burden"], _sentence(scenario, line), _CAVEAT, figures, series)


def largest_run(scenario: Scenario, fleet: Fleet, years: float = 0.0) -> float:
    """Return the FLOP of the largest run in a year of a lab of *fleet*, *years* from now."""
    daily = rate(scenario, fleet.sites.value * fleet.chips.value, fleet.chip_class, fleet.utilisation.value)
    share = scenario.terms.work.training.value * fleet.largest_run.value
    return daily * YEAR_DAYS * share * float(fleet.growth.value**years)


def covered(line: Threshold | None) -> list[Model]:
    """Return the models of the past above *line*."""
    return [] if line is None else [item for item in models() if item.flop > line.flop.value]


def _figures(scenario: Scenario, line: Threshold | None) -> Iterator[Figure]:
    known, above = models(), covered(line)
    name = "no line" if line is None else f"{line.name}, {flop(float(line.flop.value))} FLOP"
    formula = "models with FLOP > line / models"
    share = len(above) / len(known)
    yield Figure(
        "models",
        f"models of the past above the highest line ({name})",
        share,
        "",
        formula,
        Grade.PUBLISHED,
        "models.toml, each with its source",
        note=f"{len(above)} of {len(known)}",
    )
    for threshold in scenario.document.thresholds:
        count = len(covered(threshold))
        yield Figure(
            f"models-{threshold.name}",
            f"models above {threshold.name}",
            count,
            "models",
            f"FLOP > {flop(float(threshold.flop.value))}",
            Grade.PUBLISHED,
            "models.toml",
        )
    for size in ("large", "middle", "small"):
        mine = [item for item in known if item.size == size]
        hit = [item for item in above if item.size == size]
        yield Figure(
            f"models-by-{size}",
            f"of developers that are {size}",
            len(hit),
            "models",
            formula,
            Grade.PUBLISHED,
            "models.toml",
            note=f"of {len(mine)}",
        )
    for fleet in scenario.terms.labs:
        done = largest_run(scenario, fleet)
        grade = weakest(fleet.sites, fleet.chips, fleet.utilisation, fleet.largest_run, scenario.terms.work.training)
        lines = [item for item in scenario.document.thresholds if done > item.flop.value]
        note = f"passes {lines[-1].name}" if lines else "passes no line"
        yield Figure(
            f"run-{fleet.name}",
            f"largest run of a {fleet.name} lab in a year",
            done,
            "FLOP",
            "N H U x training x largest_run x year",
            grade,
            note=note,
        )
    yield from _work(scenario)


def _work(scenario: Scenario) -> Iterator[Figure]:
    terms, day = scenario.terms, DAY_MS // scenario.document.grid.period.value
    sites = sum(item.count.value * item.joins.value * item.sites.value for item in terms.labs)
    grade = weakest(*(given for item in terms.labs for given in (item.count, item.joins, item.sites)))
    yield Figure("sites", "sites that keep books", sites, "", "sum of count x joins x sites", grade)
    yield Figure(
        "books", "books of one site", day * YEAR_DAYS, "a year", "periods of a year", Grade.DERIVED, "the treaty"
    )
    visits, staff = sites * terms.meters.visits.value, terms.resources
    yield Figure("visits", "visits of inspectors", visits, "a year", "sites x visits", weakest(terms.meters.visits))
    able = None
    if staff.inspectors is not None and staff.visits_per_inspector is not None:
        able = staff.inspectors.value * staff.visits_per_inspector.value
    note = (
        "resources.inspectors or visits_per_inspector is not given: not asked"
        if able is None
        else f"{visits:,.0f} wanted"
    )
    yield Figure(
        "visits-possible",
        "visits that the inspectors can make",
        able,
        "a year",
        "inspectors x visits_per_inspector",
        Grade.ASSUMED,
        note=note,
    )
    cost = None
    if staff.inspectors is not None and staff.cost_per_inspector is not None and staff.cost_per_visit is not None:
        cost = staff.inspectors.value * staff.cost_per_inspector.value + visits * staff.cost_per_visit.value
    note = "" if cost is not None else "resources gives no costs: not asked"
    yield Figure(
        "cost",
        "inspection",
        cost,
        f"{staff.currency or ''} a year".strip(),
        "inspectors x cost + visits x cost",
        Grade.ASSUMED,
        note=note,
    )


def _sentence(scenario: Scenario, line: Threshold | None) -> str:
    if line is None:
        return "The treaty draws no line: nobody is covered, and every site that joined keeps books."
    known, above = models(), covered(line)
    classes = [fleet.name for fleet in scenario.terms.labs if largest_run(scenario, fleet) > line.flop.value]
    small = sum(item.size == "small" for item in above)
    who = f"the {' and '.join(classes)} labs of the scenario" if classes else "none of the scenario's labs"
    share = percent(len(above) / len(known))
    return (
        f"The highest line, {flop(float(line.flop.value))} FLOP, covers {len(above)} of {len(known)} known models "
        f"since GPT-3 ({share}), {small or 'none'} of them of small developers, and today {who}."
    )


def _past(scenario: Scenario) -> Series:
    rows: list[tuple[Cell, ...]] = []
    for item in models():
        passed = [line.name for line in scenario.document.thresholds if item.flop > line.flop.value]
        rows.append(
            (
                item.name,
                item.by,
                item.size,
                item.published,
                item.flop,
                passed[-1] if passed else "below all",
                item.formula,
                item.source,
            )
        )
    columns = (
        Column("model", "model", kind="name"),
        Column("by", "by", kind="name"),
        Column("size", "developer", kind="name"),
        Column("published", "published", kind="date"),
        Column("flop", "training", "FLOP", log=True),
        Column("passes", "passes", kind="name"),
        Column("formula", "formula", kind="name"),
        Column("source", "source", kind="name"),
    )
    rules = tuple(Rule("flop", float(line.flop.value), line.name) for line in scenario.document.thresholds)
    return Series(
        "models",
        "Models of the past and the treaty's lines",
        columns,
        tuple(rows),
        "point",
        "published",
        "flop",
        "size",
        rules=rules,
    )


def _classes(scenario: Scenario) -> Series:
    rows: list[tuple[Cell, ...]] = []
    for fleet in scenario.terms.labs:
        done = largest_run(scenario, fleet)
        for line in scenario.document.thresholds:
            covers = fleet.count.value * fleet.joins.value if done > line.flop.value else 0.0
            rows.append((fleet.name, line.name, fleet.count.value, fleet.count.value * fleet.joins.value, covers, done))
    columns = (
        Column("labs", "labs", kind="name"),
        Column("line", "line", kind="name"),
        Column("count", "labs there are"),
        Column("joined", "of which under the treaty"),
        Column("covered", "of which covered"),
        Column("run", "largest run of a year", "FLOP", log=True),
    )
    return Series("labs", "Labs covered, by size", columns, tuple(rows), "bar", "labs", "covered", "line")


def _growth(scenario: Scenario) -> Series:
    """Return how long each class of labs stays below the lines, growing as the scenario says."""
    rows = tuple(
        (year, fleet.name, largest_run(scenario, fleet, year))
        for fleet in scenario.terms.labs
        for year in (step / 2 for step in range(11))
    )
    columns = (
        Column("year", "years from now", "years"),
        Column("labs", "labs", kind="name"),
        Column("flop", "largest run of a year", "FLOP", log=True),
    )
    rules = tuple(Rule("flop", float(line.flop.value), line.name) for line in scenario.document.thresholds)
    return Series(
        "growth", "When growth carries labs over the lines", columns, rows, "line", "year", "flop", "labs", rules=rules
    )
