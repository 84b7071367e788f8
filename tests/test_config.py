"""Config classes on their own, and whole configs made in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import ValidationError

from mmsdk import ConfigError, EncoderConfig, PipelineConfig, load_config, register
from mmsdk.builtin.declarations.encoders import BagEncoderConfig, CnnEncoderConfig
from mmsdk.builtin.declarations.modalities import ImageConfig, TextConfig
from mmsdk.components import AnyEncoder
from mmsdk.config.data import DataConfig
from mmsdk.config.pipeline import StreamConfig
from mmsdk.config.training import StageConfig
from mmsdk.plugins.registry import Kind, Registry

HEADS = {"answer": {"type": "classification", "target": "answer", "reads": ["text"]}}
TEXT = {"modality": {"type": "text"}, "encoder": {"type": "bag"}}


def said(section: str, value: Any) -> list[str]:
    """What is said of a config with one section set to a value."""
    try:
        load_config({"streams": {"text": TEXT}, "heads": HEADS, section: value})
    except ConfigError as error:
        return [line.removeprefix("config: ") for line in str(error).split("\n")]
    return []


class TestStreams:
    @pytest.mark.parametrize(
        ("stream", "complaint"),
        [
            ({}, "needs 'modality: {type: ...}' (or 'shared_with: <stream>')"),
            ({"modality": "text"}, "needs 'encoder: {type: ...}' (or 'shared_with: <stream>')"),
            ({"encoder": "bag"}, "needs 'modality: {type: ...}' (or 'shared_with: <stream>')"),
            ({"column": "a"}, "needs 'modality: {type: ...}' (or 'shared_with: <stream>')"),
        ],
    )
    def test_needs_a_modality_and_an_encoder(self, stream: Any, complaint: str) -> None:
        assert said("streams", {"text": stream}) == [f"streams.text: {complaint}"]

    def test_shares_both_or_has_its_own(self) -> None:
        assert said("streams", {"text": TEXT, "more": {"shared_with": "text", "encoder": "bag"}}) == [
            "streams.more.encoder: 'encoder' beside 'shared_with': give one of them"
        ]

    def test_the_column_is_the_streams_name_unless_said_otherwise(self) -> None:
        table = {"modality": {"type": "tabular", "numbers": ["a", "b"], "categories": ["c"]}, "encoder": "mlp"}
        streams = {"text": TEXT, "renamed": {**TEXT, "column": "question"}, "table": table}
        config = load_config({"streams": streams, "heads": HEADS})
        assert [config.column_of(name) for name in streams] == ["text", "question", ["a", "b", "c"]]


class TestData:
    @pytest.mark.parametrize(
        ("data", "complaint"),
        [
            ({}, "data: needs 'path: FILE', or one file per split such as 'train: FILE'"),
            ({"path": "a.csv", "train": "b.csv"}, "data.train: 'train' beside 'path': give one file, or one per split"),
            ({"train": "a.csv", "split_column": "s"}, "data: 'split_column' and 'holdout' divide the file of 'path'"),
            ({"train": "a.csv", "holdout": {"test": 0.1}}, "data: 'split_column' and 'holdout' divide the file of 'pa"),
            (
                {"path": "a.csv", "split_column": "s", "holdout": {"test": 0.1}},
                "data.holdout: 'holdout' beside 'split_",
            ),
            ({"path": "a.csv", "holdout": {"a": 0.5, "b": 0.5}}, "data.holdout: the fractions leave nothing to train"),
            ({"path": "a.csv", "holdout": {"a": 1}}, "data.holdout.a: should be less than 1, found 1"),
            ({"path": "a.csv", "holdout": {"A": 0.1}}, "data.holdout.A: a name is made of lower-case letters, digits"),
            ({"path": "a.csv", "holdout": 0.1}, "data.holdout: should be a mapping, found 0.1"),
            ({"path": 5}, "data.path: should be a path, found 5"),
            ({"train": ["a.csv"]}, "data.train: should be a path, found a list"),
            ({"path": "a.csv", "id_column": None}, "data.id_column: should be text, found nothing"),
            (["a.csv"], "data: should be a mapping, found a list"),
            (5, "data: should be a mapping, found 5"),
        ],
    )
    def test_mistakes(self, data: Any, complaint: str) -> None:
        (line,) = said("data", data)
        assert line.startswith(complaint), line

    def test_any_other_key_is_a_split(self) -> None:
        data = DataConfig.model_validate({"train": "a.csv", "night": "b.csv"}, context={"folder": "/data"})
        assert data.files == {"train": Path("/data/a.csv"), "night": Path("/data/b.csv")}
        assert data.path is None

    def test_a_bare_path_is_enough(self) -> None:
        assert DataConfig.model_validate("a.csv", context={"folder": "/data"}).path == Path("/data/a.csv")
        assert DataConfig.model_validate(Path("/b.csv"), context={"folder": "/data"}).path == Path("/b.csv")


class TestStages:
    @pytest.mark.parametrize(
        ("stage", "complaint"),
        [
            ({}, "stages.0.name: is missing"),
            ({"name": "A"}, "stages.0.name: a name is made of lower-case letters, digits and underscores"),
            ({"name": "a", "heads": {"answer": 0}}, "stages.0.heads.answer: should be greater than 0, found 0"),
            ({"name": "a", "heads": ["answer"]}, "stages.0.heads: should be a mapping, found a list"),
            ({"name": "a", "freeze": "fusion"}, "stages.0.freeze: should be a list, found 'fusion'"),
            ({"name": "a", "data": {}}, "stages.0.data: needs 'path: FILE', or one file per split such as 'train: FIL"),
            ("a", "stages.0: should be a mapping, found 'a'"),
        ],
    )
    def test_mistakes(self, stage: Any, complaint: str) -> None:
        (line,) = said("stages", [stage])
        assert line.startswith(complaint), line

    def test_without_stages_there_is_one(self) -> None:
        assert load_config({"streams": {"text": TEXT}, "heads": HEADS}).steps() == [StageConfig(name="train")]


class TestComponents:
    def test_are_given_as_config_objects_names_or_mappings(self) -> None:
        ways: list[Any] = [BagEncoderConfig(), "bag", {"type": "bag"}]
        found = [StreamConfig.model_validate({"modality": "text", "encoder": way}).encoder for way in ways]
        assert found == [BagEncoderConfig()] * 3

    @pytest.mark.parametrize(
        "value", [BagEncoderConfig, TextConfig(), object(), 5, True, ["bag"], b"bag", {"type": {}}]
    )
    def test_nothing_else_is_one(self, value: Any) -> None:
        with pytest.raises(ValidationError, match=r"Say which encoder: {type: NAME}"):
            StreamConfig.model_validate({"modality": "text", "encoder": value})

    def test_of_the_wrong_level_are_refused_as_objects_too(self) -> None:
        from mmsdk.builtin.declarations.decisions import DecisionMeanConfig

        assert said("fusion", DecisionMeanConfig()) == [
            "fusion.type: 'decision_mean' is a decision-level fusion; it belongs in a head's `decision:`."
        ]

    def test_can_hold_components(self, fresh_registry: Registry) -> None:
        class TwinConfig(EncoderConfig):
            """Two encoders, one after the other."""

            type: Literal["test.twin"] = "test.twin"
            reads = ("tokens",)
            first: AnyEncoder
            others: tuple[AnyEncoder, ...] = ()

        register(TwinConfig)
        inner = {"type": "test.twin", "first": "rnn", "others": [{"type": "bag", "width": 8}]}
        config = load_config(
            {
                "streams": {"text": {"modality": "text", "encoder": {"type": "test.twin", "first": inner}}},
                "heads": HEADS,
            }
        )
        twin = config.streams["text"].encoder
        assert isinstance(twin, TwinConfig) and isinstance(twin.first, TwinConfig)
        assert twin.first.others == (BagEncoderConfig(width=8),)
        assert PipelineConfig.model_validate(config.model_dump(mode="json")) == config
        assert said("streams", {"text": {"modality": "text", "encoder": {**inner, "others": ["bga"]}}}) == [
            "streams.text.encoder.others.0.type: Unknown encoder 'bga'. Did you mean 'bag'?"
        ]

    def test_are_frozen(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            BagEncoderConfig().width = 5  # type: ignore[misc]


class TestWholeConfigs:
    def test_made_in_python_equal_those_from_mappings(self) -> None:
        streams = {"image": StreamConfig(modality=ImageConfig(size=(8, 16)), encoder=CnnEncoderConfig(width=8))}
        heads = {"answer": {"type": "classification", "target": "answer", "reads": ["image"]}}
        made = PipelineConfig.model_validate({"streams": streams, "heads": heads})
        image = {"modality": {"type": "image", "size": [8, 16]}, "encoder": {"type": "cnn", "width": 8}}
        assert made == load_config({"streams": {"image": image}, "heads": heads})

    def test_survive_a_dump_whatever_they_are_made_of(self, fresh_registry: Registry) -> None:
        components = {kind: _every(fresh_registry, kind) for kind in ("modality", "encoder", "fusion", "head")}
        assert sum(len(found) for found in components.values()) > 25
        for config in _configs_of_all(components):
            again = load_config(config.model_dump(mode="json"))
            assert again == config
            assert again.model_dump(mode="json") == config.model_dump(mode="json")


def _every(registry: Registry, kind: Kind) -> dict[str, Any]:
    """The core's own config classes of a kind."""
    return {name: found for name, found in registry.all(kind).items() if "." not in name}


