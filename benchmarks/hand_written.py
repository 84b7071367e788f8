"""What mmsdk's training loop is compared with: the same training as one writes it without mmsdk.

The encoders, the fusion and the head's layers are mmsdk's own modules with the same first weights, so that only what
lies around them differs: reading and batching samples, the forward pass, and the loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset

from mmsdk.config.training import TrainingConfig
from mmsdk.pipeline.pipeline import Pipeline

Sample = Mapping[str, Tensor]
Rows = Sequence[Mapping[str, Any]]
Order = Sequence[int] | None
Loop = Callable[..., list[float]]


class Samples(Dataset[Sample]):
    """Samples as tensors. Texts are cut into tokens, and numbers standardized, when a sample is asked for."""

    def __init__(self, rows: Rows, pipeline: Pipeline) -> None:
        modalities: Any = pipeline.modalities
        self.rows = rows
        self.tokenizer = modalities.streams["text"].tokens.tokenizer
        standard = modalities.streams["motion"].standard
        self.center = torch.tensor(standard.center, dtype=torch.float32)
        self.scale = torch.tensor(standard.scale, dtype=torch.float32)
        self.labels = {label: place for place, label in enumerate(modalities.targets["answer"].classes)}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Sample:
        row = self.rows[place]
        return {
            "text": torch.tensor(self.tokenizer.encode(row["text"]).ids),
            "motion": (torch.from_numpy(row["motion"]) - self.center) / self.scale,
            "image": torch.from_numpy(row["image"]).permute(2, 0, 1).float() / 255,
            "label": torch.tensor(self.labels[row["answer"]]),
        }


def collate(samples: Sequence[Sample]) -> dict[str, Tensor]:
    """One batch, with the sequences filled up to the longest one."""
    text, motion = [sample["text"] for sample in samples], [sample["motion"] for sample in samples]
    return {
        "text": pad_sequence(text, batch_first=True),
        "text_mask": _mask(text),
        "motion": pad_sequence(motion, batch_first=True),
        "motion_mask": _mask(motion),
        "image": torch.stack([sample["image"] for sample in samples]),
        "label": torch.stack([sample["label"] for sample in samples]),
    }


def _mask(sequences: Sequence[Tensor]) -> Tensor:
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return torch.arange(int(lengths.max())) < lengths[:, None]


class Model(nn.Module):
    """Three encoders, a fusion, and a linear layer."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        self.text, self.motion, self.image = pipeline.encoders.values()
        self.fusion: Any = pipeline.fusion
        self.head: Any = pipeline.heads["answer"].layers

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The mean cross-entropy of a batch."""
        encodings = {
            "text": self.text({"ids": batch["text"], "mask": batch["text_mask"]}),
            "motion": self.motion({"values": batch["motion"], "mask": batch["motion_mask"]}),
            "image": self.image({"pixels": batch["image"]}),
        }
        logits = self.head(self.fusion(encodings).encoding.pooled)
        return F.cross_entropy(logits, batch["label"])


def with_accelerate(
    rows: Rows, pipeline: Pipeline, training: TrainingConfig, order: Order = None, fused: bool = False
) -> list[float]:
    """Train on Accelerate; the loss of each step. order: of the samples, by default a random one in each epoch."""
    accelerator = Accelerator(cpu=True)
    model, optimizer, batches, scheduler = accelerator.prepare(*_parts(rows, pipeline, training, order, fused))
    losses = []
    for _ in range(training.epochs):
        for batch in batches:
            loss = model(batch)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), training.clip)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    accelerator.free_memory()
    return losses


def with_pytorch(
    rows: Rows, pipeline: Pipeline, training: TrainingConfig, order: Order = None, fused: bool = False
) -> list[float]:
    """The same in plain PyTorch."""
    model, optimizer, batches, scheduler = _parts(rows, pipeline, training, order, fused)
    losses = []
    for _ in range(training.epochs):
        for batch in batches:
            loss = model(batch)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), training.clip or math.inf)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return losses


def optimization(model: nn.Module, training: TrainingConfig, steps: int, fused: bool) -> tuple[AdamW, LambdaLR]:
    """AdamW without decay on vectors; a linear rise of the rate, then a cosine."""
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    groups = [{"params": matrices, "weight_decay": training.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = AdamW(groups, lr=training.learning_rate, fused=fused or None)
    warm = round(training.warmup * steps)

    def share(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))

    return optimizer, LambdaLR(optimizer, share)


def loader(rows: Rows, pipeline: Pipeline, training: TrainingConfig, order: Order) -> DataLoader[Sample]:
    """Batches in this order, by default in a random one."""
    samples = Samples(rows, pipeline)
    return DataLoader(samples, training.batch_size, shuffle=order is None, sampler=order, collate_fn=collate)


def _parts(
    rows: Rows, pipeline: Pipeline, training: TrainingConfig, order: Order, fused: bool
) -> tuple[Model, AdamW, DataLoader[Sample], LambdaLR]:
    model, batches = Model(pipeline), loader(rows, pipeline, training, order)
    optimizer, scheduler = optimization(model, training, training.epochs * len(batches), fused)
    return model, optimizer, batches, scheduler
