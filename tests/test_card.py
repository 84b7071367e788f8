"""Model cards: what the hub reads of them, what people read, and who writes what."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

import mmsdk
from mmsdk import About, ConfigError, Pipeline
from mmsdk.data.samples import as_row
from mmsdk.pipeline.front_matter import task_of
from mmsdk.pipeline.modalities import Modalities
from tests.test_pipeline import HEADS, STREAMS, build, config

ABOUT = About(
    metrics={"test/y/accuracy": 0.75, "test/near/image/recall@1": 0.5},
    subsets=[
        {"streams": ["word"], "metrics": {"test/y/accuracy": 0.5, "test/y/rows": 1234}},
        {"streams": ["word", "vector"], "metrics": {"test/y/accuracy": 0.75, "test/y/rows": 2000}},
    ],  # type: ignore[list-item]
    rows={"train": 12000, "test": 2000},
    data="abc123",
)
CARD = {
    "name": "Words",
    "description": "Tells a from b.\n\nNot for c.",
    "license": "apache-2.0",
    "dataset": "me/words-data",
    "language": ["en"],
}


def written(folder: Path, about: About = ABOUT, **changes: Any) -> ModelCard:
    pipeline = build(config(**changes))
    pipeline.about = about
    return ModelCard.load(pipeline.save(folder) / "README.md")


def test_the_hub_finds_what_it_looks_for(tmp_path: Path) -> None:
    data = written(tmp_path / "words", card=CARD).data
    assert (data.library_name, data.license, data.language) == ("mmsdk", "apache-2.0", ["en"])
    assert data.datasets == ["me/words-data"] and data.tags == ["multimodal", "tokens", "sequence"]
    assert data.metrics == ["accuracy", "image/recall@1"] and data.model_name == "Words"
    first, second = data.eval_results
    assert (first.dataset_name, first.dataset_split, first.dataset_revision) == ("me/words-data", "test", "abc123")
    assert (first.metric_type, first.metric_name, first.metric_value) == ("accuracy", "y/accuracy", 0.75)
    assert (second.metric_type, second.metric_name) == ("image/recall@1", "near/image/recall@1")


def test_people_find_data_figures_subsets_licence_and_versions(tmp_path: Path) -> None:
    text = written(tmp_path / "words", card=CARD).text
    for line in (
        "# Words", "Tells a from b.", "Not for c.", "| train | 12,000 |", "Digest: `abc123`",
        "| test/y/accuracy | 0.7500 |", "test/y:", "| streams | accuracy | rows |", "| word | 0.5000 | 1,234 |",
        "| word + vector | 0.7500 | 2,000 |", "apache-2.0", f"- torch {torch.__version__}", "- mmsdk 0.1.0",
    ):  # fmt: skip
        assert f"\n{line}\n" in f"\n{text}\n", line


def test_what_is_not_known_is_said_to_be_unknown(tmp_path: Path) -> None:
    card = written(tmp_path / "words", About())
    assert card.data.license is None and card.data.eval_results is None and card.data.datasets is None
    assert card.text.count("Not measured") == 2 and "Not noted." in card.text and "Not given." in card.text


def test_names_cannot_break_the_card(tmp_path: Path) -> None:
    """Texts of a config are anybody's: the YAML stays the one document that it is, tables keep their form."""
    streams = STREAMS | {"word": STREAMS["word"] | {"column": "a | b\n---\nlicense: mit"}}
    settings = config(streams=streams, card={"name": "x\n---\nlicense: mit", "dataset": "yes: [no"})
    every = [as_row({"a | b\n---\nlicense: mit": "red", "vector": [0.0, 1.0], "y": y}, y) for y in "ab"]
    pipeline = Pipeline(settings, Modalities(settings).fit(lambda: every))
    pipeline.about = ABOUT
    card = ModelCard.load(pipeline.save(tmp_path / "words") / "README.md")
    assert card.data.license is None and card.data.model_name == "x\n---\nlicense: mit"
    assert "\n# x --- license: mit\n" in card.text
    assert "| word | a \\| b --- license: mit | text | bag |" in card.text