def _configs_of_all(components: dict[str, dict[str, Any]]) -> list[PipelineConfig]:
    """Configs that together use every component of the core, and every section."""
    needed = {"tabular": {"numbers": ["a"]}, "each": {"of": {"type": "text"}}}
    within = {"each": {"of": {"type": "bag"}}}
    encoders = components["encoder"]
    modalities = {name: found(**needed.get(name, {})) for name, found in components["modality"].items()}
    streams: dict[str, StreamConfig] = {}
    for name, modality in modalities.items():
        for encoder in (found for found in encoders.values() if modality.gives in found.reads):
            streams[f"{name}_{encoder.type_name()}"] = StreamConfig(
                modality=modality, encoder=encoder(**within.get(encoder.type_name(), {}))
            )
    assert {stream.encoder.type_name() for stream in streams.values() if stream.encoder} == set(encoders)
    names = list(streams)
    heads: dict[str, dict[str, Any]] = {}
    for name, head in components["head"].items():
        reads = ["fused", *names[:2]] if head.sources == "several" else names[:1]
        if name == "masked":
            reads = [f"fused.{names[0]}"]
        heads[name] = {"type": name, "reads": reads, "target": "y" if head.target_modality else None}
    for name, modality in modalities.items():
        fits = [head for head in components["head"].values() if modality.gives in getattr(head, "target_kinds", ())]
        for head in fits[:1]:
            heads[f"{head.type_name()}_{name}"] = {
                **heads[head.type_name()],
                "target": {"column": "y", "modality": modality},
            }
    for name, rule in components["fusion"].items():
        if rule.level == "decision":
            heads[name] = {"type": "classification", "target": "y", "reads": names[:3], "decision": {"type": name}}
    stage = {"name": "a", "heads": {"classification": 0.5}, "freeze": [f"streams.{names[0]}"], "data": "pairs.jsonl"}
    training = {"early_stopping": {"patience": 2}, "checkpoint": {"every": 5}, "clip": None}
    features = [name for name, fusion in components["fusion"].items() if fusion.level == "feature"]
    contextual = {name: fusion.contextual for name, fusion in components["fusion"].items()}
    options: dict[str, dict[str, Any]] = {
        "film": {"target": names[0], "condition": names[1]},
        "imputed": {"of": {"type": "gated"}},
    }

    def chosen(fusion: str) -> dict[str, StreamConfig]:
        """All streams; those that heads read, where a fusion takes only a few."""
        return {name: streams[name] for name in names[:3]} if fusion == "tensor" else streams

    return [
        load_config(
            {
                "streams": {**chosen(fusion), "shared": {"shared_with": names[0], "column": ["a", "b"]}},
                "fusion": {"type": fusion, **options.get(fusion, {})},
                "heads": {name: head for name, head in heads.items() if name != "masked" or contextual[fusion]},
                "data": {"train": "train.csv", "test": Path("test.csv")},
                "stages": [stage],
                "training": training,
            }
        )
        for fusion in features
    ]
