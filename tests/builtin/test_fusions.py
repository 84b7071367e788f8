"""What all feature-level fusions promise: shapes, absence, padding, order, gradients, sizes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from mmsdk.builtin.declarations.fusions import (
    FUSIONS,
    ConcatConfig,
    CrossAttentionConfig,
    FiLMConfig,
    GatedConfig,
    MeanConfig,
    ProductConfig,
    TransformerFusionConfig,
)
from mmsdk.components import FusionConfig
from mmsdk.containers import Encoding, Fused
from mmsdk.formats import Source
from mmsdk.interfaces import FeatureFusion

# Not in alphabetical order, and with names that torch modules have as attributes.
SOURCES = {"words": Source(6, 5), "type": Source(4, 7), "parameters": Source(3, 3)}
LENGTHS = {"words": 4, "type": 3, "parameters": 5}
CONFIGS = [
    ConcatConfig(width=8),
    MeanConfig(width=8),
    ProductConfig(width=8),
    GatedConfig(width=8),
    FiLMConfig(width=8, target="words", condition="parameters"),
    TransformerFusionConfig(width=8, heads=2, dropout=0.0),
    CrossAttentionConfig(width=8, heads=2, dropout=0.0),
]
every_fusion = pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.type_name())


def build(config: FusionConfig, sources: Mapping[str, Source] = SOURCES) -> FeatureFusion:
    torch.manual_seed(0)
    fusion = config.build(sources)
    assert isinstance(fusion, FeatureFusion)
    return fusion


def encodings(present: list[list[bool]], seed: int = 0) -> dict[str, Encoding]:
    """present [batch][streams]; tokens of different lengths, and zeros where nothing is."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for place, (name, source) in enumerate(SOURCES.items()):
        rows = torch.tensor([row[place] for row in present])
        lengths = torch.randint(2, LENGTHS[name] + 1, (len(rows), 1), generator=generator)
        mask = (torch.arange(LENGTHS[name]) < lengths) & rows[:, None]
        tokens = torch.randn(len(rows), LENGTHS[name], source.width, generator=generator)
        pooled = torch.randn(len(rows), source.pooled_width, generator=generator)
        found[name] = Encoding(tokens * mask[..., None], mask, pooled * rows[:, None])
    return found


ALL = [[True, True, True]] * 4
MIXED = [[True, True, True], [True, False, True], [False, True, False], [True, False, False], [False] * 3]


def total(fused: Fused) -> Tensor:
    """A number that depends on all that the fusion gives."""
    parts = [fused.encoding, *fused.streams.values()]
    return torch.stack([part.sum() for each in parts for part in (each.tokens.sin(), each.pooled.cos())]).sum()


def gradients(fusion: FeatureFusion, given: Mapping[str, Encoding]) -> list[Tensor]:
    fusion.zero_grad()
    total(fusion(given)).backward()
    return [parameter.grad.clone() for parameter in fusion.parameters() if parameter.grad is not None]


@every_fusion
def test_shapes_and_mask(config: FusionConfig) -> None:
    fusion = build(config)
    fused = fusion(encodings(MIXED))
    assert (fusion.width, fusion.pooled_width) == (8, 8)
    assert fused.encoding.pooled.shape == (5, 8)
    assert fused.encoding.tokens.shape == (*fused.encoding.mask.shape, 8)
    assert fused.encoding.mask.dtype is torch.bool
    expected = [True] * 4 + [False]
    if isinstance(config, FiLMConfig):  # row 2 has neither of its two streams
        expected[2] = False
    assert fused.encoding.present.tolist() == expected
    assert not fused.encoding.pooled[~fused.encoding.present].any()
    assert not fused.encoding.tokens[~fused.encoding.mask].any()
    assert set(fused.streams) == (set(SOURCES) if config.contextual else set())


@every_fusion
def test_absent_slots_may_hold_anything(config: FusionConfig) -> None:
    fusion, clean = build(config), encodings(MIXED)
    dirty = {
        name: Encoding(
            torch.where(each.mask[..., None], each.tokens, torch.nan),
            each.mask,
            torch.where(each.present[:, None], each.pooled, torch.inf),
        )
        for name, each in clean.items()
    }
    expected, found = fusion(clean), fusion(dirty)
    for one, other in zip(expected.encoding, found.encoding, strict=True):
        assert torch.equal(one, other)
    for name, stream in expected.streams.items():
        assert all(map(torch.equal, stream, found.streams[name]))
    wanted = gradients(fusion, clean)
    assert wanted and all(map(torch.equal, wanted, gradients(fusion, dirty)))


