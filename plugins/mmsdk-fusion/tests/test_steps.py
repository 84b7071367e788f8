"""fusion.aligned and fusion.mmmu_ba: strategies that keep the steps of sequences apart."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor

from mmsdk import ConfigError, Encoding, FusionConfig, Source, load_config
from mmsdk.testing import FusionContract
from mmsdk_fusion.declarations.steps import AlignedConfig, BimodalAttentionConfig

WIDE = {"a": Source(6, 6), "b": Source(4, 4)}


def of(fusion: str, **options: Any) -> dict[str, Any]:
    return {"type": fusion, "width": 8, **options}


class TestAlignedGated(FusionContract):
    config = AlignedConfig.model_validate({"of": of("gated")})


class TestAlignedConcat(FusionContract):
    config = AlignedConfig.model_validate({"of": of("concat")})


class TestAlignedTransformer(FusionContract):
    config = AlignedConfig.model_validate({"of": of("transformer", heads=2, dropout=0.0)})
    steps = 80


class TestAlignedInContext(FusionContract):
    config = AlignedConfig.model_validate({"of": of("gated"), "context": of("rnn", dropout=0.0)})


class TestBimodalAttention(FusionContract):
    config = BimodalAttentionConfig(width=8)


def given(lengths: tuple[int, int] = (3, 5)) -> dict[str, Encoding]:
    """Two rows; in the second one, step 1 of 'a' and all of 'b' are absent."""
    torch.manual_seed(0)
    made = {}
    for (name, source), length in zip(WIDE.items(), lengths, strict=True):
        mask = torch.ones(2, length, dtype=torch.bool)
        mask[1] = torch.tensor([name == "a" and step != 1 for step in range(length)])
        made[name] = Encoding(
            torch.randn(2, length, source.width) * mask[..., None], mask, torch.randn(2, source.width)
        )
    return made


def test_aligned_does_to_each_step_what_the_strategy_does_to_a_row() -> None:
    config = AlignedConfig.model_validate({"of": of("concat")})
    fusion, inputs = config.build(WIDE).eval(), given()
    tokens, mask, pooled = fusion(inputs).encoding
    assert mask.tolist() == [[True] * 5, [True, False, True, False, False]]
    for row, step in mask.nonzero().tolist():
        single = {}
        for name, (own, there, _) in inputs.items():
            here = (
                there[row : row + 1, step : step + 1] if step < there.shape[1] else torch.zeros(1, 1, dtype=torch.bool)
            )
            value = own[row, step] if step < there.shape[1] else torch.zeros(WIDE[name].width)
            single[name] = Encoding(value[None, None], here, value[None])
        assert torch.allclose(tokens[row, step], fusion.of(single).encoding.pooled[0], atol=1e-6)
    assert not tokens[~mask].any()
    assert torch.allclose(pooled[1], tokens[1, [0, 2]].mean(dim=0), atol=1e-6)


def test_aligned_keeps_losses_and_reads_whole_sequences_in_context() -> None:
    config = AlignedConfig.model_validate({"of": of("gated"), "context": of("rnn", dropout=0.0)})
    fusion, inputs = config.build(WIDE).eval(), given()
    changed = {name: each._replace(tokens=each.tokens.clone()) for name, each in inputs.items()}
    changed["a"].tokens[0, 0] += 1
    before, after = fusion(inputs).encoding.tokens, fusion(changed).encoding.tokens
    assert (before[0] != after[0]).any(dim=1).all() and torch.equal(before[1], after[1])
    assert config.parameters(WIDE) is None  # a context's size is not declared


def test_mmmu_ba_is_what_the_paper_says() -> None:
    """For one row without absence, written out step by step."""
    fusion, inputs = BimodalAttentionConfig(width=4).build(WIDE).eval(), given((3, 3))
    x, y = (
        layer(inputs[name].tokens[0]).tanh() for layer, name in zip(fusion.dense, WIDE, strict=True)
    )  # [length, width] each

    def attended(own: Tensor, other: Tensor) -> Tensor:
        result = torch.zeros_like(own)
        for step in range(len(own)):
            shares = (other @ own[step]).exp()
            result[step] = (shares[:, None] * other).sum(dim=0) / shares.sum() * own[step]
        return result

    expected = torch.cat([attended(x, y), attended(y, x), x, y], dim=1)
    assert torch.allclose(fusion(inputs).encoding.tokens[0], expected, atol=1e-6)
    assert fusion.width == fusion.pooled_width == 16


def test_mmmu_ba_gives_zeros_for_what_is_absent() -> None:
    fusion, inputs = BimodalAttentionConfig(width=4).build(WIDE).eval(), given((3, 3))
    tokens, mask, _ = fusion(inputs).encoding
    assert mask[1].tolist() == [True, False, True]
    ab, ba, a, b = tokens[1].chunk(4, dim=1)
    assert not ab.any() and not ba.any() and not b.any()
    assert a[[0, 2]].any(dim=1).all() and not a[1].any()


def config(fusion: dict[str, Any], streams: int = 2) -> dict[str, Any]:
    stream = {"modality": {"type": "features"}, "encoder": {"type": "rnn", "width": 8}}
    heads = {"label": {"type": "token_classification", "target": "label"}}
    return {"streams": {f"s{number}": stream for number in range(streams)}, "fusion": fusion, "heads": heads}


@pytest.mark.parametrize(
    ("fusion", "streams", "message"),
    [
        ({"type": "fusion.mmmu_ba"}, 1, "'fusion.mmmu_ba' joins two streams or more, found 1"),
        ({"type": "fusion.aligned", "of": "film"}, 3, "Fusion 'film' joins two of 3 streams"),
        ({"type": "fusion.aligned", "of": "decision_mean"}, 2, "decision-level fusion"),
        ({"type": "fusion.aligned", "of": "gatd"}, 2, "Did you mean 'gated'"),
        ({"type": "fusion.aligned", "of": "gated", "context": "cnn"}, 2, "'cnn' does not read 'sequence'"),
        ({"type": "fusion.aligned", "of": of("gated", width=10**7)}, 2, "would need .* parameters"),
        ({"type": "fusion.aligned"}, 2, "fusion.of: is missing"),
    ],
)
def test_what_does_not_fit_is_told_by_the_config(fusion: dict[str, Any], streams: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(config(fusion, streams))


class WholeConfig(FusionConfig):
    """Needs every stream."""

    type: Literal["whole"] = "whole"
    absence: ClassVar[Literal["exact", "independent", "imputed", "unsupported"]] = "unsupported"


def test_a_step_may_lack_a_stream() -> None:
    complaint = AlignedConfig(of=WholeConfig()).check(["a", "b"])
    assert complaint == "Fusion 'whole' needs every stream, but a step may lack one: choose another 'of'."
