"""transformers.language_model: what it promises, on small random models of several kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import mmsdk
from mmsdk.testing import HeadContract
from mmsdk_transformers.language_model import LanguageModel
from mmsdk_transformers.prefix import closed_up
from mmsdk_transformers.writing import LanguageModelConfig

TINY = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
LLAMA = {"model_type": "llama", **TINY}
GPT2 = {"model_type": "gpt2", "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 32}
STILL = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
VALUES = ("red", "a small blue square", "blue star")
KINDS: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "gpt2": GPT2,
    "opt": {"model_type": "opt", **TINY, "ffn_dim": 16, "word_embed_proj_dim": 8},
    "mistral": {"model_type": "mistral", **TINY, "num_key_value_heads": 1, "sliding_window": 4},
    "gemma2": {"model_type": "gemma2", **TINY, "num_key_value_heads": 1, "head_dim": 4, "sliding_window": 4},
    "qwen3": {"model_type": "qwen3", **TINY, "num_key_value_heads": 1, "head_dim": 4},
}
BATCH, VOCABULARY = 5, 9
kinds = pytest.mark.parametrize("architecture", KINDS.values(), ids=KINDS)


def declared(**options: Any) -> LanguageModelConfig:
    given = {"target": "y", "architecture": LLAMA, "generation": {"max_tokens": 6}}
    return LanguageModelConfig.model_validate(given | options)


class TestLinear(HeadContract):
    config: ClassVar[LanguageModelConfig] = declared(metrics=["exact_match", "token_f1"])
    values = VALUES


class TestTwoSources(HeadContract):
    config: ClassVar[LanguageModelConfig] = declared(
        prefix="mlp", reads=["image", "question"], architecture=GPT2 | STILL
    )
    values = VALUES


class TestResampler(HeadContract):
    config: ClassVar[LanguageModelConfig] = declared(prefix="resampler", queries=3, blocks=1, heads=2)
    values = VALUES


def build(**options: Any) -> LanguageModel:
    torch.manual_seed(0)
    head = declared(reads=["image", "question"], **options).build(
        {"image": mmsdk.Source(5, 7), "question": mmsdk.Source(4, 6)}, mmsdk.Format("tokens", vocabulary=VOCABULARY)
    )
    assert isinstance(head, LanguageModel)
    with torch.no_grad():  # so that texts differ
        for part in head.parameters():
            part.add_(0.5 * torch.randn_like(part))
    return head.eval()


def reads() -> dict[str, mmsdk.Encoding]:
    """Two sources of different lengths; the third row has no question, the fourth no picture, the last nothing."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, width, lengths in (("image", 5, [3, 1, 2, 0, 0]), ("question", 4, [2, 4, 0, 1, 0])):
        mask = torch.arange(4) < torch.tensor(lengths)[:, None]
        tokens = torch.randn(BATCH, 4, width, generator=generator) * mask[..., None]
        found[name] = mmsdk.Encoding(tokens, mask, torch.zeros(BATCH, 7))
    return found


def output_of(head: LanguageModel, target: mmsdk.Inputs | None = None) -> mmsdk.HeadOutput:
    step = mmsdk.Step({}, {}, lambda _: pytest.fail("no fusion here"), {}, lambda tensor: tensor, 0, None)
    return head(reads(), target, step)  # type: ignore[no-any-return]


def plain(head: LanguageModel, given: Mapping[str, mmsdk.Encoding], row: int, text: list[int]) -> Tensor:
    """[len(text) + 1, symbols] of one row alone: no padding, no cache, and transformers' own positions."""
    table = head.network.get_input_embeddings()
    parts = [table(torch.tensor(head.prompt[:1]))]
    for bridge, encoding in zip(head.prefix.bridges, given.values(), strict=True):
        parts.append(bridge.layers(encoding.tokens[row, encoding.mask[row]]))
    ids = torch.tensor([*head.prompt[1:], *text], dtype=torch.int64)
    logits = head.network(inputs_embeds=torch.cat([*parts, table(ids)])[None]).logits[0, -len(text) - 1 :]
    return logits  # type: ignore[no-any-return]


