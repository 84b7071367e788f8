"""The pipeline: the only place that wires modalities, encoders, fusion and heads together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from mmsdk.components import HeadConfig
from mmsdk.config.pipeline import PipelineConfig
from mmsdk.config.wiring import FUSED, over_limit
from mmsdk.containers import Batch, HeadOutput, Inputs, Step, spread
from mmsdk.data.samples import Row, Sample, as_row
from mmsdk.data.windows import BATCH_SIZE
from mmsdk.errors import ConfigError, DecodeError, listed
from mmsdk.formats import Format, Source
from mmsdk.interfaces import DecisionFusion, Encoder, FeatureFusion, Modality, ScoringHead, TaskHead
from mmsdk.modules import Parts
from mmsdk.pipeline.about import About
from mmsdk.pipeline.building import built
from mmsdk.pipeline.decision import DecisionHead
from mmsdk.pipeline.embedding import Embedded, embed, embed_each, embedding_head
from mmsdk.pipeline.hub import OnHub
from mmsdk.pipeline.modalities import Modalities, Port
from mmsdk.pipeline.prediction import Precision, Result, predict
from mmsdk.pipeline.reading import Encodings, Reading

FUSION_LOSSES = "(fusion)"
"""Where a fusion's own losses stand among the outputs of heads; no head can have this name."""


def alone(tensor: Tensor) -> Tensor:
    """`gather` of a pipeline that runs in one process."""
    return tensor


class Stream(nn.Module):
    """A stream's modality, which has no parameters, and its encoder."""

    def __init__(self, modality: Modality, encoder: Encoder) -> None:
        super().__init__()
        self.modality, self.encoder = modality, encoder


