"""`cnn_rnn`: convolutions over time, then step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from mmsdk.builtin.layers.embedding import Tokens
from mmsdk.builtin.layers.recurrence import Recurrence
from mmsdk.containers import Encoding, Inputs
from mmsdk.errors import ConfigError
from mmsdk.formats import Format
from mmsdk.interfaces import Encoder


class TimeConvolution(nn.Module):
    """A convolution over time that cannot tell padding from the end of the row.

    Each step is normalised by itself: statistics over the length would depend on the padding.

    Raises:
        ConfigError: the kernel is even.
    """

    def __init__(self, width: int, kernel: int, stride: int, dropout: float = 0.0) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ConfigError(f"A kernel of {kernel} steps has no middle: make it odd")
        self.stride = stride
        self.convolution = nn.Conv1d(width, width, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(width)
        self.finish = nn.Sequential(nn.ReLU(), nn.Dropout(dropout))

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """tokens [batch, length, width], mask [batch, length] bool -> the same, with length / stride rounded up."""
        tokens = tokens.masked_fill(~mask[..., None], 0)
        tokens = self.convolution(tokens.transpose(1, 2)).transpose(1, 2)  # [batch, length / stride, width]
        # With an odd kernel, step i of the result is centred on step i * stride of what came in.
        return self.finish(self.norm(tokens)), mask[:, :: self.stride]


class CnnRnnEncoder(Encoder):
    """Convolutions over time and a recurrent network over what they give; see `Recurrence` for its options.

    With `stride` above 1 each convolution shortens the length: tokens [n, length / stride ** convolutions, width];
    pooled [n, width].
    """

    def __init__(
        self,
        format: Format,
        width: int = 128,
        *,
        convolutions: int = 2,
        kernel: int = 3,
        stride: int = 1,
        cell: Literal["gru", "lstm"] = "gru",
        layers: int = 1,
        bidirectional: bool = True,
        pool: Literal["last", "mean"] = "last",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.embedding = Tokens(format, width)
        self.convolutions = nn.ModuleList(TimeConvolution(width, kernel, stride, dropout) for _ in range(convolutions))
        self.recurrence = Recurrence(
            width, cell=cell, layers=layers, bidirectional=bidirectional, pool=pool, dropout=dropout
        )

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [*self.convolutions, self.recurrence]

    def forward(self, inputs: Inputs) -> Encoding:
        tokens, mask = self.embedding(inputs)
        for convolution in self.convolutions:
            tokens, mask = convolution(tokens, mask)
        encoding: Encoding = self.recurrence(tokens, mask)
        return encoding
