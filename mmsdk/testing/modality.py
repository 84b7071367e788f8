"""What every modality promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from mmsdk.cache.keys import content_key
from mmsdk.cache.store import Store, as_arrays, as_record
from mmsdk.components import ModalityConfig
from mmsdk.containers import Inputs
from mmsdk.errors import DataError, DecodeError
from mmsdk.folders import load_tree, save_tree
from mmsdk.interfaces import Modality
from mmsdk.proposal import Column
from mmsdk.testing.contract import Contract
from mmsdk.testing.trees import difference, tensors

KINDS: Mapping[str, Mapping[str, torch.dtype]] = {
    "pixels": {"pixels": torch.float32},
    "tokens": {"ids": torch.int64, "mask": torch.bool},
    "sequence": {"values": torch.float32, "mask": torch.bool},
    "waveform": {"samples": torch.float32, "mask": torch.bool},
    "spectrogram": {"frames": torch.float32, "mask": torch.bool},
    "frames": {"frames": torch.float32, "mask": torch.bool},
    "table": {"numbers": torch.float32, "categories": torch.int64},
    "label": {"ids": torch.int64},
    "labels": {"values": torch.float32},
    "number": {"values": torch.float32, "center": torch.float32, "scale": torch.float32},
    "soft_label": {"probabilities": torch.float32},
    "answers": {"probabilities": torch.float32, "votes": torch.float32, "people": torch.float32},
    "label_sequence": {"ids": torch.int64, "mask": torch.bool},
}
"""What `collate` gives for the standard kinds. Others, with a plugin's prefix, are free to choose."""


COLUMNS: Mapping[str, Sequence[Any]] = {
    "text": ["some words", "some others"],
    "category": ["a", "b", "a", "b"],
    "boolean": [True, False],
    "number": [1, 2.5],
    "list of numbers": [[1, 2], [3, 4]],
    "list of lists": [[[1, 2], [3, 4]], [[5, 6]]],
    "list of texts": [["a"], ["b", "c"]],
    "mapping": [{"a": 1}],
    "image file": ["absent.png", "\0.jpg"],
    "array file": ["absent.npy"],
    "audio file": ["absent.wav", "absent.mp3"],
    "video file": ["absent.mp4"],
    "url": ["https://example.org/a.png"],
    "mixed": [1, "a", [2]],
    "empty": [],
}
"""Columns of a table: by kind, as `mmsdk data` tells it, some values. No file that they name is there."""


