"""Where a fusion looked: the share of each stream, and of each of its tokens, in the fused vector of a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmsdk.config.wiring import FUSED
from mmsdk.containers import Batch
from mmsdk.interfaces import Modality
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.pipeline.reading import Reading


class Look(NamedTuple):
    """By stream, the share of each token of one sample; and what the tokens are, where they are pieces of a text."""

    attention: Mapping[str, Sequence[float]]
    pieces: Mapping[str, Sequence[str]]


def reads_fusion(pipeline: Pipeline, head: str) -> bool:
    """Whether a head reads what a feature-level fusion made."""
    reads = pipeline.config.heads[head].reads
    return pipeline.fusion is not None and any(read.partition(".")[0] == FUSED for read in reads)


def stream_weights(reading: Reading | None, batch: Batch) -> list[Tensor]:
    """[batch, streams], the share of each stream, or of its tokens together; none where the fusion does not tell."""
    if reading is None:
        return []
    given = reading.fused(batch.streams).weights
    if given is None:
        attention = reading.attention(batch.streams)
        given = torch.stack([share.sum(dim=1) for share in attention.values()], dim=1) if attention else None
    return [given.float().cpu()] if given is not None else []


def looks(reading: Reading | None, pipeline: Pipeline, batch: Batch) -> list[Look]:
    """Where the fusion looked, by place in the batch."""
    attention = reading.attention(batch.streams) if reading is not None else {}
    if not attention:
        return [Look({}, {})] * len(batch.ids)
    given = reading([*attention], batch.streams) if reading is not None else {}
    masks = {name: encoding.mask.cpu() for name, encoding in given.items()}
    shares = {name: share.float().cpu() for name, share in attention.items()}
    found = []
    for place in range(len(batch.ids)):
        there = {name: mask[place] for name, mask in masks.items() if mask[place].any()}
        pieces = {
            name: _pieces(pipeline.modalities.streams[name], name, batch, place, mask) for name, mask in there.items()
        }
        found.append(
            Look(
                {name: shares[name][place][mask].tolist() for name, mask in there.items()},
                {name: own for name, own in pieces.items() if own is not None},
            )
        )
    return found


def _pieces(modality: Modality, stream: str, batch: Batch, place: int, mask: Tensor) -> list[str] | None:
    """The pieces of text that the tokens of a sample stand for; None where there is not one token for each of them."""
    inputs = batch.streams[stream]
    if modality.format.kind != "tokens" or not isinstance(inputs, Mapping):
        return None
    ids = inputs["ids"][batch.rows[stream][place]].cpu()
    if ids.shape != mask.shape:
        return None
    kept = ids[mask][:, None]  # [tokens, 1]: each as a text of its own
    try:
        return [str(piece) for piece in modality.decode({"ids": kept, "mask": torch.ones_like(kept, dtype=torch.bool)})]
    except NotImplementedError:
        return None
