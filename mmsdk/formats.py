"""What an encoder, a fusion or a head has to know of its input in order to be built. Standard library only."""

from __future__ import annotations

from typing import NamedTuple


class Format(NamedTuple):
    """What a modality gives, once it is fitted. Only the fields that its kind uses are filled.

    kind: the name of the kind, such as "tokens"; an encoder binds to kinds, not to modalities.
    width: numbers per step (sequence, spectrogram), per row (table), or of the target (number, labels).
    vocabulary: how many different ids there are (tokens, label).
    sizes: how many different ids each categorical column has (table), or [height, width] (pixels).
    rate: steps per second (waveform, spectrogram, frames).
    of: the format of each single value (each).
    """

    kind: str
    width: int = 0
    vocabulary: int = 0
    sizes: tuple[int, ...] = ()
    rate: float | None = None
    of: Format | None = None


class Source(NamedTuple):
    """One input of a fusion or a head: the widths of its tokens and of its pooled vector, and where it came from.

    format: the stream's format; None for what a fusion made.
    temperature: at which pre-training compared the pooled vectors of this source with those of others, as in CLIP.
    """

    width: int
    pooled_width: int
    format: Format | None = None
    temperature: float | None = None
