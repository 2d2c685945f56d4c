"""The example's NumPy training, each step written down before it begins: LOG [options of train_stdlib]."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import train_stdlib


def main(log: Path, options: list[str]) -> int:
    begun = log.open("a", buffering=1)
    train = train_stdlib.Model.train

    def noted(model: train_stdlib.Model, *arguments: Any) -> float:
        begun.write(json.dumps({"begin": model.step + 1, "at": time.time_ns() // 1_000_000}) + "\n")
        return train(model, *arguments)

    train_stdlib.Model.train = noted  # type: ignore[method-assign, assignment]
    return train_stdlib.main(options)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
