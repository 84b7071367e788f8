"""`unet`: diffusers' UNet2DConditionModel."""

from __future__ import annotations

import math
from collections.abc import Sequence

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from mmsdk import ConfigError, Encoding
from mmsdk_diffusion.networks.denoiser import Denoiser


class UNet(Denoiser):
    """Convolutions on ever smaller pictures and back (Ronneberger et al., "U-Net", 2015; Rombach et al.,
    "High-Resolution Image Synthesis with Latent Diffusion Models", 2022, for the condition).

    Attention to the condition's tokens on every level but the first, where pictures have most pixels; the pooled vector
    is added to the time's.

    sizes: height and width. source_width, pooled_width: of the condition. channels: of each level; a level has half the
    height and width of the one before. layers: of each level. heads: of attention.

    Raises:
        ConfigError: the pictures cannot be halved that often.
    """

    def __init__(
        self,
        sizes: tuple[int, int],
        source_width: int,
        pooled_width: int,
        channels: Sequence[int] = (32, 64, 64),
        layers: int = 1,
        heads: int = 4,
    ) -> None:
        super().__init__()
        halvings = len(channels) - 1
        if any(size % 2**halvings for size in sizes):
            raise ConfigError(
                f"{len(channels)} levels halve a picture {halvings} times, which {sizes[0]} x {sizes[1]} pixels do not "
                f"allow: make the 'size' of the target a multiple of {2**halvings}, or give fewer 'channels'"
            )
        self.network = UNet2DConditionModel(
            sample_size=sizes,
            in_channels=3,
            out_channels=3,
            down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * halvings),
            up_block_types=(*["CrossAttnUpBlock2D"] * halvings, "UpBlock2D"),
            block_out_channels=tuple(channels),
            layers_per_block=layers,
            norm_num_groups=math.gcd(32, *channels),
            cross_attention_dim=source_width,
            attention_head_dim=heads,  # in diffusers this is the number of heads
            class_embed_type="projection",
            projection_class_embeddings_input_dim=pooled_width,
        )

    def forward(self, noisy: Tensor, times: Tensor, condition: Encoding) -> Tensor:
        predicted: Tensor = self.network(
            noisy,
            times,
            encoder_hidden_states=condition.tokens,
            encoder_attention_mask=condition.mask,
            class_labels=condition.pooled,
        ).sample
        return predicted
