"""A packed batch gives what a padded one gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import mmsdk.builtin.encoders.transformer as encoders
from mmsdk import Encoding, Format, Inputs
from mmsdk.builtin.encoders.transformer import TransformerEncoder
from mmsdk.builtin.layers import packing as module
from mmsdk.builtin.layers.packing import Packing, packing

WIDTH = 16
TOKENS, SEQUENCE = Format("tokens", vocabulary=30), Format("sequence", width=3)
MASKS = st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=1, max_size=6)
LONG_AND_SHORT = torch.arange(40) < torch.tensor([40, 3, 0, 3, 7, 40])[:, None]


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pack batches that are too small for it to pay."""
    monkeypatch.setattr(module, "GROUP", 0)


def inputs(mask: Tensor, format: Format = TOKENS) -> Inputs:
    if format.kind == "tokens":
        return {"ids": torch.randint(1, 30, mask.shape) * mask, "mask": mask}
    return {"values": torch.randn(*mask.shape, 3) * mask[..., None], "mask": mask}


def both(encoder: TransformerEncoder, given: Inputs, seed: int = 0) -> list[tuple[Encoding, dict[str, Tensor]]]:
    """What the encoder gives, and its gradients, packed and padded."""
    found = []
    loss = torch.randn(*given["mask"].shape, WIDTH)
    with pytest.MonkeyPatch.context() as patch:
        for way in (packing, lambda mask, width: None):
            patch.setattr(encoders, "packing", way)
            encoder.zero_grad()
            torch.manual_seed(seed)
            encoding = encoder(given)
            ((encoding.tokens * loss).sum() + encoding.pooled.sin().sum()).backward()
            gradients = {name: each.grad.clone() for name, each in encoder.named_parameters() if each.grad is not None}
            found.append((encoding, gradients))
    return found


def assert_same(packed: tuple[Encoding, dict[str, Tensor]], padded: tuple[Encoding, dict[str, Tensor]]) -> None:
    for own, other in zip(packed[0], padded[0], strict=True):
        assert torch.allclose(own, other, rtol=0, atol=1e-5)
    assert packed[1].keys() == padded[1].keys()
    for name, gradient in padded[1].items():
        assert torch.allclose(packed[1][name], gradient, rtol=1e-5, atol=1e-5), name


@pytest.mark.parametrize("format", [TOKENS, SEQUENCE], ids=lambda format: format.kind)
@given(rows=MASKS)
@settings(max_examples=40, deadline=None)
def test_packed_and_padded_are_equal_forward_and_backward(format: Format, rows: list[list[bool]]) -> None:
    """Whatever is masked: at the end, in the middle, or all of a row."""
    torch.manual_seed(0)
    mask = torch.tensor(rows)
    assert_same(*both(TransformerEncoder(format, WIDTH, layers=2), inputs(mask, format)))


def test_rows_that_are_long_and_short() -> None:
    torch.manual_seed(0)
    given = inputs(LONG_AND_SHORT, SEQUENCE)
    packed, padded = both(TransformerEncoder(SEQUENCE, WIDTH, layers=3), given)
    assert packing(given["mask"], WIDTH) is not None
    assert_same(packed, padded)
    assert not torch.equal(packed[0].tokens, padded[0].tokens), "one of the two ways was taken twice"


def test_what_is_packed_comes_back_to_its_place() -> None:
    mask = torch.tensor([[True, True, True], [False, False, False], [False, True, False], [True, False, False]])
    found = packing(mask, WIDTH)
    assert found is not None
    assert found.groups == [(2, 1), (1, 3)] and found.shape == (4, 3)
    assert found.places.tolist() == [7, 9, 0, 1, 2] and found.columns.tolist() == [1, 0, 0, 1, 2]
    tokens = torch.arange(1.0, 13).view(4, 3, 1)
    packed = found.pack({"values": tokens, "mask": mask})
    assert packed["mask"].all() and packed["values"].shape == (1, 5, 1)
    assert torch.equal(found.unpack(packed["values"]), tokens * mask[..., None])


