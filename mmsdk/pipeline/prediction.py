"""Predictions for samples with any subset of the streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

from mmsdk.containers import Batch, Encoding, HeadOutput
from mmsdk.data.collate import Collator
from mmsdk.data.grouping import as_group
from mmsdk.data.samples import Row, Sample, as_row
from mmsdk.data.windows import BATCH_SIZE, in_windows
from mmsdk.errors import ConfigError, DataError, listed
from mmsdk.interfaces import Prediction

if TYPE_CHECKING:
    from mmsdk.pipeline.pipeline import Pipeline


Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Result:
    """What the pipeline says of one sample: `result["answer"].value`.

    predictions: by head; a head is left out where none of its streams is in the sample.
    error: why there is no prediction, for a sample that cannot be used.
    """

    id: str
    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    error: str | None = None

    def __getitem__(self, head: str) -> Prediction:
        if head not in self.predictions:
            raise KeyError(self.error or f"sample '{self.id}' has no prediction of head '{head}'")
        return self.predictions[head]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        if self.error is not None:
            return {"id": self.id, "error": self.error}
        heads = {
            name: {key: value for key, value in vars(prediction).items() if value is not None and key != "steps"}
            for name, prediction in self.predictions.items()
        }
        return {"id": self.id, **heads}


def predict(
    pipeline: Pipeline,
    samples: Iterable[Sample | Row],
    *,
    heads: Sequence[str] | None = None,
    batch_size: int = BATCH_SIZE,
) -> Iterator[Result]:
    """One result per sample, in order, in constant memory.

    Raises:
        ConfigError: a head that is not there, or that makes no predictions.
    """
    names = _heads(pipeline, heads)
    collator = Collator(pipeline.ports, [])
    asked = (_asked(pipeline, number, sample) for number, sample in enumerate(samples))

    def made(batch: Sequence[_Asked]) -> list[Result]:
        return _predict_batch(pipeline, collator, names, batch)

    yield from in_windows(collator, asked, batch_size, lambda each: each.row, made)


class _Asked(NamedTuple):
    """A sample as a row, or why it is none."""

    id: str
    row: Row | None
    error: str | None = None


def _asked(pipeline: Pipeline, number: int, sample: Sample | Row) -> _Asked:
    try:
        row = sample if isinstance(sample, Row) else as_row(sample, f"sample[{number}]")
        if pipeline.config.group_by is not None:
            row = as_group(row, [name for port in pipeline.modalities.stream_ports for name in port.columns])
    except DataError as error:
        return _Asked(f"sample[{number}]", None, str(error))
    return _Asked(row.id, row)


def _heads(pipeline: Pipeline, heads: Sequence[str] | None) -> list[str]:
    able = [name for name, head in pipeline.config.heads.items() if head.predicts]
    if not able:
        vectors = [name for name, head in pipeline.heads.items() if head.embeds]
        more = f" '{vectors[0]}' gives vectors: take Pipeline.embed, or mmsdk embed." if vectors else ""
        raise ConfigError(f"No head of this pipeline makes predictions: it has {listed(pipeline.config.heads)}.{more}")
    for name in heads or ():
        if name not in able:
            raise ConfigError(f"There is no head '{name}' that makes predictions. There is: {listed(able)}.")
    return list(heads) if heads is not None else [name for name in able if name not in pipeline.config.auxiliaries]


def _predict_batch(
    pipeline: Pipeline, collator: Collator, heads: Sequence[str], batch: Sequence[_Asked]
) -> list[Result]:
    rows = [each.row for each in batch]
    collated = collator(rows)
    errors = {place: each.error for place, each in enumerate(batch) if each.error is not None}
    errors |= {place: f"'{error.stream}': {error.reason}" for place, error in collated.bad.items()}
    with inference(pipeline):
        outputs = outputs_of(pipeline, collated.batch, heads)
    found: list[dict[str, Prediction]] = [{} for _ in rows]
    for name, output in outputs.items():
        predictions = pipeline.heads[name].decode(output, pipeline.modalities.targets.get(name))
        here = output.present.tolist() if output.present is not None else [True] * len(rows)
        for place, (prediction, is_there) in enumerate(zip(predictions, here, strict=True)):
            if is_there:
                found[place][name] = prediction
    results = []
    for place, each in enumerate(batch):
        reason = errors.get(place) or (None if found[place] else _nothing(pipeline, each.row))
        results.append(Result(each.id, found[place] if reason is None else {}, reason))
    return results


def _nothing(pipeline: Pipeline, row: Row | None) -> str:
    columns = [name for port in pipeline.modalities.stream_ports for name in port.columns]
    given = list(row.values) if row is not None else []
    return (
        f"every stream is absent: give a value for at least one of {listed(columns)}; the sample has values in "
        f"{listed(given, 'nothing')}"
    )


@contextmanager
def inference(pipeline: Pipeline) -> Iterator[None]:
    """Eval mode without gradients, in the pipeline's precision.

    Afterwards each module is in the mode it was in (frozen parts stay in eval mode).
    """
    training = [module for module in pipeline.modules() if module.training]
    short = torch.autocast(pipeline.device.type, torch.bfloat16) if pipeline.precision == "bfloat16" else nullcontext()
    pipeline.eval()
    try:
        with torch.inference_mode(), short:
            yield
    finally:
        for module in training:
            module.training = True


def outputs_of(pipeline: Pipeline, batch: Batch, heads: Sequence[str]) -> dict[str, HeadOutput]:
    """The heads' outputs, on the processor."""
    outputs = pipeline(to_device(batch, pipeline.device), heads)
    return {name: on_cpu(output) for name, output in outputs.items()}


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on the device."""
    if device.type == "cpu":
        return batch

    return Batch(batch.ids, *(moved(part, device) for part in batch[1:]))


def moved(part: Any, device: torch.device) -> Any:
    """Tensors in mappings and encodings, on the device."""
    if isinstance(part, Mapping):
        return {key: moved(each, device) for key, each in part.items()}
    if isinstance(part, Encoding):
        return Encoding(*(moved(each, device) for each in part))
    return part.to(device, non_blocking=True)


def on_cpu(output: HeadOutput) -> HeadOutput:
    """The output on the processor; scores and embeddings in float32."""
    embeddings = {name: vectors.float().cpu() for name, vectors in output.embeddings.items()}
    tensors: dict[str, Any] = {
        name: part.cpu() for name, part in output._asdict().items() if isinstance(part, torch.Tensor)
    }
    scores = output.scores.float().cpu() if output.scores is not None else None
    generated = {name: part.cpu() for name, part in output.generated.items()}
    return output._replace(**tensors)._replace(scores=scores, embeddings=embeddings, generated=generated)
