"""Contracts for components: inherit one in a test, give a config, and pytest checks each promise in a line of its own.

    from mmsdk.testing import FusionContract

    class TestMax(FusionContract):
        config = MaxConfig(width=8)

Needs pytest: pip install 'mmsdk[testing]'. A promise that a component cannot keep is overridden with
`pytest.mark.xfail(reason=...)`, and in no other way.
"""

from __future__ import annotations

from mmsdk.testing.contract import Contract
from mmsdk.testing.decision import DecisionContract
from mmsdk.testing.encoder import EncoderContract
from mmsdk.testing.fusion import FusionContract
from mmsdk.testing.head import HeadContract
from mmsdk.testing.kinds import STREAM_VALUES, TARGET_VALUES, stream_modality
from mmsdk.testing.modality import ModalityContract
from mmsdk.testing.network import NetworkContract
from mmsdk.testing.plugin import PluginContract

__all__ = [
    "STREAM_VALUES",
    "TARGET_VALUES",
    "Contract",
    "DecisionContract",
    "EncoderContract",
    "FusionContract",
    "HeadContract",
    "ModalityContract",
    "NetworkContract",
    "PluginContract",
    "stream_modality",
]
