"""The published JSON Schemas: current, of one mind with the validation, and of use to an editor.

Run as a program (`uv run poe schemas`), this file writes schemas/ anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest

from mmsdk import ConfigError, EncoderConfig, HeadConfig, load_config, register
from mmsdk.components import AnyEncoder, AnyHead
from mmsdk.config.schema import pipeline_schema
from mmsdk.config.yaml_file import parse_yaml
from mmsdk.errors import KNOWN_PLUGINS
from mmsdk.plugins.registry import HOOKS, Registry, registry
from tests.test_docs import ALL, blocks

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "schemas" / "v1" / "pipeline.schema.json"
WITH_PLUGINS = PUBLISHED.with_name("pipeline-and-plugins.schema.json")
EXAMPLES = [*sorted(ROOT.glob("docs/examples/*/*.yaml")), *sorted(ROOT.glob("mmsdk/**/*.yaml"))]
CONFIG = """
schema_version: 1
streams:
  image: {modality: {type: image, size: [16, 32]}, encoder: {type: vit, patch: 8}}
  table: {modality: {type: tabular, numbers: [a, b]}, encoder: {type: mlp}, column: [a, b]}
  again: {shared_with: image, column: other}
  text: {modality: text, encoder: bag}
fusion: {type: transformer, layers: 1}
heads:
  align: {type: contrastive, reads: [image, text]}
  answer: {type: classification, target: answer}
  soft: {type: classification, target: {column: votes, modality: {type: soft_label}}, hidden: [8]}
  vote: {type: classification, target: answer, reads: [fused, text], decision: {type: decision_mean, loss: both}}
data: {train: a.jsonl, valid: b.jsonl, night: c.jsonl}
stages:
  - {name: pretrain, heads: {align: 1.0}, data: {path: a.csv, split_column: split}}
  - {name: finetune, freeze: [streams.image.encoder], learning_rates: {heads.answer: 0.1}}
