"""`training:` and `stages:` of a config: how parameters are found. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mmsdk.config.balance import AnyBalance, AnyRamp
from mmsdk.config.data import DataConfig
from mmsdk.fields import ConfigPath, Fraction, Name, Positive, Strict


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
