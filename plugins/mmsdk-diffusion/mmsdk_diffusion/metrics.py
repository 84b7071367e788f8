"""The figure of a denoiser."""

from __future__ import annotations

import torch

from mmsdk import HeadOutput, Inputs


class NoiseError:
    """The mean squared error of what is predicted from pictures with fixed noise; NaN where nothing was seen.

    It compares runs with the same `prediction`. It tells whether learning goes on, not how pictures look.
    """

    larger_is_better = False

    def __init__(self) -> None:
        self.sum, self.count = 0.0, 0

    def update(self, output: HeadOutput, target: Inputs | None) -> None:
        if target is not None and output.scores is not None and output.present is not None:
            counts = output.present & target["present"]
            self.sum += float(output.scores[counts].sum(dtype=torch.float64))
            self.count += int(counts.sum())

    def merge(self, other: NoiseError) -> None:
        self.sum, self.count = self.sum + other.sum, self.count + other.count

    def compute(self) -> float:
        return self.sum / self.count if self.count else float("nan")
