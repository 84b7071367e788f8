"""Declarations: the config classes of components, streams, heads, stages, and of a whole pipeline. No torch here.

A component's config class is its manifest: what it reads and gives, how wide it is, how many parameters it needs.
`build(...)` imports torch and makes the implementation.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from typing_extensions import TypeAliasType

from mmsdk.errors import did_you_mean, listed
from mmsdk.formats import Format, Source
from mmsdk.slots import Slot

if TYPE_CHECKING:
    from mmsdk.interfaces import Encoder, FusionStrategy, Modality, TaskHead

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]


class CommandLineText(str):
    """A value typed on the command line. A path among them is relative to where the user stands."""


def _resolved(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return path if folder is None or path.is_absolute() else Path(folder) / path


def _from_here(value: Any) -> Any:
    return Path(value).absolute() if isinstance(value, CommandLineText) else value


ConfigPath = Annotated[Path, AfterValidator(_resolved), Field(description="relative to the config file's folder")]


def errors_at(title: str, problems: list[tuple[tuple[str | int, ...], str]]) -> ValidationError:
    """A pydantic error with a place for each message, so that validators can point into the config."""
    return ValidationError.from_exception_data(
        title,
        [
            InitErrorDetails(
                type=PydanticCustomError("config", "{message}", {"message": message}), loc=where, input=None
            )
            for where, message in problems
        ],
    )


class Strict(BaseModel):
    """A frozen config; an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and cls.model_config.get("extra") == "forbid":
            known = list(cls.model_fields)
            problems: list[tuple[tuple[str | int, ...], str]] = [
                (
                    (key,),
                    f"Unknown key '{key}'.{did_you_mean(str(key), known) or f' Known: {listed(known)}.'}",
                )
                for key in data
                if key not in cls.model_fields
            ]
            if problems:
                raise errors_at(cls.__name__, problems)
        return data


class ComponentConfig(Strict):
    """Base of all component declarations. A subclass sets `type: Literal["prefix.name"] = "prefix.name"`."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)
    kind: ClassVar[str]

    @classmethod
    def type_name(cls) -> str:
        """The name by which configs call this component."""
        field = cls.model_fields.get("type")
        return field.default if field is not None else None  # type: ignore[return-value]


class ModalityConfig(ComponentConfig):
    """Declares a modality. `gives` is the kind of tensors that it makes; encoders bind to kinds."""

    kind: ClassVar[str] = "modality"
    gives: ClassVar[str]
    targets: ClassVar[bool] = False
    """Whether values of this modality can be a head's target."""

    def columns(self) -> list[str] | None:
        """The columns that a value is made of, for modalities of several; the value is then a mapping."""
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


AnyModality = TypeAliasType("AnyModality", Annotated[ModalityConfig, Slot("modality", "AnyModality")])
AnyEncoder = TypeAliasType("AnyEncoder", Annotated[EncoderConfig, Slot("encoder", "AnyEncoder")])
AnyFusion = TypeAliasType("AnyFusion", Annotated[FusionConfig, Slot("fusion", "AnyFusion", "feature")])
AnyDecision = TypeAliasType("AnyDecision", Annotated[DecisionConfig, Slot("fusion", "AnyDecision", "decision")])
AnyHead = TypeAliasType("AnyHead", Annotated["HeadConfig", Slot("head", "AnyHead")])


class TargetConfig(Strict):
    """A target with a modality of its choice. A bare column name means the head's own default modality."""

    column: str
    modality: AnyModality | None = None


class HeadConfig(ComponentConfig):
    """Declares a task head."""

    kind: ClassVar[str] = "head"
    sources: ClassVar[Literal["one", "several"]] = "one"
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

    def target_column(self) -> str | None:
        return self.target.column if isinstance(self.target, TargetConfig) else self.target

    def target_config(self) -> ModalityConfig | None:
        """The modality of the target."""
        if self.target is None or self.target_modality is None:
            return None
        if isinstance(self.target, TargetConfig) and self.target.modality is not None:
            return self.target.modality
        from mmsdk.plugins import registry

        found: ModalityConfig = registry().find("modality", self.target_modality)()
        return found

    def build(self, sources: Mapping[str, Source], target: Format | None) -> TaskHead:
        raise NotImplementedError


class StreamConfig(Strict):
    """One named input: a modality and an encoder, or those of another stream."""

    modality: AnyModality | None = None
    encoder: AnyEncoder | None = None
    column: str | list[str] | None = Field(None, description="where the value stands; by default the stream's name")
    shared_with: Name | None = Field(None, description="use modality and encoder of that stream")

    @model_validator(mode="after")
    def _whole(self) -> StreamConfig:
        given = [name for name in ("modality", "encoder") if getattr(self, name) is not None]
        if self.shared_with is not None and given:
            raise errors_at("stream", [((given[0],), f"'{given[0]}' beside 'shared_with': give one of them")])
        if self.shared_with is None and len(given) < 2:
            missing = "encoder" if "modality" in given else "modality"
            raise errors_at("stream", [((), f"needs '{missing}: {{type: ...}}' (or 'shared_with: <stream>')")])
        return self


