"""A small Hugging Face training for tests: ``huggingface_training.py FOLDER STEPS [hook]``; prints a digest."""

from __future__ import annotations

import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from brakeline.node.freeze import freeze
from brakeline.node.hooks.huggingface import BrakeCallback
from transformers import PretrainedConfig, PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

warnings.filterwarnings("ignore")


class Model(PreTrainedModel):  # type: ignore[misc]
    config_class = PretrainedConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.inner = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Dropout(0.2), torch.nn.Linear(16, 1))
        self.post_init()

    def forward(self, x: Any, labels: Any = None) -> Any:
        out = self.inner(x)
        return {"loss": (out.squeeze(-1) - labels).square().mean(), "logits": out}


class Log(TrainerCallback):
    """Write the number of each optimiser step before it begins, and take a moment."""

    def __init__(self, path: Path) -> None:
        self.begun = path.open("a", buffering=1)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        time.sleep(0.02)
        self.begun.write(f"{state.global_step + 1}\n")


def main(folder: Path, steps: int, hooked: bool) -> None:
    torch.manual_seed(1)
    data = [{"x": torch.randn(8), "labels": torch.tensor(0.0)} for _ in range(64)]
    arguments = TrainingArguments(
        output_dir=str(folder / "out"), max_steps=steps, per_device_train_batch_size=4, gradient_accumulation_steps=2,
        save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True, logging_strategy="no", seed=3,
    )  # fmt: skip
    callbacks: list[Any] = [Log(folder / "log")]
    if hooked:
        callbacks.append(BrakeCallback(workload="huggingface", tokens=2))
    trainer = Trainer(model=Model(PretrainedConfig()), args=arguments, train_dataset=data, callbacks=callbacks)
    trainer.train()
    inner = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
    print("digest", freeze({"model": dict(trainer.model.state_dict()), "optimizer": [inner.state_dict()]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), "hook" in sys.argv[3:])