@kinds
def test_the_texts_are_those_of_a_plain_loop(architecture: dict[str, Any]) -> None:
    """Greedy, each row alone, all steps computed anew for each token."""
    head, given = build(architecture=architecture), reads()
    output = output_of(head)
    ids, mask, confidence = (output.generated[name] for name in ("ids", "mask", "confidence"))
    for row in range(BATCH - 1):
        text: list[int] = []
        shares: list[Tensor] = []
        while len(shares) < 6:
            log_shares = plain(head, given, row, text)[-1].log_softmax(0)
            shares.append(log_shares.max())
            if int(log_shares.argmax()) == VOCABULARY:
                break
            text.append(int(log_shares.argmax()))
        assert ids[row][mask[row]].tolist() == text
        torch.testing.assert_close(confidence[row], torch.stack(shares).mean().exp(), atol=1e-4, rtol=1e-4)
    assert len(confidence[:4].unique()) == 4 and not mask[-1].any()


@kinds
def test_step_by_step_is_all_at_once(architecture: dict[str, Any]) -> None:
    """Token by token with the cache as in one pass without; also with rows chosen in between, as beams do."""
    head, given = build(architecture=architecture), reads()
    ids = torch.randint(VOCABULARY, (BATCH, 5), generator=torch.Generator().manual_seed(1))
    whole = head.teach(given, ids)  # [batch, 6, symbols]
    logits, state = head.begin(given)
    torch.testing.assert_close(logits, whole[:, 0])
    for step in range(5):
        logits, state = head.advance(ids[:, step], state)
        torch.testing.assert_close(logits, whole[:, step + 1])
    _, state = head.begin(given)
    rows = torch.tensor([3, 0, 0])
    chosen, _ = head.advance(ids[rows, 0], tuple(part[rows] for part in state))
    torch.testing.assert_close(chosen, whole[rows, 1])


def test_the_loss_against_the_formula() -> None:
    head, given = build(), reads()
    mask = torch.arange(4) < torch.tensor([4, 0, 2, 3, 1])[:, None]
    ids = torch.randint(VOCABULARY, (BATCH, 4), generator=torch.Generator().manual_seed(1)).masked_fill(~mask, 3)
    target = {"ids": ids, "mask": mask, "present": torch.arange(BATCH) != 2}
    total, count = torch.zeros(()), 0
    for row in (0, 1, 3):  # the third target is unknown, the last row is absent
        text = ids[row][mask[row]].tolist()
        true = torch.tensor([*text, VOCABULARY])
        total = total + F.cross_entropy(plain(head, given, row, text), true, reduction="sum")
        count += len(true)
    output = output_of(head, target)
    torch.testing.assert_close(output.loss, total)
    assert output.count == count == 5 + 1 + 4


@pytest.mark.parametrize("search", ["greedy", "beam", "sample"])
@pytest.mark.parametrize("prefix", ["linear", "resampler"])
def test_it_writes_in_every_way(search: str, prefix: str) -> None:
    """The same for a row alone as beside others, in float32 and, finite, in bfloat16."""
    head = build(prefix=prefix, **({"heads": 2} if prefix == "resampler" else {}), generation={"search": search})
    with torch.no_grad():
        whole = head.write(reads(), torch.tensor([True] * 4 + [False]))
        alone = {name: mmsdk.Encoding(*(part[1:2] for part in each)) for name, each in reads().items()}
        said = head.write(alone, torch.tensor([True]))
    assert said.ids[0][said.mask[0]].tolist() == whole.ids[1][whole.mask[1]].tolist()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        output = output_of(head)
    assert output.scores is not None and output.scores.dtype is torch.float32 and output.scores.isfinite().all()
    assert not output.generated["mask"][-1].any()


