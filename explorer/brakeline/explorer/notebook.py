"""A notebook of trials: one line of JSON a world, so that a long run that was ended goes on where it was.

A notebook belongs to one treaty and one length, number and size of sites; lines of another are passed over, never mixed
in. The first line of the corpus to change makes a notebook worthless, and nothing here can know: delete it then.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from brakeline.explorer.trials import Notes, Seen, Setting, Task
from brakeline.treaty.document import TreatyDocument


@contextmanager
def notebook(path: Path, document: TreatyDocument, setting: Setting) -> Generator[Notes]:
    """Read *path*, which need not exist, and add to it what is seen."""
    about = {"treaty": document.digest, "days": setting.days, "sites": setting.sites, "chips": setting.chips}
    seen = {item.task: item for item in _read(path, about)} if path.exists() else {}
    with path.open("a", encoding="utf-8") as file:

        def write(item: Seen) -> None:
            task = item.task
            value = {
                **about,
                "task": [task.seed, task.strategy, task.way, str(task.flop)],
                "feasible": item.feasible,
                "rules": dict(item.rules),
                "severities": dict(item.severities),
            }
            file.write(json.dumps(value) + "\n")
            file.flush()

        yield Notes(seen, write)


def _read(path: Path, about: Mapping[str, object]) -> Iterator[Seen]:
    for line in path.read_text("utf-8").splitlines():
        try:
            value = json.loads(line)
        except ValueError:  # the line in which the run was ended
            continue
        if {name: value.get(name) for name in about} == about:
            seed, strategy, way, flop = value["task"]
            task = Task(seed, strategy, way, int(flop))
            rules, severities = (tuple(sorted(value[name].items())) for name in ("rules", "severities"))
            yield Seen(task, value["feasible"], rules, severities)
