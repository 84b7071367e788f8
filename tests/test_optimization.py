"""Which parameters a stage trains."""

from __future__ import annotations

from collections.abc import Collection

import pytest

import mmsdk
from mmsdk.config import StageConfig
from mmsdk.optimization import freeze
from mmsdk.pipeline import Pipeline
from tests.test_blocks import CONFIG
from tests.test_pipeline import build


@pytest.fixture
def pipeline() -> Pipeline:
    return build(mmsdk.load_config(CONFIG))


def trained(pipeline: Pipeline) -> set[str]:
    return {name for name, parameter in pipeline.named_parameters() if parameter.requires_grad}


def test_what_an_encoder_keeps_fixed_no_stage_trains(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = pipeline.encoders["word"]
    whole = {name for name, _ in pipeline.named_parameters()}
    kept = next(name for name, _ in encoder.named_parameters())
    freeze(pipeline, StageConfig(name="one"), ["y"])
    assert trained(pipeline) == whole

    def fixed(self: mmsdk.Encoder) -> Collection[str]:
        return [kept]

    monkeypatch.setattr(type(encoder), "fixed", property(fixed))
    freeze(pipeline, StageConfig(name="one"), ["y"])
    assert whole - trained(pipeline) == {f"streams.word.encoder.{kept}"}
    assert encoder.training  # unlike a frozen part


def test_frozen_parts_are_in_eval_mode(pipeline: Pipeline) -> None:
    freeze(pipeline, StageConfig(name="one", freeze=["streams.word"]), ["y"])
    assert not any(name.startswith("streams.word.") for name in trained(pipeline))
    assert not pipeline.encoders["word"].training and pipeline.encoders["vector"].training
