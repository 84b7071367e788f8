"""Each strategy keeps the promises of a fusion."""

from __future__ import annotations

import pytest
from torch import nn

from mmsdk import Source
from mmsdk.testing import FusionContract
from mmsdk.testing.transfer import carried
from mmsdk_fusion.declarations.attention import (
    CoAttentionConfig,
    CrossmodalTransformerConfig,
    GatedCrossAttentionConfig,
)
from mmsdk_fusion.declarations.bilinear import (
    BilinearAttentionConfig,
    CompactBilinearConfig,
    FactorizedBilinearConfig,
    LowRankBilinearConfig,
    MultiplicativeInteractionConfig,
    TuckerConfig,
)
from mmsdk_fusion.declarations.learned import (
    AdaptationGateConfig,
    MixtureOfExpertsConfig,
    ProductOfExpertsConfig,
    SharedAndPrivateConfig,
)
from mmsdk_fusion.declarations.steps import EarlyConfig
from mmsdk_fusion.declarations.vectors import (
    AttentionalFeatureFusionConfig,
    DeepSetConfig,
    HierarchicalConfig,
    TransferModuleConfig,
)
from mmsdk_fusion.mmtm import TransferModule


class TestEarly(FusionContract):
    config = EarlyConfig.model_validate({"width": 8, "encoder": {"type": "rnn", "width": 8, "cell": "lstm"}})


class TestEarlyWithATransformer(FusionContract):
    config = EarlyConfig.model_validate(
        {"width": 8, "encoder": {"type": "transformer", "width": 8, "heads": 2, "layers": 1, "dropout": 0.0}}
    )


class TestDeepSet(FusionContract):
    config = DeepSetConfig(width=8)


class TestDeepSetOfTheLargest(FusionContract):
    config = DeepSetConfig(width=8, pool="max")


class TestDeepSetOfTheMean(FusionContract):
    config = DeepSetConfig(width=8, pool="mean")


class TestHierarchical(FusionContract):
    config = HierarchicalConfig(width=8)


class TestAttentionalFeatureFusion(FusionContract):
    config = AttentionalFeatureFusionConfig(width=8, reduction=1)


class TestIterativeAttentionalFeatureFusion(FusionContract):
    config = AttentionalFeatureFusionConfig(width=8, reduction=1, iterative=True)


class TestTransferModule(FusionContract):
    config = TransferModuleConfig(width=8, reduction=3)

    def without(self, fusion: nn.Module, absent: str) -> nn.Module | None:
        """The joint vector would be narrower, so it is told to stay as it is."""
        rest = {name: source for name, source in self.sources.items() if name != absent}
        smaller = TransferModule(rest, width=8, squeezed=8).eval()
        state = carried(fusion.state_dict(), smaller.state_dict(), self.sources, absent)
        assert state is not None
        smaller.load_state_dict(state)
        return smaller


class TestAdaptationGate(FusionContract):
    config = AdaptationGateConfig(main="words")


class TestMixtureOfExperts(FusionContract):
    config = MixtureOfExpertsConfig(width=8)


class TestProductOfExperts(FusionContract):
    config = ProductOfExpertsConfig(width=8)


class TestSharedAndPrivate(FusionContract):
    config = SharedAndPrivateConfig(width=8, dropout=0.0)


class TestMultiplicativeInteraction(FusionContract):
    config = MultiplicativeInteractionConfig(width=8)


class TestCompactBilinear(FusionContract):
    config = CompactBilinearConfig(width=64)


class TestLowRankBilinear(FusionContract):
    config = LowRankBilinearConfig(width=8, rank=8)


class TestLowRankBilinearWithoutTanh(FusionContract):
    config = LowRankBilinearConfig(width=8, rank=8, activation="none")


class TestTucker(FusionContract):
    config = TuckerConfig(width=8, hidden=8, rank=3)


class TestFactorizedBilinear(FusionContract):
    config = FactorizedBilinearConfig(width=8, pool=3)


class TestFactorizedBilinearOfTwoOrders(FusionContract):
    config = FactorizedBilinearConfig(width=8, pool=3, orders=2)


class TestBilinearAttention(FusionContract):
    config = BilinearAttentionConfig(width=8)
    sources = {"words": Source(6, 5), "type": Source(4, 7)}  # noqa: RUF012


class TestCoAttention(FusionContract):
    config = CoAttentionConfig(width=8)


class TestCrossmodalTransformer(FusionContract):
    config = CrossmodalTransformerConfig(width=8, heads=2, layers=1, dropout=0.0)


class TestGatedCrossAttention(FusionContract):
    config = GatedCrossAttentionConfig(width=8, heads=2, main="type", dropout=0.0)


@pytest.mark.parametrize("contract", [TestTransferModule, TestAdaptationGate, TestGatedCrossAttention])
def test_absence_is_exact_where_the_rest_stays_as_it_is(
    contract: type[FusionContract], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a main stream that is named and there, and a joint vector that stays as wide."""
    monkeypatch.setattr(type(contract.config), "absence", "exact")
    contract().test_exact_absence()
