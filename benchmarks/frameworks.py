"""The training of `hand_written.py` in the loops of two frameworks at their own defaults: Trainer, and Lightning."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import Any

import lightning
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from benchmarks.hand_written import Model, Order, Rows, Sample, loader, optimization
from mmsdk.config.training import TrainingConfig
from mmsdk.pipeline.pipeline import Pipeline


class Told(nn.Module):
    """The model as Trainer wants it: inputs as arguments, the loss by name."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model, self.losses = model, list[float]()

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        loss = self.model(batch)
        self.losses.append(loss.item())
        return {"loss": loss}


class Loaded(Trainer):
    """Trainer with the batches of the others, which come in an order that can be told."""

    batches: DataLoader[Sample]

    def get_train_dataloader(self) -> Any:
        return self.accelerator.prepare(self.batches)


def with_trainer(rows: Rows, pipeline: Pipeline, training: TrainingConfig, order: Order = None) -> list[float]:
    """Train with transformers' Trainer, whose AdamW is a fused one; the loss of each step."""
    model, batches = Told(Model(pipeline)), loader(rows, pipeline, training, order)
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            num_train_epochs=training.epochs,
            max_grad_norm=training.clip or 0.0,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
        )
        parts = optimization(model, training, training.epochs * len(batches), fused=True)
        trainer = Loaded(model, arguments, train_dataset=batches.dataset, optimizers=parts)
        trainer.batches = batches
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return model.losses


class Lit(lightning.LightningModule):
    """The model as Lightning wants it."""

    def __init__(self, model: Model, training: TrainingConfig, steps: int) -> None:
        super().__init__()
        self.model, self.training_config, self.steps, self.losses = model, training, steps, list[float]()

    def training_step(self, batch: Mapping[str, Tensor]) -> Tensor:
        loss = self.model(batch)
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> Any:
        optimizer, scheduler = optimization(self.model, self.training_config, self.steps, fused=False)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def with_lightning(rows: Rows, pipeline: Pipeline, training: TrainingConfig, order: Order = None) -> list[float]:
    """The same with Lightning, and the AdamW that one gets without asking for more; no bar is drawn."""
    batches = loader(rows, pipeline, training, order)
    model = Lit(Model(pipeline), training, training.epochs * len(batches))
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there could be more workers
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=training.epochs,
            gradient_clip_val=training.clip,
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(model, batches)
    return model.losses
