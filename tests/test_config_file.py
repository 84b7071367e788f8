"""What a user is told about a config: the exact place, and every problem at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsdk import ConfigError, PipelineConfig, load_config

GOOD = """\
schema_version: 1
streams:
  image:
    modality: {type: image, size: 32}
    encoder: {type: cnn, width: 16}
  question:
    modality: {type: text}
    encoder: {type: transformer, width: 16}
fusion: {type: cross_attention, width: 16}
heads:
  answer: {type: classification, target: answer}
data:
  path: samples.jsonl
stages:
  - name: pretrain
    epochs: 3
  - {name: finetune, freeze: [fusion]}
training: {epochs: 1}
"""

Complaints = Callable[..., list[str]]


@pytest.fixture
def complaints(tmp_path: Path) -> Complaints:
    """What is said of GOOD with some text replaced, without the file's name; [] where it is valid."""

    def said(old: str = "", new: str = "", *overrides: str) -> list[str]:
        assert old in GOOD
        path = tmp_path / "pipeline.yaml"
        path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
        try:
            load_config(path, overrides)
        except ConfigError as error:
            return [line.removeprefix(f"{path}:") for line in str(error).split("\n")]
        return []

    return said


def test_the_config_that_all_others_are_made_from_is_valid(complaints: Complaints) -> None:
    assert complaints() == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        # keys
        ("epochs: 3", "epoch: 3", "16:5: stages.0.epoch: Unknown key 'epoch'. Did you mean 'epochs'?"),
        ("schema_version", "version", "1:1: version: Unknown key 'version'. Did you mean 'schema_version'?"),
        ("size: 32", "colour: 1", "4:29: streams.image.modality.colour: Unknown key 'colour'. Known: 'type', 'size'"),
        ("epochs: 1", "1.5: 1", "18:12: training.1.5: Unknown key '1.5'. Known: 'epochs', 'batch_size'"),
        ("path: samples.jsonl", "_target_: 5", "13:3: data._target_: should be a path, found 5"),
        ("name: finetune, ", "", "17:5: stages.1.name: is missing"),
        ("heads:\n  answer: {type: classification, target: answer}\n", "", "1:1: heads: is missing"),
        # values
        ("epochs: 3", "epochs: three", "16:5: stages.0.epochs: should be a whole number, found 'three'"),
        ("epochs: 3", "epochs: 1.5", "16:5: stages.0.epochs: should be a whole number, found 1.5"),
        ("epochs: 3", "epochs: 0", "16:5: stages.0.epochs: should be greater than 0, found 0"),
        ("epochs: 3", "epochs: [3]", "16:5: stages.0.epochs: should be a whole number, found a list"),
        ("epochs: 3", "epochs: {a: 3}", "16:5: stages.0.epochs: should be a whole number, found a mapping"),
        ("epochs: 1", "warmup: 2", "18:12: training.warmup: should be less than or equal to 1, found 2"),
        ("epochs: 1", "clip: .nan", "18:12: training.clip: should be a finite number, found nan"),
        ("epochs: 1", "clip: .inf", "18:12: training.clip: should be a finite number, found inf"),
        ("epochs: 1", f"clip: 1{'0' * 400}", "18:12: training.clip: should be a number, found a huge number"),
        ("epochs: 1", f"seed: 0x{'f' * 5000}", "18:12: training.seed: should be less than 2147483648, found a huge"),
        ("epochs: 1", "trackers: tensorboard", "18:12: training.trackers: should be a list, found 'tensorboard'"),
        ("epochs: 1", "checkpoint: often", "18:12: training.checkpoint: should be a mapping, found 'often'"),
        ("epochs: 1", "keep: first", "18:12: training.keep: should be 'best' or 'last', found 'first'"),
        ("epochs: 1", "keep: ~", "18:12: training.keep: should be 'best' or 'last', found nothing"),
        ("{epochs: 1}", "[]", "18:1: training: should be a mapping, found an empty list"),
        ("schema_version: 1", "schema_version: two", "1:1: schema_version: should be 1, found 'two'"),
        ("freeze: [fusion]", "freeze: [5]", "17:31: stages.1.freeze.0: should be text, found 5"),
        (
            "type: text",
            "type: text, lowercase: maybe",
            "7:28: streams.question.modality.lowercase: should be true or f",
        ),
        # unions
        ("target: answer", "target: 5", "11:34: heads.answer.target: should be text or a mapping, found 5"),
        ("target: answer", "target: {colum: a}", "11:43: heads.answer.target.colum: Unknown key 'colum'. Did you me"),
        ("target: answer", "target: {modality: label}", "11:34: heads.answer.target.column: is missing"),
        ("size: 32", "size: x", "4:29: streams.image.modality.size: should be a whole number or a list, found 'x'"),
        ("size: 32", "size: [8, 9999]", "4:39: streams.image.modality.size.1: should be less than or equal to 4096"),
        # names
        ("image:", "Image-1:", "3:3: streams.Image-1: a name is made of lower-case letters, digits and underscores"),
        ("answer:", "ответ:", "11:3: heads.ответ: a name is made of lower-case letters, digits and underscores"),
        ("name: finetune", "name: 2nd", "17:6: stages.1.name: a name is made of lower-case letters"),
        # components
        ("type: cnn", "type: cn", "5:15: streams.image.encoder.type: Unknown encoder 'cn'. Did you mean 'cnn'?"),
        (
            "type: cnn",
            "type: x",
            "5:15: streams.image.encoder.type: Unknown encoder 'x'. Known: 'bag', 'cnn', 'cnn_rnn'",
        ),
        ("type: cnn", "type: ''", "5:15: streams.image.encoder.type: Unknown encoder ''. Known: 'bag'"),
        (
            "type: cnn",
            "type: image",
            "5:15: streams.image.encoder.type: encoder 'image' cannot be used: it is a modality. K",
        ),
        ("type: cnn", "type: 5", "5:5: streams.image.encoder: Say which encoder: {type: NAME}. `mmsdk plugins` lists"),
        ("type: cnn, ", "", "5:5: streams.image.encoder: Say which encoder: {type: NAME}. `mmsdk plugins` lists all."),
        ("{type: cnn, width: 16}", "[cnn]", "5:5: streams.image.encoder: Say which encoder: {type: NAME}"),
        ("type: cnn", "_target_: os.system", "5:5: streams.image.encoder: Say which encoder: {type: NAME}"),
        ("width: 16}", "_target_: a}", "5:26: streams.image.encoder._target_: Unknown key '_target_'. Known: 'type'"),
        ("type: cross_attention", "type: decision_mean", "9:10: fusion.type: 'decision_mean' is a decision-level fus"),
        (
            "target: answer",
            "target: answer, decision: {type: concat}",
            "11:61: heads.answer.decision.type: 'concat' is a feature-level fusion; it belongs in `fusion:`.",
        ),
        (
            "type: cnn",
            "type: serve.unet",
            "5:15: streams.image.encoder.type: Unknown encoder 'serve.unet'. "
            "It is provided by another package: pip install mmsdk-serve",
        ),
        (
            "type: cnn",
            "type: acme.cnn",
            "5:15: streams.image.encoder.type: Unknown encoder 'acme.cnn': no installed plugin has the prefix 'acme'. "
            "Install the package that brings it; `mmsdk plugins` lists what is installed.",
        ),
        (
            "type: cnn",
            "type: spech.crnn",
            "5:15: streams.image.encoder.type: Unknown encoder 'spech.crnn': no installed pl",
        ),
    ],
)
def test_each_mistake_has_its_place(complaints: Complaints, old: str, new: str, complaint: str) -> None:
    (said,) = complaints(old, new)
    assert said.startswith(complaint), said


