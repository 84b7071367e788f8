"""Each: lists of values that another modality reads one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mmsdk.builtin.modalities.scalars import as_list, is_missing, shown
from mmsdk.containers import Inputs
from mmsdk.errors import DecodeError
from mmsdk.formats import Format
from mmsdk.interfaces import Corruption, Modality

Array = np.ndarray[Any, Any]
OF = "of."
"""What the keys of single values begin with."""
THERE = "there"
"""Which steps of a packed list have a value."""


class Each(Modality):
    """A list of values of another modality; None among them is an absent one.

    Kind "each": the tensors of its values [n, length, ...] under "of.<key>", and mask [n, length] bool. An item: a list
    of the other modality's items. Values of several columns are a mapping from column to list.
    """

    def __init__(self, of: Modality, max_length: int = 512) -> None:
        self.of, self.max_length = of, max_length
        self.fits, self.reads_files = of.fits, of.reads_files

    def fit(self, values: Iterable[Any]) -> None:
        self.of.fit(one for value in values for one in self._values(value) if one is not None)

    def state(self) -> dict[str, Any]:
        return self.of.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self.of.restore(state)

    @property
    def format(self) -> Format:
        return Format("each", of=self.of.format)

    def _values(self, value: Any) -> list[Any]:
        """The single values, None where one is missing.

        Raises:
            DecodeError: it is no list, or nothing is in it.
        """
        if isinstance(value, Mapping):
            columns = {name: cells for name, cells in value.items() if cells is not None}
            length = max((len(as_list(cells) or ()) for cells in columns.values()), default=0)
            if any(len(as_list(cells) or ()) != length for cells in columns.values()):
                raise DecodeError(f"expected lists of one length in {', '.join(map(shown, columns))}")
            rows = [{name: cells[place] for name, cells in columns.items()} for place in range(length)]
            values: list[Any] | None = [None if all(map(is_missing, row.values())) else row for row in rows]
        else:
            values = as_list(value)
        if not values or all(one is None for one in values):
            raise DecodeError(f"expected a list with a value for each step, got {shown(value)}")
        return values[: self.max_length]

    def prepare(self, value: Any) -> list[Any]:
        return [None if one is None else self._item(step, one) for step, one in enumerate(self._values(value))]

    def _item(self, step: int, value: Any) -> Any:
        try:
            return self.of.prepare(value)
        except DecodeError as error:
            raise DecodeError(f"step {step}: {error.reason}") from None

    @property
    def packs(self) -> bool:
        return self.of.packs

    def pack(self, item: list[Any]) -> Mapping[str, Array]:
        """Of each value that is there, what the other modality makes of it, as "0.<name>", "1.<name>" and so on."""
        there = [one for one in item if one is not None]
        parts = {f"{place}.{name}": part for place, one in enumerate(there) for name, part in self.of.pack(one).items()}
        return {THERE: np.array([one is not None for one in item]), **parts}

    def unpack(self, arrays: Mapping[str, Array]) -> list[Any]:
        parts: defaultdict[str, dict[str, Array]] = defaultdict(dict)
        for name, part in arrays.items():
            place, _, own = name.partition(".")
            parts[place][own] = part
        there = iter(range(len(arrays[THERE])))
        return [self.of.unpack(parts[str(next(there))]) if here else None for here in arrays[THERE]]

    def blank(self) -> list[Any]:
        return [self.of.blank()]

    @property
    def augments(self) -> bool:
        return self.of.augments

    def augment(self, item: list[Any], rng: np.random.Generator) -> list[Any]:
        return [None if one is None else self.of.augment(one, rng) for one in item]

    @property
    def corruptions(self) -> Mapping[str, Corruption]:
        """Those of the other modality, of every value in the list."""
        return {name: each._replace(apply=_for_all(each)) for name, each in self.of.corruptions.items()}

    def length(self, item: list[Any]) -> int:
        return len(item)

    def collate(self, items: Sequence[list[Any]]) -> Inputs:
        mask = torch.zeros(len(items), max(map(len, items)), dtype=torch.bool)  # [n, length]
        for row, item in zip(mask, items, strict=True):
            row[: len(item)] = torch.tensor([one is not None for one in item])
        single = self.of.collate([one for item in items for one in item if one is not None])
        inputs = {"mask": mask}
        for key, part in single.items():  # [values, ...]
            inputs[OF + key] = part.new_zeros(*mask.shape, *part.shape[1:])
            inputs[OF + key][mask] = part
        return inputs


def _for_all(corruption: Corruption) -> Callable[[list[Any], float, np.random.Generator], list[Any]]:
    return lambda item, severity, rng: [None if one is None else corruption.apply(one, severity, rng) for one in item]
