"""`speech.cnn`, `speech.crnn`, `speech.transformer`: a spectrogram, then convolutions, then what each adds to them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mmsdk import Encoder, Encoding, Inputs, MeanMax
from mmsdk_speech.layers import Convolutions, Halving, Spectrogram


class Cnn(Encoder):
    """Convolutions alone, each halving time and frequency. Tokens [n, length / 2 ** layers, width]."""

    def __init__(
        self,
        spectrogram: Spectrogram,
        width: int = 128,
        *,
        layers: int = 3,
        dropout: float = 0.1,
        halving: Halving = "stride",
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.spectrogram = spectrogram
        self.convolutions = Convolutions(spectrogram.width, width, [2] * layers, dropout, halving)
        self.pooling = MeanMax(width, dropout)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return list(self.convolutions.layers)

    def forward(self, inputs: Inputs) -> Encoding:
        encoding: Encoding = self.pooling(*self.convolutions(*self.spectrogram(inputs)))
        return encoding


class Crnn(Encoder):
    """Convolutions, of which the first halves the length, then a bidirectional GRU (Cho et al., "Learning Phrase
    Representations using RNN Encoder-Decoder", 2014). Tokens [n, length / 2, width]."""

    def __init__(
        self,
        spectrogram: Spectrogram,
        width: int = 128,
        *,
        convolutions: int = 3,
        layers: int = 1,
        dropout: float = 0.1,
        halving: Halving = "stride",
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.spectrogram = spectrogram
        self.convolutions = Convolutions(spectrogram.width, width, [2] + [1] * (convolutions - 1), dropout, halving)
        between = dropout if layers > 1 else 0.0
        self.cells = nn.GRU(width, width // 2, layers, batch_first=True, bidirectional=True, dropout=between)
        self.pooling = MeanMax(width, dropout)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [*self.convolutions.layers, self.cells]

    def forward(self, inputs: Inputs) -> Encoding:
        tokens, mask = self.convolutions(*self.spectrogram(inputs))
        # Packed, so that it never reads padding; a row without any token reads one step.
        lengths = mask.sum(dim=1).clamp(min=1).cpu()
        packed = pack_padded_sequence(tokens.relu(), lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.cells(packed)[0], batch_first=True, total_length=mask.shape[1])
        encoding: Encoding = self.pooling(states, mask)
        return encoding


class Transformer(Encoder):
    """Two convolutions that shorten the length to a quarter, then self-attention (Dong et al., "Speech-Transformer: A
    No-Recurrence Sequence-to-Sequence Model for Speech Recognition", 2018). Tokens [n, length / 4, width]."""

    def __init__(
        self,
        spectrogram: Spectrogram,
        width: int = 128,
        *,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
        halving: Halving = "stride",
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.spectrogram = spectrogram
        self.convolutions = Convolutions(spectrogram.width, width, [2, 2], dropout, halving)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.pooling = MeanMax(width, dropout)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [*self.convolutions.layers, *self.layers]

    def forward(self, inputs: Inputs) -> Encoding:
        tokens, mask = self.convolutions(*self.spectrogram(inputs))
        tokens = tokens + positions(tokens)
        # A row without any token attends to its padding: attention to nothing would be NaN.
        ignored = ~mask & mask.any(dim=1, keepdim=True)
        for layer in self.layers:
            tokens = layer(tokens, src_key_padding_mask=ignored)
        encoding: Encoding = self.pooling(self.norm(tokens), mask)
        return encoding


def positions(tokens: Tensor) -> Tensor:
    """Sines and cosines of the place, [length, width] (Vaswani et al., "Attention Is All You Need", 2017)."""
    length, width = tokens.shape[1:]
    falling = torch.exp(torch.arange(0, width, 2, device=tokens.device) * (-math.log(10_000) / width))
    angles = torch.arange(length, device=tokens.device)[:, None] * falling  # [length, width / 2]
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width].to(tokens.dtype)
