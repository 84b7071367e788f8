"""What stands in for a stream's modality where its encodings are known: the values of a batch are encodings already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from mmsdk.cache.looks import Keys
from mmsdk.cache.store import Store
from mmsdk.containers import Encoding
from mmsdk.formats import Format
from mmsdk.interfaces import Modality


class Encoded(Modality):
    """Reads the encodings of values from a store; a batch of them goes where the encoder's output would.

    modality: the stream's own, which decodes what is not in the store, so that its errors stay what they are.
    width, pooled_width: of the encoder.
    """

    def __init__(self, modality: Modality, store: Store, keys: Keys, width: int, pooled_width: int) -> None:
        self.modality, self.store, self.keys = modality, store, keys
        self.width, self.pooled_width = width, pooled_width
        self.reads_files, self.takes_empty = modality.reads_files, modality.takes_empty  # type: ignore[misc]

    @property
    def format(self) -> Format:
        return self.modality.format

    def prepare(self, value: Any) -> Encoding:
        """The value's encoding: tokens [length, width], mask [length], pooled [pooled_width].

        Raises:
            DecodeError: the value cannot be read.
        """
        try:
            return Encoding(**self.store[self.keys(value)])
        except (OSError, KeyError):
            self.modality.prepare(value)  # says why it was not encoded
            raise

    def blank(self) -> Encoding:
        return Encoding(torch.zeros(1, self.width), torch.zeros(1, dtype=torch.bool), torch.zeros(self.pooled_width))

    def length(self, item: Encoding) -> int:
        return len(item.mask)

    def collate(self, items: Sequence[Encoding]) -> Encoding:  # type: ignore[override]
        """Of values with lengths of their own: tokens [n, longest, width], mask [n, longest], pooled."""
        tokens, masks, pooled = zip(*items, strict=True)
        join = torch.stack if len({len(mask) for mask in masks}) == 1 else _padded
        return Encoding(join(tokens).float(), join(masks).bool(), torch.stack(pooled).float())


def _padded(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return pad_sequence(list(parts), batch_first=True)
