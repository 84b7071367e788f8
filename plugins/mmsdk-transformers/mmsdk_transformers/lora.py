"""The config of adapters. No torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from mmsdk import Dropout

if TYPE_CHECKING:
    from mmsdk_transformers.adapters import Adapters


class LoraConfig(BaseModel):
    """Low-rank adapters train, the pre-trained weights stay as they are (Hu et al. 2021)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(8, gt=0, le=1024, description="of the two matrices whose product is added to a weight")
    alpha: float | None = Field(None, gt=0, description="scale, as alpha / rank; by default twice the rank")
    dropout: Dropout = 0.0
    targets: list[str] | None = Field(
        None, min_length=1, description="linear layers inside each block, such as [query, value]; by default all"
    )

    def build(self) -> Adapters:
        from mmsdk_transformers.adapters import Adapters

        return Adapters(self.rank, self.alpha or 2 * self.rank, self.dropout, self.targets)
