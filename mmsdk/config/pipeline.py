"""The config of a pipeline: streams, fusion, heads, data, stages and training. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from mmsdk import migrations
from mmsdk.components import AnyEncoder, AnyFusion, AnyHead, AnyModality, HeadConfig
from mmsdk.config.balance import AnyBalance, AnyRamp
from mmsdk.config.card import CardConfig
from mmsdk.errors import did_you_mean, listed
from mmsdk.fields import ConfigPath, Fraction, Name, Positive, Strict, errors_at

TEXT_FILES = (".jsonl", ".csv")
ARROW_FILES = (".parquet", ".arrow", ".feather")
TAR_FILES = (".tar",)
SAMPLE_FILES = (*TEXT_FILES, *ARROW_FILES, *TAR_FILES)
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


class HubConfig(Strict):
    """A data set of the Hugging Face hub, with the splits that it has. No script of it is ever run."""

    name: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="owner/name")
    subset: str | None = Field(None, description="where it has several, such as languages")
    revision: str | None = Field(None, description="a commit to stay with, whatever its owner changes later")

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data


class StreamingConfig(Strict):
    """Read the training rows one after the other, where they are too many to be looked up by place."""

    steps_per_epoch: Positive = Field(description="batches that are called an epoch; shards may end before or after")
    buffer: Positive = Field(1000, description="rows that wait to be drawn from: more mix better, and take more memory")
    fit_rows: Positive = Field(100_000, description="rows that vocabularies, labels and statistics are learned from")


class DataConfig(Strict):
    """Where the samples are: in one place, or one per split (any key that is not listed here names a split)."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, ConfigPath]

    path: ConfigPath | None = Field(None, description="a file, a pattern of several, or a folder, with all samples")
    hub: HubConfig | None = Field(None, description="instead of `path`: a data set of the Hugging Face hub")
    split_column: str | None = Field(None, description="the column of `path` that names each row's split")
    holdout: dict[Name, Annotated[float, Field(gt=0, lt=1)]] = Field(
        {},
        description="fractions to hold out of `path`, such as {valid: 0.1, test: 0.1}; equal rows stay together",
    )
    streaming: StreamingConfig | None = Field(None, description="read the rows that are trained on shard by shard")
    train_split: str = Field("train", description="the split that is trained on")
    valid_split: str = Field("valid", description="the split that chooses the best checkpoint, where there is one")
    id_column: str = Field("id", description="the column with each row's id, where there is one")

    @model_validator(mode="before")
    @classmethod
    def _one_file(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "group_by" in data:
            raise errors_at(
                "data", [(("group_by",), "'group_by' stands beside 'data:', not in it: predictions need it")]
            )
        return {"path": data} if isinstance(data, str | Path) else data

    @model_validator(mode="after")
    def _one_way(self) -> DataConfig:
        files = list(self.files)
        for name, path in self.files.items():
            hint = did_you_mean(name, list(type(self).model_fields))
            if path.suffix.lower() not in SAMPLE_FILES:
                what = f"names a split, whose file ends in {listed(SAMPLE_FILES)}, found '{path.name}'."
                raise errors_at("data", [((name,), f"'{name}' {what}{hint}")])
        if self.path is not None and files:
            raise errors_at("data", [((files[0],), f"'{files[0]}' beside 'path': give one file, or one per split")])
        if self.hub is not None and (self.path or files):
            raise errors_at(
                "data", [(("hub",), f"'hub' beside '{'path' if self.path else files[0]}': give one of them")]
            )
        if self.path is None and self.hub is None and not files:
            raise errors_at("data", [((), "needs 'path: FILE', or one file per split such as 'train: FILE'")])
        if files and (self.split_column or self.holdout):
            raise errors_at(
                "data", [((), "'split_column' and 'holdout' divide the file of 'path', which is not given")]
            )
        if self.streaming is not None and (self.split_column or self.holdout):
            ways = "'split_column' and 'holdout' have to see all rows first: give each split files of its own"
            raise errors_at("data", [(("streaming",), ways)])
        if self.streaming is not None and files and self.train_split not in files:
            raise errors_at("data", [(("streaming",), f"needs a file for the split '{self.train_split}'")])
        if self.split_column and self.holdout:
            raise errors_at("data", [(("holdout",), "'holdout' beside 'split_column': give one of them")])
        if sum(self.holdout.values()) >= 1:
            raise errors_at("data", [(("holdout",), "the fractions leave nothing to train on")])
        return self

    def streams(self, split: str) -> bool:
        """Whether the rows of a split are read one after the other."""
        return self.streaming is not None and split == self.train_split

    @property
    def place(self) -> str:
        """Where all samples are, for messages."""
        return str(self.path) if self.path is not None else f"hub '{self.hub.name}'" if self.hub is not None else "data"

    @property
    def files(self) -> dict[str, Path]:
        """The file of each split, where splits have files of their own."""
        return dict(self.__pydantic_extra__ or {})


class GroupBy(Strict):
    """Rows that belong together are one sample, such as the utterances of a video: each column becomes a list."""

    key: str = Field(description="column whose equal values belong together, such as the video")
    order: str | None = Field(None, description="column of numbers or texts to sort by; by default the file's order")
    limit: Positive = Field(512, description="rows in one group; more is an error")


class StageConfig(Strict):
    """One step of the training, such as pre-training or fine-tuning. What is not given comes from `training`."""

    name: Name = Field(description="of the stage, for logs and `--set`")
    heads: dict[Name, Annotated[float, Field(gt=0)]] | None = Field(
        None, description="heads with weights; all by default"
    )
    epochs: Positive | None = Field(None, description="passes over this stage's training split")
    batch_size: Positive | None = Field(None, description="samples per optimizer step, over all processes")
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(None, description="the highest rate of this stage")
    learning_rates: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="rates of single parts, such as {streams.image: 0.0001}"
    )
    layer_decay: dict[Name, Annotated[float, Field(gt=0, le=1)]] = Field(
        {}, description="of the rate, from each layer of a stream to the one before it, such as {image: 0.8}"
    )
    freeze: list[str] = Field([], description="parts that stay as they are, such as streams.image.encoder")
    data: DataConfig | None = Field(None, description="data of this stage's own")


