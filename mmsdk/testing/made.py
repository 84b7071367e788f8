"""Made-up encodings: rows of different lengths, with every pattern of absence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from mmsdk.containers import Encoding
from mmsdk.formats import Source


def patterns(streams: int, absent: bool = True) -> list[list[bool]]:
    """Rows of presence [rows][streams]: all, all but one, one alone, none; an even number. Or all of them whole."""
    whole = [True] * streams
    if not absent:
        return [whole] * 6
    places = range(streams)
    one_missing = [[place != missing for place in places] for missing in places]
    one_alone = [[place == alone for place in places] for alone in places]
    found = [whole, *one_missing, *one_alone, [False] * streams]
    return found if len(found) % 2 == 0 else [*found, whole]


def encodings(sources: Mapping[str, Source], present: Sequence[Sequence[bool]], seed: int = 0) -> dict[str, Encoding]:
    """An encoding per stream, of different lengths, with zeros where nothing is. present [batch][streams]."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for place, (name, source) in enumerate(sources.items()):
        there = torch.tensor([row[place] for row in present])  # [batch]
        length = 3 + place
        lengths = torch.randint(1, length + 1, (len(there), 1), generator=generator)
        lengths[:1] = length  # somewhere there are several tokens of each stream: attention to one alone learns nothing
        mask = (torch.arange(length) < lengths) & there[:, None]  # [batch, length]
        tokens = torch.randn(*mask.shape, source.width, generator=generator)
        pooled = torch.randn(len(there), source.pooled_width, generator=generator)
        made[name] = Encoding(tokens * mask[..., None], mask, pooled * there[:, None])
    return made