def test_a_plugin_that_is_installed_is_never_offered_for_installation(complaints: Complaints) -> None:
    (said,) = complaints("type: cross_attention, width: 16", "type: fusion.compar")
    assert said == "9:10: fusion.type: Unknown fusion 'fusion.compar'. Did you mean 'fusion.compare'?"


def test_a_prefix_that_is_nearly_known_is_suggested(complaints: Complaints) -> None:
    (said,) = complaints("type: cnn", "type: spech.crnn")
    assert "prefix 'spech'. Did you mean 'speech'? Install the package" in said


def test_every_problem_is_reported_in_one_go(complaints: Complaints) -> None:
    text = "{epochs: -1, clip: x, precison: float32}"
    assert complaints("{epochs: 1}", text) == [
        "18:33: training.precison: Unknown key 'precison'. Did you mean 'precision'?"
    ]
    assert complaints("{epochs: 1}", "{epochs: -1, clip: x, seed: 0.5}", "heads.answer.target=[]") == [
        "--set heads.answer.target: should be text or a mapping, found an empty list",
        "18:12: training.epochs: should be greater than 0, found -1",
        "18:24: training.clip: should be a number, found 'x'",
        "18:33: training.seed: should be a whole number, found 0.5",
    ]


def test_a_mapping_that_is_empty_or_missing(complaints: Complaints) -> None:
    assert complaints(GOOD[GOOD.index("streams:") :], "streams: {}\nheads: {}") == [
        "2:1: streams: should have at least 1 entry, found an empty mapping",
        "3:1: heads: should have at least 1 entry, found an empty mapping",
    ]
    assert complaints(GOOD, "other: 1") == [
        "1:1: other: Unknown key 'other'. Known: 'schema_version', 'streams', 'fusion', 'heads', 'data', 'group_by', "
        "'init_from', 'stages', 'training', 'card', 'max_fusion_parameters'."
    ]
    assert complaints(GOOD, "# a comment\n\nfusion: concat") == [
        "3:1: streams: is missing",
        "3:1: heads: is missing",
    ]