def test_a_resampler_gives_as_many_places_whatever_it_reads() -> None:
    head = build(prefix="resampler", queries=3, heads=2)
    places, mask = head.prefix(list(reads().values()))
    assert places.shape == (BATCH, 6, 8) and places.isfinite().all()
    assert mask.sum(dim=1).tolist() == [6, 6, 3, 3, 0]
    longer = {
        name: mmsdk.Encoding(F.pad(each.tokens, (0, 0, 0, 3), value=9.0), F.pad(each.mask, (0, 3)), each.pooled)
        for name, each in reads().items()
    }
    again, _ = head.prefix(list(longer.values()))
    torch.testing.assert_close(again[mask], places[mask])


def test_what_is_there_stands_last_and_in_order() -> None:
    mask = torch.tensor([[True, False, True, True], [True, True, False, False], [False] * 4])
    places, there = closed_up(torch.arange(12.0).view(3, 4, 1), mask)
    assert there.tolist() == [[False, True, True, True], [False, False, True, True], [False] * 4]
    assert places[there].flatten().tolist() == [0, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": 4}, "'queries' is for 'prefix: resampler', found 'linear'"),
        ({"prompt": "Answer:"}, "'prompt' needs 'model: <folder or hub id>'"),
        ({"lora": {}, "frozen": False}, "'lora' leaves the language model as it is"),
        ({"metrics": ["bleuu"]}, "Did you mean 'bleu'"),
        ({"prefix": "qformer"}, "'linear', 'mlp' or 'resampler'"),
        ({"target": {"column": "y", "modality": "label"}}, "takes targets of kind 'tokens'"),
        ({"generation": {"beams": 3}}, "'beams: 3' is for 'search: beam'"),
    ],
)
def test_what_does_not_fit_is_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        declared(**options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"model_type": "vit"}, "'vit' is no causal language model: choose a causal language model, such as"),
        ({"model_type": "t5"}, "'t5' is no causal language model"),
        ({"model_type": "bert"}, "'bert' fills gaps and looks at what comes after them"),
        ({"model_type": "mamba"}, "'mamba' does not work with positions, keys and values alone"),
        ({"model_type": "bloom"}, "'bloom' does not work with positions"),
        ({"model_type": "lama"}, "knows no model_type 'lama'"),
        ({**LLAMA, "hidden_size": "wide"}, "these are no settings of 'llama'"),
    ],
)
def test_no_causal_language_model(architecture: dict[str, Any], message: str) -> None:
    with pytest.raises(mmsdk.ConfigError) as caught:
        build(architecture=architecture)
    assert message in str(caught.value)


def test_an_id_that_the_model_does_not_have() -> None:
    with pytest.raises(mmsdk.ConfigError, match="prompt_ids: 10 is none of the 10 ids of the language model"):
        build(prompt_ids=[3, 10])


@pytest.mark.parametrize("reads", [["a"], ["a", "b"], ["fused"], ["fused", "b"]])
def test_it_reads_one_source_or_several(reads: list[str]) -> None:
    stream = {"modality": "text", "encoder": {"type": "bag", "width": 8}}
    head = {"type": "transformers.language_model", "target": "y", "reads": reads}
    config = mmsdk.load_config({"streams": {"a": stream, "b": stream}, "fusion": "concat", "heads": {"y": head}})
    assert config.heads["y"].reads == reads


def test_heads_that_do_not_share_the_width() -> None:
    with pytest.raises(mmsdk.ConfigError, match="3 attention heads cannot share the model's width of 8 evenly"):
        build(prefix="resampler", heads=3)


def test_longer_than_the_model() -> None:
    head = build(architecture=GPT2 | {"n_positions": 12})
    with pytest.raises(mmsdk.ConfigError, match=r"take 15 places together, 'gpt2' has 12: .*'max_tokens'"):
        output_of(head)  # 1 to begin with, 4 + 4 of the prefix, 6 of the text
    ids = torch.zeros(BATCH, 4, dtype=torch.int64)
    target = {"ids": ids, "mask": ids == 0, "present": torch.ones(BATCH, dtype=torch.bool)}
    with pytest.raises(mmsdk.ConfigError, match=r"take 13 places together, 'gpt2' has 12: .*'max_length'"):
        output_of(head, target)
    assert output_of(head, {**target, "ids": ids[:, :3], "mask": target["mask"][:, :3]}).loss is not None
