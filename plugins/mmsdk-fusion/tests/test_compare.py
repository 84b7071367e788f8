"""fusion.compare keeps the promises of a fusion, and the package those of a plugin."""

from __future__ import annotations

import pytest

from mmsdk import ConfigError, Source, load_config
from mmsdk.testing import FusionContract, PluginContract
from mmsdk_fusion.declarations.vectors import CompareConfig


class TestPlugin(PluginContract):
    prefix = "fusion"


class TestCompare(FusionContract):
    config = CompareConfig(width=8)
    sources = {"words": Source(6, 5), "image": Source(4, 7)}  # noqa: RUF012


def test_it_compares_exactly_two_streams() -> None:
    stream = {"modality": {"type": "text"}, "encoder": {"type": "bag"}}
    head = {"type": "classification", "target": "label"}
    config = {"streams": {"a": stream, "b": stream}, "fusion": {"type": "fusion.compare"}, "heads": {"label": head}}
    assert load_config(config).fusion is not None
    with pytest.raises(ConfigError, match="compares two streams, found 1"):
        load_config(config | {"streams": {"a": stream}})
