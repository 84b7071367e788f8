"""Everything that is built in, exported: the graph says what torch says, whatever the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmsdk.errors import ExportError
from mmsdk.export.folder import export_pipeline, open_exported
from mmsdk.plugins.registry import Registry
from tests.export.pipelines import NUMBERS, TEXT, config, pipeline, rows

TABLE = {"type": "tabular", "numbers": ["age"], "categories": ["town"]}
PICTURE = {"type": "image", "size": [16, 24]}
LINES = {"type": "each", "of": "text"}
BAG = {"type": "bag", "width": 6}

# By name: the stream that the encoder reads, its modality, the encoder.
ENCODERS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "bag": ("words", "text", {"type": "bag"}),
    "transformer": ("words", "text", {"type": "transformer"}),
    "transformer of numbers": ("numbers", "features", {"type": "transformer"}),
    "rnn": ("words", "text", {"type": "rnn"}),
    "rnn, two layers": ("words", "text", {"type": "rnn", "layers": 2}),
    "rnn, lstm": ("numbers", "features", {"type": "rnn", "cell": "lstm", "layers": 2, "bidirectional": False}),
    "rnn, lstm both ways": ("words", "text", {"type": "rnn", "cell": "lstm", "pool": "mean"}),
    "cnn_rnn": ("words", "text", {"type": "cnn_rnn"}),
    "cnn_rnn, strides": ("numbers", "features", {"type": "cnn_rnn", "stride": 2, "kernel": 5, "pool": "mean"}),
    "mlp": ("numbers", "features", {"type": "mlp"}),
    "mlp of a table": ("facts", TABLE, {"type": "mlp"}),
    "cnn": ("picture", PICTURE, {"type": "cnn"}),
    "cnn, maximum": ("picture", PICTURE, {"type": "cnn", "halving": "maximum"}),
    "vit": ("picture", PICTURE, {"type": "vit", "patch": 8}),
    "each": ("lines", LINES, {"type": "each", "of": BAG}),
    "each, rnn in rnn": ("lines", LINES, {"type": "each", "of": {"type": "rnn", "width": 6}, "context": "rnn"}),
}
TOKENS = {"width": 8, "heads": 2}
FUSIONS: dict[str, dict[str, Any]] = {
    "concat": {},
    "mean": {},
    "max": {},
    "weighted_sum": {},
    "gated": {},
    "attention_pool": {},
    "product": {},
    "low_rank": {},
    "tensor": {"projection": 3},
    "film": {"target": "words", "condition": "numbers"},
    "transformer": TOKENS,
    "cross_attention": TOKENS,
    "bottleneck": TOKENS,
    "perceiver": {**TOKENS, "latents": 4},
    "imputed": {"of": {"type": "concat", "width": 8}, "by": "regression"},
}
HEADS: dict[str, dict[str, Any]] = {
    "classification": {"target": "label"},
    "multilabel": {"target": "labels"},
    "regression": {"target": "size"},
    "token_classification": {"target": "steps", "reads": ["words"]},
    "contrastive": {"reads": ["words", "numbers"], "width": 8},
}
RULES = [
    "decision_mean",
    "decision_product",
    "decision_max",
    "decision_median",
    "decision_borda",
    "decision_entropy",
    "decision_evidential",
    "decision_dempster_shafer",
    "decision_vote",
    "decision_weighted",
    "decision_stacking",
]
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "captioning": ({"target": "words", "width": 8, "heads": 2}, r"'y' \(captioning\) cannot be exported: it makes its"),
    "masked": ({"reads": ["fused.words"]}, "No head of this pipeline predicts or embeds. There is: 'y'"),
    "matching": ({"reads": ["fused", "words", "numbers"]}, r"'y' \(matching\) cannot be exported"),
}


def exports(parts: dict[str, Any], folder: Path) -> None:
    """`export_pipeline` compares batches of several sizes and lengths, with absent streams, or raises."""
    eager = pipeline(parts)
    done = export_pipeline(eager, folder / "out", rows())
    assert done.batches >= 8 and done.difference <= 1e-5
    given = [{**row.values, "id": row.id} for row in rows(5)]
    found, expected = (
        [each.as_dict() for each in one.predict(given)] if any(h.predicts for h in eager.config.heads.values()) else []
        for one in (open_exported(folder / "out"), eager)
    )
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys() and "error" not in one


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders(name: str, tmp_path: Path) -> None:
    stream, modality, encoder = ENCODERS[name]
    own = {"modality": modality, "encoder": {"width": 8, **encoder} if encoder["type"] != "each" else encoder}
    if stream == "facts":
        own["column"] = ["age", "town"]
    other = ("words", TEXT) if stream != "words" else ("numbers", NUMBERS)
    exports(config(streams={stream: own, other[0]: other[1]}), tmp_path)


@pytest.mark.parametrize("name", FUSIONS)
def test_fusions(name: str, tmp_path: Path) -> None:
    width = {} if name == "imputed" else {"width": 8}
    exports(config(fusion={"type": name, **width, **FUSIONS[name]}), tmp_path)


@pytest.mark.parametrize("by", ["zero", "mean", "learned", "nearest"])
def test_imputers(by: str, tmp_path: Path) -> None:
    exports(config(fusion={"type": "imputed", "of": {"type": "concat", "width": 8}, "by": by}), tmp_path)


@pytest.mark.parametrize("name", HEADS)
def test_heads(name: str, tmp_path: Path) -> None:
    exports(config(heads={"y": {"type": name, **HEADS[name]}}), tmp_path)


@pytest.mark.parametrize("rule", RULES)
def test_decisions(rule: str, tmp_path: Path) -> None:
    head = {"type": "classification", "target": "label", "reads": ["words", "numbers"], "decision": {"type": rule}}
    parts = config(heads={"y": head})
    del parts["fusion"]
    exports(parts, tmp_path)


@pytest.mark.parametrize("name", ["type", "values", "train"])
def test_a_stream_may_be_called_as_a_module_calls_its_own(name: str, tmp_path: Path) -> None:
    """`nn.Module` has `type`; a tracer that reaches modules by their names would find that instead."""
    streams = {name: {**TEXT, "column": "words"}, "numbers": NUMBERS}
    exports(config(streams=streams, fusion={"type": "gated", "width": 8}), tmp_path)


def test_streams_that_share_an_encoder(tmp_path: Path) -> None:
    streams = {"words": TEXT, "type": {"shared_with": "words"}, "numbers": NUMBERS}
    exports(config(streams=streams), tmp_path)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exported_is_refused_by_name(name: str, tmp_path: Path) -> None:
    options, words = REFUSED[name]
    fusion = {"type": "transformer", **TOKENS}
    with pytest.raises(ExportError, match=words):
        exports(config(fusion=fusion, heads={"y": {"type": name, **options}}), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_component_is_here() -> None:
    core = Registry(found=[]).plugins[0]
    core.load()
    encoders = {encoder["type"] for _, _, encoder in ENCODERS.values()}
    assert set(core.components["encoder"]) == encoders
    assert set(core.components["fusion"]) == {*FUSIONS, *RULES}
    assert set(core.components["head"]) == {*HEADS, *REFUSED}
