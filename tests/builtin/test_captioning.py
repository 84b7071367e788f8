"""The captioning head: its decoders, its loss, and whole pipelines that learn to write."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

import mmsdk
from mmsdk.builtin.declarations.captioning import CaptioningConfig, GenerationConfig
from mmsdk.builtin.heads.captioning import Captioning
from mmsdk.builtin.heads.generation import Generation
from mmsdk.containers import Encoding, HeadOutput, Inputs, Step
from mmsdk.errors import ConfigError
from mmsdk.formats import Format, Source
from mmsdk.training import loop as training
from mmsdk.training.stage import Stage

DECODERS: dict[str, dict[str, Any]] = {
    "transformer": {"decoder": "transformer"},
    "rnn": {"decoder": "rnn"},
    "rnn without attention": {"decoder": "rnn", "attention": False},
}
BATCH, VOCABULARY = 6, 9
decoders = pytest.mark.parametrize("options", DECODERS.values(), ids=DECODERS)


def build(**options: Any) -> Captioning:
    torch.manual_seed(0)
    config = CaptioningConfig(target="y", **{"width": 8, "heads": 2, **options})
    head = config.build({"fused": Source(5, 7)}, Format("tokens", vocabulary=VOCABULARY))
    assert isinstance(head, Captioning)
    with torch.no_grad():  # so that texts differ
        head.symbols.weight.mul_(5)
    return head.eval()


def encoding(seed: int = 0) -> Encoding:
    """Rows of different lengths; the fourth is absent."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(4) < torch.tensor([4, 2, 3, 0, 1, 4])[:, None]
    tokens = torch.randn(BATCH, 4, 5, generator=generator) * mask[..., None]
    return Encoding(tokens, mask, torch.randn(BATCH, 7, generator=generator) * mask.any(dim=1, keepdim=True))


def some_target(padding: int = 0) -> Inputs:
    """The second text is empty, the last one unknown; what stands in the padding must not matter."""
    mask = torch.arange(5) < torch.tensor([5, 0, 3, 2, 1, 4])[:, None]
    ids = torch.randint(VOCABULARY, (BATCH, 5), generator=torch.Generator().manual_seed(1))
    return {"ids": ids.masked_fill(~mask, padding), "mask": mask, "present": torch.arange(BATCH) < BATCH - 1}


def output_of(head: Captioning, target: Inputs | None = None, given: Encoding | None = None) -> HeadOutput:
    step = Step({}, {}, lambda _: pytest.fail("no fusion here"), {}, lambda tensor: tensor, 0, None)
    return head({"fused": given or encoding()}, target, step)  # type: ignore[no-any-return]


def plain_logits(head: Captioning, given: Encoding, row: int, text: list[int]) -> Tensor:
    """[len(text) + 1, symbols] of one row alone, without its padding, and without any state from before."""
    length = max(int(given.mask[row].sum()), 1)
    alone = Encoding(given.tokens[[row], :length], given.mask[[row], :length], given.pooled[[row]])
    inputs = torch.cat([head.first(alone.pooled), head.embed(torch.tensor(text, dtype=torch.int64))])
    states, _ = head.decoder(inputs[None], head.decoder.begin(alone))
    return head.symbols(states[0])  # type: ignore[no-any-return]


@decoders
def test_step_by_step_is_all_at_once(options: dict[str, Any]) -> None:
    """Whatever the steps are cut into, and with rows chosen in between."""
    decoder = build(**options).decoder
    inputs = torch.randn(BATCH, 6, 8)
    whole, _ = decoder(inputs, decoder.begin(encoding()))
    for cut in ([1] * 6, [2, 1, 3]):
        state, found = decoder.begin(encoding()), []
        for part in inputs.split(cut, dim=1):
            states, state = decoder(part, state)
            found.append(states)
        torch.testing.assert_close(torch.cat(found, dim=1), whole)
    _, state = decoder(inputs[:, :5], decoder.begin(encoding()))
    rows = torch.tensor([4, 0, 0])
    last, _ = decoder(inputs[rows, 5:], tuple(part[rows] for part in state))
    torch.testing.assert_close(last, whole[rows, 5:])