@every_fusion
def test_no_gradient_flows_into_absent_slots(config: FusionConfig) -> None:
    given = {
        name: each._replace(tokens=each.tokens.clone().requires_grad_(), pooled=each.pooled.clone().requires_grad_())
        for name, each in encodings(MIXED).items()
    }
    total(build(config)(given)).backward()
    for each in given.values():
        for gradient, there in ((each.tokens.grad, each.mask), (each.pooled.grad, each.present)):
            if gradient is not None:
                assert gradient.isfinite().all() and not gradient[~there].any()


@every_fusion
def test_padding_changes_nothing(config: FusionConfig) -> None:
    fusion, given = build(config), encodings(MIXED)
    longer = {
        name: Encoding(
            torch.nn.functional.pad(each.tokens, (0, 0, 0, 3), value=9.0),
            torch.nn.functional.pad(each.mask, (0, 3)),
            each.pooled,
        )
        for name, each in given.items()
    }
    torch.testing.assert_close(fusion(longer).encoding.pooled, fusion(given).encoding.pooled)


@every_fusion
def test_rows_do_not_depend_on_one_another(config: FusionConfig) -> None:
    fusion, given = build(config), encodings(MIXED)
    whole = fusion(given).encoding.pooled
    for row in range(len(MIXED)):
        single = {name: Encoding(*(part[row : row + 1] for part in each)) for name, each in given.items()}
        torch.testing.assert_close(fusion(single).encoding.pooled, whole[row : row + 1])


@every_fusion
def test_gradients_reach_every_parameter(config: FusionConfig) -> None:
    fusion = build(config)
    total(fusion(encodings(MIXED))).backward()
    for name, parameter in fusion.named_parameters():
        assert parameter.dim() > 0, name
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@every_fusion
def test_rows_without_any_stream_stay_finite(config: FusionConfig) -> None:
    fusion = build(config)
    fused = fusion(encodings([[False] * 3] * 2))
    assert not fused.encoding.mask.any() and not fused.encoding.pooled.any()
    total(fused).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in fusion.parameters())


@every_fusion
def test_bfloat16(config: FusionConfig) -> None:
    fusion, given = build(config), encodings(MIXED)
    with torch.autocast("cpu", torch.bfloat16):
        fused = fusion(given)
        total(fused).backward()
    torch.testing.assert_close(fused.encoding.pooled.float(), fusion(given).encoding.pooled, atol=0.1, rtol=0.1)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in fusion.parameters())


@every_fusion
def test_the_declared_number_of_parameters_is_the_real_one(config: FusionConfig) -> None:
    for sources in (SOURCES, {name: SOURCES[name] for name in ("words", "parameters")}):
        built = sum(parameter.numel() for parameter in build(config, sources).parameters())
        assert config.parameters(sources) == built


@pytest.mark.parametrize("config", CONFIGS[5:], ids=lambda config: config.type_name())
def test_tokens_come_in_the_order_of_the_config(config: FusionConfig) -> None:
    fused = build(config)(encodings(MIXED))
    assert list(fused.streams) == list(SOURCES)
    for place, part in enumerate(fused.encoding[:2]):  # tokens and mask, each after those of the summary
        assert torch.equal(part[:, 1:], torch.cat([stream[place] for stream in fused.streams.values()], dim=1))


def test_concat_puts_streams_in_the_order_of_the_config() -> None:
    fusion, given = build(ConcatConfig(width=8)), encodings(ALL)
    joined = torch.cat([given[name].pooled for name in ("words", "type", "parameters")], dim=1)
    torch.testing.assert_close(fusion(given).encoding.pooled, fusion.join(joined))


def test_concat_learns_what_stands_in_for_an_absent_stream() -> None:
    fusion, given = build(ConcatConfig(width=8)), encodings([[True, False, True]] * 2)
    before = fusion(given).encoding.pooled
    with torch.no_grad():
        fusion.absent.add_(1.0)
    joined = torch.cat([given["words"].pooled, torch.ones(2, 7), given["parameters"].pooled], dim=1)
    after = fusion(given).encoding.pooled
    torch.testing.assert_close(after, fusion.join(joined))
    assert not torch.equal(before, after)