training: {epochs: 3, early_stopping: {patience: 2}, clip: null}
"""


def published() -> dict[Path, str]:
    """What the files must hold: the components of the core alone, and with those of the plugins in this repository."""
    core = registry().plugins[:1]
    own = [plugin for plugin in registry().plugins[1:] if plugin.distribution in KNOWN_PLUGINS.values()]
    return {
        path: json.dumps(pipeline_schema(only=only), indent=2, ensure_ascii=False) + "\n"
        for path, only in ((PUBLISHED, core), (WITH_PLUGINS, core + own))
    }


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = pipeline_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_published_schemas_are_current(fresh_registry: Registry) -> None:
    for path, text in published().items():
        assert path.read_text(encoding="utf-8") == text, "uv run poe schemas"


def test_nothing_that_happens_to_be_installed_is_published(fresh_registry: Registry) -> None:
    class LocalConfig(EncoderConfig):
        type: Literal["local"] = "local"

    register(LocalConfig)
    found = {path: set(text.split('"')) for path, text in published().items()}
    assert not {"fusion.compare", "local"} & found[PUBLISHED]
    assert "fusion.compare" in found[WITH_PLUGINS] and "local" not in found[WITH_PLUGINS]
    assert {"fusion.compare", "local"} <= set(json.dumps(pipeline_schema()).split('"'))
    assert fresh_registry.local["encoder"] == {"local": LocalConfig} and len(fresh_registry.plugins) > 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("data: {train: a.jsonl, valid: b.jsonl, night: c.jsonl}", "data: a.jsonl"),
        ("fusion: {type: transformer, layers: 1}", "fusion: transformer"),
        ("decision: {type: decision_mean, loss: both}", "decision: decision_product"),
        ("size: [16, 32]", "size: 16"),
        ("schema_version: 1\n", ""),
        ("target: answer}", "target: answer, auxiliary: 1}"),
        ("clip: null", "balance: none"),
        ("clip: null", "balance: gradient_blend"),
        ("clip: null", "balance: {type: gradient_blend, epochs: 2}"),
        ("clip: null", "modality_dropout: {image: 0.3, text: {start: 0.5, end: 0.1}}"),
    ],
)
def test_good_configs_pass_both(validator: Any, old: str, new: str) -> None:
    tree = parse_yaml(CONFIG.replace(old, new, 1), "config")
    load_config(tree)
    validator.validate(tree)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("type: vit, ", "", "streams.image.encoder"),
        ("type: vit", "type: vitt", "streams.image.encoder"),
        ("type: vit", "typ: vit", "streams.image.encoder"),
        ("patch: 8", "patch: 0", "streams.image.encoder"),
        ("patch: 8", "patches: 8", "streams.image.encoder"),
        ("modality: text", "modality: bag", "streams.text.modality"),
        ("image:", "Image:", "streams"),
        ("answer:", "'1':", "heads"),
        ("type: transformer, layers: 1", "type: decision_mean", "fusion"),
        ("decision: {type: decision_mean, loss: both}", "decision: {type: concat}", "heads.vote"),
        ("loss: both", "loss: none", "heads.vote"),
        ("schema_version: 1", "schema_version: 2", "schema_version"),
        ("epochs: 3", "epoch: 3", "training"),
        ("name: pretrain, ", "", "stages.0"),
        ("train: a.jsonl", "train: [a.jsonl]", "data"),
        ("clip: null", "balance: blend", "training.balance"),
        ("clip: null", "balance: {epochs: 2}", "training.balance"),
        ("clip: null", "modality_dropout: {image: 1}", "training.modality_dropout.image"),
        ("schema_version: 1", "schema_version: one", "schema_version"),
        ("streams:", "stream:", ""),
        ("heads:", "head:", ""),
        ("column: other", "column: 3", "streams.again.column"),
        ("shared_with: image", "shared_with: 1", "streams.again.shared_with"),
        ("numbers: [a, b]", "numbers: a", "streams.table.modality"),
        ("size: [16, 32]", "size: [16]", "streams.image.modality"),
        ("layers: 1", "layers: few", "fusion"),
        ("layers: 1", "width: -8", "fusion"),
        ("reads: [image, text]", "reads: image", "heads.align"),
        ("reads: [image, text]", "reads: []", "heads.align"),
        ("type: contrastive", "type: contrast", "heads.align"),
        ("target: {column: votes, modality: {type: soft_label}}", "target: {modality: soft_label}", "heads.soft"),
        ("hidden: [8]", "hidden: [eight]", "heads.soft"),
        ("hidden: [8]", "dropout: 1.0", "heads.soft"),
        ("path: a.csv, split_column: split", "path: a.csv, holdout: {valid: 1.5}", "stages.0.data"),
        ("heads: {align: 1.0}", "heads: {align: 0}", "stages.0.heads"),
        ("freeze: [streams.image.encoder]", "freeze: streams.image.encoder", "stages.1.freeze"),
        ("epochs: 3", "epochs: 3.5", "training.epochs"),
        ("epochs: 3", "schedule: step", "training.schedule"),
        ("epochs: 3", "warmup: 2", "training.warmup"),
        ("epochs: 3", "seed: -1", "training.seed"),
        ("epochs: 3", "precision: fp16", "training.precision"),
        ("patience: 2", "patience: 0", "training.early_stopping"),
        ("clip: null", "checkpoint: {keep: 1}", "training.checkpoint.keep"),
        ("schema_version: 1", "card: {license: My own}", "card"),
        ("schema_version: 1", "card: {licence: mit}", "card"),
        ("schema_version: 1", "group_by: {order: time}", "group_by"),
        ("schema_version: 1", "init_from: {run: r, parts: []}", "init_from"),
        ("schema_version: 1", "max_fusion_parameters: 0", "max_fusion_parameters"),
    ],
)
def test_bad_configs_fail_both(validator: Any, old: str, new: str, place: str) -> None:
    assert old in CONFIG
    tree = parse_yaml(CONFIG.replace(old, new, 1), "config")
    with pytest.raises(ConfigError):
        load_config(tree)
    assert place in {".".join(map(str, error.absolute_path)) for error in validator.iter_errors(tree)}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_shipped_configs_pass(validator: Any, path: Path) -> None:
    """Against the schema that an editor takes for them, too: the one that their first line names."""
    text = path.read_text(encoding="utf-8")
    tree = parse_yaml(text, str(path))
    validator.validate(tree)
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    if path.is_relative_to(ROOT / "docs"):
        assert named is not None
        schema = json.loads((path.parent / named[1]).read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(schema).validate(tree)


@pytest.mark.parametrize("page", [page for page in ALL if blocks(page, "yaml")], ids=lambda page: page.name)
def test_configs_in_the_documentation_pass(validator: Any, page: Path) -> None:
    """A block that is a part of a pipeline is tried in the README's one, as in test_docs."""
    (readme,) = blocks(ROOT / "README.md", "yaml")
    for block in blocks(page, "yaml"):
        part = parse_yaml(block.code, block.place)
        whole = part if {"streams", "heads"} <= set(part) else parse_yaml(readme.code, "README.md") | part
        found = [f"{'.'.join(map(str, each.absolute_path))}: {each.message}" for each in validator.iter_errors(whole)]
        assert found == [], block.place


