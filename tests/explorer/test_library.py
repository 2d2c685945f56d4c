"""The library: its example runs, its page's code runs, and published figures come out of the functions that answer."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import brakeline.explorer
import pytest
from brakeline.explorer.answers import hidden
from brakeline.explorer.answers.caught import breakout_days
from brakeline.explorer.answers.detect import Setup
from brakeline.explorer.answers.history import models
from brakeline.explorer.scenario.presets import preset
from brakeline.treaty.statistics.exploring.muf import smallest_loss_seen
from brakeline.treaty.validation import rows

TOP = Path(__file__).parents[2]
PUBLISHED = {row.check: row for row in rows()}


def test_published_figures_come_out_of_the_functions_that_answer() -> None:
    known = {item.name: item.flop for item in models()}
    for name in ("GPT-3", "Chinchilla", "Gopher", "PaLM", "Llama 3.1 405B"):
        assert f"{known[name]:.3e}".replace("e+", "e") == PUBLISHED[name].computed
    draft = preset("miri-draft")
    assert f"{breakout_days(draft, 1_000):.2f}" == PUBLISHED["1,000 H100 at 40 %: days to 1e24"].computed
    habits = Setup.of(draft, 20).habits
    month = replace(habits, chips=16_384, periods=120)
    capacity = month.capacity * month.periods
    assert f"{capacity:.3e}".replace("e+", "e") == PUBLISHED["16,384 H100 for 30 days: FLOP"].computed
    least = smallest_loss_seen(capacity / 100, hidden.FALSE_ALARM, 0.95)
    assert f"{least:.3e}".replace("e+", "e") == PUBLISHED["Least FLOP that a balance of it sees"].computed


def test_everything_that_the_library_offers_is_there_and_nothing_else() -> None:
    for name in brakeline.explorer.__all__:
        assert getattr(brakeline.explorer, name) is not None
    with pytest.raises(AttributeError):
        _ = brakeline.explorer.nothing


def test_the_example_compares_two_designs() -> None:
    words = ["pause-3-of-5", "line-frontier=5e24", "stop=300000"]
    script = str(TOP / "examples" / "explore_designs.py")
    told = subprocess.run([sys.executable, script, *words], check=True, capture_output=True, text=True).stdout
    assert "threshold[frontier].flop: 10000000000000000000000000 -> 5000000000000000000000000" in told
    assert "Who carries the burden?" in told


def test_the_pages_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (TOP / "docs" / "workbench.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(compile(code.replace("trials=100", "trials=20"), "workbench.md", "exec"), {})
    assert "threshold[systemic-risk].flop" in capsys.readouterr().out
