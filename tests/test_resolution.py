"""What a source outside tells is asked for once, kept with the run and the pipeline, and never asked for again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import pytest
import torch

import mmsdk
from mmsdk.config.resolution import components, resolved
from mmsdk.plugins.registry import Registry
from mmsdk.training.run import Run

ROWS = [{"a": [1.0, 0.0], "b": [0.0, 1.0], "y": "one"}, {"a": [0.0, 1.0], "b": [1.0, 0.0], "y": "two"}]


class TowerConfig(mmsdk.EncoderConfig):
    """An encoder whose width stands in a file."""

    type: Literal["tower"] = "tower"
    reads: ClassVar[tuple[str, ...]] = ("sequence", "table")
    file: str
    inner: mmsdk.AnyEncoder | None = None
    facts: dict[str, Any] | None = None

    def resolve(self) -> Self:
        return self.model_copy(update={"facts": {"type": "linear", "width": int(Path(self.file).read_text())}})

    def build(self, format: mmsdk.Format) -> mmsdk.Encoder:
        assert self.facts is not None
        return Tower(format.width, self.facts["width"])


class Tower(mmsdk.Encoder):
    temperature = 0.25

    def __init__(self, given: int, width: int) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = torch.nn.Linear(given, width)

    def initialize(self) -> None:
        torch.nn.init.constant_(self.project.weight, 0.5)

    def forward(self, inputs: mmsdk.Inputs) -> mmsdk.Encoding:
        pooled = self.project(inputs["values"][:, 0])
        return mmsdk.Encoding(pooled[:, None], inputs["mask"][:, :1], pooled)


@pytest.fixture
def source(tmp_path: Path, fresh_registry: Registry) -> Path:
    mmsdk.register(TowerConfig)
    (tmp_path / "width.txt").write_text("5")
    return tmp_path / "width.txt"


def config(source: Path, **more: Any) -> dict[str, Any]:
    stream = {"modality": "features", "encoder": {"type": "tower", "file": str(source)}}
    return {
        "streams": {"a": stream, "b": stream},
        "fusion": "concat",
        "heads": {"y": {"type": "classification", "target": "y"}},
        "training": {"epochs": 2, "batch_size": 1},
    } | more


def test_a_run_and_its_pipeline_need_the_source_no_more(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trained = mmsdk.train(config(source), ROWS, out=out, show=False)
    assert trained.pipeline.encoders["a"].width == 5
    source.unlink()
    loaded = mmsdk.Pipeline.load(out)
    assert loaded.encoders["a"].width == 5 and loaded.predict(ROWS)[0]["y"].value in ("one", "two")
    again = mmsdk.train(config(source), ROWS, out=out, resume=True, show=False)
    assert again.metrics == trained.metrics


def test_an_unfinished_run_goes_on_as_it_was_resolved(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "finish", stop)
        mmsdk.train(config(source), ROWS, out=tmp_path / "run", show=False)
    source.write_text("9")
    assert (
        mmsdk.train(config(source), ROWS, out=tmp_path / "run", resume=True, show=False).pipeline.encoders["a"].width
        == 5
    )


def test_what_stands_in_a_component_is_resolved_first(source: Path) -> None:
    stream = config(source)["streams"]["a"]
    stream["encoder"] = stream["encoder"] | {"inner": stream["encoder"]}
    checked = mmsdk.load_config(
        config(
            source,
            streams={"a": stream},
            fusion=None,
            heads={"y": {"type": "classification", "target": "y", "reads": ["a"]}},
        )
    )
    encoder = checked.resolve().streams["a"].encoder
    assert isinstance(encoder, TowerConfig) and isinstance(encoder.inner, TowerConfig)
    assert encoder.facts == encoder.inner.facts == {"type": "linear", "width": 5}
    assert checked.streams["a"].encoder.facts is None  # type: ignore[union-attr]
    names = [component.type_name() for component in components(checked)]
    assert names == ["features", "tower", "tower", "classification"]


def test_a_config_without_such_components_stays_itself() -> None:
    plain = mmsdk.load_config(
        {
            "streams": {"a": {"modality": "features", "encoder": "mlp"}},
            "heads": {"y": {"type": "regression", "target": "y", "reads": ["a"]}},
            "stages": [{"name": "one", "heads": {"y": 1.0}}],
        }
    )
    assert resolved(plain) is plain is plain.resolve()


def test_pretrained_towers_are_compared_without_training(source: Path) -> None:
    image = {"modality": {"type": "image", "size": 8}, "encoder": "cnn"}
    near = {"near": {"type": "contrastive", "reads": ["a", "b"], "width": None}}
    pipeline = mmsdk.Pipeline.from_config({"streams": {"a": image, "b": {"shared_with": "a"}}, "heads": near})
    picture = torch.rand(8, 8, 3).numpy()
    found = pipeline.embed([{"a": picture, "b": picture}, {"b": picture}])
    torch.testing.assert_close(found["a"][0] @ found["b"][0], torch.tensor(1.0))
    assert found["a"].shape == (2, 128) and not found["a"][1].any()
    with pytest.raises(mmsdk.DecodeError, match=r"sample\[0\]"):
        pipeline.embed({"a": "nowhere.png"})


def test_a_pipeline_that_needs_training_says_so(source: Path) -> None:
    with pytest.raises(mmsdk.ConfigError, match="'a' has to see training data"):
        mmsdk.Pipeline.from_config(config(source))


def test_a_contrastive_head_begins_at_the_temperature_of_its_towers(source: Path, tmp_path: Path) -> None:
    def temperature(**options: Any) -> float:
        near = {"near": {"type": "contrastive", "reads": ["a", "b"], "width": None, **options}}
        head = (
            mmsdk.load_config(config(source, heads=near))
            .heads["near"]
            .build({name: mmsdk.Source(5, 5, None, each) for name, each in {"a": None, "b": 0.25}.items()}, None)
        )
        return float((-head.log_scale.detach()).exp())

    assert temperature() == pytest.approx(0.25)
    assert temperature(temperature=0.5) == pytest.approx(0.5)


def test_sources_of_several_widths_need_a_projection(source: Path) -> None:
    near = mmsdk.load_config(
        config(source, heads={"near": {"type": "contrastive", "reads": ["a", "b"], "width": None}})
    ).heads["near"]
    with pytest.raises(mmsdk.ConfigError, match=r"'a' 5, 'b' 6\. Give a width"):
        near.build({"a": mmsdk.Source(5, 5), "b": mmsdk.Source(6, 6)}, None)


def test_heads_without_embeddings_are_told(source: Path, tmp_path: Path) -> None:
    trained = mmsdk.train(config(source), ROWS, out=tmp_path / "run", show=False)
    with pytest.raises(mmsdk.ConfigError, match="No head of this pipeline gives embeddings"):
        trained.pipeline.embed(ROWS)
    with pytest.raises(mmsdk.ConfigError, match="There is no head 'y'"):
        trained.pipeline.embed(ROWS, head="y")