@pytest.mark.parametrize(("streams", "head", "task"), [
    ({"a": ("image", "cnn")}, {"type": "classification", "target": "y"}, "image-classification"),
    ({"a": ("text", "bag")}, {"type": "classification", "target": "y"}, "text-classification"),
    ({"a": ("text", "bag"), "b": ("image", "cnn")}, {"type": "classification", "target": "y"}, None),
    ({"a": ("text", "bag"), "b": ("image", "cnn")}, {"type": "classification", "target": "y", "reads": ["b"]},
     "image-classification"),
    ({"a": ("text", "bag"), "b": ("image", "cnn")}, {"type": "contrastive", "reads": ["a", "b"]},
     "zero-shot-image-classification"),
    ({"a": ("text", "bag"), "b": ("image", "cnn")},
     {"type": "classification", "target": {"column": "y", "modality": {"type": "answers"}}},
     "visual-question-answering"),
    ({"a": ("image", "vit")}, {"type": "captioning", "target": "y"}, "image-to-text"),
    ({"a": ({"type": "tabular", "numbers": ["n"]}, "mlp")}, {"type": "regression", "target": "y"},
     "tabular-regression"),
])  # fmt: skip
def test_the_task_has_the_name_that_the_hub_gives_it(
    streams: dict[str, Any], head: dict[str, Any], task: str | None
) -> None:
    made = {name: {"modality": modality, "encoder": encoder} for name, (modality, encoder) in streams.items()}
    fusion = {"type": "concat"} if "reads" not in head else None
    checked = mmsdk.load_config({"streams": made, "heads": {"y": head}, "fusion": fusion})
    assert task_of(checked, checked.heads["y"]) == task


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table of its own, with a card."""
    folder = tmp_path_factory.mktemp("work")
    rows = [
        {"word": "red" if n % 2 else "blue", "vector": [n % 2, 1], "y": "ab"[n % 2], "split": split}
        for split, count in (("train", 8), ("test", 4))
        for n in range(count)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings: dict[str, Any] = {
        "streams": STREAMS, "fusion": "concat", "heads": {"y": HEADS["y"]}, "card": {"license": "mit"},
        "data": {"path": str(folder / "rows.jsonl"), "split_column": "split"}, "training": {"epochs": 1},
    }  # fmt: skip
    return mmsdk.train(settings, out=folder / "run", show=False).run


def test_a_run_notes_its_data_and_figures(run: Path) -> None:
    pipeline = Pipeline.from_pretrained(run)
    assert pipeline.about.rows == {"train": 8, "test": 4} and "test/y/accuracy" in pipeline.about.metrics
    assert pipeline.about.data == json.loads((run / "config.json").read_text())["data"]
    assert pipeline.config.card is not None and pipeline.config.card.license == "mit"


def test_subsets_are_written_where_they_were_measured(cli: Callable[..., Any], run: Path) -> None:
    before = Pipeline.load(run)
    ended = cli("evaluate", run, "--subsets", "--card")
    assert ended.exit_code == 0, ended.stderr
    after = Pipeline.load(run)
    assert [each.streams for each in after.about.subsets] == [["word"], ["vector"], ["word", "vector"]]
    assert after.about.subsets[-1].metrics["test/y/accuracy"] == before.about.metrics["test/y/accuracy"]
    text = (run / "pipeline" / "README.md").read_text()
    assert "| word + vector | " in text and "| vector | " in text
    assert after.about.metrics == before.about.metrics and after.fingerprint() == before.fingerprint()


def test_figures_of_another_split_are_added(cli: Callable[..., Any], run: Path) -> None:
    cli("evaluate", run, "--split", "train", "--card")
    assert {"train/y/accuracy", "test/y/accuracy"} <= set(Pipeline.load(run).about.metrics)
    refused = cli("evaluate", run, "--corruptions", "--card")
    assert refused.exit_code == 1 and "--card: a model card has no place for --corruptions" in refused.stderr


def test_an_edited_card_is_never_written_over(cli: Callable[..., Any], run: Path) -> None:
    path = run / "pipeline" / "README.md"
    path.write_text("# Ours\n")
    cli("evaluate", run, "--card")
    assert path.read_text() == "# Ours\n"
    path.unlink()
    cli("evaluate", run, "--card")
    assert path.read_text().startswith("---\nlibrary_name: mmsdk\nlicense: mit\n")


def test_a_licence_can_be_given_when_saving(tmp_path: Path) -> None:
    pipeline = build(config(card={"name": "Words"}))
    pipeline.save_pretrained(tmp_path / "words", license="cc-by-4.0")
    card = Pipeline.load(tmp_path / "words").config.card
    assert card is not None and (card.name, card.license) == ("Words", "cc-by-4.0")
    with pytest.raises(ConfigError, match=r"license 'My own!': expected what the hub calls it, such as apache-2\.0"):
        pipeline.save_pretrained(tmp_path / "words", license="My own!")


def test_the_card_of_a_config_may_change_when_a_run_goes_on(run: Path) -> None:
    from mmsdk.training.run import require_same_config

    old = json.loads((run / "config.json").read_text())["config"]
    require_same_config(run, old, old | {"card": {"license": "other"}})
