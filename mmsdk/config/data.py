"""`data:` of a config: where samples come from. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from mmsdk.errors import did_you_mean, listed
from mmsdk.fields import ConfigPath, Name, Positive, Strict, errors_at

TEXT_FILES = (".jsonl", ".csv")
ARROW_FILES = (".parquet", ".arrow", ".feather")
TAR_FILES = (".tar",)
SAMPLE_FILES = (*TEXT_FILES, *ARROW_FILES, *TAR_FILES)


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