def properties(schema: Any) -> Iterator[tuple[str, str, Any]]:
    for owner, definition in [("the pipeline", schema), *schema["$defs"].items()]:
        for part in definition.get("anyOf", [definition]):
            yield from ((owner, name, each) for name, each in part.get("properties", {}).items())


def test_every_key_is_explained(validator: Any) -> None:
    """In words, where the cursor is: not only in the definition that a key refers to."""
    found = list(properties(validator.schema))
    assert [f"{owner}: {name}" for owner, name, each in found if not each.get("description")] == []
    assert len(found) > 500 and all(validator.schema.get(key) for key in ("title", "description"))


def test_every_component_is_offered_and_explained(validator: Any) -> None:
    """An editor offers the names of a slot, and with the `type` there the keys of that component."""
    definitions = validator.schema["$defs"]
    components = {
        each["properties"]["type"]["const"]: each
        for each in definitions.values()
        if "const" in each.get("properties", {}).get("type", {})
    }
    known = {name for kind in HOOKS for name in registry().all(kind)}
    assert known <= set(components) and len(known) > 80
    for name, each in components.items():
        assert each.get("description"), name
        assert each["properties"]["type"]["description"] in each["description"], name
        assert "type" in each["required"] and each["additionalProperties"] is False, name
    for slot, kind in {"AnyModality": "modality", "AnyEncoder": "encoder", "AnyHead": "head"}.items():
        names, in_full = definitions[slot]["anyOf"]
        assert set(names["enum"]) == set(registry().all(kind)) == set(in_full["discriminator"]["mapping"])  # type: ignore[arg-type]


def test_components_inside_components(fresh_registry: Registry) -> None:
    class TwinConfig(EncoderConfig):
        """One encoder after another."""

        type: Literal["test.twin"] = "test.twin"
        reads = ("tokens",)
        first: AnyEncoder
        others: dict[str, AnyEncoder]

    class OuterConfig(HeadConfig):
        """A head around a head, with an encoder."""

        type: Literal["test.outer"] = "test.outer"
        inner: AnyHead | None = None
        encoder: AnyEncoder

    register(TwinConfig)
    register(OuterConfig)
    schema = pipeline_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    twin = {
        "type": "test.twin",
        "first": {"type": "test.twin", "first": "bag", "others": {"x": {"type": "rnn"}}},
        "others": {},
    }
    outer = {"type": "test.outer", "reads": ["a"], "encoder": twin}
    tree: Any = {"streams": {"a": {"modality": "text", "encoder": twin}}, "heads": {"b": {**outer, "inner": outer}}}
    load_config(tree)
    validator.validate(tree)
    twin["first"]["others"] = {"x": {"type": "image"}}  # type: ignore[index]
    assert not validator.is_valid(tree)


def test_a_kind_without_components_can_still_be_described(fresh_registry: Registry) -> None:
    schema = pipeline_schema(only=[])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert not jsonschema.Draft202012Validator(schema).is_valid({"streams": {}, "heads": {}})


def test_the_command_writes_it(cli: Callable[..., Any], tmp_path: Path) -> None:
    printed = cli("schema")
    assert printed.exit_code == 0 and json.loads(printed.stdout) == pipeline_schema()
    path = tmp_path / "new" / "pipeline.schema.json"
    answered = cli("schema", "--output", path, "--json")
    assert json.loads(answered.stdout) == {"schema": str(path)}
    assert json.loads(path.read_text(encoding="utf-8")) == pipeline_schema()
    refused = cli("schema", "--output", tmp_path)
    assert refused.exit_code == 1 and refused.stderr.startswith(f"error: {tmp_path}: cannot be written: ")


if __name__ == "__main__":
    for path, text in published().items():
        path.write_text(text, encoding="utf-8")