@decoders
def test_later_inputs_do_not_matter(options: dict[str, Any]) -> None:
    decoder = build(**options).decoder
    inputs = torch.randn(BATCH, 6, 8)
    first, _ = decoder(inputs, decoder.begin(encoding()))
    second, _ = decoder(torch.cat([inputs[:, :4], torch.randn(BATCH, 2, 8)], dim=1), decoder.begin(encoding()))
    torch.testing.assert_close(first[:, :4], second[:, :4])
    assert not torch.allclose(first[:, 4:], second[:, 4:])


@decoders
@pytest.mark.parametrize("end", [0.0, 1.0])
def test_the_texts_are_those_of_a_plain_loop(options: dict[str, Any], end: float) -> None:
    """Greedy, each row alone, all steps computed anew for each token; with an end that is more or less probable."""
    head, given = build(**options, generation={"max_tokens": 7}), encoding()
    with torch.no_grad():
        head.symbols.bias[VOCABULARY] = end
    output = output_of(head)
    ids, mask, confidence = (output.generated[name] for name in ("ids", "mask", "confidence"))
    texts = set()
    for row in (0, 1, 2, 4, 5):
        text: list[int] = []
        shares = []
        while len(shares) < 7:
            log_shares = plain_logits(head, given, row, text)[-1].log_softmax(0)
            shares.append(log_shares.max())
            if int(log_shares.argmax()) == VOCABULARY:
                break
            text.append(int(log_shares.argmax()))
        assert ids[row][mask[row]].tolist() == text
        torch.testing.assert_close(confidence[row], torch.stack(shares).mean().exp())
        texts.add(tuple(text))
    assert (len(texts) > 1 or end > 0) and not mask[3].any()
    assert output.scores is not None and output.loss is None
    torch.testing.assert_close(output.scores.exp(), confidence)


@decoders
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_against_the_formula(options: dict[str, Any], smoothing: float) -> None:
    head, given, target = build(**options, label_smoothing=smoothing), encoding(), some_target(padding=4)
    total, count, scores = torch.zeros(()), 0, torch.zeros(BATCH)
    for row in (0, 1, 2, 4):  # the fourth is absent, the last one has no target
        text = target["ids"][row][target["mask"][row]].tolist()
        true = torch.tensor([*text, VOCABULARY])
        logits = plain_logits(head, given, row, text)
        total = total + F.cross_entropy(logits, true, reduction="sum", label_smoothing=smoothing)
        scores[row] = -F.cross_entropy(logits, true)
        count += len(true)
    output = output_of(head, target)
    torch.testing.assert_close(output.loss, total)
    assert output.count == count == 6 + 1 + 4 + 2
    assert output.scores is not None and not output.generated
    torch.testing.assert_close(output.scores, scores)


def test_without_attention_it_knows_the_pooled_vector_alone() -> None:
    given, other = encoding(), encoding(seed=2)
    for attention in (True, False):
        head = build(decoder="rnn", attention=attention)
        first, second = (output_of(head, some_target(), given._replace(tokens=each.tokens)) for each in (given, other))
        assert torch.equal(first.loss, second.loss) != attention  # type: ignore[arg-type]


def test_in_an_evaluation_it_writes_only_if_a_metric_asks() -> None:
    with torch.inference_mode():
        assert set(output_of(build(), some_target()).generated) == {"symbols", "right"}
        output = output_of(build(metrics=["exact_match"]), some_target())
        written = output_of(build()).generated
    assert set(output.generated) == {"symbols", "right", "ids", "mask", "confidence"}
    assert all(torch.equal(part, output.generated[name]) for name, part in written.items())
    assert not output_of(build(metrics=["exact_match"]), some_target()).generated, "training must not write"


@decoders
@pytest.mark.parametrize("search", ["greedy", "beam", "sample"])
def test_it_writes_in_bfloat16(options: dict[str, Any], search: str) -> None:
    head = build(**options, generation={"search": search, "max_tokens": 5})
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        output = output_of(head)
    assert output.scores is not None and output.scores.dtype is torch.float32 and output.scores.isfinite().all()
    assert not output.generated["mask"][3].any() and (output.scores[[0, 1, 2, 4, 5]] < 0).all()


