"""The feature cache: which streams of a stage can be encoded once and for all, and doing so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from mmsdk.cache.code import code_key
from mmsdk.cache.encoded import Encoded
from mmsdk.cache.filling import Filled, Value, distinct, fill
from mmsdk.cache.folder import cache_folder
from mmsdk.cache.looks import Keys
from mmsdk.cache.store import Record, Sizes, Store
from mmsdk.config.wiring import FUSED
from mmsdk.containers import Encoding
from mmsdk.data.samples import Row
from mmsdk.errors import DecodeError
from mmsdk.folders import writing
from mmsdk.interfaces import Encoder, Modality, TaskHead
from mmsdk.pipeline.modalities import Port
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.pipeline.prediction import inference, moved

FORMAT = 2
"""Of the shards, and of what goes into a folder's name; another one begins anew."""
SORTED, BATCH = 2048, 64
"""Values that are prepared and sorted by length together; values that are encoded together."""


class FeatureCache:
    """Encodings of frozen encoders, kept by content: see `docs/feature_cache.md`.

    precision: in which encoders compute: "float32", or "bfloat16" with tokens and vectors kept so, too.
    """

    def __init__(self, precision: str = "float32", root: Path | None = None) -> None:
        self.precision, self.root = precision, root or cache_folder()

    def folder(self, pipeline: Pipeline, stream: str) -> Path:
        """Where the encodings of a stream are kept.

        Raises:
            TypeError: the code of its modality or its encoder is in no file.
        """
        return self.root / "features" / encoder_key(pipeline, stream, self.precision)

    def port(self, pipeline: Pipeline, stream: str) -> Port:
        """The stream's port with what is known of its encodings in its modality's place.

        Raises:
            TypeError: see `folder`.
        """
        own = next(port for port in pipeline.modalities.stream_ports if port.name == stream)
        encoder = pipeline.encoders[stream]
        width, pooled_width = int(encoder.width), int(encoder.pooled_width)
        sizes: Sizes = {"tokens": ("length", width), "mask": ("length",), "pooled": (pooled_width,)}
        store = Store(self.folder(pipeline, stream), sizes)
        encoded = Encoded(own.modality, store, Keys(self.root), width, pooled_width)
        return own._replace(modality=encoded)

    def fill(
        self,
        pipeline: Pipeline,
        port: Port,
        rows: Iterable[Row],
        rank: int = 0,
        processes: int = 1,
        beyond: bool = True,
    ) -> Filled:
        """Encode this process's share of the values, but for those that are there; if need be `beyond` the limit.

        A value that cannot be read is passed over here, and met again where it is used.

        Raises:
            CheckpointError: the disk is full, or the folder cannot be written.
            TypeError: a value of a kind whose content nobody here knows.
        """
        encoded = port.modality
        assert isinstance(encoded, Encoded)
        # A share of all: what the others have written by now must not change who does what.
        own = distinct(port, rows, encoded.keys)[rank::processes]
        with writing(encoded.store.folder):
            filled = fill(
                self.root,
                encoded.store,
                own,
                lambda missing: self._encoded(pipeline, port, encoded.modality, missing),
                beyond,
            )
            encoded.keys.keep()
        return filled

    def _encoded(
        self, pipeline: Pipeline, port: Port, modality: Modality, values: Iterable[Value]
    ) -> Iterator[tuple[bytes, Record]]:
        """The encoding of each value, those of similar lengths together, so that little is padded."""
        left, own = iter(values), port._replace(modality=modality)
        while chunk := list(islice(left, SORTED)):
            items = []
            for value in chunk:
                try:
                    items.append((value.key, own.prepare(value.row, port.raw(value.row))))
                except DecodeError:
                    continue
            items.sort(key=lambda each: modality.length(each[1]))
            for start in range(0, len(items), BATCH):
                part = items[start : start + BATCH]
                batch = self._batch(pipeline, port.name, modality, [item for _, item in part])
                for place, (key, _) in enumerate(part):
                    yield key, self._single(batch, place)._asdict()

    def _batch(self, pipeline: Pipeline, stream: str, modality: Modality, items: Sequence[Any]) -> Encoding:
        device = pipeline.device
        short = torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
        with inference(pipeline), short:
            batch: Encoding = pipeline.encoders[stream](moved(modality.collate(items), device))
        return batch

    def _single(self, batch: Encoding, place: int) -> Encoding:
        mask = batch.mask[place].cpu()
        length = int(mask.nonzero().max()) + 1 if mask.any() else 1
        kept = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        tokens, pooled = batch.tokens[place, :length].to("cpu", kept), batch.pooled[place].to("cpu", kept)
        return Encoding(tokens.clone(), mask[:length].clone(), pooled.clone())


def cachable(pipeline: Pipeline, heads: Collection[str]) -> dict[str, str | None]:
    """By stream with a frozen encoder: None where its encodings can be kept, else why not."""
    found: dict[str, str | None] = {}
    for name, encoder in pipeline.encoders.items():
        if _frozen(encoder):
            found[name] = hiding(pipeline, heads, name)
            if pipeline.modalities.streams[name].augments:
                found[name] = "its modality augments: the values are others in each epoch"
    return found


def hiding(pipeline: Pipeline, heads: Collection[str], stream: str) -> str | None:
    """Why the encodings of a stream are of no use to these heads, if so."""
    found = [head for head in heads if _hides(pipeline, head, stream)]
    return f"head '{found[0]}' hides parts of the values" if found else None


def _hides(pipeline: Pipeline, head: str, stream: str) -> bool:
    """Whether a head has a view of its own of the stream: of those that its reads name, or of any that is fused."""
    reads = pipeline.config.heads[head].reads
    return type(pipeline.heads[head]).view is not TaskHead.view and any(
        read in (FUSED, stream, f"{FUSED}.{stream}") for read in reads
    )


def _frozen(encoder: Encoder) -> bool:
    """Whether it says the same of the same value all along."""
    parameters = list(encoder.parameters())
    still = not any(module.training for module in encoder.modules())
    return bool(parameters) and still and not any(parameter.requires_grad for parameter in parameters)


def encoder_key(pipeline: Pipeline, stream: str, precision: str) -> str:
    """What tells encoders apart, as the name of a folder: config, weights, code, and what the modality has learned.

    Raises:
        TypeError: the code is in no file.
    """
    owner = pipeline.config.owner_of(stream)
    own = pipeline.config.streams[owner]
    assert own.modality is not None and own.encoder is not None
    code = code_key(own.modality, own.encoder)
    sha = hashlib.sha256(f"{FORMAT} {precision} {code}\n".encode())
    config = own.model_dump(mode="json", include={"modality", "encoder"})
    for part in (config, pipeline.modalities.streams[stream].state()):
        sha.update(json.dumps(part, sort_keys=True, default=lambda numbers: numbers.tolist()).encode())
    for name, weights in sorted(pipeline.encoders[stream].state_dict().items()):
        sha.update(f"{name} {list(weights.shape)} {weights.dtype}\n".encode())
        sha.update(weights.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()[:32]