class DataConfig(Strict):
    """Where the samples are: one file, or one per split (any key that is not listed here names a split)."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, ConfigPath]

    path: ConfigPath | None = Field(None, description="one .jsonl or .csv file with all samples")
    split_column: str | None = Field(None, description="the column of `path` that names each row's split")
    holdout: dict[Name, Annotated[float, Field(gt=0, lt=1)]] = Field(
        {},
        description="fractions of `path` to hold out, such as {valid: 0.1, test: 0.1}; equal rows stay together",
    )
    train_split: str = Field("train", description="the split that is trained on")
    valid_split: str = Field("valid", description="the split that chooses the best checkpoint, where there is one")
    id_column: str = "id"

    @model_validator(mode="before")
    @classmethod
    def _typed_paths(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            return {key: _from_here(value) for key, value in data.items()}
        return {"path": _from_here(data)} if isinstance(data, str | Path) else data

    @model_validator(mode="after")
    def _one_way(self) -> DataConfig:
        files = list(self.files)
        if self.path is not None and files:
            raise errors_at("data", [((files[0],), f"'{files[0]}' beside 'path': give one file, or one per split")])
        if self.path is None and not files:
            raise errors_at("data", [((), "needs 'path: FILE', or one file per split such as 'train: FILE'")])
        if self.path is None and (self.split_column or self.holdout):
            raise errors_at(
                "data", [((), "'split_column' and 'holdout' divide the file of 'path', which is not given")]
            )
        if self.split_column and self.holdout:
            raise errors_at("data", [(("holdout",), "'holdout' beside 'split_column': give one of them")])
        if sum(self.holdout.values()) >= 1:
            raise errors_at("data", [(("holdout",), "the fractions leave nothing to train on")])
        return self

    @property
    def files(self) -> dict[str, Path]:
        """The file of each split, where splits have files of their own."""
        return dict(self.__pydantic_extra__ or {})


class StageConfig(Strict):
    """One step of the training, such as pre-training or fine-tuning. What is not given comes from `training`."""

    name: Name
    heads: dict[Name, Annotated[float, Field(gt=0)]] | None = Field(
        None, description="heads with weights; all by default"
    )
    epochs: Positive | None = None
    batch_size: Positive | None = None
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    learning_rates: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="rates of single parts, such as {streams.image: 0.0001}"
    )
    freeze: list[str] = Field([], description="parts that stay as they are, such as streams.image.encoder")
    data: DataConfig | None = None


class EarlyStopping(Strict):
    """Stop a stage when its main metric on the valid split has not improved for `patience` epochs."""

    patience: Positive = 3
    metric: str | None = Field(None, description="head/metric; by default the main one of the stage's weightiest head")


class CheckpointConfig(Strict):
    """When checkpoints are written, and how many stay."""

    every: Positive | None = Field(None, description="steps between checkpoints; by default one per epoch")
    keep: Annotated[int, Field(ge=2)] = Field(2, description="how many of the newest stay, beside the best")


class TrainingConfig(Strict):
    """How to train."""

    epochs: Positive = 10
    batch_size: Positive = Field(32, description="samples per optimizer step, over all processes")
    accumulation: Positive = Field(1, description="parts that a batch is cut into, one after the other")
    group: Name | None = Field(None, description="stream whose equal values stay in one batch, to be encoded once")
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warmup: Fraction = Field(0.05, description="share of the steps in which the rate rises from zero")
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip: Annotated[float, Field(gt=0)] | None = Field(1.0, description="upper bound of the gradient's norm")
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    keep: Literal["best", "last"] = Field("best", description="weights that a stage ends with: best on valid, or last")
    select_by: str | None = Field(None, description="head/metric that tells the best; by default as early stopping")
    early_stopping: EarlyStopping | None = None
    checkpoint: CheckpointConfig = CheckpointConfig()
    log_every: Positive | None = Field(None, description="steps between log lines; by default one every two seconds")
    on_error: Literal["raise", "skip"] = Field("raise", description="what to do with a sample that cannot be read")
    workers: Annotated[int, Field(ge=0)] = Field(0, description="processes that prepare batches")
    threads: Positive | None = Field(None, description="processor threads; by default what a short probe finds fastest")
    device: Literal["auto", "cpu"] = "auto"
    trackers: list[str] = Field([], description="any tracker that Accelerate knows, such as tensorboard")


class PipelineConfig(Strict):
    """A whole pipeline: streams, fusion, heads, data and training."""

    schema_version: Literal[1] = 1
    streams: dict[Name, StreamConfig] = Field(min_length=1)
    fusion: AnyFusion | None = None
    heads: dict[Name, AnyHead] = Field(min_length=1)
    data: DataConfig | None = None
    stages: list[StageConfig] = []
    training: TrainingConfig = TrainingConfig()
    max_fusion_parameters: Positive = Field(100_000_000, description="a fusion that needs more is refused")

    @model_validator(mode="after")
    def _wired(self) -> PipelineConfig:
        from mmsdk.wiring import problems

        found = problems(self)
        if found:
            raise errors_at("pipeline", found)
        return self

    def owner_of(self, stream: str) -> str:
        """The stream whose modality and encoder this stream uses: itself, or the one it is shared with."""
        return self.streams[stream].shared_with or stream

    def column_of(self, stream: str) -> str | list[str]:
        own = self.streams[stream]
        modality = self.streams[self.owner_of(stream)].modality
        return own.column or (modality.columns() if modality is not None else None) or stream

    def steps(self) -> list[StageConfig]:
        """The stages, or the single one that a config without stages means."""
        return self.stages or [StageConfig(name="train")]


HeadConfig.model_rebuild(force=True, raise_errors=False)
