"""Spectral features, in batches and on the device of the samples. Each frame looks at its own samples alone, so that
padding changes nothing; the last frame ends where the row does, and a row shorter than a frame is one frame."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmsdk import ConfigError

FLOOR = 1e-6
"""Added to the power of each mel bin; about what is left of a 16-bit recording of silence."""
CACHED = 2**18
"""Numbers of Fourier transforms that are made at a time on a processor: what lies between them stays in its cache."""
KALDI_SCALE = 2.0**15
KALDI_FLOOR = torch.finfo(torch.float32).eps
PREEMPHASIS = 0.97


class LogMel(nn.Module):
    """log(1 + power / FLOOR) in mel bins: triangles whose corners are evenly spaced in mel, 2595 log10(1 + f / 700).

    rate: samples per second. window, step: in seconds. low, high: in Hz, the outer corners; high None is rate / 2.
    dynamic_range: in decibels; what is further below the loudest bin of a row is raised to that.
    width: of what it gives.

    Raises:
        ConfigError: the bins are too many, or the frequencies are out of order or above rate / 2.
    """

    taper: Tensor
    filters: Tensor

    def __init__(
        self,
        rate: float,
        bins: int = 40,
        window: float = 0.025,
        step: float = 0.010,
        low: float = 20.0,
        high: float | None = None,
        dynamic_range: float | None = None,
    ) -> None:
        super().__init__()
        self.rate, self.bins, self.width = rate, bins, bins
        self.window, self.step = max(2, round(window * rate)), max(1, round(step * rate))
        self.size = 1 << (self.window - 1).bit_length()  # of the Fourier transform
        self.low, self.high = low, rate / 2 if high is None else high
        self.dynamic_range = dynamic_range
        if not self.low < self.high <= rate / 2:
            raise ConfigError(f"Mel bins from {low:g} to {self.high:g} Hz do not fit 0 to {rate / 2:g} Hz")
        filters = self._filters()
        if not filters.any(dim=0).all():
            raise ConfigError(
                f"{bins} mel bins are too many for windows of {self.window} samples at {rate:g} Hz: "
                "some would be empty. Give fewer 'bins', or a longer 'window'"
            )
        self.register_buffer("taper", self._taper(), persistent=False)  # [window]
        self.register_buffer("filters", filters, persistent=False)  # [size / 2 + 1, bins]

    def forward(self, samples: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """samples [n, time], mask [n, time] bool -> frames [n, length, width], mask [n, length] bool."""
        times = mask.sum(dim=1, keepdim=True)  # [n, 1]
        lengths = (1 + (times - self.window).clamp(min=0) // self.step) * (times > 0)
        length = 1 + max(0, samples.shape[1] - self.window) // self.step
        there = torch.arange(length, device=mask.device) < lengths  # [n, length]
        rows = self._together(samples, length)
        parts = zip(*(torch.split(each, rows) for each in (samples, mask, there)), strict=True)
        # Neither Fourier transforms nor logarithms of powers are for 16 bits.
        with torch.autocast(samples.device.type, enabled=False):
            return torch.cat([self._frames(*part) for part in parts]), there

    def _together(self, samples: Tensor, length: int) -> int:
        """How many of the rows are transformed at a time."""
        if samples.device.type != "cpu" or torch.compiler.is_exporting():  # a graph has no parts
            return len(samples)
        return max(1, CACHED // (self.size * length))

    def _frames(self, samples: Tensor, mask: Tensor, there: Tensor) -> Tensor:
        """samples, mask [n, time], there [n, length] -> [n, length, width]."""
        short = max(0, self.window - samples.shape[1])
        samples = functional.pad(samples.masked_fill(~mask, 0).float(), (0, short))
        pieces = self._prepared(samples.unfold(1, self.window, self.step)) * self.taper  # [n, length, window]
        spectrum = torch.view_as_real(torch.fft.rfft(pieces, n=self.size))
        squares = spectrum.flatten(-2).square()  # [n, length, size + 2]
        # Added before the product, which would take as long again with twice the columns; abs() takes longer still.
        power = (squares[..., 0::2] + squares[..., 1::2]) @ self.filters  # [n, length, bins]
        if self.dynamic_range is not None:
            loudest = power.masked_fill(~there[..., None], 0).amax(dim=(1, 2), keepdim=True)
            power = power.maximum(loudest * 10 ** (-self.dynamic_range / 10))
        return self._finished(power)

    def _taper(self) -> Tensor:
        return torch.hann_window(self.window)

    def _filters(self) -> Tensor:
        corners = 700 * (10 ** (torch.linspace(_mel(self.low), _mel(self.high), self.bins + 2).double() / 2595) - 1)
        return _triangles(torch.linspace(0, self.rate / 2, self.size // 2 + 1).double(), corners)

    def _prepared(self, pieces: Tensor) -> Tensor:
        return pieces

    def _finished(self, power: Tensor) -> Tensor:
        return torch.log(power * (1 / FLOOR) + 1)  # to 1e-7 what log1p gives, which takes a processor ten times as long


class Mfcc(LogMel):
    """Mel-frequency cepstral coefficients (Davis and Mermelstein, "Comparison of Parametric Representations for
    Monosyllabic Word Recognition", 1980): the first ones of a cosine transform of `LogMel`."""

    cosines: Tensor

    def __init__(self, rate: float, coefficients: int = 13, **options: float | int | None) -> None:
        super().__init__(rate, **options)  # type: ignore[arg-type]
        if coefficients > self.bins:
            raise ConfigError(f"{self.bins} mel bins have no {coefficients} coefficients: give 'coefficients' at most")
        self.width = coefficients
        places = (torch.arange(self.bins).double() + 0.5)[:, None]  # [bins, 1]
        cosines = torch.cos(math.pi / self.bins * places * torch.arange(coefficients)) * math.sqrt(2 / self.bins)
        cosines[:, 0] *= math.sqrt(0.5)  # so that the transform is orthonormal
        self.register_buffer("cosines", cosines.float(), persistent=False)  # [bins, coefficients]

    def _finished(self, power: Tensor) -> Tensor:
        return super()._finished(power) @ self.cosines


class Fbank(LogMel):
    """The filter banks of Kaldi (Povey et al., "The Kaldi Speech Recognition Toolkit", 2011), without its dither.

    Unlike `LogMel` it takes the mean off each frame, lifts high frequencies, and has triangles that are straight in
    mel rather than in Hz. Samples count as 16-bit whole numbers.
    """

    def _taper(self) -> Tensor:
        return torch.hann_window(self.window, periodic=False).pow(0.85)

    def _filters(self) -> Tensor:
        corners = torch.linspace(_mel(self.low), _mel(self.high), self.bins + 2).double()
        frequencies = self.rate / self.size * torch.arange(self.size // 2 + 1).double()
        filters = _triangles(2595 * torch.log10(1 + frequencies / 700), corners)
        filters[-1] = 0  # Kaldi leaves out the highest frequency
        return filters

    def _prepared(self, pieces: Tensor) -> Tensor:
        pieces = KALDI_SCALE * (pieces - pieces.mean(dim=2, keepdim=True))
        before = torch.cat([pieces[..., :1], pieces[..., :-1]], dim=2)
        return pieces - PREEMPHASIS * before

    def _finished(self, power: Tensor) -> Tensor:
        return power.clamp(min=KALDI_FLOOR).log()


def _mel(frequency: float) -> float:
    return 2595 * math.log10(1 + frequency / 700)


def _triangles(places: Tensor, corners: Tensor) -> Tensor:
    """Weights [places, bins] that rise from one corner to the next and fall to the one after; corners [bins + 2]."""
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (places[:, None] - left) / (middle - left)
    falling = (right - places[:, None]) / (right - middle)
    return torch.minimum(rising, falling).clamp(min=0).float()
