"""What every feature-level fusion promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn

from mmsdk.components import FusionConfig
from mmsdk.containers import Encoding, Fused
from mmsdk.formats import Format, Source
from mmsdk.interfaces import FeatureFusion
from mmsdk.testing.absence import AbsenceContract
from mmsdk.testing.made import encodings, patterns
from mmsdk.testing.trees import changed, difference, not_finite, rows, shown
from mmsdk.testing.xor import accuracy


class FusionContract(AbsenceContract):
    """The promises of a feature-level fusion.

    config: the strategy, narrow (`width=8`) and without dropout.
    sources: the streams to join; by default three whose names are in no order. Give two where the strategy takes two.
    fuses: whether a linear layer over its result can learn XOR of two streams; a mean cannot.
    pair: the two streams that XOR is made of; the first two by default.
    learning_rate, steps: how XOR is trained.
    order: "any" claims that the result does not depend on the order in which the mapping lists the streams. The
    pipeline always lists them in the order of the config.
    """

    config: ClassVar[FusionConfig]
    sources: ClassVar[Mapping[str, Source]] = {
        "words": Source(6, 5, Format("tokens", vocabulary=9)),
        "type": Source(4, 7, Format("table", width=3)),
        "parameters": Source(3, 3, Format("sequence", width=2)),
    }
    fuses: ClassVar[bool] = True
    pair: ClassVar[tuple[str, str] | None] = None
    learning_rate: ClassVar[float] = 0.01
    steps: ClassVar[int] = 150
    order: ClassVar[Literal["config", "any"]] = "config"

    def arguments(self) -> tuple[Any, ...]:
        complaint = self.config.check(list(self.sources))
        assert complaint is None, f"check() refuses the streams of this test: {complaint} Give other `sources`"
        return (self.sources,)

    def given(self) -> dict[str, Encoding]:
        """Every pattern of present and absent streams; where absence is unsupported, whole rows."""
        return encodings(self.sources, patterns(len(self.sources), self.config.absence != "unsupported"))

    @staticmethod
    def call(module: nn.Module, given: Any) -> dict[str, Tensor]:
        fused: Fused = module(given)
        named: dict[str, Tensor] = dict(fused.encoding._asdict())
        for name, stream in fused.streams.items():
            named |= {f"streams.{name}.{part}": tensor for part, tensor in stream._asdict().items()}
        named |= {f"losses.{name}": loss for name, loss in fused.losses.items()}
        return named | ({} if fused.weights is None else {"weights": fused.weights})

    def test_shapes_and_masks(self) -> None:
        """tokens [batch, length, width], mask [batch, length] bool, pooled [batch, pooled_width]; so for streams."""
        fusion, given = self.build(), self.given()
        assert isinstance(fusion, FeatureFusion), f"build() gives {type(fusion).__name__}: derive it from FeatureFusion"
        fused = fusion(given)
        size = len(next(iter(given.values())).mask)
        _check("the fused", fused.encoding, size, fusion.width, fusion.pooled_width)
        expected = list(self.sources) if self.config.contextual else []
        claim = "contextual is True: give the tokens of" if expected else "contextual is False: give no"
        assert list(fused.streams) == expected, f"{claim} streams {expected}, in this order, not {list(fused.streams)}"
        for name, stream in fused.streams.items():
            _check(f"stream '{name}': its", stream, size, fusion.width, fusion.width)
        for name, loss in fused.losses.items():
            assert loss.dim() == 0, f"the loss '{name}' has the shape {list(loss.shape)}: give its sum over rows"

    def test_weights_tell_who_counted(self) -> None:
        """weights [batch, streams], where a strategy gives them: in the order of the config, 0 for absent streams."""
        given = self.given()
        weights = self.run(self.build(), given).get("weights")
        if weights is None:
            pytest.skip("it gives no weights")
        absent = ~torch.stack([encoding.present for encoding in given.values()], dim=1)
        assert weights.shape == absent.shape, f"weights have the shape {list(weights.shape)}: give [batch, streams]"
        if self.config.absence != "imputed":
            assert not weights[absent].any(), "an absent stream has a weight: give 0 there, in the order of the config"

    def test_attention_tells_which_tokens_counted(self) -> None:
        """attention(...), where a strategy has it: [batch, length] of each stream; rows add up to 1, padding has 0."""
        given, fusion = self.given(), self.build()
        assert isinstance(fusion, FeatureFusion)
        with torch.no_grad():
            found = fusion.attention(changed(given, torch.clone))
            again = fusion.attention(rows(given, 1, 2)) if found else {}
        if not found:
            pytest.skip("it gives no attention")
        assert list(found) == list(given), f"attention has {list(found)}: give {list(given)}, in this order"
        for name, encoding in given.items():
            shape, wanted = list(found[name].shape), list(encoding.mask.shape)
            assert shape == wanted, f"stream '{name}': attention has the shape {shape}: give [batch, length] {wanted}"
            assert not found[name][~encoding.mask].any(), f"stream '{name}': its padding has attention: give 0 there"
            assert (found[name] >= 0).all(), f"stream '{name}': attention is below 0: give shares"
        there = torch.stack([encoding.present for encoding in given.values()]).any(dim=0)
        sums = torch.stack([share.sum(dim=1) for share in found.values()]).sum(dim=0)
        wrong = difference(shown({"sum": sums}), shown({"sum": there.float()}), self.tolerance)
        assert not wrong, f"{wrong}: the shares of a row add up to 1 over all its streams, or to 0 without any"
        alone = difference(shown(again), shown(rows(found, 1, 2)), self.tolerance)
        assert not alone, f"row 1 alone: {alone}: rows must not depend on one another"

    def test_a_row_is_there_where_streams_are(self) -> None:
        """A row with all its streams is present; one without any is absent, and all its tensors are zeros."""
        given = self.given()
        fused = Encoding(*(self.run(self.build(), given)[name] for name in Encoding._fields))
        there = torch.stack([encoding.present for encoding in given.values()])
        assert fused.present[there.all(dim=0)].all(), "a row with all streams has no True in its mask"
        nothing = ~there.any(dim=0)
        assert not fused.mask[nothing].any(), "a row without any stream has a True in its mask: it is absent"
        absent = ~fused.present
        held = [name for name in ("tokens", "pooled") if getattr(fused, name)[absent].any()]
        assert not held, f"{held} of an absent row are not zeros: multiply them with the mask, or use masked_fill"

    def test_rows_without_any_stream_stay_finite(self) -> None:
        """No NaN where nothing is present in the whole batch, forward or backward, in any precision."""
        if self.config.absence == "unsupported":
            pytest.skip("absence = 'unsupported'")
        nothing = encodings(self.sources, [[False] * len(self.sources)] * 2)
        fusion = self.build()
        for enabled in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                wrong = not_finite(self.run(fusion, nothing)) + not_finite(self.gradients(fusion, nothing))
            assert not wrong, f"not finite where nothing is present: {wrong} - mask before a softmax, clamp a count"

    @pytest.mark.parametrize("place", ["end", "start"])
    def test_padding_changes_nothing(self, place: str) -> None:
        """More padding, whatever stands in it and at whichever end, gives the same."""
        given, fusion = self.given(), self.build()
        sides = (0, 3) if place == "end" else (3, 0)
        pad = nn.functional.pad
        longer = {
            name: Encoding(pad(each.tokens, (0, 0, *sides), value=9.0), pad(each.mask, sides), each.pooled)
            for name, each in given.items()
        }
        found = difference(shown(self.run(fusion, longer)), shown(self.run(fusion, given)), self.tolerance)
        assert not found, f"with more padding, {found}: use the mask wherever tokens are joined"

    def test_a_batch_of_one(self) -> None:
        """A row alone gives what it gives among others."""
        given, fusion = self.given(), self.build()
        whole = {name: part for name, part in self.run(fusion, given).items() if part.dim()}  # no sums over rows
        for row in range(len(next(iter(given.values())).mask)):
            alone = self.run(fusion, rows(given, row, row + 1))
            among = shown(rows(whole, row, row + 1))
            found = difference(shown({name: alone[name] for name in whole}), among, self.tolerance)
            assert not found, f"row {row} alone: {found}: rows must not depend on one another"

    def test_the_number_of_parameters_is_declared(self) -> None:
        """`config.parameters(sources)` is exact, so that a fusion that is too large is refused before it is built."""
        if self.config.parameters(self.sources) is None:
            pytest.skip("parameters() gives None")
        names = list(self.sources)
        for chosen in (names, names[:-1], names[1:]):
            sources = {name: self.sources[name] for name in chosen}
            if sources and self.config.check(chosen) is None:
                fusion: Any = self.config.build(sources)
                real = sum(parameter.numel() for parameter in fusion.parameters())
                said = self.config.parameters(sources)
                assert said == real, f"parameters() says {said} for {chosen}, but it has {real}: mend the formula"

    def test_any_order_of_streams_gives_the_same(self) -> None:
        """Only where `order = "any"`: streams are found by their names alone."""
        if self.order == "config":
            pytest.skip("order = 'config'")
        given, fusion = self.given(), self.build()
        turned = dict(reversed(given.items()))
        found = difference(shown(self.run(fusion, turned)), shown(self.run(fusion, given)), self.tolerance)
        assert not found, f"in another order, {found}: find streams by name, or set order = 'config'"

    def test_it_learns_xor(self) -> None:
        """It learns what only two streams together tell, with a linear layer behind it; or says that it cannot."""
        first, second = self.pair or list(self.sources)[:2]
        found = accuracy(self.config, self.sources, (first, second), self.learning_rate, self.steps)
        if self.fuses:
            assert found >= 0.95, (
                f"XOR of two streams is learned to {found:.2f}: look at the initialisation, give another learning_rate "
                "or more steps, or set fuses = False where a strategy only adds streams up"
            )
        else:
            assert found <= 0.85, f"it does learn XOR, to {found:.2f}: set fuses = True"


def _check(whose: str, encoding: Encoding, size: int, width: int, pooled_width: int) -> None:
    tokens, mask, pooled = encoding
    assert mask.dtype is torch.bool, f"{whose} mask is {mask.dtype}: make it bool"
    assert mask.dim() == 2 and len(mask) == size, f"{whose} mask has the shape {list(mask.shape)}: [{size}, length]"
    for name, part, shape in (("tokens", tokens, (*mask.shape, width)), ("pooled", pooled, (size, pooled_width))):
        assert part.shape == shape, f"{whose} {name} have the shape {list(part.shape)}, declared are {list(shape)}"
        assert part.dtype is torch.float32, f"{whose} {name} are {part.dtype} without autocast: keep float32"
