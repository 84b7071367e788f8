"""A declaration that imports torch, as it should not."""

from __future__ import annotations

from typing import Any, Literal

import torch

from mmsdk import FusionConfig


class HeavyConfig(FusionConfig):
    """A mean."""

    type: Literal["bad.heavy"] = "bad.heavy"

    def build(self, sources: Any) -> Any:
        from tests.testing import bad_modules

        assert torch.is_tensor(torch.zeros(1))
        return bad_modules.Fusion(sources, "")