def test_how_it_writes_can_be_changed_afterwards() -> None:
    head = build(generation={"search": "sample", "max_tokens": 6})
    first = output_of(head).generated["ids"]
    assert torch.equal(first, output_of(head).generated["ids"])
    head.generation = replace(head.generation, seed=1)
    assert not torch.equal(first, output_of(head).generated["ids"])


def test_the_declared_defaults_are_those_of_the_implementation() -> None:
    assert Generation(**GenerationConfig().model_dump()) == Generation()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 10, "heads": 4}, "4 heads cannot share a width of 10 evenly: give 'heads: 2'"),
        ({"attention": False}, "A transformer looks at the source by attention: remove it, or give 'decoder: rnn'"),
        ({"metrics": ["exact_mach"]}, "Unknown metric 'exact_mach'. Did you mean 'exact_match'?"),
        ({"metrics": ["torchmetrics.BLEUScore"]}, "can add 'exact_match', 'token_f1', 'rouge_l', 'bleu'"),
        (
            {"generation": {"search": "sample", "beams": 5}},
            "'beams: 5' is for 'search: beam', found 'sample': change one of them",
        ),
        ({"generation": {"temperature": 0.7}}, "'temperature: 0.7' is for 'search: sample', found 'greedy'"),
        ({"generation": {"search": "beam", "seed": 1}}, "'seed: 1' is for 'search: sample', found 'beam'"),
        ({"generation": {"search": "sample", "temperature": 0}}, "greater than 0"),
        ({"generation": {"lenght_penalty": 1}}, "Did you mean 'length_penalty'?"),
        (
            {"target": {"column": "y", "modality": "label"}},
            "Head 'captioning' takes targets of kind 'tokens', but 'label' gives 'label'.",
        ),
    ],
)
def test_what_does_not_fit_is_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CaptioningConfig.model_validate({"target": "y", **options})
    assert message in str(caught.value)


def test_heads_need_not_share_a_width_that_nobody_looks_with() -> None:
    assert build(decoder="rnn", attention=False, width=9, heads=2).embed.embedding_dim == 9


# Whole pipelines.

COUNTS, COLORS, SHAPES = ["one", "two", "three"], ["red", "green", "blue", "gray"], ["square", "star", "disk", "cross"]


def things() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows to train on and others: a thing is three steps, noisy codes of count, color and shape, in words 3 to 5."""
    combinations = list(itertools.product(COUNTS, COLORS, SHAPES))
    random.Random(1).shuffle(combinations)
    noise = np.random.default_rng(0)
    rows = []
    for number, (count, color, shape) in enumerate(combinations * 4):
        steps = noise.normal(0, 0.05, (3, 11))
        steps[[0, 1, 2], [COUNTS.index(count), 3 + COLORS.index(color), 7 + SHAPES.index(shape)]] += 1
        words = [count, color, shape if count == "one" else f"{shape}s"]
        name = " ".join(words if count == "one" else ["there", "are", *words])
        new = number % len(combinations) >= 40
        rows.append({"id": str(number), "thing": steps.tolist(), "name": name, "words": words, "new": new})
    return [row for row in rows if not row["new"]], [row for row in rows if row["new"]][:8]


def pipeline(epochs: int, learning_rate: float = 0.01, **options: Any) -> dict[str, Any]:
    head = {"type": "captioning", "target": "name", "reads": ["thing"], "width": 32, "layers": 1, **options}
    return {
        "streams": {"thing": {"modality": "features", "encoder": {"type": "mlp", "width": 32}}},
        "heads": {"name": head},
        "training": {"epochs": epochs, "batch_size": 40, "learning_rate": learning_rate},
    }


@pytest.fixture(autouse=True)
def no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than these trainings."""
    monkeypatch.setattr(training, "draw_curve", lambda entries, path: False)