class ModalityContract(Contract):
    """The promises of a modality.

    values: two or three raw values, of different lengths where the kind has a length; it is fitted on them.
    bad_values: values that it cannot read. tolerance: how far a decoded value may be off once it is read again.
    """

    config: ClassVar[ModalityConfig]
    values: ClassVar[Sequence[Any]]
    bad_values: ClassVar[Sequence[Any]] = ()
    tolerance: ClassVar[float] = 1e-5

    def fitted(self) -> Modality:
        """The modality, fitted on the values, which it may go through once."""
        modality = self.config.build()
        modality.fit(iter(self.values))
        return modality

    def collated(self, modality: Modality) -> Inputs:
        """All values as one batch."""
        return modality.collate([modality.prepare(value) for value in self.values])

    def test_it_is_a_modality_of_its_kind(self) -> None:
        """`gives` is the kind of the format."""
        modality = self.fitted()
        assert isinstance(modality, Modality), f"build() gives {type(modality).__name__}: derive it from Modality"
        gives, kind = self.config.gives, modality.format.kind
        assert gives == kind, f"gives = '{gives}', but its format is of kind '{kind}': name the same kind"

    def test_it_has_to_be_fitted(self) -> None:
        """Where `fits` is True, nothing but `fit` and `restore` works before; the error is a DataError."""
        modality = self.config.build()
        if not modality.fits:
            assert self.config.build().format == self.fitted().format, "fit() changes the format: set fits = True"
            return
        for use in (lambda: modality.prepare(self.values[0]), modality.state, lambda: modality.format):
            with pytest.raises(DataError):
                use()

    def test_batches_have_the_keys_of_their_kind(self) -> None:
        """Tensors, batch first; of the core's kinds with their keys and types."""
        modality = self.fitted()
        inputs, kind = self.collated(modality), modality.format.kind
        for key, part in inputs.items():
            assert isinstance(part, Tensor), f"collate gives '{key}' as {type(part).__name__}: make it a tensor"
            assert len(part) == len(self.values), f"collate gives '{key}' {list(part.shape)}: the batch comes first"
        if kind in KINDS:
            found = {key: part.dtype for key, part in inputs.items()}
            assert found == KINDS[kind], f"kind '{kind}' consists of {dict(KINDS[kind])}, collate gives {found}"

    def test_masks_begin_with_the_value(self) -> None:
        """mask [n, length] bool: True for as many steps as `length(item)` says, then False."""
        modality = self.fitted()
        items = [modality.prepare(value) for value in self.values]
        inputs, lengths = modality.collate(items), [modality.length(item) for item in items]
        assert all(isinstance(length, int) and length > 0 for length in lengths), f"length() gives {lengths}"
        if "mask" not in inputs:
            return
        mask = inputs["mask"]
        assert mask.dtype is torch.bool, f"mask is {mask.dtype}: make it bool"
        expected = torch.arange(mask.shape[1]) < torch.tensor(lengths)[:, None]
        assert torch.equal(mask, expected), f"length() says {lengths}, the mask {mask.sum(dim=1).tolist()}"

    def test_a_batch_of_one(self) -> None:
        """A value alone gives the tensors that it gives among others, but for padding."""
        modality = self.fitted()
        whole = self.collated(modality)
        for row, value in enumerate(self.values):
            for key, part in modality.collate([modality.prepare(value)]).items():
                among = whole[key][row : row + 1][tuple(slice(size) for size in part.shape)]
                wrong = difference(part, among)
                assert not wrong, f"value {row} alone: '{key}'{wrong}: values must not depend on one another"

    def test_preparing_is_pure(self) -> None:
        """`prepare` gives the same each time, and leaves value and state alone: items are cached."""
        modality = self.fitted()
        kept, state, first = deepcopy(list(self.values)), deepcopy(modality.state()), self.collated(modality)
        wrong = difference(self.collated(modality), first)
        assert not wrong, f"the second time, {wrong}: leave what is random to augment()"
        assert repr(list(self.values)) == repr(kept), "prepare changes the raw value: work on a copy"
        assert repr(modality.state()) == repr(state), "prepare changes the state: learn in fit() alone"

    def test_packed_items_come_back(self, tmp_path: Path) -> None:
        """Where `packs` is True: from the decoded cache, an item gives the same tensors and lengths, bit for bit, also
        when it is augmented."""
        modality = self.fitted()
        if not modality.packs:
            pytest.skip("nothing is packed: values are as quick to read as they are")
        items = [modality.prepare(value) for value in self.values]
        again = [
            modality.unpack(_stored(modality.pack(item), tmp_path / str(place))) for place, item in enumerate(items)
        ]
        wrong = difference(modality.collate(again), modality.collate(items), 0)
        assert not wrong, f"unpacked, {wrong}: pack() must not lose anything"
        assert [*map(modality.length, again)] == [*map(modality.length, items)], "unpacked, length() is another one"
        one, other = (
            modality.collate([modality.augment(item, np.random.default_rng(3)) for item in each])
            for each in (again, items)
        )
        wrong = difference(one, other, 0)
        assert not wrong, f"unpacked and augmented, {wrong}"
        wrong = difference(modality.collate(again), modality.collate(items), 0)
        assert not wrong, f"augment changes an unpacked item: {wrong}: make a new one"

    def test_a_blank_stands_beside_values(self) -> None:
        """`blank()` is an item like any other."""
        modality = self.fitted()
        whole = modality.collate([modality.prepare(self.values[0]), modality.blank()])
        alone = modality.collate([modality.blank()])
        assert set(whole) == set(alone) == set(self.collated(modality)), "blank() has other keys than values have"

    def test_augmentation_is_reproducible(self) -> None:
        """`augment` depends on the generator alone, leaves the item alone, and gives an item."""
        modality = self.fitted()
        for value in self.values:
            item = modality.prepare(value)
            before = modality.collate([deepcopy(item)])
            one, other = (modality.collate([modality.augment(item, np.random.default_rng(3))]) for _ in range(2))
            wrong = difference(modality.collate([item]), before)
            assert not wrong, f"augment changes the item: {wrong}: make a new one"
            wrong = difference(one, other)
            assert not wrong, f"with the same generator, {wrong}: draw every random number from `rng`"
            wrong = difference(one, before)
            assert modality.augments or not wrong, f"augment changes items, {wrong}, but `augments` is False"

    def test_corruptions_are_reproducible(self) -> None:
        """Each of its `corruptions` depends on severity and generator alone, leaves the item alone, gives an item, and
        changes something."""
        modality = self.fitted()
        items = [modality.prepare(value) for value in self.values]
        whole = modality.collate(items)
        for name, corruption in modality.corruptions.items():
            assert corruption.severities and corruption.unit, f"'{name}' needs severities and their unit"
            for severity in corruption.severities:
                tries = [
                    modality.collate([corruption.apply(item, severity, np.random.default_rng(seed)) for item in items])
                    for seed in (0, 0, *range(1, 20))
                ]
                wrong = difference(modality.collate(items), whole)
                assert not wrong, f"'{name}' changes the item: {wrong}: make a new one"
                wrong = difference(tries[0], tries[1])
                assert not wrong, f"'{name}', with the same generator: {wrong}: draw every random number from `rng`"
                types = {key: part.dtype for key, part in whole.items()}
                found = {key: part.dtype for key, part in tries[0].items()}
                assert found == types, f"'{name}' gives {found} instead of {types}"
                assert any(difference(each, whole) for each in tries), f"'{name}' at {severity} changes nothing"

    def test_bad_values_are_refused(self) -> None:
        """What cannot be read is a DecodeError that says what would be right."""
        modality = self.fitted()
        for value in self.bad_values:
            try:
                modality.prepare(value)
            except DecodeError as error:
                assert error.reason, f"the error for {value!r} says nothing: say what would be right"
            except Exception as error:
                pytest.fail(f"prepare({value!r}) raises {type(error).__name__}: raise DecodeError instead")
            else:
                pytest.fail(f"prepare({value!r}) gives something: raise DecodeError")

    def test_the_state_comes_back(self, tmp_path: Path) -> None:
        """Saved as JSON and tensors and restored, it does the same bit for bit."""
        first, second = self.fitted(), self.config.build()
        try:
            save_tree(first.state(), tmp_path / "state")
        except TypeError as error:
            pytest.fail(f"state() is not made of JSON values and tensors: {error}")
        second.restore(load_tree(tmp_path / "state"))
        assert second.format == first.format, f"restored, the format is {second.format} instead of {first.format}"
        wrong = difference(self.collated(second), self.collated(first))
        assert not wrong, f"restored, {wrong}: put all that fit() learns into state()"

    def test_a_copy_does_the_same(self) -> None:
        """Worker processes work with copies."""
        modality = self.fitted()
        wrong = difference(self.collated(deepcopy(modality)), self.collated(modality))
        assert not wrong, f"in a copy, {wrong}"

    def test_it_judges_any_column(self, tmp_path: Path) -> None:
        """`recognises` fails on no values, and what it proposes are settings that the declaration takes."""
        declaration = type(self.config)
        for kind, values in COLUMNS.items():
            proposal = declaration.recognises(Column("column", kind, values, tmp_path))
            if proposal is not None:
                assert 0 <= proposal.confidence <= 1, f"of {values} it is sure by {proposal.confidence}: give 0 to 1"
                declaration(**proposal.settings, **proposal.variation)

    def test_targets_can_be_read_again(self) -> None:
        """Where `targets` is True: what `decode` gives is a raw value that means the same."""
        modality = self.fitted()
        inputs = self.collated(modality)
        if not self.config.targets:
            pytest.skip("targets = False")
        decoded = modality.decode(inputs)
        assert len(decoded) == len(self.values), f"decode gives {len(decoded)} values for {len(self.values)} rows"
        again = modality.collate([modality.prepare(value) for value in decoded])
        wrong = difference(dict(tensors(again)), dict(tensors(inputs)), self.tolerance)
        assert not wrong, f"decoded and read again, {wrong}"


def _stored(packed: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What was packed, written to a file and mapped into memory."""
    for name, part in packed.items():
        assert isinstance(part, np.ndarray) and part.dtype.kind in "biuf", f"pack() gives '{name}' as {part!r}"
    key = content_key("item")
    Store(folder).add([(key, as_record(packed))])
    return as_arrays(Store(folder)[key])
