"""One pipeline as it is served: its columns, its batcher, its answers as JSON."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from mmsdk import Pipeline, Result
from mmsdk_serve.batching import Batcher
from mmsdk_serve.inputs import Column, columns_of
from mmsdk_serve.limits import Limits
from mmsdk_serve.shares import present, shares_of, subsets

Sample = Mapping[str, Any]


class Served:
    """A pipeline behind a queue. name: in the addresses."""

    def __init__(self, name: str, pipeline: Pipeline, limits: Limits) -> None:
        self.name, self.pipeline, self.limits = name, pipeline.eval(), limits
        self.columns: dict[str, Column] = columns_of(pipeline)
        self.heads = [head for head, config in pipeline.config.heads.items() if config.predicts]
        self.busy = Lock()
        """Held while the pipeline computes: predictions and searches share it."""
        self.batcher: Batcher[Sample, Result] = Batcher(self._predict, largest=limits.batch, room=limits.waiting)

    def _predict(self, samples: Sequence[Sample]) -> list[Result]:
        with self.busy:
            return self.pipeline.predict(samples, batch_size=self.limits.batch)

    def about(self) -> dict[str, Any]:
        """What a client has to know."""
        columns = {
            name: {"stream": column.stream, "kind": column.kind, "file": column.binary}
            for name, column in self.columns.items()
        }
        return {"name": self.name, "columns": columns, "heads": self.heads}

    async def results(self, samples: Sequence[Sample]) -> list[Result]:
        """One result per sample; what nobody waits for any longer is not computed.

        Raises:
            FullError, ClosedError, LateError; TimeoutError.
        """
        return await self.batcher.ask(samples, self.limits.deadline)

    async def answers(self, samples: Sequence[Sample], shares: bool) -> list[dict[str, Any]]:
        """The results as JSON values, with the share of each stream where that is asked for."""
        results = await self.results(samples)
        found = [plain(result) for result in results]
        for sample, result, answer in zip(samples, results, found, strict=True):
            parts = subsets(sample, self.columns) if shares and result.error is None else {}
            if parts:
                told = await self.results(list(parts.values()))
                pairs = dict(zip(parts, told, strict=True))
                answer["shares"] = shares_of(result, pairs, present(sample, self.columns))
        return found


def plain(result: Result) -> dict[str, Any]:
    """A result as JSON values: predictions by head, or an error."""
    if result.error is not None:
        return {"error": result.error}
    return {
        "predictions": {
            head: {
                "value": _value(prediction.value),
                "confidence": prediction.confidence,
                "scores": None if prediction.scores is None else dict(prediction.scores),
            }
            for head, prediction in result.predictions.items()
        }
    }


def _value(value: Any) -> Any:
    """A value as JSON: arrays as lists, a picture as a PNG in base64."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "getbands"):
        file = io.BytesIO()
        value.save(file, "PNG")
        return {"png": base64.b64encode(file.getvalue()).decode()}
    if isinstance(value, list | tuple):
        return [_value(each) for each in value]
    return value
