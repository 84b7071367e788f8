"""The hook. No torch here."""

from __future__ import annotations

from mmsdk import FusionConfig, hookimpl
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
from mmsdk_fusion.declarations.steps import AlignedConfig, BimodalAttentionConfig, EarlyConfig
from mmsdk_fusion.declarations.vectors import (
    AttentionalFeatureFusionConfig,
    CompareConfig,
    DeepSetConfig,
    HierarchicalConfig,
    TransferModuleConfig,
)


@hookimpl
def mmsdk_fusions() -> list[type[FusionConfig]]:
    return [
        AlignedConfig,
        EarlyConfig,
        BimodalAttentionConfig,
        CompareConfig,
        DeepSetConfig,
        HierarchicalConfig,
        AttentionalFeatureFusionConfig,
        TransferModuleConfig,
        AdaptationGateConfig,
        MixtureOfExpertsConfig,
        ProductOfExpertsConfig,
        SharedAndPrivateConfig,
        MultiplicativeInteractionConfig,
        CompactBilinearConfig,
        LowRankBilinearConfig,
        TuckerConfig,
        FactorizedBilinearConfig,
        BilinearAttentionConfig,
        CoAttentionConfig,
        CrossmodalTransformerConfig,
        GatedCrossAttentionConfig,
    ]
