"""The config of a pipeline: streams, fusion, heads, data, stages and training. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from mmsdk import migrations
from mmsdk.components import AnyEncoder, AnyFusion, AnyHead, AnyModality, HeadConfig
from mmsdk.config.card import CardConfig
from mmsdk.config.data import DataConfig, GroupBy
from mmsdk.config.training import InitFrom, StageConfig, TrainingConfig
from mmsdk.fields import Name, Positive, Strict, errors_at

SCHEMA_VERSION = "schema_version"


def up_to_date(tree: dict[str, Any]) -> dict[str, Any]:
    """The mapping of a config of any version in the newest one.

    Raises:
        ValidationError: it is of a version that is not known yet.
    """
    version, newest = migrations.version_of(tree, SCHEMA_VERSION), migrations.newest(migrations.CONFIG)
    if version is not None and version > newest:
        known = f"this mmsdk knows {newest}" if newest == 1 else f"this mmsdk knows 1 to {newest}"
        message = f"the config is of version {version}, {known}: pip install -U mmsdk"
        raise errors_at("pipeline", [((SCHEMA_VERSION,), message)])
    return migrations.migrated(tree, SCHEMA_VERSION, migrations.CONFIG)


class StreamConfig(Strict):
    """One named input: a modality and an encoder, or those of another stream."""

    modality: AnyModality | None = Field(None, description="what reads its values, and makes tensors of them")
    encoder: AnyEncoder | None = Field(None, description="the network that reads those tensors")
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


class PipelineConfig(Strict):
    """A whole pipeline: streams, fusion, heads, data and training."""

    schema_version: Literal[1] = Field(1, description="of the config's form; without it the first one is meant")
    streams: dict[Name, StreamConfig] = Field(
        min_length=1, description="the inputs, by name; any may be absent in a sample"
    )
    fusion: AnyFusion | None = Field(None, description="what joins the streams, for heads that read `fused`")
    heads: dict[Name, AnyHead] = Field(min_length=1, description="the tasks, by name")
    data: DataConfig | None = Field(None, description="where the samples are")
    group_by: GroupBy | None = Field(None, description="make one sample of several rows, as for conversations")
    init_from: InitFrom | None = Field(None, description="another run to begin with; for a fresh run only")
    stages: list[StageConfig] = Field([], description="steps of the training; a single one by default")
    training: TrainingConfig = Field(
        TrainingConfig(), description="how to train, in every stage that says nothing else"
    )
    card: CardConfig | None = Field(None, description="what the model card is to say")
    max_fusion_parameters: Positive = Field(100_000_000, description="a fusion that needs more is refused")

    @model_validator(mode="before")
    @classmethod
    def _of_this_version(cls, data: Any) -> Any:
        return up_to_date(data) if isinstance(data, dict) else data

    @field_validator("heads")
    @classmethod
    def _with_auxiliaries(cls, heads: dict[str, HeadConfig], info: ValidationInfo) -> dict[str, HeadConfig]:
        """The heads, and after them those that `auxiliary` asks for."""
        found = _auxiliaries(heads, info.data.get("streams", {}))
        for name, (head, stream) in found.items():
            if name in heads:
                message = f"'auxiliary' of head '{head}' makes a head '{name}' for stream '{stream}': rename this one."
                raise errors_at("heads", [((name,), message)])
        return heads | {
            name: heads[head].model_copy(update={"reads": [stream], "auxiliary": None})
            for name, (head, stream) in found.items()
        }

    @field_serializer("heads", mode="wrap")
    def _as_given(self, heads: dict[str, HeadConfig], handler: SerializerFunctionWrapHandler) -> Any:
        return handler({name: head for name, head in heads.items() if name not in self.auxiliaries})

    @model_validator(mode="after")
    def _wired(self) -> PipelineConfig:
        from mmsdk.config.wiring import problems

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

    def resolve(self) -> PipelineConfig:
        """The config with every component resolved, see `ComponentConfig.resolve`."""
        from mmsdk.config.resolution import resolved

        return resolved(self)

    @property
    def auxiliaries(self) -> dict[str, tuple[str, str]]:
        """The heads that `auxiliary` asks for: each with the head that it helps, and the stream that it reads."""
        return _auxiliaries(self.heads, self.streams)

    def loss_weights(self, stage: StageConfig) -> dict[str, float]:
        """The heads that a stage trains, with the weights of their losses."""
        given = stage.heads or {name: 1.0 for name in self.heads if name not in self.auxiliaries}
        helping = {
            name: given[head] * (self.heads[head].auxiliary or 0.0)
            for name, (head, _) in self.auxiliaries.items()
            if head in given and name not in given
        }
        return given | helping

    def steps(self) -> list[StageConfig]:
        """The stages, or the single one that a config without stages means."""
        return self.stages or [StageConfig(name="train")]


def _auxiliaries(heads: Mapping[str, HeadConfig], streams: Iterable[str]) -> dict[str, tuple[str, str]]:
    asking = [name for name, head in heads.items() if head.auxiliary and head.scoring and head.reads == ["fused"]]
    return {f"{name}_{stream}": (name, stream) for name in asking for stream in streams}
