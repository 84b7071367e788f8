"""A training step of CLIP (ViT-B/32) in bfloat16 on a GPU: mmsdk and transformers with Accelerate by hand.

And its contrastive loss of 65,536 and 262,144 samples, where both whole tables together would take 34 and 550 GB.
Without a GPU, `--quick` runs a tiny CLIP on the processor, which shows that both sides compute the same.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, PreTrainedTokenizerFast

import mmsdk
from benchmarks.contrastive_loss import contrastive
from benchmarks.measuring import Result, interleaved

TOLERANCE = 1e-3  # of the loss, in bfloat16
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L4": 121e12, "RTX 4090": 165e12}
"""Multiplications and additions a second in bfloat16, dense, as the vendor says."""
BEGIN, PAD, END = "<begin>", "<pad>", "<end>"


class Size(NamedTuple):
    """Of a CLIP and its batch; pixels on a side, patches on a side, words of a text."""

    width: int
    layers: int
    pixels: int
    patch: int
    words: int
    vocabulary: int
    batch: int


FULL, TINY = Size(768, 12, 224, 32, 77, 49_408, 1024), Size(16, 2, 32, 16, 8, 40, 8)
Step = Callable[[], Tensor]


def run(quick: bool) -> list[Result]:
    if not torch.cuda.is_available():
        why = "no GPU"
        named = ["step / by hand", "memory / by hand", "loss of 65,536", "loss of 262,144"]
        unknown = [Result.not_measured(f"dual_encoder_on_gpu: {name}", why) for name in named]
        return [*_steps(TINY, rounds=1), *unknown[1:]] if quick else unknown
    rounds = 1 if quick else 5
    return [*_steps(TINY if quick else FULL, rounds), *(_loss(size) for size in (65_536, 262_144))]


def _steps(size: Size, rounds: int) -> list[Result]:
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as name:
        folder = _published(Path(name), size)
        made = {"mmsdk": partial(_ours, folder, size, device), "by hand": partial(_by_hand, folder, size, device)}
        first = {side: [float(step()) for step in [make()] for _ in range(2)] for side, make in made.items()}
        equal = all(abs(one - other) <= TOLERANCE * other for one, other in zip(*first.values(), strict=True))
        steps = {side: make() for side, make in made.items()}
        seconds = interleaved({side: partial(_seconds, step, device) for side, step in steps.items()}, rounds)
        del steps
        peaks = {side: _peak(make, device) for side, make in made.items()}
    rate = size.batch / min(seconds["mmsdk"])
    note = f"{size.batch} pairs a step, {rate:,.0f} pairs/s"
    if device == "cuda":
        peak = next((peak for name, peak in PEAK.items() if name in torch.cuda.get_device_name()), None)
        share = "of an unknown peak" if peak is None else f"{rate * _operations(size) / peak:.0%} of its peak"
        note += f", {rate * _operations(size) / 1e12:.0f} TFLOP/s, {share}, {torch.cuda.get_device_name()}"
    name = "dual_encoder_on_gpu" if device == "cuda" else "dual_encoder_on_gpu (tiny, on the processor)"
    results = [Result.of(f"{name}: step / by hand", *seconds.values(), goal=None, equal=equal, note=note)]
    if device == "cuda":
        ours, theirs = ([peak / 1e12] for peak in peaks.values())
        note = "GB instead of ms"
        results.append(Result.of(f"{name}: memory / by hand", ours, theirs, goal=None, equal=equal, note=note))
    return results


def _operations(size: Size) -> float:
    """Of one pair forward and backward: 6 a weight and token, and 12 a layer for each two tokens and unit of width."""
    image, text = (size.pixels // size.patch) ** 2 + 1, size.words
    narrower = size.width * 2 // 3
    total = 0.0
    for tokens, width in ((image, size.width), (text, narrower)):
        total += size.layers * (6 * 12 * width**2 * tokens + 12 * tokens**2 * width)
    return total


def _published(folder: Path, size: Size) -> Path:
    """A CLIP with random weights, as its makers would publish it."""
    narrower = size.width * 2 // 3  # as in ViT-B/32: 768 and 512
    heads = max(2, size.width // 64)
    words = {BEGIN: 0, PAD: 1, END: 2} | {f"w{place}": place for place in range(3, size.vocabulary)}
    text = {
        "hidden_size": narrower - narrower % 8 if size.width < 64 else narrower,
        "intermediate_size": 4 * narrower,
        "num_attention_heads": max(2, heads * 2 // 3),
        "num_hidden_layers": size.layers,
        "vocab_size": size.vocabulary,
        "max_position_embeddings": size.words,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
    }
    vision = {
        "hidden_size": size.width,
        "intermediate_size": 4 * size.width,
        "num_attention_heads": heads,
        "num_hidden_layers": size.layers,
        "image_size": size.pixels,
        "patch_size": size.patch,
    }
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=text["hidden_size"])).save_pretrained(
        folder
    )
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=PAD))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}", special_tokens=[(BEGIN, 0), (END, 2)]
    )
    named = {"bos_token": BEGIN, "eos_token": END, "pad_token": PAD, "unk_token": PAD}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=size.words, **named)
    pixels = {
        "size": {"shortest_edge": size.pixels},
        "crop_size": {"height": size.pixels, "width": size.pixels},
    }
    CLIPProcessor(CLIPImageProcessorPil(**pixels), fast).save_pretrained(folder)
    return folder


def _batch(size: Size, device: str) -> tuple[Tensor, Tensor]:
    """Pixels [batch, 3, side, side] in 0 to 1 and ids [batch, words], which begin and end as they should."""
    draw = torch.Generator().manual_seed(0)
    pixels = torch.rand(size.batch, 3, size.pixels, size.pixels, generator=draw)
    ids = torch.randint(3, size.vocabulary, (size.batch, size.words), generator=draw)
    ids[:, 0], ids[:, -1] = 0, 2
    return pixels.to(device), ids.to(device)


def _ours(folder: Path, size: Size, device: str) -> Step:
    name = {"model": str(folder)}
    config = {
        "streams": {
            "image": {
                "modality": {"type": "transformers.image", **name},
                "encoder": {"type": "transformers.vision", **name},
            },
            "caption": {
                "modality": {"type": "transformers.tokens", **name},
                "encoder": {"type": "transformers.text", **name},
            },
        },
        "heads": {"near": {"type": "contrastive", "reads": ["image", "caption"], "width": None}},
    }
    pipeline = mmsdk.Pipeline.from_config(config).to(device).train()
    accelerator = Accelerator(mixed_precision="bf16", cpu=device == "cpu")
    model, optimizer = accelerator.prepare(pipeline, torch.optim.AdamW(pipeline.parameters(), lr=1e-4, fused=True))
    pixels, ids = _batch(size, device)
    own = torch.arange(size.batch, device=device)
    streams = {"image": {"pixels": pixels}, "caption": {"ids": ids, "mask": torch.ones_like(ids, dtype=torch.bool)}}
    batch = mmsdk.Batch([str(place) for place in range(size.batch)], streams, {"image": own, "caption": own}, {}, {})

    def step() -> Tensor:
        output = model(batch, ["near"])["near"]
        loss: Tensor = (output.loss / output.count).sum()
        return _descended(accelerator, model, optimizer, loss)

    return step


def _by_hand(folder: Path, size: Size, device: str) -> Step:
    accelerator = Accelerator(mixed_precision="bf16", cpu=device == "cpu")
    model: Any = CLIPModel.from_pretrained(folder).to(device).train()
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True))
    pixels, ids = _batch(size, device)
    mean, deviation = (
        torch.tensor(given, device=device)[:, None, None]
        for given in ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    )

    def step() -> Tensor:
        loss = model(input_ids=ids, pixel_values=(pixels - mean) / deviation, return_loss=True).loss
        return _descended(accelerator, model, optimizer, loss)

    return step


def _descended(accelerator: Accelerator, model: Any, optimizer: Any, loss: Tensor) -> Tensor:
    accelerator.backward(loss)
    accelerator.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def _seconds(step: Step, device: str, times: int = 5) -> float:
    """By the clock, of one step: a processor only waits while a GPU computes."""
    step()
    _wait(device)
    start = time.perf_counter()
    for _ in range(times):
        step()
    _wait(device)
    return (time.perf_counter() - start) / times


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _peak(make: Callable[[], Step], device: str) -> float:
    """Bytes that two steps take at most, with model and optimizer."""
    if device != "cuda":
        return 0.0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    step = make()
    step()
    step()
    return float(torch.cuda.max_memory_allocated())


def _loss(size: int, width: int = 512) -> Result:
    """Forward and backward pass of the loss by the clock, and what it takes beside the vectors."""
    torch.manual_seed(0)
    given = [torch.nn.functional.normalize(torch.randn(size, width, device="cuda"), dim=1) for _ in range(2)]
    x, y, scale = (part.requires_grad_() for part in (*given, torch.tensor([14.0], device="cuda")))
    contrastive(x[:64], y[:64], scale).backward()  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    contrastive(x, y, scale).backward()  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    seconds, taken = time.perf_counter() - start, torch.cuda.max_memory_allocated() - before
    whole = 2 * 4 * size**2
    note = f"{seconds:.2f} s; GB instead of ms, against both tables as they would be"
    name = f"dual_encoder_on_gpu: loss of {size:,}, memory / whole tables"
    return Result.of(name, [taken / 1e12], [whole / 1e12], goal=None, equal=True, note=note)
