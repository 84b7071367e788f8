"""Metrics of torchmetrics, by name. It is imported only where a config names one."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mmsdk.containers import HeadOutput, Inputs
from mmsdk.errors import ConfigError, did_you_mean
from mmsdk.interfaces import Metric
from mmsdk.metrics.base import RowMetric, counted, most_probable, raw_numbers

# What a head's scores are -> where its metrics are, how their names begin, and one of them.
FAMILIES = {
    "log_probabilities": ("torchmetrics.classification", "Multiclass", "MulticlassCohenKappa"),
    "log_odds": ("torchmetrics.classification", "Multilabel", "MultilabelAveragePrecision"),
    "values": ("torchmetrics.regression", "", "SpearmanCorrCoef"),
}


class TorchMetric(RowMetric):
    """A metric of torchmetrics, over probabilities or over numbers in their own units.

    metric: the object from torchmetrics. space: what the head's scores are.
    """

    def __init__(self, metric: Any, space: str) -> None:
        super().__init__()
        self.metric, self.space = metric, space
        self.larger_is_better = metric.higher_is_better is not False

    def keep(self, output: HeadOutput, target: Inputs | None) -> tuple[Tensor, ...] | None:
        if target is None:
            return None
        if self.space == "values":
            said, true = raw_numbers(output, target)
            return said.squeeze(1), true.squeeze(1)
        scores, truth = counted(output, target)
        if self.space == "log_odds":
            return scores.sigmoid(), truth.long()
        return scores.exp(), most_probable(truth)

    def figure(self, *columns: Tensor) -> float:
        self.metric.reset()
        self.metric.update(*columns)
        found = self.metric.compute()
        if self.space == "values" and isinstance(found, Tensor):
            found = found.mean()  # over the columns
        if not isinstance(found, Tensor) or found.numel() != 1:
            name = type(self.metric).__name__
            raise ConfigError(f"Metric 'torchmetrics.{name}' is more than one number: remove it from 'metrics'.")
        return float(found)


def extra_metrics(names: Sequence[str], space: str, labels: int) -> dict[str, Metric]:
    """The metrics that a config names beside the head's own, such as "torchmetrics.MulticlassCohenKappa".

    space: what the head's scores are. labels: how many classes, labels or numbers it predicts.

    Raises:
        ConfigError: there is no such metric for such scores, or torchmetrics is not installed.
    """
    return {name.rpartition(".")[2]: _torch_metric(name, space, labels) for name in names}


def _torch_metric(name: str, space: str, labels: int) -> TorchMetric:
    package, prefix, example = FAMILIES[space]
    root, _, found = name.partition(".")
    if root != "torchmetrics":
        raise ConfigError(f"Unknown metric '{name}'. More metrics come from torchmetrics: 'torchmetrics.{example}'.")
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f"Metric '{name}' needs torchmetrics ({error}): pip install 'mmsdk[metrics]'") from None
    known = [each for each in module.__all__ if each.startswith(prefix)]
    if found not in known:
        hint = did_you_mean(found, known) or f" An example: '{example}'."
        raise ConfigError(f"Unknown metric '{name}' for scores that are {space}.{hint}")
    made = getattr(module, found)
    arguments = inspect.signature(made).parameters
    sizes = {key: labels for key in ("num_classes", "num_labels", "num_outputs") if key in arguments}
    required = [
        key
        for key, each in arguments.items()
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD and key not in sizes
    ]
    if required:
        raise ConfigError(f"Metric '{name}' cannot be used: it needs a value for '{required[0]}'.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps all rows in memory, which `RowMetric` does anyway
        return TorchMetric(made(**sizes), space)
