"""`transformers.audio`: sound through a model of speech or of sounds, with the features it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmsdk import ConfigError, Encoding, Inputs
from mmsdk_transformers.native import explained, of_library
from mmsdk_transformers.network import Outputs
from mmsdk_transformers.pretrained import Pretrained

SPECTRAL = ("whisper", "audio-spectrogram-transformer", "clap")
"""Their features come from the library's own extractor, on the processor: numpy, one sound after the other."""
SHORTEST = 0.1
"""In seconds: what is shorter is filled up with silence, so that there is a frame at least."""


class Audio(Pretrained):
    """Sounds of the model's own rate. Tokens [n, frames, width].

    rate: samples per second of the modality. extractor: settings of the model's feature extractor.

    Raises:
        ConfigError: the rate is another one, or the model is none that is known here; see also `Pretrained`.
    """

    side = "audio"

    def __init__(
        self, rate: float | None, architecture: Mapping[str, Any], extractor: Mapping[str, Any] = {}, **options: Any
    ) -> None:
        super().__init__(architecture, **options)
        kind = self.settings.model_type
        self.raw = hasattr(self.settings, "conv_kernel") and hasattr(self.settings, "conv_stride")
        if not self.raw and kind not in SPECTRAL:
            raise ConfigError(f"'{kind}' is no model of sound that is known here: {', '.join(SPECTRAL)}, wav2vec2, ...")
        self.extractor = _extractor(self.settings, extractor)
        self.rate = int(self.extractor.sampling_rate)
        if rate != self.rate:
            raise ConfigError(
                f"'{kind}' hears {self.rate} samples per second, the modality gives {rate:g}: "
                f"give it 'rate: {self.rate}'"
            )

    def forward(self, inputs: Inputs) -> Encoding:
        """samples [n, time] float32, mask [n, time] bool -> tokens, mask, pooled."""
        mask = inputs["mask"]
        samples, lengths = inputs["samples"].float().masked_fill(~mask, 0), mask.sum(dim=1)  # [n, time], [n]
        outputs, frames = self._raw(samples, mask) if self.raw else self._spectral(samples, lengths)
        places = torch.arange(outputs.tokens.shape[1], device=mask.device)
        return self.encoding(outputs, (places < frames[:, None]) & (lengths > 0)[:, None])

    def _raw(self, samples: Tensor, mask: Tensor) -> tuple[Outputs, Tensor]:
        """Outputs, and how many frames of each row count, [n]."""
        missing = max(0, self._shortest() - samples.shape[1])
        samples, mask = (torch.nn.functional.pad(part, (0, missing)) for part in (samples, mask))
        heard = mask | (torch.arange(mask.shape[1], device=mask.device) < self._shortest())  # silence, where too short
        if self.extractor.do_normalize:
            samples = normalized(samples, mask).masked_fill(~heard, 0)
        lengths = heard.sum(dim=1)
        frames = self.network._get_feat_extract_output_lengths(lengths)  # type: ignore[operator]
        if getattr(self.settings, "feat_extract_norm", "layer") == "layer":
            return self.encode({"input_values": samples, "attention_mask": heard.long()}), frames
        # A norm over the whole length, as in wav2vec2-base, would see the padding: one sound after the other.
        alone = [
            self.encode({"input_values": row[None, :length]}).tokens[0]
            for row, length in zip(samples, lengths.tolist(), strict=True)
        ]
        return Outputs(pad_sequence(alone, batch_first=True), None), frames

    def _shortest(self) -> int:
        """How many samples the convolutions need for one frame."""
        need = 1
        for kernel, stride in reversed(list(zip(self.settings.conv_kernel, self.settings.conv_stride, strict=True))):
            need = (need - 1) * stride + kernel
        return need

    def _spectral(self, samples: Tensor, lengths: Tensor) -> tuple[Outputs, Tensor]:
        shortest = round(SHORTEST * self.rate)
        longest = getattr(self.extractor, "nb_max_samples", None)  # CLAP would cut out a random part
        rows = torch.nn.functional.pad(samples, (0, max(0, shortest - samples.shape[1]))).cpu()
        sounds = [
            row[: max(length, shortest)][:longest].numpy() for row, length in zip(rows, lengths.tolist(), strict=True)
        ]
        with torch.autocast("cpu", enabled=False):
            made = self.extractor(sounds, sampling_rate=self.rate, return_tensors="pt")
        name = self.extractor.model_input_names[0]
        features = {name: made[name].to(samples.device, torch.float32)}
        if "is_longer" in made:  # drawn at random where nothing is; nothing ever is here
            features["is_longer"] = torch.zeros(len(rows), 1, dtype=torch.bool, device=samples.device)
        outputs = self.encode(features)
        count = outputs.tokens.shape[1]
        if self.settings.model_type != "whisper":
            return outputs, torch.full_like(lengths, count)
        share = lengths * count / self.extractor.n_samples  # the rest of what it hears is silence
        return outputs, share.ceil().clamp(min=1, max=count)


def normalized(samples: Tensor, mask: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the samples of each row, [n, time]."""
    count = mask.sum(dim=1, keepdim=True).clamp(min=1)
    centred = samples - samples.sum(dim=1, keepdim=True) / count  # beyond the mask there are zeros
    variance = centred.masked_fill(~mask, 0).square().sum(dim=1, keepdim=True) / count
    return (centred * (variance + 1e-7).rsqrt()).masked_fill(~mask, 0)


def _extractor(settings: Any, own: Mapping[str, Any]) -> Any:
    """The feature extractor that belongs to the architecture; a name in its settings chooses nothing."""
    table = of_library("FEATURE_EXTRACTOR_MAPPING")
    with explained(f"the feature extractor of '{settings.model_type}'"):
        kind = table[type(settings)] if type(settings) in table else of_library("Wav2Vec2FeatureExtractor")
    try:
        return kind(**{key: value for key, value in own.items() if not key.endswith(("_type", "_class"))})
    except Exception as error:  # whatever the library finds wrong with them
        raise ConfigError(f"extractor: these are no settings of {kind.__name__}: {error}") from error
