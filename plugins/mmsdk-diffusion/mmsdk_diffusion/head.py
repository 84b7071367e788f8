"""`diffusion.image`: a picture, drawn from noise as the source says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from PIL.Image import Image
from torch import Tensor

from mmsdk import ConfigError, Encoding, HeadOutput, Inputs, Modality, Step, TaskHead
from mmsdk import Prediction as Predicted
from mmsdk_diffusion.averaging import Average
from mmsdk_diffusion.grid import grid
from mmsdk_diffusion.metrics import NoiseError
from mmsdk_diffusion.networks.denoiser import Denoiser
from mmsdk_diffusion.noising import TIMES, FixedNoise, Noising, Prediction
from mmsdk_diffusion.sampling import Sampling, draw, without


class ImageHead(TaskHead):
    """Learns to tell noise from pictures, given what it reads; to predict is to draw.

    In training, what it reads is absent in a share of the rows, so that it learns what any picture looks like, too:
    that is what guidance needs, and what an absent row gets. The loss is the squared error of what is predicted, a mean
    over pixels, summed over rows. Where no gradients are asked for, the running average of the weights is at work.

    network: the denoiser. sizes: height and width of the pictures. drop: chance of each row to lose its condition.
    average: decay of the running average. sampling: how pictures are drawn; it can be set anew at any time.
    sketch_every: epochs between sketches of `sketch_samples` samples; 0 for none.
    """

    def __init__(
        self,
        network: Denoiser,
        sizes: tuple[int, int],
        *,
        prediction: Prediction = "v",
        drop: float = 0.1,
        average: float = 0.999,
        sampling: Sampling | None = None,
        sketch_every: int = 0,
        sketch_samples: int = 16,
    ) -> None:
        super().__init__()
        self.network, self.sizes = network, sizes
        self.average = Average(network, average)
        self.noising, self.fixed_noise = Noising(prediction), FixedNoise(sizes)
        self.drop, self.sampling = drop, sampling or Sampling()
        self.sketch_every, self.sketch_samples = sketch_every, sketch_samples

    def forward(self, reads: Mapping[str, Encoding], target: Inputs | None, step: Step) -> HeadOutput:
        """scores: with a target the error of each row, [batch]; without one the pictures that are drawn, as pixels in
        0..1, [batch, number, 3, height, width]."""
        (condition,) = reads.values()
        if target is None:
            return HeadOutput(scores=self.draw(condition), present=condition.present)
        counts = condition.present & target["present"]
        pictures = 2 * target["pixels"].float() - 1
        if self.training and torch.is_grad_enabled():
            self.average.update(self.network)  # with the weights that the last step left
            noise, where = self._random(pictures, step.generator)
            dropped = torch.rand(len(counts), generator=step.generator, device=counts.device) < self.drop
        else:
            noise, where = self.fixed_noise(pictures)
            dropped = torch.zeros_like(counts)
        noisy, times, wanted = self.noising(pictures, noise, where)
        told = self._denoise(noisy, times, without(condition, dropped))
        errors = (told - wanted).square().mean(dim=(1, 2, 3)) * self.noising.weights(times)  # [batch]
        errors = errors.masked_fill(~counts, 0)
        return HeadOutput(errors.sum(), counts.sum(), errors.detach(), condition.present)

    def draw(self, condition: Encoding) -> Tensor:
        """Pixels in 0..1, [batch, number, 3, height, width], as `sampling` says."""
        self.require(self.sampling)
        nothing = torch.zeros_like(condition.present)
        shape = (3, *self.sizes)
        pictures = draw(self._denoise, without(condition, nothing), shape, self.noising.prediction, self.sampling)
        return (pictures.float() / 2 + 0.5).clamp(0, 1)

    def require(self, sampling: Sampling) -> None:
        """Refuse what this head cannot draw by.

        Raises:
            ConfigError: says what would be right.
        """
        flow = self.noising.prediction == "flow"
        if (sampling.scheduler == "euler") != flow:
            right = "euler" if flow else "ddpm, ddim or dpm_solver"
            raise ConfigError(
                f"scheduler '{sampling.scheduler}' cannot be used: this head was trained with 'prediction: "
                f"{self.noising.prediction}', which takes {right}"
            )
        if not 1 <= sampling.steps <= TIMES:
            raise ConfigError(f"steps is {sampling.steps}: give 1 to {TIMES}")
        if not -1 <= sampling.guidance <= 100:
            raise ConfigError(f"guidance is {sampling.guidance:g}: give 0 for none, up to 100, or -1 for any picture")
        if sampling.guidance != 0 and not self.drop:
            raise ConfigError(
                f"guidance is {sampling.guidance:g}, but this head was trained with 'drop: 0', so that it does not "
                "know pictures without a condition: give guidance 0"
            )
        if sampling.number < 1:
            raise ConfigError(f"number is {sampling.number}: give 1 or more")
        if not 0 <= sampling.seed < 2**31:
            raise ConfigError(f"seed is {sampling.seed}: give 0 to {2**31 - 1}")

    def _denoise(self, noisy: Tensor, times: Tensor, condition: Encoding) -> Tensor:
        network = self.network if torch.is_grad_enabled() else self.average.network
        told: Tensor = network(noisy, times, condition)
        return told.float()

    def _random(self, pictures: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Noise, and times that are spread evenly (Kingma et al., "Variational Diffusion Models", 2021)."""
        noise = torch.randn(pictures.shape, generator=generator, device=pictures.device)
        first = torch.rand(1, generator=generator, device=pictures.device)
        return noise, (first + torch.arange(len(pictures), device=pictures.device) / len(pictures)) % 1

    def decode(self, output: HeadOutput, target: Modality | None) -> list[Predicted]:
        """A Pillow image of each row; a list of them where `sampling.number` is more than 1."""
        assert target is not None and output.scores is not None
        number = output.scores.shape[1]
        images = target.decode({"pixels": output.scores.flatten(0, 1)})
        rows = [images[start : start + number] for start in range(0, len(images), number)]
        return [Predicted(row[0] if number == 1 else row) for row in rows]

    def sketch(self, epoch: int, predict: Callable[[int], Sequence[Predicted]]) -> Image | None:
        """What it draws for a few samples, every `sketch_every` epochs."""
        if not self.sketch_every or epoch % self.sketch_every:
            return None
        return grid([[prediction.value for prediction in predict(self.sketch_samples)]])

    def metrics(self) -> Mapping[str, NoiseError]:
        return {"noise_error": NoiseError()}
