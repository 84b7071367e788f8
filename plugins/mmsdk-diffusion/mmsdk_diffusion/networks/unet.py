"""`unet`: diffusers' UNet2DConditionModel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
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
    height and width of the one before. layers: of each level. heads: of attention. patch: side of the square of pixels
    that is one place on the first level.

    Raises:
        ConfigError: the pictures cannot be divided so.
    """

    def __init__(
        self,
        sizes: tuple[int, int],
        source_width: int,
        pooled_width: int,
        channels: Sequence[int] = (32, 64, 64),
        layers: int = 1,
        heads: int = 4,
        patch: int = 1,
    ) -> None:
        super().__init__()
        halvings = len(channels) - 1
        factor = patch * 2**halvings
        if any(size % factor for size in sizes):
            raise ConfigError(
                f"{len(channels)} levels of patches of {patch} need sides that are multiples of {factor}, and the "
                f"target's are {sizes[0]} and {sizes[1]}: change its 'size', or give fewer 'channels', or a smaller "
                "'patch'"
            )
        self.patch = patch
        self.network = UNet2DConditionModel(
            sample_size=(sizes[0] // patch, sizes[1] // patch),
            in_channels=3 * patch**2,
            out_channels=3 * patch**2,
            down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * halvings),
            up_block_types=(*["CrossAttnUpBlock2D"] * halvings, "UpBlock2D"),
            block_out_channels=tuple(channels),
            layers_per_block=layers,
            norm_num_groups=math.gcd(64, *channels) // 2 or 1,  # of two channels at least
            cross_attention_dim=source_width,
            attention_head_dim=heads,  # in diffusers this is the number of heads
            class_embed_type="projection",
            projection_class_embeddings_input_dim=pooled_width,
        )

    def forward(self, noisy: Tensor, times: Tensor, condition: Encoding) -> Tensor:
        told = self.network(
            F.pixel_unshuffle(noisy, self.patch),  # [n, 3 * patch * patch, height / patch, width / patch]
            times,
            encoder_hidden_states=condition.tokens,
            encoder_attention_mask=condition.mask,
            class_labels=condition.pooled,
        ).sample
        return F.pixel_shuffle(told, self.patch)
