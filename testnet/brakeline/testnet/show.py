"""For people: progress on standard error while a play runs, and tables when it is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self, cast

from brakeline.testnet.compare import Row
from brakeline.testnet.outcome import Back, Outcome, found_in
from brakeline.testnet.plan import Plan, Role
from brakeline.testnet.stage import Stage
from rich.console import Console
from rich.status import Status
from rich.table import Table

_PLOT = {
    Role.TRAINER: "trains, books it, obeys the brake",
    Role.IDLE: "does next to nothing, honestly",
    Role.CLUMSY: "cheats clumsily: unbalanced books, two versions of one period, trains on after the order",
    Role.HIDDEN: "cheats well: trains in secret, its books balance and say idle",
}


class Progress:
    """The one line that moves, on a terminal; otherwise a line for every period."""

    def __init__(self, plan: Plan, console: Console | None = None) -> None:
        """Show the progress of *plan* on standard error."""
        self._plan = plan
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._status: Status | None = None
        self._where = ""
        self._said: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        """Begin."""
        if self._console.is_terminal:
            self._status = self._console.status("starting")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        if self._status is not None:
            self._status.stop()

    def event(self, text: str) -> None:
        """Say what happened."""
        self._console.print(f"- {text}")

    def tick(self, stage: Stage, period: int) -> None:
        """Show where we are: the period, statements and findings in every log, and who has stopped."""
        views = stage.observer.views
        held = " ".join(str(len(view.held)) for view in views)
        findings = " ".join(str(view.findings) for view in views)
        last = stage.periods - 1
        where = "before period 0" if period < 0 else f"period {min(period, last)} of 0..{last}"
        line = f"{where} | statements in each log: {held} | findings logged: {findings}"
        if self._status is not None:
            self._status.update(line)
        elif where != self._where:
            self._console.print(f"  {line}")
        self._where = where
        for kind, how in (("pause", "stopped"), ("resume", "goes on")):
            for site, said in stage.observer.acknowledgements(kind).items():
                if (kind, site) not in self._said:
                    self._said.add((kind, site))
                    stops = [f"{w.workload} {how} after step {w.step}" for w in said.workloads]
                    nothing = "nothing of its was running, it says" if kind == "pause" else "nothing of its had stopped"
                    self.event(f"{site} acknowledges the order to {kind}: {', '.join(stops) or nothing}")


def render(outcome: Outcome, console: Console) -> None:
    """Print the result: the plot, planted against found, the brake, the books, the paths."""
    console.print(_plot(outcome.plan))
    console.print(_comparison(outcome.comparison.rows))
    for item in found_in(outcome.audit.value):
        console.print(f"  - {item.sentence}")
    console.print(_brake(outcome))
    for line in _order(outcome):
        console.print(line, markup=False)
    console.print(_books(outcome))
    for problem in outcome.problems:
        console.print(f"PROBLEM: {problem}", style="bold red", markup=False)
    console.print("Left behind:")
    for name, path in outcome.paths.items():
        console.print(f"  {name:<11}{path}", markup=False)
    again = [word for word in outcome.audit.command if not word.startswith("http://")]
    at = again.index("--treaty")
    words = [*again[:at], f"{outcome.paths['logs']}/*", *again[at : again.index("--as-of")]]
    console.print(f"Check it yourself: {' '.join(words)}", markup=False)
    verdict = "MATCH: the audit found exactly what was planted" if outcome.matched else "DIFFERENT"
    console.print(f"{verdict} ({outcome.seconds:.0f} s)", style="bold green" if outcome.matched else "bold red")


def _plot(plan: Plan) -> Table:
    table = Table("lab", "planted before the start", title=f"The plot of seed {plan.seed}", title_justify="left")
    for lab in plan.labs:
        table.add_row(lab.name, _PLOT[lab.role])
    return table


def _comparison(rows: Sequence[Row]) -> Table:
    table = Table("rule", "about", "planted in", "found in", "", title="Planted and found", title_justify="left")
    for row in rows:
        found = ", ".join("yes" if period is None else str(period) for period in row.found) or "-"
        style = "" if row.outcome.good else "bold red"
        table.add_row(row.rule, row.about.partition("/")[0], row.planted, found, row.outcome.value, style=style)
    if not rows:
        table.add_row("-", "nobody", "-", "-", "match")
    return table


def _brake(outcome: Outcome) -> str:
    stop, back = outcome.stop, outcome.back
    if stop is None:
        return f"The brake: {outcome.plan.labs[0].site} did not acknowledge a stop."
    told = (
        f"The brake: {stop.site} had verified the order {stop.seen_ms} ms after the first log held it, and stopped "
        f"{max(0, stop.stopped_ms)} ms after it took effect, after step {stop.step}; its books hold "
        f"{'exactly these steps' if stop.booked_steps == stop.step else 'OTHER steps'}. "
        f"Its checkpoint was durable {stop.durable_ms} ms later. Frozen weights: {stop.freeze[:16]}..."
    )
    if back is None:
        return f"{told}\nThe resume: it did not go on."
    same = "exactly the frozen weights" if back.resumed == stop.freeze else "OTHER weights"
    went = f"it went on {max(0, back.resumed_ms)} ms after the resume took effect, from {same}"
    steps = "no step missing and none twice" if back.unbroken else "with steps MISSING or TWICE"
    return f"{told}\nThe resume: {went}, {steps}. Loss in nats per byte, the pause at the bar:\n  {curve(back)}"


BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 60


def curve(back: Back) -> str:
    """Return the loss by step as one line of blocks, a bar where the pause was, its ends in numbers."""
    every = max(1, -(-len(back.losses) // WIDTH))
    points = back.losses[::every]
    low, high = min(loss for _, loss in points), max(loss for _, loss in points)
    heights = [BLOCKS[round((len(BLOCKS) - 1) * (loss - low) / (high - low or 1))] for _, loss in points]
    paused = sum(step <= back.step for step, _ in points)
    line = "".join([*heights[:paused], "|", *heights[paused:]])
    return f"{points[0][1]:.2f} {line} {points[-1][1]:.2f} (steps {points[0][0]} to {points[-1][0]})"


_BOOKS = {"kept": "keep to it", "broken": "break it", "open": "are not all there yet", "not bound": "are not bound"}


def _order(outcome: Outcome) -> list[str]:
    """Say of every site what the order's report says: when it stopped by its own word, and what its books show."""
    lines: list[str] = []
    hidden = {lab.site for lab in outcome.plan.labs if lab.role is Role.HIDDEN}
    for site in cast("Sequence[Mapping[str, object]]", outcome.audit.order.get("sites", [])):
        latencies = cast("Mapping[str, int]", site["latencies_ms"])
        leaked = cast("Mapping[str, str]", site["leaked_flop"])
        names = [name for name in ("seen", "agreed", "ceased", "durable") if name in latencies]
        said = ", ".join(f"{name} {latencies[name]} ms" for name in names) or "not heard"
        books = _BOOKS.get(str(site["books"]), str(site["books"]))
        evidence = "; it trains on all the same, which only the meter shows" if site["site"] in hidden else ""
        lines.append(f"  {site['site']}: {said}; its books {books}; leaked {leaked['at_most']} FLOP at most{evidence}")
    return [f"What became of the order (ms after quorum; {outcome.paths['order']}):", *lines] if lines else []


def _books(outcome: Outcome) -> Table:
    """Return the table of booked training by period: the pause shows in it, or does not."""
    title = f"Training in the books, chip-ms by period (the order takes effect in {outcome.plan.order_period + 1})"
    periods = range(outcome.periods)
    table = Table("site", *(str(period) for period in periods), title=title, title_justify="left")
    for site, by_period in outcome.training.items():
        table.add_row(site.partition(".")[0], *(str(by_period.get(period, "-")) for period in periods))
    return table
