"""`fusion.mcb`: compact bilinear pooling."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmsdk import Encoding, FeatureFusion, Fused, Parts, Source
from mmsdk_fusion.vectors import one_vector, presence, product, signed_root, vectors


class CompactBilinear(FeatureFusion):
    """h = IFFT(product over m of FFT(S_m z_m)), then signed square root and the length 1.

    Fukui et al., "Multimodal Compact Bilinear Pooling for Visual Question Answering and Visual Grounding", 2016. S_m is
    a count sketch, in which each feature is added to one random place with a random sign: S z [h(i)] += s(i) z_i. The
    circular convolution of the sketches is the count sketch of the outer product of all z_m (Pham and Pagh 2013), which
    is never made: places add up modulo `width`, signs multiply. In expectation, inner products of such sketches are
    those of the outer products. There is nothing to learn; the hashes are saved with the weights. In float32.

    More streams make an outer product of all. The factor of an absent stream is 1, as if it were not there: absence is
    exact. Costs M transforms of `width` log `width`.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.sketches = Parts({name: Sketch(source.pooled_width, width) for name, source in sources.items()})
        self.dropout = nn.Dropout(dropout)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width]."""
        present = presence(encodings)  # [batch, streams]
        spectra = [torch.fft.rfft(self.sketches[name](vector)) for name, vector in vectors(encodings).items()]
        joined = torch.fft.irfft(product(spectra, present), n=self.width)  # [batch, width]
        return one_vector(self.dropout(signed_root(joined)), present)


class Sketch(nn.Module):
    """A count sketch: [batch, features] -> [batch, width], in float32."""

    place: Tensor
    sign: Tensor

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("place", torch.randint(width, (features,)))
        self.register_buffer("sign", torch.randint(2, (features,)) * 2.0 - 1)

    def forward(self, vector: Tensor) -> Tensor:
        empty = vector.new_zeros(len(vector), self.width, dtype=torch.float32)
        return empty.index_add(1, self.place, vector.float() * self.sign)
