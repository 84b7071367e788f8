"""What every encoder promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from mmsdk.components import EncoderConfig, ModalityConfig
from mmsdk.containers import Encoding, Inputs
from mmsdk.interfaces import Encoder, Modality
from mmsdk.testing.network import NetworkContract
from mmsdk.testing.trees import changed, difference, not_finite, rows, shown


class EncoderContract(NetworkContract):
    """The promises of an encoder.

    config: the encoder, narrow (`width=8`). modality: what gives its inputs, and values for it: two or three, of
    different lengths where the kind has a length. The modality is fitted on these values.
    """

    config: ClassVar[EncoderConfig]
    modality: ClassVar[ModalityConfig]
    values: ClassVar[Sequence[Any]]

    def fitted(self) -> Modality:
        """The modality, fitted on the values."""
        modality = self.modality.build()
        modality.fit(self.values)
        return modality

    def arguments(self) -> tuple[Any, ...]:
        return (self.fitted().format,)

    def given(self) -> Inputs:
        """The values, twice over, so that there is an even number of rows."""
        modality = self.fitted()
        return modality.collate([modality.prepare(value) for value in [*self.values, *self.values]])

    def masked(self) -> Inputs:
        """The inputs of a kind that has a length; other kinds are skipped."""
        given = self.given()
        if "mask" not in given:
            pytest.skip(f"kind '{self.modality.gives}' has no mask")
        return given

    @staticmethod
    def call(module: nn.Module, given: Any) -> dict[str, Tensor]:
        encoding: Encoding = module(given)
        return dict(encoding._asdict())

    def test_it_reads_what_the_modality_gives(self) -> None:
        """`reads` names the kind of the values here."""
        gives, reads = self.modality.gives, self.config.reads
        assert isinstance(reads, tuple), f"reads = {reads!r}: make it a tuple, such as ('{gives}',)"
        assert gives in reads, f"reads = {reads}, but the modality gives '{gives}': add it, or give another modality"

    def test_shapes_and_mask(self) -> None:
        """tokens [n, length, width], mask [n, length] bool, pooled [n, pooled_width], float32; every value present."""
        encoder, given = self.build(), self.given()
        assert isinstance(encoder, Encoder), f"build() gives {type(encoder).__name__}: derive it from Encoder"
        size, (tokens, mask, pooled) = 2 * len(self.values), encoder(given)
        assert mask.dtype is torch.bool, f"mask is {mask.dtype}: make it bool"
        assert mask.dim() == 2 and len(mask) == size, f"mask has the shape {list(mask.shape)}: [{size}, length]"
        shapes = ("tokens", tokens, (*mask.shape, encoder.width)), ("pooled", pooled, (size, encoder.pooled_width))
        for name, part, shape in shapes:
            assert part.shape == shape, f"{name} has the shape {list(part.shape)}, declared is {list(shape)}"
            assert part.dtype is torch.float32, f"{name} is {part.dtype} without autocast: keep float32"
        assert mask.any(dim=1).all(), "a row that holds a value has no True in its mask"
        assert not not_finite((tokens, pooled)), "tokens or pooled vectors are not finite"

    def test_the_widths_are_declared(self) -> None:
        """`config.widths()`, known before anything is built, is what is built."""
        encoder: Any = self.build()
        declared = self.config.widths()
        if declared is None:
            pytest.skip("widths() gives None")
        built = (encoder.width, encoder.pooled_width)
        assert declared == built, f"widths() says {declared}, the encoder has {built}: mend one of them"

    def test_an_absent_value_is_masked(self) -> None:
        """A row without any True in its mask is absent: masked, zeros, and finite, forward and backward."""
        given, encoder = self.masked(), self.build()
        mask = given["mask"].clone()
        mask[0] = False
        for name, part in (("one row", mask), ("every row", torch.zeros_like(mask))):
            absent = {**given, "mask": part}
            encoding = Encoding(**self.run(encoder, absent))
            gone = ~part.any(dim=1)
            assert not encoding.mask[gone].any(), f"{name} absent: a mask has a True: give the mask of the inputs on"
            wrong = not_finite(encoding) + not_finite(self.gradients(encoder, absent))
            assert not wrong, f"{name} absent: not finite: {wrong} - let an empty row attend to its padding"
            held = [key for key in ("tokens", "pooled") if getattr(encoding, key)[gone].count_nonzero()]
            assert not held, f"{name} absent: {held} are not zeros: masked_fill them"

    def test_padding_changes_nothing(self) -> None:
        """More padding, whatever stands in it, gives the same."""
        given, encoder = self.masked(), self.build()
        length = given["mask"].shape[1]

        def longer(part: Tensor) -> Tensor:
            if part.dim() < 2 or part.shape[1] != length:
                return part
            rubbish = part[:, :1].expand(-1, 3, *part.shape[2:])
            return torch.cat([part, torch.zeros_like(rubbish) if part.dtype is torch.bool else rubbish], dim=1)

        found, expected = (shown(self.run(encoder, each)) for each in (changed(given, longer), given))
        wrong = difference(found, expected, self.tolerance)
        assert not wrong, f"with more padding, {wrong}: use the mask in every mean, softmax and recurrence"

    def test_a_batch_of_one(self) -> None:
        """A value alone, without the padding that others bring, gives what it gives among them."""
        modality, encoder = self.fitted(), self.build()
        whole = self.run(encoder, self.given())
        for row, value in enumerate(self.values):
            alone = self.run(encoder, modality.collate([modality.prepare(value)]))
            wrong = difference(shown(alone), shown(rows(whole, row, row + 1)), self.tolerance)
            assert not wrong, f"value {row} alone: {wrong}: rows and padding must not matter to one another"

    def test_a_blank_stays_finite(self) -> None:
        """The stand-in for a batch without values is encoded too."""
        modality, encoder = self.fitted(), self.build()
        blank = modality.collate([modality.blank()])
        wrong = not_finite(self.run(encoder, blank)) + not_finite(self.gradients(encoder, blank))
        assert not wrong, f"not finite for blank(): {wrong}"

    def test_values_of_different_lengths_are_given(self) -> None:
        """Without them the promises about padding would say nothing."""
        lengths = self.masked()["mask"].sum(dim=1)
        assert lengths.min() < lengths.max(), "give `values` of different lengths"

    def test_blocks_are_parts(self) -> None:
        """`blocks`, in order of depth, are modules of the encoder; no parameter stands in two of them."""
        encoder: Any = self.build()
        modules = {id(module) for module in encoder.modules()}
        assert all(id(block) in modules for block in encoder.blocks), "a block is no module of the encoder"
        held = [id(parameter) for block in encoder.blocks for parameter in block.parameters()]
        assert len(set(held)) == len(held), "a parameter stands in two blocks: they must not overlap"