def test_mistakes_in_python_mappings_have_a_place_too() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config({"streams": {"a": {"modality": "text", "encoder": {"type": "bag", 1: 2}}}, "heads": {}})
    assert str(caught.value).split("\n") == [
        "config: streams.a.encoder.1: Unknown key '1'. Known: 'type', 'width', 'layers', 'dropout'.",
        "config: heads: should have at least 1 entry, found an empty mapping",
    ]


@pytest.mark.parametrize("source", [5, None, ["streams"], {"streams": object()}, {("a", "b"): 1}, {None: 1}])
def test_nothing_but_config_errors_for_odd_sources(source: Any) -> None:
    with pytest.raises(ConfigError):
        load_config(source)


def test_endless_mappings_are_refused() -> None:
    endless: dict[str, Any] = {}
    endless["streams"] = endless
    with pytest.raises(ConfigError, match="nested too deeply"):
        load_config(endless)


def test_a_config_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(GOOD)
    config = load_config(tmp_path / "pipeline.yaml")
    assert load_config(config) is config
    changed = load_config(config, ["training.epochs=7", "fusion=concat"])
    assert (changed.training.epochs, changed.fusion and changed.fusion.type_name()) == (7, "concat")
    assert config.training.epochs == 1
    assert changed.data == config.data