# `exact`: as if an absent stream were not there. The same weights without that stream have to give the same.


def without(fusion: FeatureFusion, config: FusionConfig, absent: str) -> FeatureFusion:
    """A fusion of the other streams, with the same weights."""
    rest = {name: source for name, source in SOURCES.items() if name != absent}
    smaller, place = build(config, rest), list(SOURCES).index(absent)
    state = {name: part for name, part in fusion.state_dict().items() if absent not in name.split(".")}
    if "kinds" in state:
        state["kinds"] = torch.cat([state["kinds"][:place], state["kinds"][place + 1 :]])
    if "gates.weight" in state:  # the absent stream's rows are its gate, its columns what it says to other gates
        starts = [0, *torch.tensor([source.pooled_width for source in SOURCES.values()]).cumsum(0).tolist()]
        rows, columns = slice(place * 8, place * 8 + 8), slice(starts[place], starts[place + 1])
        keep = torch.ones(len(state["gates.bias"]), dtype=torch.bool)
        keep[rows] = False
        kept = torch.ones(starts[-1], dtype=torch.bool)
        kept[columns] = False
        state |= {
            "gates.weight": state["gates.weight"][keep][:, kept],
            "gates.bias": state["gates.bias"][keep],
        }
    smaller.load_state_dict(state)
    return smaller


@pytest.mark.parametrize(
    "config",
    [config for config in CONFIGS if config.absence == "exact"],
    ids=lambda config: config.type_name(),
)
@pytest.mark.parametrize("absent", list(SOURCES))
def test_exact_absence(config: FusionConfig, absent: str) -> None:
    fusion = build(config)
    given = encodings([[name != absent for name in SOURCES]] * 3)
    smaller = without(fusion, config, absent)
    expected = smaller({name: each for name, each in given.items() if name != absent})
    found = fusion(given)
    torch.testing.assert_close(found.encoding.pooled, expected.encoding.pooled)
    for name, stream in expected.streams.items():
        torch.testing.assert_close(found.streams[name], stream)
    if expected.weights is not None:
        kept = [place for place, name in enumerate(SOURCES) if name != absent]
        assert found.weights is not None
        torch.testing.assert_close(found.weights[:, kept], expected.weights)


def test_what_is_called_exact() -> None:
    assert {config.type_name(): config.absence for config in FUSIONS if config.level == "feature"} == {
        "concat": "imputed",
        "mean": "exact",
        "product": "exact",
        "gated": "exact",
        "film": "independent",
        "transformer": "exact",
        "cross_attention": "exact",
    }


@pytest.mark.parametrize("config", [MeanConfig(width=8), GatedConfig(width=8)], ids=["mean", "gated"])
def test_weights_are_shares_of_the_present_streams(config: FusionConfig) -> None:
    weights = build(config)(encodings(MIXED)).weights
    assert weights is not None and weights.shape == (5, 3)
    torch.testing.assert_close(weights.sum(dim=1), torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0]))
    assert not weights[~torch.tensor(MIXED)].any()


def test_masks_need_not_begin_at_the_first_token() -> None:
    fusion = build(TransformerFusionConfig(width=8, heads=2, dropout=0.0))
    given = encodings(ALL)
    mask = torch.tensor([[False, True, False, True]] * 4)
    tokens = torch.randn(4, 4, 6)
    holes = given | {"words": Encoding(tokens, mask, given["words"].pooled)}
    packed = given | {"words": Encoding(tokens[:, [1, 3]], mask[:, [1, 3]], given["words"].pooled)}
    torch.testing.assert_close(fusion(holes).encoding.pooled, fusion(packed).encoding.pooled)


def test_film_without_condition_does_not_modulate() -> None:
    config = FiLMConfig(width=8, target="words", condition="parameters")
    fusion, given = build(config), encodings([[True, True, False]] * 2)
    before = fusion(given).encoding.pooled
    with torch.no_grad():
        fusion.modulation.bias.add_(5.0)
    torch.testing.assert_close(fusion(given).encoding.pooled, before)
