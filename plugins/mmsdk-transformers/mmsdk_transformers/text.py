"""`transformers.text`: token ids through a language model, or through the text tower of a model such as CLIP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mmsdk import ConfigError, Encoding, Inputs
from mmsdk_transformers.pretrained import Pretrained

UNMASKED = {"siglip", "siglip_text_model"}
"""They were trained with texts filled up to one length, without a mask, and pool what stands at the last place."""


class Text(Pretrained):
    """Token ids of the model's own tokenizer, as `transformers.tokens` gives them. Tokens [n, length, width].

    vocabulary: how many different ids the modality can give.

    Raises:
        ConfigError: that are more than the model has; see also `Pretrained`.
    """

    side = "text"

    def __init__(self, vocabulary: int, architecture: Mapping[str, Any], **options: Any) -> None:
        super().__init__(architecture, **options)
        text = self.settings.get_text_config()
        if vocabulary > text.vocab_size:
            raise ConfigError(
                f"the modality gives {vocabulary:,} different ids, '{self.settings.model_type}' knows "
                f"{text.vocab_size:,}: use modality 'transformers.tokens' with the same 'model'"
            )
        self.padding = text.pad_token_id if isinstance(text.pad_token_id, int) else 0
        if not 0 <= self.padding < text.vocab_size:
            self.padding = 0
        self.longest = _places(self.network)
        self.unmasked = self.settings.model_type in UNMASKED

    def forward(self, inputs: Inputs) -> Encoding:
        """ids [n, length] int64, mask [n, length] bool -> tokens, mask, pooled."""
        ids, mask = inputs["ids"], inputs["mask"]
        length = ids.shape[1]
        if self.longest is not None and length > self.longest:
            raise ConfigError(
                f"a text has {length} tokens, '{self.settings.model_type}' takes {self.longest}: "
                f"give the modality 'max_length: {self.longest}'"
            )
        ids = ids.masked_fill(~mask, self.padding)
        if self.unmasked:
            ids = F.pad(ids, (0, (self.longest or length) - length), value=self.padding)
            found = self.encode({"input_ids": ids})
            return self.encoding(found._replace(tokens=found.tokens[:, :length]), mask)
        seen = mask | ~mask.any(dim=1, keepdim=True)  # a row without any token attends to its padding
        return self.encoding(self.encode({"input_ids": ids, "attention_mask": seen.long()}), mask)


def _places(network: nn.Module) -> int | None:
    """How many tokens there are learned positions for; None where positions are computed."""
    for name, module in network.named_modules():
        if name.endswith(("position_embeddings", "position_embedding", "wpe")) and isinstance(module, nn.Embedding):
            weight: Tensor = module.weight
            return len(weight) - (0 if module.padding_idx is None else module.padding_idx + 1)
    return None
