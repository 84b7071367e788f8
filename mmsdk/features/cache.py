"""The feature cache: which streams of a stage can be encoded once and for all, and doing so."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch

from mmsdk.config.wiring import FUSED
from mmsdk.containers import Encoding
from mmsdk.data.samples import Row
from mmsdk.errors import ConfigError, DecodeError
from mmsdk.features.encoded import Encoded
from mmsdk.features.store import FeatureStore, make_room
from mmsdk.folders import writing
from mmsdk.interfaces import Encoder, Modality, TaskHead
from mmsdk.pipeline.modalities import Port
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.pipeline.prediction import inference, moved

FORMAT = 1
"""Of the shards, and of what goes into a folder's name; another one begins anew."""
FOLDER, LIMIT = "MMSDK_CACHE", "MMSDK_CACHE_GB"
SHARD, BATCH = 2048, 64
"""Values that are prepared, sorted by length and written together; values that are encoded together."""


class Cached(NamedTuple):
    """A stream whose encodings come from the cache: how many were there, and how many were made."""

    stream: str
    found: int
    made: int


class FeatureCache:
    """Encodings of frozen encoders, kept under `root` by content: see `docs/feature_cache.md`.

    precision: in which encoders compute: "float32", or "bfloat16" with tokens and vectors kept so, too.
    """

    def __init__(self, precision: str = "float32", root: Path | None = None) -> None:
        self.precision, self.root = precision, root or cache_folder()

    def port(self, pipeline: Pipeline, stream: str) -> Port:
        """The stream's port with what is known of its encodings in its modality's place."""
        own = next(port for port in pipeline.modalities.stream_ports if port.name == stream)
        encoder = pipeline.encoders[stream]
        folder = self.root / encoder_key(pipeline, stream, self.precision)
        widths = int(encoder.width), int(encoder.pooled_width)
        encoded = Encoded(own.modality, FeatureStore(folder, widths), *widths)
        return own._replace(modality=encoded)

    def fill(
        self, pipeline: Pipeline, port: Port, rows: Iterable[Row], rank: int = 0, processes: int = 1
    ) -> tuple[int, int]:
        """Encode this process's share of the values, but for those that are there; (how many were, how many not).

        A value that cannot be read is passed over here, and met again where it is used.

        Raises:
            CheckpointError: the disk is full, or the folder cannot be written.
        """
        encoded = port.modality
        assert isinstance(encoded, Encoded)
        distinct = list(_distinct(encoded, port, rows).items())
        own = distinct[rank::processes]  # of all: what the others have written by now must not change the shares
        missing = [(key, row) for key, row in own if key not in encoded.store]
        values = iter(missing)
        with writing(encoded.store.folder):
            while chunk := list(islice(values, SHARD)):
                made = list(self._encoded(pipeline, port, encoded.modality, chunk))
                encoded.store.add([key for key, _ in made], [encoding for _, encoding in made])
                make_room(self.root, cache_limit(), keep=[encoded.store.folder])
        return len(own) - len(missing), len(missing)

    def _encoded(
        self, pipeline: Pipeline, port: Port, modality: Modality, values: Sequence[tuple[bytes, Row]]
    ) -> Iterator[tuple[bytes, Encoding]]:
        """The encoding of each value, those of similar lengths together, so that little is padded."""
        items = []
        for key, row in values:
            try:
                items.append((key, port._replace(modality=modality).prepare(row, port.raw(row))))
            except DecodeError:
                continue
        items.sort(key=lambda each: modality.length(each[1]))
        device, encoder = pipeline.device, pipeline.encoders[port.name]
        short = torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
        for start in range(0, len(items), BATCH):
            part = items[start : start + BATCH]
            inputs = modality.collate([item for _, item in part])
            with inference(pipeline), short:
                batch: Encoding = encoder(moved(inputs, device))
            for place, (key, _) in enumerate(part):
                yield key, self._single(batch, place)

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
            hiding = [head for head in heads if _hides(pipeline, head, name)]
            found[name] = None
            if pipeline.modalities.streams[name].augments:
                found[name] = "its modality augments: the values are others in each epoch"
            elif hiding:
                found[name] = f"head '{hiding[0]}' hides parts of the values"
    return found


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
    """What tells encoders apart, as the name of a folder: config, weights, and what the modality has learned."""
    owner = pipeline.config.owner_of(stream)
    sha = hashlib.sha256(f"{FORMAT} {precision} {torch.__version__}\n".encode())
    config = pipeline.config.streams[owner].model_dump(mode="json", include={"modality", "encoder"})
    for part in (config, pipeline.modalities.streams[stream].state()):
        sha.update(json.dumps(part, sort_keys=True, default=lambda numbers: numbers.tolist()).encode())
    for name, weights in sorted(pipeline.encoders[stream].state_dict().items()):
        sha.update(f"{name} {list(weights.shape)} {weights.dtype}\n".encode())
        sha.update(weights.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()[:32]


def _distinct(encoded: Encoded, port: Port, rows: Iterable[Row]) -> Mapping[bytes, Row]:
    found: dict[bytes, Row] = {}
    for row in rows:
        value = port.raw(row)
        if value is not None:
            try:
                found.setdefault(encoded.key(value), row)
            except OSError:  # no such file: told where the sample is used
                continue
    return found


def cache_folder() -> Path:
    """Where encodings are kept: the folder that MMSDK_CACHE names, else the user's own cache folder."""
    given = os.environ.get(FOLDER)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) / "features" if given else home / "mmsdk" / "features"


def cache_limit() -> int:
    """Bytes that the cache may take: MMSDK_CACHE_GB, by default 20 GB.

    Raises:
        ConfigError: it is no number.
    """
    given = os.environ.get(LIMIT, "20")
    try:
        limit = float(given)
    except ValueError:
        limit = -1
    if not limit >= 0:
        raise ConfigError(f"{LIMIT}: expected a number of gigabytes such as 20, got '{given}'")
    return int(limit * 10**9)
