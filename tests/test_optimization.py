"""Which parameters a stage trains."""

from __future__ import annotations

from collections.abc import Collection

import pytest

import mmsdk
from mmsdk.config.training import StageConfig
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.training.optimization import freeze
from tests.test_blocks import CONFIG
from tests.test_pipeline import HEADS, STREAMS, build, config


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


def test_what_a_head_keeps_fixed_no_stage_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each copy of a head under a decision rule, too; and each is asked for its pre-trained weights."""
    pipeline = build(config(streams=STREAMS, heads=HEADS))
    kind, loaded = type(pipeline.heads["y"]), []
    whole = {name for name, _ in pipeline.named_parameters()}
    monkeypatch.setattr(kind, "fixed", property(lambda self: [name for name, _ in self.named_parameters()]))
    monkeypatch.setattr(kind, "initialize", lambda self: loaded.append(self))
    freeze(pipeline, StageConfig(name="one"), list(HEADS))
    kept = whole - trained(pipeline)
    assert kept and kept == {name for name in whole if name.startswith(("heads.y.", "heads.vote."))}
    pipeline.initialize()
    assert len({id(head) for head in loaded}) == len(loaded) == 4
