"""What was made of one batch: each distinct input is encoded once, each distinct set of encodings fused once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmsdk.config.wiring import FUSED
from mmsdk.containers import Encoding, Fused, HeadOutput, spread_encoding
from mmsdk.interfaces import FeatureFusion, TaskHead


class Encodings:
    """The views and the encodings of one batch. They know nothing of its `rows`: the same batch can be read again with
    other ones, such as those of a sample without one of its streams, and nothing is encoded twice."""

    def __init__(self, encoders: Mapping[str, nn.Module]) -> None:
        self.encoders = encoders
        # The inputs are kept beside what was made of them: an id() is only good while its object lives.
        self._views: dict[tuple[str, int], tuple[Any, Mapping[str, Any]]] = {}
        self._encoded: dict[tuple[str, int], tuple[Any, Encoding]] = {}

    def view(
        self, name: str, head: TaskHead, streams: Mapping[str, Any], generator: torch.Generator | None
    ) -> Mapping[str, Any]:
        """The streams' inputs as the head wants them."""
        key = (name, id(streams))
        if key not in self._views:
            self._views[key] = (streams, head.view(streams, generator))
        return self._views[key][1]

    def __call__(self, stream: str, inputs: Any) -> Encoding:
        """The encoding of each distinct value, [values, ...]."""
        key = (stream, id(inputs))
        if key not in self._encoded:
            encoding = inputs if isinstance(inputs, Encoding) else self.encoders[stream](inputs)
            self._encoded[key] = (inputs, encoding)
        return self._encoded[key][1]

    def copy(self) -> Encodings:
        """The same so far; what one of them makes from now on, the other one does not keep."""
        other = Encodings(self.encoders)
        other._views, other._encoded = dict(self._views), dict(self._encoded)
        return other


class Reading:
    """Reads sources ("fused", "fused.<stream>", or a stream) from the inputs of one batch, for each of its samples."""

    def __init__(self, encodings: Encodings, fusion: FeatureFusion | None, rows: Mapping[str, Tensor]) -> None:
        self.encodings, self.encoders, self.fusion, self.rows = encodings, encodings.encoders, fusion, rows
        self._spread: dict[tuple[str, int], tuple[Encoding, Encoding]] = {}
        self._fused: dict[tuple[int, ...], tuple[list[Encoding], Fused]] = {}

    def __call__(self, sources: Sequence[str], inputs: Mapping[str, Any]) -> dict[str, Encoding]:
        """The encoding of each source, [batch, ...], in the order asked for."""
        return {source: self._read(source, inputs) for source in sources}

    def _read(self, source: str, inputs: Mapping[str, Any]) -> Encoding:
        root, _, stream = source.partition(".")
        if root != FUSED:
            return self._encode(source, inputs[source])
        fused = self.fused(inputs)
        return fused.streams[stream] if stream else fused.encoding

    def fused(self, inputs: Mapping[str, Any]) -> Fused:
        """All streams, fused."""
        return self.fuse({name: self._encode(name, inputs[name]) for name in self.encoders})

    def attention(self, inputs: Mapping[str, Any]) -> Mapping[str, Tensor]:
        """How much each token of each stream counted where all are fused; see `FeatureFusion.attention`."""
        if self.fusion is None:
            return {}
        return self.fusion.attention({name: self._encode(name, inputs[name]) for name in self.encoders})

    def _encode(self, stream: str, inputs: Any) -> Encoding:
        encoding = self.encodings(stream, inputs)
        key = (stream, id(encoding))
        if key not in self._spread:
            self._spread[key] = (encoding, spread_encoding(encoding, self.rows[stream]))
        return self._spread[key][1]

    def fuse(self, encodings: Mapping[str, Encoding]) -> Fused:
        """Fuse any encodings, in config order; a stream that is left out is absent in every row."""
        assert self.fusion is not None
        blank = next(iter(encodings.values()))
        whole = [encodings.get(name) or self._absent(name, blank) for name in self.encoders]
        key = tuple(id(encoding) for encoding in whole)
        if key not in self._fused:
            self._fused[key] = (whole, self.fusion(dict(zip(self.encoders, whole, strict=True))))
        return self._fused[key][1]

    def _absent(self, stream: str, like: Encoding) -> Encoding:
        encoder, batch = self.encoders[stream], like.tokens.shape[0]
        return Encoding(
            like.tokens.new_zeros(batch, 1, int(encoder.width)),  # type: ignore[arg-type]
            like.mask.new_zeros(batch, 1),
            like.pooled.new_zeros(batch, int(encoder.pooled_width)),  # type: ignore[arg-type]
        )

    def fusion_losses(self) -> HeadOutput | None:
        """The losses that the fusion itself brought, in all that was fused; None where it has none."""
        own = [(fused.losses, fused.encoding.present) for _, fused in self._fused.values() if fused.losses]
        if not own:
            return None
        loss = torch.stack([loss for losses, _ in own for loss in losses.values()]).sum()
        return HeadOutput(loss, torch.stack([present.sum() for _, present in own]).sum())

    def zero(self) -> Tensor | None:
        """0 times everything that was made, so that each parameter that took part has a gradient.

        Without it DistributedDataParallel waits for parameters whose output no head happened to read.
        """
        made = [encoding for _, encoding in self._spread.values()]
        for _, fused in self._fused.values():
            made += [fused.encoding, *fused.streams.values()]
        parts = [part.sum() * 0 for encoding in made for part in (encoding.tokens, encoding.pooled)]
        return torch.stack(parts).sum() if parts else None