class InitFrom(Strict):
    """Begin with what another run has learned: weights, and the vocabularies and statistics that go with them."""

    run: ConfigPath = Field(description="the folder of a finished run, or of a saved pipeline")
    parts: list[str] = Field(
        ["streams"], min_length=1, description="streams (all that both have), streams.<name>, fusion, heads.<name>"
    )

    @model_validator(mode="before")
    @classmethod
    def _run_alone(cls, data: Any) -> Any:
        return {"run": data} if isinstance(data, str | Path) else data


class EarlyStopping(Strict):
    """Stop a stage when its main metric on the valid split has not improved for `patience` epochs."""

    patience: Positive = Field(3, description="epochs without a better figure, after which the stage ends")
    metric: str | None = Field(None, description="head/metric; by default the main one of the stage's weightiest head")


class CheckpointConfig(Strict):
    """When checkpoints are written, and how many stay."""

    every: Positive | None = Field(None, description="steps between checkpoints; by default one per epoch")
    keep: Annotated[int, Field(ge=2)] = Field(2, description="how many of the newest stay, beside the best")


class TrainingConfig(Strict):
    """How to train."""

    epochs: Positive = Field(10, description="passes over the training split, in each stage")
    batch_size: Positive = Field(32, description="samples per optimizer step, over all processes")
    batch_tokens: Positive | None = Field(
        None,
        description="instead of batch_size: the most that samples times the longest of each stream, summed, come to",
    )
    accumulation: Positive = Field(1, description="parts that a batch is cut into, one after the other")
    micro_batch: Positive | None = Field(
        None, description="values that an encoder takes at a time; losses see the whole batch: less memory, more time"
    )
    group: Name | None = Field(None, description="stream whose equal values stay in one batch, to be encoded once")
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        1e-3, description="the highest rate, which `schedule` begins from"
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "cosine", description="how the rate falls after `warmup`: not, or to zero"
    )
    warmup: Fraction = Field(0.05, description="share of the steps in which the rate rises from zero")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.01, description="of AdamW; not of biases and norms")
    balance: AnyBalance = Field(None, description="what keeps one stream from being learned at the cost of others")
    modality_dropout: dict[Name, AnyRamp] = Field(
        {}, description="share of the rows that lose a stream in a training step, such as {image: 0.3}"
    )
    clip: Annotated[float, Field(gt=0)] | None = Field(1.0, description="upper bound of the gradient's norm")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="of the computation; float16 needs a GPU"
    )
    activation_checkpointing: list[Name] = Field(
        [], description="streams whose layers are computed twice instead of being kept: less memory, more time"
    )
    sharding: Literal["off", "full"] = Field(
        "off", description="full: each process holds a share of weights, gradients and moments (FSDP2), not a copy"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="of weights, order, dropout and augmentation")
    keep: Literal["best", "last"] = Field("best", description="weights that a stage ends with: best on valid, or last")
    select_by: str | None = Field(None, description="head/metric that tells the best; by default as early stopping")
    early_stopping: EarlyStopping | None = Field(None, description="end a stage when it no longer gets better on valid")
    checkpoint: CheckpointConfig = Field(
        CheckpointConfig(), description="when the training is saved, to be gone on with"
    )
    log_every: Positive | None = Field(None, description="steps between log lines; by default one every two seconds")
    on_error: Literal["raise", "skip"] = Field("raise", description="what to do with a sample that cannot be read")
    not_finite: Literal["raise", "skip", "rollback"] = Field(
        "raise", description="what to do with a step whose loss or gradient is not finite; ten in a row are an error"
    )
    feature_cache: Literal["float32", "bfloat16", "off"] = Field(
        "float32", description="precision in which frozen encoders encode each value once, to be kept; or not at all"
    )
    decoded_cache: bool = Field(True, description="keep on disk what files hold, so that each is decoded once")
    workers: Annotated[int, Field(ge=0)] = Field(0, description="processes that prepare batches")
    threads: Positive | None = Field(None, description="processor threads; by default what a short probe finds fastest")
    device: Literal["auto", "cpu"] = Field("auto", description="auto: a GPU where there is one")
    trackers: list[str] = Field([], description="any tracker that Accelerate knows, such as tensorboard")


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