def test_rows_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    encoder = TransformerEncoder(SEQUENCE, WIDTH).eval()
    given = inputs(LONG_AND_SHORT, SEQUENCE)
    changed = {**given, "values": given["values"].clone()}
    changed["values"][1, :3] += 1
    before, after = encoder(given).tokens, encoder(changed).tokens
    same = [torch.equal(one, other) for one, other in zip(before, after, strict=True)]
    assert same == [True, False, True, True, True, True]


def test_dropout_drops_the_same_share_of_what_counts() -> None:
    """Of the embedded tokens, and in attention; and the same seed drops the same."""
    torch.manual_seed(0)
    given = inputs(LONG_AND_SHORT, SEQUENCE)
    still, lively = (TransformerEncoder(SEQUENCE, WIDTH, layers=1, dropout=rate) for rate in (0.0, 0.5))
    lively.load_state_dict(still.state_dict())
    seen: list[Tensor] = []
    lively.dropout.register_forward_hook(lambda module, given, output: seen.append(output))
    again = [both(lively, given, seed)[0][0].tokens for seed in (1, 1, 2)]
    assert torch.equal(again[0], again[1]) and not torch.equal(again[0], again[2])
    packed = [each for each in seen if each.shape[1] == int(given["mask"].sum())]
    assert len(packed) == 3 and (packed[0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert_same(*both(lively.eval(), given))
    assert torch.equal(lively(given).tokens, still.eval()(given).tokens)


def test_attention_drops_too(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def listening(*tensors: Tensor, dropout_p: float) -> Tensor:
        shares.append(dropout_p)
        return attend(*tensors, dropout_p=dropout_p)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", listening)
    encoder = TransformerEncoder(SEQUENCE, WIDTH, layers=1, dropout=0.3)
    encoder(inputs(LONG_AND_SHORT, SEQUENCE))
    encoder.eval()(inputs(LONG_AND_SHORT, SEQUENCE))
    assert shares == [0.3] * 3 + [0.0] * 3, "three lengths, one layer"


def test_bfloat16_autocast() -> None:
    torch.manual_seed(0)
    encoder, given = TransformerEncoder(SEQUENCE, WIDTH).eval(), inputs(LONG_AND_SHORT, SEQUENCE)
    with torch.autocast("cpu", torch.bfloat16):
        found = encoder(given)
    assert torch.allclose(found.tokens.float(), encoder(given).tokens, atol=0.1)


def test_only_where_it_spares_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    even, ragged = torch.ones(8, 30, dtype=torch.bool), torch.arange(200) < torch.tensor([200, 5, 5, 10])[:, None]
    assert packing(even, 256) is None, "there is no padding"
    assert packing(ragged, 1) is None, "each token is next to nothing"
    assert isinstance(packing(ragged, 256), Packing)
    assert packing(torch.zeros(3, 4, dtype=torch.bool), 256) is None, "there is nothing"
    assert packing(ragged.to("meta"), 256) is None, "the lengths are on another device"


def test_a_graph_is_exported_for_any_length() -> None:
    """It has the padded way alone, for groups are others in each batch."""
    encoder = TransformerEncoder(SEQUENCE, WIDTH, layers=1).eval()
    given = inputs(LONG_AND_SHORT, SEQUENCE)
    sizes = {0: torch.export.Dim("rows", min=2, max=64), 1: torch.export.Dim("length", min=2, max=512)}
    exported = torch.export.export(encoder, (given,), dynamic_shapes=({"values": sizes, "mask": sizes},))
    other = inputs(torch.arange(9) < torch.tensor([9, 2, 5])[:, None], SEQUENCE)
    assert torch.allclose(exported.module()(other).tokens, encoder(other).tokens, atol=1e-5)
