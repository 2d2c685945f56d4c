"""The table of trials for people: in the terminal, and as one self-contained HTML page.

In the page the shade of a cell is the probability to be caught, and its text says the same in numbers: nothing hangs on
colour. No script, no network.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from brakeline.explorer.evasion import STRATEGIES
from brakeline.explorer.trials import Row, Setting, Table
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Severity
from rich.table import Table as RichTable

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-weight: 600; padding: .5rem 0; }
th, td { border: 1px solid #8888; padding: .35rem .6rem; text-align: left; vertical-align: top; }
td.cell { color: #000; }
small { display: block; }
@media print { body { margin: 0; max-width: none; } tr { break-inside: avoid; } }
"""


_PLURAL = {Severity.REFERRAL: "referrals", Severity.DISCREPANCY: "discrepancies", Severity.NOTE: "notes"}


def quantity(flop: int) -> str:
    """Write FLOP as a power of ten: ``1.0e25``."""
    return f"{flop:.1e}".replace("e+", "e")


def duration(ms: int | None) -> str:
    """Write a time in hours, or days from two days on."""
    if ms is None:
        return ""
    hours = ms / 3_600_000
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.1f} d"


def chance(row: Row) -> str:
    """Write how often a row was caught: ``20/20 (0.84 to 1.00)``."""
    interval = row.interval
    if interval is None:
        return "not possible"
    return f"{row.caught}/{row.trials} ({interval.low:.2f} to {interval.high:.2f})"


def rules(row: Row) -> str:
    """Write which rules caught it, the most frequent first."""
    return ", ".join(rule for rule, _ in row.rules)


def text(table: Table, setting: Setting) -> RichTable:
    """Return the table for a terminal: a row a strategy and magnitude."""
    shown = RichTable(
        title=f"caught, of worlds of {setting.days} days ({len(setting.seeds)} seeds)", title_justify="left"
    )
    for name in ("strategy", "its best way", "FLOP", "caught (95 %)", "after", "by"):
        shown.add_column(name, overflow="fold")
    before = ""
    for row in table.rows:
        name = row.strategy if row.strategy != before else ""
        before = row.strategy
        residual = " (residual)" if STRATEGIES[row.strategy].residual and name else ""
        shown.add_row(name + residual, row.way, quantity(row.flop), chance(row), duration(row.delay_ms), rules(row))
    return shown


def lines(table: Table, document: TreatyDocument) -> Iterator[str]:
    """Yield the sentences that the table comes to."""
    honest = table.honest
    per = ", ".join(f"{honest.rate(severity):.2f} {_PLURAL[severity]}" for severity in _PLURAL)
    yield f"Honest labs, {float(honest.site_years):.1f} site-years: {per} per site-year."
    missed = table.missed(document)
    line = quantity(document.goals.significant_quantity_flop.value)
    if all(row.flop < document.goals.significant_quantity_flop.value or not row.trials for row in table.rows):
        yield f"Nothing of {line} FLOP, which the treaty is to see, was played."
    elif missed:
        names = ", ".join(dict.fromkeys(row.strategy for row in missed))
        yield f"At {line} FLOP and more, caught in fewer than 95 of 100: {names}."
    else:
        yield f"At {line} FLOP and more every strategy played is caught in 95 of 100 worlds or more, but for residuals."


def page(table: Table, setting: Setting, document: TreatyDocument) -> str:
    """Return the table as one HTML page: a row a strategy, a column a magnitude."""
    heads = "".join(f"<th scope=col>{quantity(flop)} FLOP</th>" for flop in setting.magnitudes)
    body = "".join(_strategy(name, [row for row in table.rows if row.strategy == name]) for name in setting.strategies)
    told = "".join(f"<p>{escape(line)}</p>" for line in lines(table, document))
    pin = escape(document.digest)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>What the treaty would catch</title><style>{_STYLE}</style></head><body>
<h1>What the treaty {escape(document.name)} would catch</h1>{told}
<table><caption>Caught, of {len(setting.seeds)} worlds of {setting.days} days; the way that is seen least</caption>
<thead><tr><th scope=col>strategy</th>{heads}</tr></thead><tbody>{body}</tbody></table>
<p>Treaty {pin}; seeds {min(setting.seeds)} to {max(setting.seeds)}; {setting.sites} sites. In brackets the
95 % score interval. A strategy that no rule can see by its nature is called a residual.</p>
</body></html>
"""


def _strategy(name: str, rows: list[Row]) -> str:
    strategy = STRATEGIES[name]
    why = f"<small>residual: {escape(strategy.residual)}</small>" if strategy.residual else ""
    head = f"<th scope=row>{escape(name)}<small>{escape(strategy.does)}</small>{why}</th>"
    return f"<tr>{head}{''.join(map(_cell, rows))}</tr>"


def _cell(row: Row) -> str:
    if not row.trials:
        return "<td>the chips cannot do it</td>"
    share = row.caught / row.trials
    shade = f"background: rgb({round(255 - 100 * share)} {round(200 + 40 * share)} {round(170 + 30 * share)})"
    after = f"<small>after {duration(row.delay_ms)}, by {escape(rules(row))}</small>" if row.rules else ""
    return f'<td class=cell style="{shade}">{escape(chance(row))}{after}<small>{escape(row.way)}</small></td>'
