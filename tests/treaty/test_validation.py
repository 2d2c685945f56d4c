"""Every published figure is reproduced inside its tolerance, and the page that says so is what the command writes."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from brakeline.treaty import validation
from brakeline.treaty.commands import treaty_app
from brakeline.treaty.validation import Row, figure, render, rows
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "validation.md"
TABLE = rows()

EXPECTED = {
    "GPT-3": ("3.14e23", "0.5 %"),
    "Chinchilla": ("5.76e23", "2.5 %"),
    "Gopher": ("5.04e23", "all digits"),
    "Gopher: the known bias of 6 P D, percent": ("-12.5", "all digits"),
    "PaLM": ("2.53e24", "0.5 %"),
    "Llama 3.1 405B": ("3.8e25", "1 %"),
    "Llama 3.1 405B: utilisation": ("0.346", "1 %"),
    "Llama 3.1 405B: MWh": ("21588", "1 %"),
    "BLOOM: kWh": ("433196", "1 %"),
    "BLOOM: utilisation": ("0.318", "1 %"),
    "16 H100-equivalents at FP16 peak: days to 1e22": ("7.31", "all digits"),
    "16 H100-equivalents at FP16 peak: years to 1e24": ("2.00", "all digits"),
    "Cluster line 1e20 op/s: H100 below it": ("101112", "0.1 %"),
    "Sample of 100 by hand": ("21", "exact"),
    "Sample of 100, exact": ("20", "exact"),
    "Sample of 200 by hand": ("91", "exact"),
    "Sample of 200, exact": ("90", "exact"),
    "Chips that a run of 1e25 needs": ("9752", "+- 1"),
    "Chips to visit, by hand": ("237", "+- 1"),
    "Chips to visit, exact": ("235", "+- 1"),
    "One-sided CUSUM, h=4: ARL0": ("335", "1 %"),
    "One-sided CUSUM, h=4: ARL at 1 sigma": ("8.38", "1 %"),
    "One-sided CUSUM, h=5: ARL0": ("931", "1 %"),
    "One-sided CUSUM, h=5: ARL at 1 sigma": ("10.4", "1 %"),
    "MUF test, M = 1 sigma: P": ("0.260", "+- 0.001"),
    "MUF test, M = 2 sigma: P": ("0.639", "+- 0.001"),
    "MUF test, M = 3 sigma: P": ("0.912", "+- 0.001"),
    "MUF test, M = 3.29 sigma: P": ("0.950", "+- 0.001"),
    "Equivocation seen by an auditor of 3 logs": ("0.857", "all digits"),
    "Committee of 5 with 3 bad members or more": ("0.0769", "all digits"),
    "1,000 H100 at 40 %: days to 1e24": ("29.3", "all digits"),
    "Training segments to run again": ("299", "exact"),
} | {
    f"Model {name}: formula": (flop, "0.1 %")
    for name, flop in zip(
        "ABCDEFGH",
        ("0.752e23", "1.08e23", "1.296e23", "1.663e23", "3.672e23", "1.80e23", "1.561e23", "6.587e23"),
        strict=True,
    )
}
"""The design's table: what is expected, and how near."""


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.check)
def test_a_published_figure_is_reproduced(row: Row) -> None:
    assert row.inside, row


@pytest.mark.parametrize("check", EXPECTED)
def test_the_table_expects_what_was_promised(check: str) -> None:
    (row,) = [row for row in TABLE if row.check == check]
    assert (row.expected, row.tolerance) == EXPECTED[check]


def test_what_the_guideline_prints_is_within_its_own_rounding() -> None:
    published = [row for row in TABLE if row.check.endswith("as published")]
    assert len(published) == 8
    assert {row.tolerance for row in published} == {"8.1 %"}


def test_no_two_rows_have_the_same_name() -> None:
    assert len({row.check for row in TABLE}) == len(TABLE)


def test_the_page_is_what_the_command_writes(tmp_path: Path) -> None:
    file = tmp_path / "validation.md"
    result = CliRunner().invoke(treaty_app, ["validate", "--out", str(file)])
    assert result.exit_code == 0, result.output
    assert file.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8") == render(TABLE)


def test_the_command_checks_the_page() -> None:
    result = CliRunner().invoke(treaty_app, ["validate", "--check", str(PAGE)])
    assert result.exit_code == 0, result.output
    assert f"{len(TABLE)} of {len(TABLE)} inside their tolerance" in result.output


def test_a_page_that_was_edited_is_found(tmp_path: Path) -> None:
    file = tmp_path / "validation.md"
    file.write_text(PAGE.read_text(encoding="utf-8").replace("3.150e23", "3.140e23"), encoding="utf-8")
    result = CliRunner().invoke(treaty_app, ["validate", "--check", str(file)])
    assert result.exit_code == 3
    assert "validation-differs" in result.output


def test_json_has_every_row() -> None:
    result = CliRunner().invoke(treaty_app, ["validate", "--format", "json"])
    assert result.exit_code == 0, result.output
    value = json.loads(result.stdout)
    assert value["outside"] == 0
    assert value["rows"] == [row.as_dict() for row in TABLE]


def test_a_row_outside_its_tolerance_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = validation._Section("s", "source").within("two", ("1 + 1", ""), 2, "2.1", "1")
    monkeypatch.setattr(validation, "rows", lambda: (bad,))
    result = CliRunner().invoke(treaty_app, ["validate"])
    assert result.exit_code == 3
    assert "validation-outside" in result.output
    assert "**no**" in render([bad])


@pytest.mark.parametrize(
    ("expected", "good", "bad"),
    [
        ("0.857", Fraction(8574, 10000), Fraction(8576, 10000)),
        ("4.2e25", Fraction(424 * 10**23), Fraction(426 * 10**23)),
        ("2.00", Fraction(2005, 1000), Fraction(2006, 1000)),
        ("-12.5", Fraction(-1253, 100), Fraction(-1256, 100)),
    ],
)
def test_all_digits_means_to_half_of_the_last_one(expected: str, good: Fraction, bad: Fraction) -> None:
    section = validation._Section("s", "source")
    assert section.printed("c", ("", ""), good, expected).inside
    assert not section.printed("c", ("", ""), bad, expected).inside


@given(st.fractions(min_value=-(10**30), max_value=10**30))
def test_a_shown_figure_is_within_half_of_its_fourth_digit(value: Fraction) -> None:
    shown = Fraction(figure(value))
    assert abs(shown - value) * 2000 <= abs(value)
