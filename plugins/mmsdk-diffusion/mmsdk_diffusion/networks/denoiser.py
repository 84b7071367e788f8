"""What every denoiser is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from mmsdk import Encoding


class Denoiser(nn.Module, ABC):
    """Predicts what it is trained for, such as the noise, from noisy pictures, their times and a condition."""

    @abstractmethod
    def forward(self, noisy: Tensor, times: Tensor, condition: Encoding) -> Tensor:
        """noisy [n, 3, height, width] around -1..1, times [n] in 0..1000, condition [n, ...] -> [n, 3, height, width].

        A row of the condition that is absent (zeros, mask False) asks for any picture.
        """
