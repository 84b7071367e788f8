"""`fusion.early`: the sequences joined step by step, before one encoder for all."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmsdk import Encoder, Encoding, FeatureFusion, Fused, Source
from mmsdk_fusion.vectors import OfTokens


class Early(FeatureFusion):
    """encoder(x_1, x_2, ...), where x_t = sum_m P_m H_m at step t: one layer over [H_1; ...; H_M] at that step.

    Early fusion, as the EF-LSTM of Zadeh et al., "Tensor Fusion Network for Multimodal Sentiment Analysis", 2017, is
    a baseline: inputs are joined first, and one encoder reads them all. Streams that do not keep step are stretched to
    the longest one: step t of L is token floor(t * l / L) of a stream of l tokens, so that a single token stands at
    each step. That is the difference to `fusion.aligned` with `concat`, which joins step i with step i alone, and in
    which what lacks is learned; where all keep step, and nothing lacks, both compute the same kind of thing.

    What is absent adds nothing to x_t and does not stretch anything: absence is exact. Costs the encoder once over the
    longest stream, whatever M is. Tokens and pooled vector are those of the encoder.

    encoder: of `sequence`, `width` numbers per step.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, encoder: Encoder) -> None:
        super().__init__()
        self.project = OfTokens(sources, width)
        self.encoder = encoder
        self.width, self.pooled_width = encoder.width, encoder.pooled_width

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """tokens [batch, length_m, width_m] of each stream -> tokens [batch, largest length, width]."""
        counts = torch.stack([encoding.mask.sum(dim=1) for encoding in encodings.values()])  # [streams, batch]
        longest = counts.amax(dim=0)[:, None]  # [batch, 1]
        steps = torch.arange(max(encoding.mask.shape[1] for encoding in encodings.values()), device=counts.device)
        mask = steps < longest  # [batch, length]
        joined: Tensor | int = 0
        for (name, tokens), count in zip(self.project(encodings).items(), counts, strict=True):
            place = steps * count[:, None] // longest.clamp(min=1)  # [batch, length]: which of the tokens
            own = _nth(tokens, encodings[name].mask, place)
            joined = joined + own.masked_fill(~(mask & (count > 0)[:, None])[..., None], 0)
        return Fused(self.encoder({"values": joined, "mask": mask}))


def _nth(tokens: Tensor, mask: Tensor, place: Tensor) -> Tensor:
    """Of each row those tokens, counted without the padding: [batch, l, width], place [batch, length] -> [batch,
    length, width]; any token where there are not so many."""
    order = (~mask).byte().argsort(dim=1, stable=True)  # [batch, l]: where the first, the second, ... token stands
    where = order.gather(1, place.clamp(max=mask.shape[1] - 1))  # [batch, length]
    return tokens.gather(1, where[..., None].expand(-1, -1, tokens.shape[2]))
