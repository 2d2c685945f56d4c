"""A small Lightning training for tests: ``lightning_training.py FOLDER STEPS [hook]``; prints its digest."""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from brakeline.node.freeze import freeze
from brakeline.node.hooks.lightning import BrakeCallback
from brakeline.node.hooks.torch import state_of

warnings.filterwarnings("ignore")


class Module(lightning.LightningModule):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Dropout(0.2), torch.nn.Linear(16, 1))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.inner(batch[0]).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=0.01)


class Log(lightning.Callback):
    """Write which optimiser step each batch belongs to, and take a moment."""

    def __init__(self, path: Path) -> None:
        self.begun = path.open("a", buffering=1)

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        time.sleep(0.01)
        self.begun.write(f"{trainer.global_step + 1}\n")


def main(folder: Path, steps: int, hooked: bool) -> None:
    torch.manual_seed(1)
    model = Module()
    data = torch.utils.data.TensorDataset(torch.randn(64, 8))
    callbacks: list[Any] = [Log(folder / "log")]
    if hooked:
        checkpoint = folder / "stopped.ckpt"
        callbacks.append(BrakeCallback(workload="lightning", checkpoint=checkpoint, tokens=2))
    trainer = lightning.Trainer(
        max_steps=steps, accelerator="cpu", callbacks=callbacks, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accumulate_grad_batches=2, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(model, torch.utils.data.DataLoader(data, batch_size=4))
    print("digest", freeze(state_of(model, trainer.optimizers)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), "hook" in sys.argv[3:])