class TestOverrides:
    @pytest.fixture
    def overridden(self, tmp_path: Path) -> Callable[..., PipelineConfig]:
        path = tmp_path / "pipeline.yaml"
        path.write_text(GOOD)
        return lambda *overrides: load_config(path, overrides)

    def test_values_are_yaml(self, overridden: Callable[..., PipelineConfig]) -> None:
        training = overridden(
            "training.learning_rate=1e-4",
            "training.trackers=[tensorboard, 'wandb']",
            "training.clip=",
            "training.early_stopping={patience: 5}",
            "training.checkpoint.keep=4",
            "training.select_by=answer/accuracy=x",
        ).training
        assert training.learning_rate == 1e-4
        assert training.trackers == ["tensorboard", "wandb"]
        assert training.clip is None
        assert training.early_stopping is not None and training.early_stopping.patience == 5
        assert training.checkpoint.keep == 4
        assert training.select_by == "answer/accuracy=x"

    def test_stages_are_found_by_name_or_number(self, overridden: Callable[..., PipelineConfig]) -> None:
        config = overridden("stages.finetune.epochs=9", "stages.0.batch_size=2", "stages.1.freeze.0=heads")
        assert [stage.epochs for stage in config.stages] == [3, 9]
        assert config.stages[0].batch_size == 2
        assert config.stages[1].freeze == ["heads"]

    def test_components_change_by_name(self, overridden: Callable[..., PipelineConfig]) -> None:
        config = overridden("fusion={type: concat, width: 8}", "streams.question.encoder.type=rnn")
        assert config.fusion is not None and config.fusion.type_name() == "concat"
        encoder = config.streams["question"].encoder
        assert encoder is not None and (encoder.type_name(), encoder.widths()) == ("rnn", (16, 16))

    def test_paths_are_relative_to_where_they_were_written(
        self, overridden: Callable[..., PipelineConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        config = overridden()
        assert config.data is not None and config.data.path == tmp_path / "samples.jsonl"
        for override in ("data.path=my.jsonl", "data=my.jsonl", "data={path: my.jsonl}"):
            config = overridden(override)
            assert config.data is not None and config.data.path == elsewhere / "my.jsonl"
        config = overridden("stages.pretrain.data={train: my.jsonl, valid: /abs.jsonl}")
        data = config.stages[0].data
        assert data is not None and data.files == {"train": elsewhere / "my.jsonl", "valid": Path("/abs.jsonl")}

    def test_paths_inside_components_are_too(
        self, overridden: Callable[..., PipelineConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        config = overridden("streams.question.modality.file=mine.json")
        assert config.streams["question"].modality.file == tmp_path / "elsewhere" / "mine.json"  # type: ignore

    def test_the_callers_mapping_stays_as_it_is(self) -> None:
        mine: dict[str, Any] = {
            "streams": {"a": {"modality": "text", "encoder": {"type": "bag"}}},
            "heads": {"b": {"type": "classification", "target": "b", "reads": ["a"]}},
        }
        config = load_config(mine, ["streams.a.encoder.width=8", "heads.b.reads=[a]"])
        assert mine["streams"]["a"]["encoder"] == {"type": "bag"}
        assert config.streams["a"].encoder is not None and config.streams["a"].encoder.widths() == (8, 8)

    @pytest.mark.parametrize(
        ("override", "complaint"),
        [
            ("training.epochs=many", "--set training.epochs: should be a whole number, found 'many'"),
            ("training.epoch=1", "--set training.epoch: Unknown key 'epoch'. Did you mean 'epochs'?"),
            ("stages.finetune.epochs=0", "--set stages.1.epochs: should be greater than 0, found 0"),
            ("fusion.type=concta", "--set fusion.type: Unknown fusion 'concta'. Did you mean 'concat'?"),
            (
                "fusion={type: x.y, a: 1}",
                "--set fusion.type: Unknown fusion 'x.y': no installed plugin has the prefix 'x'",
            ),
            ("training.epochs", "--set training.epochs: expected KEY=VALUE, such as training.epochs=5"),
            ("=5", "--set =5: expected KEY=VALUE, such as training.epochs=5"),
            ("training..epochs=5", "--set training..epochs=5: expected KEY=VALUE"),
            ("training.epochs=[1", "--set training.epochs=[1:1:3: expected ',' or ']', but got '<stream end>'"),
            ("training.epochs=*x", "--set training.epochs=*x:1:1: anchors (&name) and aliases (*name) are not"),
            ("a=" + "[" * 99, "--set a=" + "[" * 99 + ":1:33: nested more than 32 levels deep"),
            (
                "stages.fintune.epochs=1",
                "--set stages.fintune.epochs=1: there is no 'fintune' in that list; there is '",
            ),
            ("stages.2.epochs=1", "--set stages.2.epochs=1: there is no '2' in that list; there is 'pretrain', 'finet"),
            ("stages.²=1", "--set stages.²=1: there is no '²' in that list"),
            ("schema_version.a=1", "--set schema_version.a=1: 'schema_version' is 1, which has no 'a'"),
            ("a." * 3000 + "a=1", "--set a: Unknown key 'a'. Known: 'schema_version', 'streams'"),
        ],
    )
    def test_mistakes_name_the_option(self, complaints: Complaints, override: str, complaint: str) -> None:
        (said,) = complaints("", "", override)
        assert said.startswith(complaint), said
