"""``import.toml``: what the names of another system mean.

    chip_class = "h100-sxm"          # of rows that name no class; needed where the site holds several
    uncovered = "unattributed"       # chip time that no row covers; "idle" where the records are known to be complete
    time = "iso"                     # or "s", "ms": seconds or milliseconds since 1970
    activity = "training"            # of rows that name none; without it they are unattributed
    ignore = ["hostname"]            # columns that are kept with the row and mean nothing to the books

    [columns]                        # our name = theirs; leave out what is called the same
    chip = "gpu_uuid"
    job = "run"

    [chips]                          # their name of a chip = its serial number in the inventory
    "GPU-0a1b" = "SN-0001"

    [jobs]                           # their job = the workload of the books; others keep their name
    "1234" = "my-run"

    [activities]                     # their word = ours; ours are understood as they are
    "pretrain" = "training"

    [operators]                      # their operator = a site of the treaty; rows of other sites are not booked here
    "cluster-a" = "lab-1.party-a.example/site-1"

    [digests]                        # their name of a model, a data set or code = its SHA-256
    "base-7b" = "5f3c..."

    [classes]                        # their class of chips = the treaty's
    "h100" = "h100-sxm"

Ours are: chip, class, count, job, operator, start, end, activity, flop, flop_hardware, tokens, joules, batch_size,
sequence_length, model, data, code, data_sources, upstream, purpose, precision.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.statements import Activity, Digest, Identifier, SiteName
from brakeline.treaty.toml_lines import locate
from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

FIELDS = (
    "chip", "class", "count", "job", "operator", "start", "end", "activity", "flop", "flop_hardware", "tokens",
    "joules", "batch_size", "sequence_length", "model", "data", "code", "data_sources", "upstream", "purpose",
    "precision",
)  # fmt: skip
"""What a row can say."""
Word = Annotated[StrictStr, Field(min_length=1, max_length=256)]


class RecordsError(BrakelineError):
    """Records, or what they mean, cannot be read (codes ``import-*``)."""


class Mapping(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chip_class: Identifier | None = None
    uncovered: Literal["unattributed", "idle"] = "unattributed"
    time: Literal["iso", "s", "ms"] = "iso"
    activity: Activity | None = None
    columns: dict[Word, Word] = {}
    chips: dict[Word, Word] = {}
    classes: dict[Word, Identifier] = {}
    jobs: dict[Word, Identifier] = {}
    activities: dict[Word, Activity] = {}
    operators: dict[Word, SiteName] = {}
    digests: dict[Word, Digest] = {}
    ignore: tuple[Word, ...] = ()

    def named(self) -> dict[str, str]:
        """Return their column -> our name of it (``import-columns``: one column would mean two things)."""
        for ours in self.columns:
            if ours not in FIELDS:
                raise RecordsError(
                    code="import-columns",
                    message=f"[columns] {ours}: there is no such field",
                    expected=", ".join(FIELDS),
                    found=ours,
                )
        named = {self.columns.get(ours, ours): ours for ours in FIELDS}
        if len(named) < len(FIELDS):
            raise RecordsError(
                code="import-columns", message="one column means two things", expected="each column once",
                found=", ".join(sorted(self.columns.values())), fix="map the field that is called so to another name",
            )  # fmt: skip
        return named


def load(path: Path | None) -> Mapping:
    """Read the file; without one, everything is called as here.

    Raises:
        RecordsError: ``import-mapping``, with the line; ``import-columns``.
    """
    if path is None:
        return Mapping()
    text = ""
    try:
        text = path.read_text("utf-8")
        mapping = Mapping.model_validate(tomllib.loads(text))
    except OSError as error:
        raise _wrong(path.name, "a file that can be read", str(error.strerror)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(path.name, "TOML 1.0 in UTF-8", str(error)) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = tuple(first["loc"])
        where = f"{path.name}, line {locate(text).of(place)}: {'.'.join(map(str, place))}"
        raise _wrong(where, first["msg"], repr(first.get("input"))[:80]) from None
    mapping.named()
    return mapping


def _wrong(where: str, expected: str, found: str) -> RecordsError:
    return RecordsError(
        code="import-mapping", message=f"{where} is not right", expected=expected, found=found,
        fix="the docstring of brakeline.node.records.mapping has every line of it",
    )  # fmt: skip
