"""`generate` and `mmsdk generate`: pictures, grids, folders; saved pipelines; what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import mmsdk
from mmsdk_diffusion import generate, write_grid, write_pictures

from .conftest import ROWS, built, drawer

Cli = Callable[..., Any]


def pixels(pictures: list[Image.Image]) -> list[bytes]:
    return [picture.tobytes() for picture in pictures]


def test_pictures_follow_from_the_seed(pipeline: mmsdk.Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    given = drawer(pipeline).sampling
    (red,) = generate(pipeline, [{"name": "red"}], number=3, seed=5)
    assert red.id == "sample[0]" and len(set(pixels(red.pictures))) == 3
    assert {(picture.size, picture.mode) for picture in red.pictures} == {((4, 4), "RGB")}
    assert drawer(pipeline).sampling == given
    monkeypatch.setattr("mmsdk_diffusion.generation.AT_ONCE", 2)  # in parts, and among others
    both = list(generate(pipeline, [{"name": "red"}, {"name": "blue"}], number=3, seed=5))
    assert pixels(both[0].pictures) == pixels(red.pictures) != pixels(both[1].pictures)
    (third,) = generate(pipeline, [{"name": "red"}], seed=7)
    assert pixels(third.pictures) == pixels(red.pictures[2:])


def test_a_saved_pipeline_draws_the_same(pipeline: mmsdk.Pipeline, run: Path) -> None:
    one, other = (next(generate(each, [{"name": "green"}])) for each in (pipeline, mmsdk.Pipeline.load(run)))
    assert pixels(one.pictures) == pixels(other.pictures)
    assert any(name.startswith("heads.drawn.average.network.") for name in pipeline.state_dict())


def test_predict_gives_a_picture_and_training_one_sample_works(pipeline: mmsdk.Pipeline, tmp_path: Path) -> None:
    (result,) = pipeline.predict({"name": "red"})
    assert result["drawn"].value.size == (4, 4)
    data = {"train": ROWS[:1], "valid": ROWS}
    config = mmsdk.load_config(
        pipeline.config.model_dump() | {"training": {"epochs": 2, "batch_size": 1, "device": "cpu"}},
        ["heads.drawn.sketch_every=2", "heads.drawn.sketch_samples=2"],
    )
    trained = mmsdk.train(config, data, out=tmp_path / "run", show=False)
    assert trained.metrics["valid/drawn/noise_error"] > 0
    (sketch,) = (tmp_path / "run/sketches/drawn").iterdir()
    assert sketch.name == "train-0002.png" and mmsdk.picture(sketch).size == (2 * 66 + 2, 66 + 2)


def test_a_folder_is_a_table_to_train_on(pipeline: mmsdk.Pipeline, tmp_path: Path) -> None:
    count = write_pictures(tmp_path / "made", generate(pipeline, [{"id": "../a", "name": "red"}], number=2))
    rows = list(mmsdk.read_rows(tmp_path / "made/pictures.jsonl"))
    assert count == 2 and [row.id for row in rows] == ["sample[0]-0", "sample[0]-1"]
    assert [row.values["picture"] for row in rows] == ["000000.png", "000001.png"]
    assert all(mmsdk.picture(tmp_path / "made" / row.values["picture"]).size == (4, 4) for row in rows)
    assert mmsdk.evaluate(pipeline, {"made": rows})["made/drawn/noise_error"] > 0


def test_what_cannot_be_drawn_is_refused(pipeline: mmsdk.Pipeline) -> None:
    mistakes: dict[str, dict[str, Any]] = {
        "scheduler 'ddim' cannot be used: this head was trained with 'prediction: flow', which takes euler": {
            "scheduler": "ddim"
        },
        "steps is 0: give 1 to 1000": {"steps": 0},
        "guidance is -2: give 0 for none": {"guidance": -2.0},
        "guidance is nan": {"guidance": float("nan")},
        "number is 0: give 1 or more": {"number": 0},
        "seed is -1": {"seed": -1},
        "There is no head 'sketch' that draws: choose one with --head, of drawn": {"head": "sketch"},
    }
    for message, changes in mistakes.items():
        with pytest.raises(mmsdk.ConfigError, match=message):
            list(generate(pipeline, [{"name": "red"}], **changes))
    with pytest.raises(mmsdk.ConfigError, match=r"trained with 'drop: 0'.*give guidance 0"):
        list(generate(built(drop=0, sampling={"guidance": 0}), [{"name": "red"}], guidance=1.0))
    with pytest.raises(mmsdk.DataError, match=r"sample 'sample\[1\]': every stream is absent"):
        list(generate(pipeline, [{"name": "red"}, {"colour": "red"}]))


def test_one_command_for_a_grid_and_for_a_folder(cli: Cli, run: Path, tmp_path: Path) -> None:
    options = ["--number", "3", "--guidance", "1", "--steps", "2", "--seed", "4"]
    answered = cli("generate", run, "name=red", *options, "--out", tmp_path / "grid.png")
    assert (answered.exit_code, answered.stdout) == (0, f"3 pictures in {tmp_path / 'grid.png'}\n"), answered.stderr
    assert mmsdk.picture(tmp_path / "grid.png").size == (3 * 66 + 2, 66 + 2)
    data = tmp_path / "wanted.jsonl"
    data.write_text("".join(json.dumps({"id": row["id"], "name": row["name"]}) + "\n" for row in ROWS))
    answered = cli("generate", run, "--data", data, *options, "--out", tmp_path / "made", "--json")
    assert json.loads(answered.stdout) == {"out": str(tmp_path / "made"), "conditions": 3, "pictures": 9}
    assert [row.id for row in mmsdk.read_rows(tmp_path / "made/pictures.jsonl")][:2] == ["red-0", "red-1"]
    first = mmsdk.picture(tmp_path / "made/000000.png").resize((64, 64), Image.Resampling.NEAREST)
    assert mmsdk.picture(tmp_path / "grid.png").crop((2, 2, 66, 66)).tobytes() == first.tobytes()


def test_mistakes_are_told(cli: Cli, run: Path, tmp_path: Path) -> None:
    there, png = tmp_path / "there", tmp_path / "grid.png"
    there.mkdir()
    (tmp_path / "empty.jsonl").write_text("")
    mistakes = {
        "Give one condition as COLUMN=VALUE": [png],
        "'red': expected COLUMN=VALUE with one of the columns name": [png, "red"],
        "'colour=red': expected COLUMN=VALUE": [png, "colour=red"],
        "'name' is given twice": [png, "name=red", "name=blue"],
        "grid.jpg: expected a .png file": [tmp_path / "grid.jpg", "name=red"],
        f"{there} exists: choose another folder": [there, "name=red"],
        "there are no samples in this file": [png, "--data", tmp_path / "empty.jsonl"],
        "steps is 0": [png, "name=red", "--steps", "0"],
        "sample 'sample[0]': every stream is absent": [png, "name="],
    }
    for message, (out, *arguments) in mistakes.items():
        answered = cli("generate", run, *arguments, "--out", out)
        assert answered.exit_code == 1 and message in answered.stderr, (message, answered.stderr)
    assert not png.exists()


def test_predict_writes_pictures_to_files(cli: Cli, run: Path, tmp_path: Path) -> None:
    refused = cli("predict", run, "name=red")
    assert "Head 'drawn' predicts pictures: say where to put them, with --pictures FOLDER" in refused.stderr
    answered = cli("predict", run, "name=red", "--pictures", tmp_path / "made")
    path = json.loads(answered.stdout)["drawn"]["value"]
    assert path == str(tmp_path / "made/000001-drawn.png") and mmsdk.picture(path).size == (4, 4)
    (tmp_path / "file").write_text("")
    assert "cannot be written" in cli("predict", run, "name=red", "--pictures", tmp_path / "file").stderr


def test_a_long_row_of_pictures_is_broken(pipeline: mmsdk.Pipeline, tmp_path: Path) -> None:
    write_grid(tmp_path / "deep/grid.png", generate(pipeline, [{"name": "red"}], number=25, steps=1))
    assert mmsdk.picture(tmp_path / "deep/grid.png").size == (10 * 66 + 2, 3 * 66 + 2)
    with pytest.raises(mmsdk.CheckpointError, match="cannot be written"):
        write_grid(tmp_path / "deep/grid.png/grid.png", generate(pipeline, [{"name": "red"}]))


def test_a_pipeline_that_draws_nothing_says_so() -> None:
    head = {"type": "contrastive", "reads": ["name", "again"]}
    stream = {"modality": {"type": "image", "size": 4}, "encoder": {"type": "cnn", "width": 8, "layers": 1}}
    streams = {"name": stream, "again": {"shared_with": "name"}}
    other = mmsdk.Pipeline.from_config({"streams": streams, "heads": {"match": head}})
    with pytest.raises(mmsdk.ConfigError, match="This pipeline draws no pictures"):
        list(generate(other, [{"name": "red"}]))
