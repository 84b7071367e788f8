"""Conditions as they are typed: COLUMN=VALUE."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from mmsdk import ConfigError, Pipeline


def read_condition(pipeline: Pipeline, texts: Sequence[str]) -> dict[str, Any]:
    """One sample. What is neither text nor a path is read as JSON where it is JSON.

    Raises:
        ConfigError: no `=`, or a column that no stream reads.
    """
    known = {column: port.modality for port in pipeline.modalities.stream_ports for column in port.columns}
    sample: dict[str, Any] = {}
    for text in texts:
        column, equals, value = text.partition("=")
        if not equals or column not in known:
            raise ConfigError(f"'{text}': expected COLUMN=VALUE with one of the columns {', '.join(known)}")
        if column in sample:
            raise ConfigError(f"'{column}' is given twice: for several conditions, give a file with --data FILE.jsonl")
        sample[column] = value
        modality = known[column]
        if not modality.reads_files and modality.format.kind != "tokens":
            with suppress(ValueError):
                sample[column] = json.loads(value)
    return sample
