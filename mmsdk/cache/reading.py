"""Caches around whatever a trained pipeline does with many rows: it is measured, embeds them, or predicts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Literal

from mmsdk.cache.features import FeatureCache, hiding
from mmsdk.cache.ports import Rows, Say, Share, decoded_ports, decoded_targets, silent
from mmsdk.errors import CheckpointError
from mmsdk.pipeline.modalities import Port
from mmsdk.pipeline.pipeline import Pipeline

Which = Literal["known", "all", "files", "off"]
"""Whose encodings are read and kept, beside decoded files: of encoders that a training has kept some of, which were
frozen there; of every encoder; of none; or nothing at all comes from a cache."""


class Caches:
    """What a pipeline reads its rows through.

    heads: those that are asked; what one of them hides parts of is not read. files: whether decoded files are kept,
    too; worth it where rows are read more than once.
    """

    def __init__(self, pipeline: Pipeline, heads: Collection[str], which: Which = "known", *, files: bool) -> None:
        training = pipeline.config.training
        self.pipeline, self.heads = pipeline, heads
        self.files = files and which != "off" and training.decoded_cache
        precision = training.feature_cache
        if which == "all" and precision == "off":
            precision = "float32"
        self.cache = FeatureCache(precision)
        self.encoded: dict[str, Port] = {}
        if which in ("known", "all") and precision != "off":
            self.encoded = self._open(which)
        self.found = dict.fromkeys(self.encoded, 0)
        self.made = dict.fromkeys(self.encoded, 0)
        self.direct: dict[str, str] = {}
        """Streams whose encodings are not kept after all, and why."""

    def _open(self, which: Which) -> dict[str, Port]:
        found = {}
        for stream, encoder in self.pipeline.encoders.items():
            first = next(encoder.parameters(), None)
            if first is None or first.is_meta:  # nothing to compute with, as in an exported pipeline
                continue
            if hiding(self.pipeline, self.heads, stream) is not None:
                continue
            try:
                if which == "all" or self.cache.folder(self.pipeline, stream).exists():
                    found[stream] = self.cache.port(self.pipeline, stream)
            except TypeError:  # code without a file: nothing was kept, and nothing will be
                continue
        return found

    @contextmanager
    def __call__(self, rows: Rows, say: Say = silent) -> Iterator[None]:
        """Has the pipeline read these rows through the caches as long as this lasts; what is not known is made before.

        say: is told what was found of decoded files; of encodings see `told`.
        """
        pipeline = self.pipeline
        known = {stream: port for stream, port in self.encoded.items() if self._filled(stream, port, rows)}
        targets: dict[str, Port] = {}
        if self.files:
            known |= decoded_ports(
                pipeline, [port for port in pipeline.ports if port.name not in known], rows, Share(), say
            )
            targets = decoded_targets(pipeline, self.heads, rows, Share(), say)
        pipeline.ports = [known.get(port.name, port) for port in pipeline.ports]
        pipeline.target_ports = [targets.get(port.name, port) for port in pipeline.target_ports]
        try:
            yield
        finally:
            pipeline.read_directly()

    def _filled(self, stream: str, port: Port, rows: Rows) -> bool:
        """Whether all encodings are there. Where they find no room, rows are encoded as if there were no cache."""
        if stream in self.direct:
            return False
        try:
            filled = self.cache.fill(self.pipeline, port, rows(), beyond=False)
        except (TypeError, CheckpointError) as error:
            self.direct[stream] = str(error)
            return False
        self.found[stream] += filled.found
        self.made[stream] += filled.made
        if not filled.whole:
            self.direct[stream] = "the cache is full, see MMSDK_CACHE_GB"
        return filled.whole

    def told(self) -> list[str]:
        """What to say in the end, a line for each stream."""
        lines = []
        for stream in self.encoded:
            known, made, why = self.found[stream], self.made[stream], self.direct.get(stream)
            rest = f"; not cached: {why}" if why is not None else ""
            lines.append(f"stream '{stream}': {known} encodings from {self.cache.root}, {made} encoded once{rest}")
        return lines
