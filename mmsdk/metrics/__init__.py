"""The metrics of the built-in heads, and those of torchmetrics. Each follows the protocol `Metric`."""

from mmsdk.metrics.base import Rows
from mmsdk.metrics.labels import (
    Accuracy,
    BalancedAccuracy,
    CalibrationError,
    Confidence,
    LogLoss,
    MacroF1,
    MicroF1,
    SubsetAccuracy,
    VqaAccuracy,
)
from mmsdk.metrics.numbers import R2, MeanAbsoluteError, Pearson, RootMeanSquaredError
from mmsdk.metrics.pairs import PairAccuracy, Share
from mmsdk.metrics.ranks import MeanReciprocalRank, MedianRank, Recall
from mmsdk.metrics.texts import Bleu, ExactMatch, Perplexity, RougeL, TokenAccuracy, TokenF1
from mmsdk.metrics.torchmetrics import TorchMetric, extra_metrics

__all__ = [
    "R2",
    "Accuracy",
    "BalancedAccuracy",
    "Bleu",
    "CalibrationError",
    "Confidence",
    "ExactMatch",
    "LogLoss",
    "MacroF1",
    "MeanAbsoluteError",
    "MeanReciprocalRank",
    "MedianRank",
    "MicroF1",
    "PairAccuracy",
    "Pearson",
    "Perplexity",
    "Recall",
    "RootMeanSquaredError",
    "RougeL",
    "Rows",
    "Share",
    "SubsetAccuracy",
    "TokenAccuracy",
    "TokenF1",
    "TorchMetric",
    "VqaAccuracy",
    "extra_metrics",
]