@pytest.mark.parametrize("decoder", ["transformer", "rnn"])
def test_it_learns_to_name_what_it_never_saw(decoder: str, tmp_path: Path) -> None:
    """Held-out combinations, word by word; saved, loaded, with beams, and without the input."""
    train, test = things()
    config = pipeline(30, decoder=decoder, metrics=["exact_match"])
    trained = mmsdk.train(config, {"train": train, "test": test}, out=tmp_path / "run", show=False)
    assert trained.metrics["test/name/exact_match"] == 1 == trained.metrics["test/name/token_accuracy"]
    assert trained.metrics["test/name/perplexity"] < 1.3
    loaded = mmsdk.Pipeline.load(trained.run)
    results = loaded.predict([{"thing": row["thing"]} for row in test])
    assert [result["name"].value for result in results] == [row["name"] for row in test]
    assert all(0.5 < (result["name"].confidence or 0) <= 1 for result in results)
    head = loaded.heads["name"]
    assert isinstance(head, Captioning)
    head.generation = Generation(search="beam")
    again = loaded.predict([{}, *({"thing": row["thing"]} for row in test)])
    assert again[0].error is not None and "every stream is absent" in again[0].error
    assert [result["name"].value for result in again[1:]] == [row["name"] for row in test]


def test_a_run_that_was_stopped_comes_to_the_same_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With dropout, sampled texts, and rows without a name or a thing."""
    train, test = things()
    train = [{**row, "name": None} if row["id"] == "3" else row for row in train] + [{"id": "x", "name": "nothing"}]
    generation = {"search": "sample", "max_tokens": 6}
    config = pipeline(3, decoder="rnn", dropout=0.3, metrics=["token_f1"], generation=generation)
    data = {"train": train, "valid": test}
    whole = mmsdk.train(config, data, out=tmp_path / "whole", show=False)
    save, saved = Stage.save, []

    def stopping(*arguments: Any) -> None:
        save(*arguments)
        saved.append(1)
        if len(saved) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Stage, "save", stopping)
    with pytest.raises(KeyboardInterrupt):
        mmsdk.train(config, data, out=tmp_path / "run", show=False)
    resumed = mmsdk.train(config, data, out=tmp_path / "run", resume=True, show=False)
    assert resumed.metrics == whole.metrics and len(saved) == 3
    parts = resumed.pipeline.state_dict()
    assert all(torch.equal(part, parts[name]) for name, part in whole.pipeline.state_dict().items())


def test_questions_are_answered_in_words(tmp_path: Path) -> None:
    """Visual question answering as generation: the answers are texts, not labels."""
    train, test = things()
    asked = {"how many": 0, "which color": 1, "which shape": 2}

    def answered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {**row, "id": f"{row['id']} {question}", "question": question, "answer": row["words"][place]}
            for row in rows
            for question, place in asked.items()
        ]

    config = pipeline(15)
    config["streams"]["question"] = {"modality": "text", "encoder": {"type": "bag", "width": 32}}
    config["fusion"] = {"type": "transformer", "width": 32, "layers": 1}
    config["heads"] = {"answer": {"type": "captioning", "target": "answer", "width": 32, "metrics": ["exact_match"]}}
    data = {"train": answered(train), "test": answered(test)}
    trained = mmsdk.train(config, data, out=tmp_path / "run", show=False)
    assert trained.metrics["test/answer/exact_match"] > 0.9


def test_contrastive_and_captioning_together(tmp_path: Path) -> None:
    """Yu et al., "CoCa: Contrastive Captioners are Image-Text Foundation Models", 2022: two losses with weights."""
    train, test = things()
    config = pipeline(30, metrics=["exact_match"])
    config["streams"]["words"] = {"column": "name", "modality": "text", "encoder": {"type": "bag", "width": 32}}
    config["heads"]["match"] = {"type": "contrastive", "reads": ["thing", "words"], "width": 16}
    config["stages"] = [{"name": "both", "heads": {"name": 2.0, "match": 1.0}}]
    trained = mmsdk.train(config, {"train": train, "test": test}, out=tmp_path / "run", show=False)
    assert trained.metrics["test/name/exact_match"] > 0.9
    assert trained.metrics["test/match/recall_at_1"] > 0.8
    vectors = trained.pipeline.embed([{"thing": test[0]["thing"]}])
    assert vectors["thing"].any() and not vectors["words"].any()
    alone = trained.pipeline.predict([{"thing": test[0]["thing"]}], heads=["name"])[0]
    assert alone["name"].value == test[0]["name"]


def test_bleu_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu.metrics", None)
    with pytest.raises(ConfigError, match=r"Metric 'bleu' needs sacrebleu .*: pip install 'mmsdk\[captions\]'"):
        build(metrics=["bleu"]).metrics()
