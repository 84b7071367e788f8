"""`fusion.mag`: the multimodal adaptation gate."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmsdk import Encoding, FeatureFusion, Fused, Parts, Source
from mmsdk_fusion.vectors import one_vector, presence, vectors


class AdaptationGate(FeatureFusion):
    """The vector Z of the main stream, shifted by the others: h = norm(Z + a H) with a = min(|Z| / |H| * beta, 1),

    H = sum_m g_m * (W_m z_m) + b and g_m = relu(V_m [Z; z_m] + c_m). Rahman et al., "Integrating Multimodal
    Information in Large Pretrained Transformers", 2020 (MAG-BERT). `norm` is layer normalisation and dropout. The
    paper shifts each word by what keeps step with it; so does `fusion.aligned` with `of: fusion.mag`.

    An absent stream adds nothing to H, and without any there is no H: as if it were not there. Where the main one is
    absent, H stands alone; what stands in its slot does not matter: absence is independent. Costs two
    products of matrices per further stream.
    """

    def __init__(self, sources: Mapping[str, Source], main: str, beta: float = 1.0, dropout: float = 0.0) -> None:
        super().__init__()
        width = sources[main].pooled_width
        others = {name: source.pooled_width for name, source in sources.items() if name != main}
        self.width = self.pooled_width = width
        self.main, self.beta = main, beta
        self.gates = Parts({name: nn.Linear(width + other, width) for name, other in others.items()})
        self.values = Parts({name: nn.Linear(other, width, bias=False) for name, other in others.items()})
        self.bias = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, the main stream's pooled_width]."""
        pooled, present = vectors(encodings), presence(encodings)
        main = pooled.pop(self.main)  # Z, [batch, width]
        shift: Tensor = self.bias
        for name, other in pooled.items():
            gate = self.gates[name](torch.cat([main, other], dim=1)).relu()
            shift = shift + gate * self.values[name](other)  # the value of an absent stream is zeros
        there = torch.stack([encodings[name].present for name in pooled]).any(dim=0)
        shift = shift.masked_fill(~there[:, None], 0).float()  # H, [batch, width]
        lengths = [torch.linalg.vector_norm(each, dim=1, keepdim=True) for each in (main.float(), shift)]
        share = (lengths[0] / lengths[1].clamp(min=1e-6) * self.beta).clamp(max=1)
        share = share.masked_fill(~encodings[self.main].present[:, None], 1)
        return one_vector(self.dropout(self.norm(main + share * shift)), present)
