"""Declarations. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mmsdk import Dropout, Format, HeadConfig, Source

if TYPE_CHECKING:
    from mmsdk import TaskHead
    from mmsdk_diffusion.networks.denoiser import Denoiser

Positive = Annotated[int, Field(gt=0)]


class Part(BaseModel):
    """A part of a declaration: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MLPConfig(Part):
    """Layers over all pixels at once, with the pooled vector as condition. For very small pictures."""

    type: Literal["mlp"] = "mlp"
    width: Positive = Field(512, description="of the hidden layers")
    layers: Positive = Field(4, description="hidden layers")

    def build(self, source: Source, sizes: tuple[int, int]) -> Denoiser:
        from mmsdk_diffusion.networks.mlp import MLP

        return MLP(sizes, source.pooled_width, self.width, self.layers)


class UNetConfig(Part):
    """The `UNet2DConditionModel` of diffusers: attention to the tokens on all levels but the first, the pooled vector
    beside the time."""

    type: Literal["unet"] = "unet"
    channels: list[Annotated[int, Field(ge=4)]] = Field(
        [32, 64, 64], min_length=1, description="of each level; a level has half the height and width of the one before"
    )
    layers: Positive = Field(1, description="of each level")
    heads: Positive = Field(4, description="of attention; they share the channels of a level evenly")

    patch: Positive = Field(1, description="side of the square of pixels that is one place; 2 is four times as fast")

    @model_validator(mode="after")
    def _even_heads(self) -> UNetConfig:
        for channels in self.channels:
            if channels % self.heads:
                raise ValueError(f"{self.heads} heads cannot share {channels} channels evenly: change one of them")
        return self

    def build(self, source: Source, sizes: tuple[int, int]) -> Denoiser:
        from mmsdk_diffusion.networks.unet import UNet

        return UNet(sizes, source.width, source.pooled_width, self.channels, self.layers, self.heads, self.patch)


class SamplingConfig(Part):
    """How pictures are drawn; all of it can be changed after training."""

    scheduler: Literal["ddpm", "ddim", "dpm_solver", "euler"] | None = Field(
        None, description="by default euler for 'prediction: flow', which needs it, and ddim for the others"
    )
    steps: int = Field(50, gt=0, le=1000, description="how often the network is asked for a picture")
    guidance: float = Field(
        0.5, ge=-1, le=100, description="0: the condition as it was learned; more exaggerates it; -1 ignores it"
    )
    seed: int = Field(0, ge=0, lt=2**31, description="another one draws other pictures")


class ImageConfig(HeadConfig):
    """Draws pictures from noise, as the source says, by diffusion or flow matching.

    The target is a picture. Beside each epoch's figures it can leave sketches in the run's folder.
    """

    type: Literal["diffusion.image"] = "diffusion.image"
    target_modality: ClassVar[str | None] = "image"

    network: Annotated[MLPConfig | UNetConfig, Field(discriminator="type")] = Field(
        UNetConfig(), description="what tells noise from picture"
    )
    prediction: Literal["epsilon", "v", "sample", "flow"] = Field(
        "flow",
        description="what it tells: the noise; a mixture; the picture; or noise - picture (flow matching)",
    )
    drop: Dropout = Field(0.1, description="chance of each row in training to lose its condition; guidance needs it")
    average: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.999,
        description="of weights over the steps, which pictures are drawn with: the share that a step keeps",
    )
    sampling: SamplingConfig = Field(SamplingConfig(), description="how pictures are drawn when predicting")
    sketch_every: int = Field(0, ge=0, description="epochs between pictures in the run's folder; 0 for none")
    sketch_samples: Positive = Field(16, description="how many samples of the valid split these show")

    @field_validator("metrics")
    @classmethod
    def _no_more_metrics(cls, names: list[str]) -> list[str]:
        if names:
            raise ValueError(f"Head 'diffusion.image' takes no more metrics than its own: remove '{names[0]}'.")
        return names

    @model_validator(mode="after")
    def _whole(self) -> ImageConfig:
        modality = self.target_config()
        if modality is not None and modality.gives != "pixels":
            raise ValueError(
                f"Head 'diffusion.image' takes targets of kind 'pixels', but '{modality.type_name()}' gives "
                f"'{modality.gives}': choose 'image'."
            )
        scheduler = self.sampling.scheduler
        if scheduler is not None and (scheduler == "euler") != (self.prediction == "flow"):
            raise ValueError(
                f"'scheduler: {scheduler}' does not go with 'prediction: {self.prediction}': euler and flow need "
                "each other"
            )
        if self.sampling.guidance != 0 and not self.drop:
            raise ValueError("'drop: 0' leaves nothing to guide away from: give 'guidance: 0', or a 'drop' such as 0.1")
        return self

    def build(self, sources: Mapping[str, Source], target: Format | None) -> TaskHead:
        from mmsdk_diffusion.head import ImageHead
        from mmsdk_diffusion.sampling import Sampling

        assert target is not None
        (source,) = sources.values()
        height, width = target.sizes
        sampling = self.sampling.model_dump()
        sampling["scheduler"] = sampling["scheduler"] or ("euler" if self.prediction == "flow" else "ddim")
        return ImageHead(
            self.network.build(source, (height, width)),
            (height, width),
            prediction=self.prediction,
            drop=self.drop,
            average=self.average,
            sampling=Sampling(**sampling),
            sketch_every=self.sketch_every,
            sketch_samples=self.sketch_samples,
        )
