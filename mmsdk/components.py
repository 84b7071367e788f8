"""Declarations of components: the config classes that plugins derive from. No torch here.

A component's config class is its manifest: what it reads and gives, how wide it is, how many parameters it needs.
`build(...)` imports torch and makes the implementation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field
from typing_extensions import TypeAliasType

from mmsdk.fields import Strict
from mmsdk.formats import Format, Source
from mmsdk.slots import Slot

if TYPE_CHECKING:
    from mmsdk.interfaces import Encoder, FusionStrategy, Modality, TaskHead
    from mmsdk.proposal import Column, Proposal


class ComponentConfig(Strict):
    """Base of all component declarations. A subclass sets `type: Literal["prefix.name"] = "prefix.name"`."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)
    kind: ClassVar[str]

    @classmethod
    def type_name(cls) -> str:
        """The name by which configs call this component."""
        field = cls.model_fields.get("type")
        return field.default if field is not None else None  # type: ignore[return-value]

    def resolve(self) -> Self:
        """This config with what its source outside tells, such as the architecture of pre-trained weights.

        Called once, when a run begins. A saved pipeline keeps the result, and needs that source no more.
        """
        return self


class ModalityConfig(ComponentConfig):
    """Declares a modality. `gives` is the kind of tensors that it makes; encoders bind to kinds."""

    kind: ClassVar[str] = "modality"
    gives: ClassVar[str]
    targets: ClassVar[bool] = False
    """Whether values of this modality can be a head's target."""
    reads_lists: ClassVar[bool] = False
    """Whether a value can be a list with one entry per step, as where rows are grouped."""

    def columns(self) -> list[str] | None:
        """The columns that a value is made of, for modalities of several; the value is then a mapping."""
        return None

    @classmethod
    def recognises(cls, column: Column) -> Proposal | None:
        """What `mmsdk new` is to write for a column that holds such values; None where it does not.

        Looks at the values, and at no more than the headers of a few files.
        """
        return None

    def build(self) -> Modality:
        raise NotImplementedError


class EncoderConfig(ComponentConfig):
    """Declares an encoder. `reads` names the kinds that it can encode."""

    kind: ClassVar[str] = "encoder"
    reads: ClassVar[tuple[str, ...]]

    def widths(self) -> tuple[int, int] | None:
        """(width, pooled_width), where they are known before the encoder is built."""
        return None

    def build(self, format: Format) -> Encoder:
        raise NotImplementedError


class FusionConfig(ComponentConfig):
    """Declares a fusion strategy, of feature level or of decision level."""

    kind: ClassVar[str] = "fusion"
    level: ClassVar[Literal["feature", "decision"]] = "feature"
    absence: ClassVar[Literal["exact", "independent", "imputed", "unsupported"]] = "independent"
    """exact: as if an absent stream were not there. independent: what stands in an absent slot does not matter.
    imputed: something learned or computed stands in. unsupported: every stream must be there."""
    contextual: ClassVar[bool] = False
    """Whether it gives the tokens of single streams after fusion, for heads that read `fused.<stream>`."""

    def parameters(self, sources: Mapping[str, Source]) -> int | None:
        """How many parameters it will have; None where that is not worth a formula."""
        return None

    def check(self, streams: list[str]) -> str | None:
        """What is wrong with these streams for this strategy, if anything."""
        return None

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        raise NotImplementedError


class DecisionConfig(FusionConfig):
    """Declares a decision rule: it joins the scores of several sources, each judged by a head of its own."""

    level: ClassVar[Literal["feature", "decision"]] = "decision"
    absence: ClassVar[Literal["exact", "independent", "imputed", "unsupported"]] = "exact"
    loss: Literal["sources", "combined", "both"] = Field(
        "sources", description="what is trained: each source's own scores, the combined ones, or both"
    )

    @property
    def learns(self) -> bool:
        """Whether its `fit` has something to learn: the data then needs a valid split."""
        return False


AnyModality = TypeAliasType("AnyModality", Annotated[ModalityConfig, Slot("modality", "AnyModality")])
AnyEncoder = TypeAliasType("AnyEncoder", Annotated[EncoderConfig, Slot("encoder", "AnyEncoder")])
AnyFusion = TypeAliasType("AnyFusion", Annotated[FusionConfig, Slot("fusion", "AnyFusion", "feature")])
AnyDecision = TypeAliasType("AnyDecision", Annotated[DecisionConfig, Slot("fusion", "AnyDecision", "decision")])
AnyHead = TypeAliasType("AnyHead", Annotated["HeadConfig", Slot("head", "AnyHead")])


class TargetConfig(Strict):
    """A target with a modality of its choice. A bare column name means the head's own default modality."""

    column: str = Field(description="the column that holds what is to be predicted")
    modality: AnyModality | None = Field(None, description="how its values are read; by default the head's own way")


class HeadConfig(ComponentConfig):
    """Declares a task head."""

    kind: ClassVar[str] = "head"
    sources: ClassVar[Literal["one", "several", "any"]] = "one"
    """How many sources it reads: one, at least two, or one and more."""
    scoring: ClassVar[bool] = False
    """Whether it is a ScoringHead, which a decision rule can combine."""
    target_modality: ClassVar[str | None] = None
    """The `type` of the default modality of its target; None for a head without a target."""
    needs_target: ClassVar[bool] = True
    predicts: ClassVar[bool] = True
    """Whether it gives predictions of single samples."""

    target: str | TargetConfig | None = Field(None, description="the column that holds what is to be predicted")
    reads: list[str] = Field(["fused"], min_length=1, description="fused, fused.<stream>, or names of streams")
    decision: AnyDecision | None = Field(None, description="how the scores of several sources are joined")
    metrics: list[str] = Field([], description="more metrics, such as torchmetrics.MulticlassCohenKappa")
    auxiliary: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="weight of further heads, `<head>_<stream>`, which learn the same from one stream each",
    )

    def target_column(self) -> str | None:
        return self.target.column if isinstance(self.target, TargetConfig) else self.target

    def target_config(self) -> ModalityConfig | None:
        """The modality of the target."""
        if self.target is None or self.target_modality is None:
            return None
        if isinstance(self.target, TargetConfig) and self.target.modality is not None:
            return self.target.modality
        from mmsdk.plugins.registry import registry

        found: ModalityConfig = registry().find("modality", self.target_modality)()
        return found

    def build(self, sources: Mapping[str, Source], target: Format | None) -> TaskHead:
        raise NotImplementedError


HeadConfig.model_rebuild(force=True, raise_errors=False)
