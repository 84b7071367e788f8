"""Queries: values by stream, such as {"text": "a red heart"}, as vectors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from torch import Tensor

from mmsdk import ConfigError, Pipeline, PipelineConfig
from mmsdk_retrieval.wording import choice, listed


def embedded_queries(pipeline: Pipeline, queries: Sequence[Mapping[str, Any]], head: str) -> list[Tensor]:
    """The vector [width] of each value of each query.

    Raises:
        ConfigError: no such stream, one that the head does not compare, or a query without a value.
        DecodeError: a value cannot be read.
    """
    single = [(stream, value) for query in queries for stream, value in query.items()]
    if not single:
        raise ConfigError("There is no query: give a value for a stream, such as text='a red heart'")
    samples = [sample_of(pipeline.config, stream, value, head) for stream, value in single]
    found: list[Tensor] = []
    for (stream, value), each in zip(single, pipeline.embed_each(samples, head=head), strict=True):
        if not each.vectors:
            raise ConfigError(f"The query {stream}={value!r} is empty: give it a value")
        found += each.vectors.values()
    return found


def sample_of(config: PipelineConfig, stream: str, value: Any, head: str) -> dict[str, Any]:
    """A sample that holds nothing but a value of one stream, which the head compares with others.

    Raises:
        ConfigError: no such stream, or one that the head does not compare.
    """
    compared = config.heads[head].reads
    fused = any(source.partition(".")[0] == "fused" for source in compared)
    known = [name for name in config.streams if name in compared or fused]
    if stream not in known:
        why = f"head '{head}' does not compare it" if stream in config.streams else "the pipeline has no such stream"
        columns = [name for name in known if config.column_of(name) == stream]
        hint = f"That is the column of the stream '{columns[0]}'." if columns else choice(stream, known)
        raise ConfigError(f"No query in '{stream}': {why}. {hint}")
    column = config.column_of(stream)
    if isinstance(column, str):
        return {"id": f"query {stream}", column: value}
    if not isinstance(value, Mapping) or not value.keys() <= set(column):
        raise ConfigError(f"'{stream}' has several columns: give a mapping with some of {listed(column)}")
    return {**value, "id": f"query {stream}"}


def read_query(config: PipelineConfig, text: str) -> dict[str, Any]:
    """STREAM=VALUE of a command line. What begins like JSON and is no text is read as JSON.

    Raises:
        ConfigError: there is no `=`.
    """
    stream, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"'{text}': expected STREAM=VALUE with one of {listed(config.streams)}")
    if gives(config, stream) != "tokens" and value[:1] in ("[", "{"):
        with suppress(ValueError):
            return {stream: json.loads(value)}
    return {stream: value}


def gives(config: PipelineConfig, stream: str) -> str | None:
    """The kind of a stream, such as "pixels"; None where there is no such stream."""
    if stream not in config.streams:
        return None
    modality = config.streams[config.owner_of(stream)].modality
    return modality.gives if modality is not None else None
