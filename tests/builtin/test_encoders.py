"""What the built-in encoders do beside the promises of test_contracts.py."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from mmsdk.builtin.declarations.encoders import (
    ENCODERS,
    BagEncoderConfig,
    CnnEncoderConfig,
    CnnRnnEncoderConfig,
    MlpEncoderConfig,
    RnnEncoderConfig,
    TransformerEncoderConfig,
    VitEncoderConfig,
)
from mmsdk.components import EncoderConfig
from mmsdk.errors import ConfigError
from mmsdk.formats import Format
from mmsdk.interfaces import Encoder

FORMATS = {
    "tokens": Format("tokens", vocabulary=11),
    "sequence": Format("sequence", width=3),
    "table": Format("table", width=2, sizes=(3, 4)),
    "pixels": Format("pixels", sizes=(16, 24)),
}
VARIANTS: list[EncoderConfig] = [
    BagEncoderConfig(width=8),
    BagEncoderConfig(width=8, layers=0),
    TransformerEncoderConfig(width=8),
    RnnEncoderConfig(width=8),
    RnnEncoderConfig(width=7, cell="lstm", layers=2, bidirectional=False, pool="mean"),
    CnnRnnEncoderConfig(width=8),
    CnnRnnEncoderConfig(width=8, stride=2, kernel=5, cell="lstm", pool="mean"),
    MlpEncoderConfig(width=8, hidden=6),
    MlpEncoderConfig(width=8, layers=1),
    CnnEncoderConfig(width=8),
    CnnEncoderConfig(width=48, layers=5),
    CnnEncoderConfig(width=8, halving="maximum"),
    VitEncoderConfig(width=8, patch=4),
]
CASES = [(config, FORMATS[kind]) for config in VARIANTS for kind in config.reads]
NAMES = [f"{config.type_name()}-{place}-{format.kind}" for place, (config, format) in enumerate(CASES)]
LENGTHED = [case for case in CASES if case[1].kind in ("tokens", "sequence")]
LENGTHED_NAMES = [name for name, case in zip(NAMES, CASES, strict=True) if case in LENGTHED]

Inputs = dict[str, Tensor]


def inputs_of(format: Format, rows: int = 4, length: int = 7) -> Inputs:
    """Random inputs; the first row is the longest one, and the last one of several is absent where it can be."""
    if format.kind == "pixels":
        return {"pixels": torch.rand(rows, 3, *format.sizes)}
    if format.kind == "table":
        categories = torch.stack([torch.randint(size, (rows,)) for size in format.sizes], dim=1)
        return {"numbers": torch.randn(rows, format.width), "categories": categories}
    lengths = torch.linspace(length, 0 if rows > 1 else length, rows).round()
    mask = torch.arange(length) < lengths[:, None]
    if format.kind == "tokens":
        return {"ids": torch.randint(1, format.vocabulary, (rows, length)) * mask, "mask": mask}
    return {"values": torch.randn(rows, length, format.width) * mask[..., None], "mask": mask}


def built(config: EncoderConfig, format: Format) -> Encoder:
    torch.manual_seed(0)
    return config.build(format).eval()


def test_every_encoder_is_tried() -> None:
    assert {type(config) for config in VARIANTS} == set(ENCODERS)
    assert len({config.type_name() for config in ENCODERS}) == len(ENCODERS)


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize(("config", "format"), CASES, ids=NAMES)
def test_shapes(config: EncoderConfig, format: Format, rows: int) -> None:
    encoder, inputs = built(config, format), inputs_of(format, rows)
    encoding = encoder(inputs)
    length = encoding.tokens.shape[1]
    assert (encoder.width, encoder.pooled_width) == config.widths()
    assert encoding.tokens.shape == (rows, length, encoder.width)
    assert encoding.mask.shape == (rows, length) and encoding.mask.dtype == torch.bool
    assert encoding.pooled.shape == (rows, encoder.pooled_width)
    assert torch.equal(encoding.present, inputs["mask"].any(dim=1) if "mask" in inputs else torch.ones(rows) > 0)
    assert not encoding.tokens[~encoding.mask].any() and not encoding.pooled[~encoding.present].any()
    assert encoding.pooled[encoding.present].any(dim=1).all()


@pytest.mark.parametrize(("config", "format"), CASES, ids=NAMES)
def test_width_one_is_possible(config: EncoderConfig, format: Format) -> None:
    small = {"width": 1, "heads": 1, "hidden": 1, "bidirectional": False}
    values = config.model_dump() | {key: value for key, value in small.items() if key in type(config).model_fields}
    narrow = type(config).model_validate(values)
    assert built(narrow, format)(inputs_of(format)).tokens.isfinite().all()


@pytest.mark.parametrize("side", [1, 8, 28, 64])
@pytest.mark.parametrize("layers", [1, 3, 6])
@pytest.mark.parametrize("halving", ["stride", "maximum"])
def test_cnn_keeps_a_grid_of_four_by_four(side: int, layers: int, halving: Literal["stride", "maximum"]) -> None:
    format = Format("pixels", sizes=(side, side))
    encoding = built(CnnEncoderConfig(width=8, layers=layers, halving=halving), format)(inputs_of(format, rows=2))
    expected = {1: (1, 1, 1), 8: (4, 4, 4), 28: (14, 4, 4), 64: (32, 8, 4)}[side][(1, 3, 6).index(layers)]
    assert encoding.tokens.shape == (2, expected**2, 8)


def test_vit_refuses_patches_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"24x18 pixels into patches of 5x5: choose 'patch' among 1, 2, 3, 6,"):
        VitEncoderConfig(patch=5).build(Format("pixels", sizes=(24, 18)))


@pytest.mark.parametrize(
    ("config", "values", "place", "advice"),
    [
        (TransformerEncoderConfig, {"width": 100, "heads": 8}, "heads", "give 'heads: 5'"),
        (VitEncoderConfig, {"width": 10, "heads": 4}, "heads", "give 'heads: 2'"),
        (RnnEncoderConfig, {"width": 33}, "width", "give 'width: 34'"),
        (CnnRnnEncoderConfig, {"width": 5}, "width", "give 'width: 6'"),
        (CnnRnnEncoderConfig, {"kernel": 4}, "kernel", "give 'kernel: 5'"),
    ],
)
def test_bad_values_are_refused_early(
    config: type[EncoderConfig], values: dict[str, int], place: str, advice: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        config.model_validate(values)
    (error,) = refused.value.errors()
    assert error["loc"] == (place,) and advice in error["msg"]


def test_convolutions_need_a_middle() -> None:
    from mmsdk.builtin.encoders.cnn_rnn import CnnRnnEncoder

    with pytest.raises(ConfigError, match="kernel of 2 steps"):
        CnnRnnEncoder(FORMATS["tokens"], kernel=2)