class Pipeline(nn.Module, OnHub):
    """Encoders, a fusion and heads, built from a config and fitted modalities.

    `Pipeline.load(folder)` opens a saved one, `predict` uses it, `save` writes it; `from_pretrained`, `save_pretrained`
    and `push_to_hub` do so with the Hugging Face hub. `about` holds what is known of it. The parameters are called
    `streams.<name>.encoder...`, `fusion...` and `heads.<name>...`: a public format.

    `precision` says in which it computes outside training.
    """

    def __init__(self, config: PipelineConfig, modalities: Modalities) -> None:
        super().__init__()
        self.config, self.modalities = config, modalities
        self.about = About()
        own = {
            name: built(stream.encoder, modalities.streams[name].format)
            for name, stream in config.streams.items()
            if stream.encoder is not None
        }
        self.streams = Parts({name: Stream(modalities.streams[name], encoder) for name, encoder in own.items()})
        sources = {name: self._source(name) for name in config.streams}
        self.fusion = _build_fusion(config, sources)
        self.heads: Parts[TaskHead] = Parts(
            {name: self._head(name, head, sources) for name, head in config.heads.items()}
        )
        self.read_directly()
        self.gather: Callable[[Tensor], Tensor] = alone
        self.rank = 0
        self._precision: Precision = "float32"

    def read_directly(self) -> None:
        """Samples are read through the modalities; not from a cache."""
        self.ports: Sequence[Port] = self.modalities.stream_ports
        """Where streams are read from samples: through their modalities, or what is known of them from a cache."""
        self.target_ports: Sequence[Port] = self.modalities.target_ports

    @classmethod
    def from_config(cls, config: str | Path | Mapping[str, Any] | PipelineConfig) -> Pipeline:
        """A pipeline of pre-trained parts as they are, such as the two towers of CLIP, ready to use.

        Raises:
            ConfigError: a part has to see training data first.
        """
        from mmsdk.config.file import load_config

        checked = load_config(config).resolve()
        return cls(checked, Modalities(checked).require_fitted()).initialize().eval()

    def initialize(self) -> Pipeline:
        """Load pre-trained weights, where an encoder or a head has any. For a fresh run only."""
        parts: list[Encoder | TaskHead] = [*self.encoders.values(), *self.heads.values()]
        for part in parts:
            part.initialize()
        return self

    @property
    def encoders(self) -> dict[str, Encoder]:
        """The encoder of each stream, in the order of the config; shared ones appear twice."""
        return {name: self.streams[self.config.owner_of(name)].encoder for name in self.config.streams}

    @property
    def precision(self) -> Precision:
        """In which products of matrices are computed outside training: "float32", or "bfloat16".

        Weights and results are float32 in either. Setting it: ConfigError where it is neither; ExportError where an
        exported pipeline, which keeps the precision of its graph, is to have another one.
        """
        return self._precision

    @precision.setter
    def precision(self, precision: Precision) -> None:
        if precision not in get_args(Precision):
            raise ConfigError(
                f"There is no precision '{precision}' to predict in. There is: {listed(get_args(Precision))}."
            )
        self._precision = precision

    @property
    def device(self) -> torch.device:
        return next((parameter.device for parameter in self.parameters()), torch.device("cpu"))

    def forward(
        self,
        batch: Batch,
        heads: Sequence[str],
        generator: torch.Generator | None = None,
        encodings: Encodings | None = None,
    ) -> dict[str, HeadOutput]:
        """The output of each named head, in that order; in training also the losses of the fusion, `FUSION_LOSSES`.

        encodings: what was made of the same streams before, if with other `rows`; what is new is added to it.
        """
        reading = Reading(encodings or Encodings(self.encoders), self.fusion, batch.rows)
        outputs: dict[str, HeadOutput] = {}
        for name in heads:
            head = self.heads[name]
            inputs = reading.encodings.view(name, head, batch.streams, generator)
            reads = reading(self.config.heads[name].reads, inputs)
            offset = self.rank * len(batch.ids)
            step = Step(inputs, batch.rows, reading.fuse, outputs, self.gather, offset, generator)
            outputs[name] = head(reads, target_of(batch, name), step)
        own = reading.fusion_losses() if self.training and torch.is_grad_enabled() else None
        if own is not None:
            outputs[FUSION_LOSSES] = own
        return _tied(outputs, reading.zero()) if torch.is_grad_enabled() and self.gather is not alone else outputs

    def predict(
        self,
        samples: Iterable[Sample | Row] | Sample,
        *,
        heads: Sequence[str] | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> list[Result]:
        """One result per sample, in order. A sample holds any subset of the streams' columns.

        A sample that cannot be read, or that has no stream at all, gets a result with `error` instead of values.
        """
        if isinstance(samples, Mapping):
            samples = [samples]
        if isinstance(heads, str):
            heads = [heads]
        return list(predict(self, samples, heads=heads, batch_size=batch_size))

    def embed(
        self, samples: Iterable[Sample | Row] | Sample, *, head: str | None = None, batch_size: int = BATCH_SIZE
    ) -> dict[str, Tensor]:
        """[samples, width] of each source that a contrastive head reads: what it compares, vectors of length 1.

        Rows of zeros where the source is absent. head: by default the only one that gives embeddings.

        Raises:
            ConfigError: there is no such head, or several. DecodeError: a sample cannot be read.
        """
        if isinstance(samples, Mapping):
            samples = [samples]
        return embed(self, samples, head=head, batch_size=batch_size)

    def embed_each(
        self,
        samples: Iterable[Sample | Row],
        *,
        head: str | None = None,
        batch_size: int = BATCH_SIZE,
        skipped: list[DecodeError] | None = None,
    ) -> Iterator[Embedded]:
        """`embed` for more samples than memory holds: one after the other, each with its id and its values.

        skipped: where samples go that cannot be read; without it they are raised. `Skipped(rows)` takes few of them.

        Raises:
            ConfigError: there is no such head, or several. DecodeError: a sample cannot be read.
        """
        return embed_each(self, samples, head=head, batch_size=batch_size, skipped=skipped)

    def embedding_head(self, head: str | None = None) -> str:
        """The head that `embed` asks: the named one, or the only one that gives embeddings.

        Raises:
            ConfigError: there is no such head, or several.
        """
        return embedding_head(self, head)

    def fingerprint(self) -> str:
        """What tells pipelines apart: a hash of streams, fusion, heads, vocabularies and weights.

        The same after saving and loading. What was made with one pipeline, such as embeddings, fits no other.
        """
        from mmsdk.pipeline.fingerprint import fingerprint

        return fingerprint(self)

    def save(self, folder: str | Path, metrics: Mapping[str, float] | None = None) -> Path:
        """Write the pipeline as one folder: config, weights, modalities, needed plugins, model card.

        metrics: figures of these weights, `split/head/metric`; by default those of `about`, if it has any of them.

        Raises:
            CheckpointError: the folder holds something else, or cannot be written.
        """
        from mmsdk.pipeline.saving import save

        if metrics is not None:
            self.about = self.about.measured(metrics)
        return save(self, Path(folder))

    def export(
        self, folder: str | Path, samples: Iterable[Sample | Row], *, format: Literal["onnx", "torch"] = "onnx"
    ) -> Path:
        """Write the pipeline as a graph that `load` opens, once it says the same of these samples, to 1e-5.

        samples: real ones, some of them long; they are not kept.

        Raises:
            ExportError: something cannot be exported, or the graph says something else; nothing is written then.
            DataError: none of the samples can be read. CheckpointError: the folder holds something else.
        """
        from mmsdk.export.folder import export_pipeline

        rows = [each if isinstance(each, Row) else as_row(each, f"sample[{n}]") for n, each in enumerate(samples)]
        return export_pipeline(self, Path(folder), rows, format).folder

    @classmethod
    def load(cls, folder: str | Path, *, precision: Precision = "float32") -> Pipeline:
        """Open a saved pipeline, the one inside a run's folder, or an exported one. Nothing but that folder is read.

        precision: see there.

        Raises:
            PluginError: a plugin that it needs is missing; the message says what to install.
            CheckpointError: the folder is not a saved pipeline, or is damaged.
            ExportError: an exported pipeline has the precision that it was exported with.
        """
        from mmsdk.pipeline.saving import load

        pipeline = load(Path(folder))
        pipeline.precision = precision
        return pipeline

    def _source(self, stream: str) -> Source:
        encoder = self.encoders[stream]
        return Source(encoder.width, encoder.pooled_width, self.modalities.streams[stream].format, encoder.temperature)

    def _read_source(self, read: str, sources: Mapping[str, Source]) -> Source:
        root, _, stream = read.partition(".")
        if root != FUSED:
            return sources[read]
        assert self.fusion is not None
        if stream:
            return Source(self.fusion.width, self.fusion.width, sources[stream].format)
        return Source(self.fusion.width, self.fusion.pooled_width)

    def _head(self, name: str, config: HeadConfig, sources: Mapping[str, Source]) -> TaskHead:
        reads = {read: self._read_source(read, sources) for read in config.reads}
        target = self.modalities.targets[name].format if name in self.modalities.targets else None
        if config.decision is None:
            head: TaskHead = built(config, reads, target)
            return head
        heads: dict[str, ScoringHead] = {}
        for read, source in reads.items():
            head = built(config, {read: source}, target)
            assert isinstance(head, ScoringHead)
            heads[read] = head
        told = target or Format("")
        rule = built(
            config.decision,
            {
                read: Source(0, 0, Format(head.space, width=told.width, vocabulary=told.vocabulary))
                for read, head in heads.items()
            },
        )
        assert isinstance(rule, DecisionFusion)
        return DecisionHead(heads, rule, config.decision.loss)


def _build_fusion(config: PipelineConfig, sources: Mapping[str, Source]) -> FeatureFusion | None:
    """Refused here where some width was not known to the config's own check."""
    if config.fusion is None:
        return None
    count = config.fusion.parameters(sources)
    if count is not None and count > config.max_fusion_parameters:
        raise ConfigError(over_limit(config, count))
    fusion = built(config.fusion, sources)
    assert isinstance(fusion, FeatureFusion)
    return fusion


def target_of(batch: Batch, head: str) -> Inputs | None:
    """A head's target for each sample of the batch, with "present" [batch] bool; None where it was not read."""
    if head not in batch.targets:
        return None
    index = batch.target_rows[head]
    return {key: spread(part, index) for key, part in batch.targets[head].items()} | {"present": index >= 0}


def _tied(outputs: dict[str, HeadOutput], zero: Tensor | None) -> dict[str, HeadOutput]:
    """The outputs, with `zero` added to the first loss."""
    for name, output in outputs.items():
        if output.loss is not None and zero is not None:
            return outputs | {name: output._replace(loss=output.loss + zero)}
    return outputs
