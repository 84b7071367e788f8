"""A pipeline as one function of flat tensors, which is what a graph is made of.

Inputs: "<stream>.<key>" for each tensor of a stream [batch, ...], and "<stream>.present" [batch] bool.
Outputs: "<head>.scores", "<head>.present", "<head>.embeddings.<source>".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from torch import Tensor, nn

from mmsdk.containers import Batch, Encoding, HeadOutput, Step
from mmsdk.errors import ExportError, listed
from mmsdk.modules import Parts
from mmsdk.pipeline.pipeline import Pipeline, alone
from mmsdk.pipeline.reading import Encodings, Reading

PRESENT = "present"
Flat = dict[str, Tensor]


class Graph(nn.Module):
    """What is exported: all of a pipeline between `collate` and `decode`."""

    def __init__(self, pipeline: Pipeline, heads: Sequence[str]) -> None:
        super().__init__()
        self.pipeline, self.names = deepcopy(pipeline).eval(), tuple(heads)
        for part in list(self.pipeline.modules()):
            if isinstance(part, Parts):
                part._modules = _Reachable(part)

    def forward(self, inputs: Flat) -> Flat:
        streams, there = apart(inputs, list(self.pipeline.config.streams))
        reading = _Whole(Encodings(self.pipeline.encoders), self.pipeline.fusion, there)
        outputs: dict[str, HeadOutput] = {}
        for name in self.names:
            reads = reading(self.pipeline.config.heads[name].reads, streams)
            step = Step(streams, {}, reading.fuse, outputs, alone, 0, None)
            outputs[name] = self.pipeline.heads[name](reads, None, step)
        return flat_outputs(outputs)


class _Whole(Reading):
    """Reads streams whose rows are those of the batch; `rows` says which of them are there, [batch] bool."""

    def _encode(self, stream: str, inputs: Any) -> Encoding:
        encoding = self.encodings(stream, inputs)
        key = (stream, id(encoding))
        if key not in self._spread:
            there = self.rows[stream][:, None]  # [batch, 1]
            tokens = encoding.tokens.masked_fill(~there[..., None], 0)
            own = Encoding(tokens, encoding.mask & there, encoding.pooled.masked_fill(~there, 0))
            self._spread[key] = (encoding, own)
        return self._spread[key][1]


class _Reachable(dict[str, nn.Module | None]):
    """The modules of `Parts` under names that are attributes of no module: a tracer reaches each one by its name."""

    def __init__(self, parts: Parts[Any]) -> None:
        self.renamed: dict[str, str] = {}
        for name in parts._modules:
            new = name
            while hasattr(nn.Module, new) or hasattr(Parts, new) or new in parts.__dict__ or new in self:
                new += "_"
            self.renamed[name] = new
            self[new] = parts._modules[name]

    def __missing__(self, name: str) -> nn.Module | None:
        if name not in self.renamed:
            raise KeyError(name)
        return self[self.renamed[name]]


def apart(inputs: Flat, streams: Sequence[str]) -> tuple[dict[str, Flat], Flat]:
    """The tensors of each stream by key, and which rows have the stream."""
    own: dict[str, Flat] = {name: {} for name in streams}
    for name, tensor in inputs.items():
        stream, _, key = name.partition(".")
        own[stream][key] = tensor
    return own, {name: part.pop(PRESENT) for name, part in own.items()}


def flat_outputs(outputs: Mapping[str, HeadOutput]) -> Flat:
    found: Flat = {}
    for name, output in outputs.items():
        if output.scores is not None:
            found[f"{name}.scores"] = output.scores.float()
        if output.present is not None:
            found[f"{name}.present"] = output.present
        found |= {f"{name}.embeddings.{source}": each.float() for source, each in output.embeddings.items()}
    return {name: each.clone() for name, each in found.items()}  # no two outputs are the same tensor


def head_outputs(flat: Mapping[str, Tensor], heads: Sequence[str]) -> dict[str, HeadOutput]:
    """What `flat_outputs` was made of, for these heads."""
    found = {}
    for head in heads:
        mark = f"{head}.embeddings."
        embeddings = {name.removeprefix(mark): each for name, each in flat.items() if name.startswith(mark)}
        scores, present = flat.get(f"{head}.scores"), flat.get(f"{head}.present")
        found[head] = HeadOutput(scores=scores, present=present, embeddings=embeddings)
    return found


def flat_inputs(batch: Batch) -> Flat:
    """A batch as the graph reads it: each sample has its own row, whatever stands in the rows of absent values.

    Raises:
        ExportError: the batch holds encodings from a cache.
    """
    found: Flat = {}
    for stream, inputs in batch.streams.items():
        if isinstance(inputs, Encoding):
            raise ExportError(f"'{stream}': an exported pipeline reads values, not cached encodings: name the run")
        index = batch.rows[stream]
        found |= {f"{stream}.{key}": part[index.clamp(min=0)] for key, part in inputs.items()}
        found[f"{stream}.{PRESENT}"] = index >= 0
    return found


def exported_heads(pipeline: Pipeline) -> list[str]:
    """The heads that predict or embed.

    Raises:
        ExportError: there is none.
    """
    config = pipeline.config
    able = [
        name
        for name, head in config.heads.items()
        if name not in config.auxiliaries and (head.predicts or pipeline.heads[name].embeds)
    ]
    if not able:
        raise ExportError(f"No head of this pipeline predicts or embeds. There is: {listed(config.heads)}.")
    return able


def lengths_of(inputs: Flat) -> dict[str, dict[int, str]]:
    """By input, which of its dimensions are lengths, and what they are called: the last one of each mask, and that of
    the tensors which the mask is for."""
    found: dict[str, dict[int, str]] = {name: {} for name in inputs}
    for name, mask in inputs.items():
        scope, _, key = name.rpartition(".")
        if key == "mask":
            place = mask.dim() - 1
            for other, tensor in inputs.items():
                within = other.startswith(f"{scope}.") and not other.endswith(f".{PRESENT}")
                if within and tensor.dim() > place and tensor.shape[place] == mask.shape[place]:
                    found[other][place] = f"{scope}.length".replace(".", "_")
    return found
