"""The contrastive head: InfoNCE over present pairs, of one process and of several."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from mmsdk.builtin.declarations.heads import ContrastiveConfig
from mmsdk.builtin.heads import similarities
from mmsdk.builtin.heads.contrastive import Contrastive
from mmsdk.containers import Encoding, HeadOutput, Inputs, Step
from mmsdk.formats import Source

WIDTHS = {"image": 6, "fused.text": 4, "voice": 5}
BATCH = 8


@pytest.fixture(autouse=True, params=[similarities.NUMBERS, 3 * BATCH], ids=["whole", "parts"])
def _in_parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it with all similarities in memory at once, and again with those of three rows."""
    monkeypatch.setattr(similarities, "NUMBERS", request.param)


def build(*reads: str, **options: Any) -> Contrastive:
    torch.manual_seed(0)
    sources = {name: Source(3, WIDTHS[name]) for name in reads or WIDTHS}
    head = ContrastiveConfig(width=7, reads=list(sources), **options).build(sources, None)
    assert isinstance(head, Contrastive)
    return head


def reads(*names: str, absent: float = 0.3, seed: int = 0) -> dict[str, Encoding]:
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name in names or WIDTHS:
        present = torch.rand(BATCH, generator=generator) >= absent
        pooled = torch.randn(BATCH, WIDTHS[name], generator=generator) * present[:, None]
        found[name] = Encoding(pooled.new_zeros(BATCH, 2, 3), present[:, None].expand(BATCH, 2), pooled)
    return found


def step(offset: int = 0) -> Step:
    return Step({}, {}, lambda _: pytest.fail("no fusion here"), {}, lambda tensor: tensor, offset, None)


def some_target() -> Inputs:
    known = torch.tensor([True, True, True, True, True, True, False, False])
    return {"ids": torch.tensor([0, 1, 0, 2, 1, 0, 0, 0]), "present": known}


def plain(head: Contrastive, given: Mapping[str, Encoding], target: Inputs | None = None) -> tuple[Tensor, int]:
    """The loss and the count, row by row, as the formula says it."""
    scale = head.log_scale.exp()
    vectors = {}
    for (name, each), project in zip(given.items(), head.project.values(), strict=True):
        raw = project(each.pooled)
        vectors[name] = raw / raw.norm(dim=1, keepdim=True)
    total, count = torch.zeros(()), 0
    for first, second in combinations(given, 2):
        rows = [row for row in range(BATCH) if given[first].present[row] and given[second].present[row]]
        count += len(rows)
        for row in rows:
            rivals = [each for each in rows if each == row or not same(target, row, each)]
            for one, other in ((first, second), (second, first)):
                similar = scale * vectors[other][rivals] @ vectors[one][row]
                total = total - similar.log_softmax(dim=0)[rivals.index(row)] / 2
    return total, count


def same(target: Inputs | None, row: int, other: int) -> bool:
    if target is None or not (target["present"][row] and target["present"][other]):
        return False
    return bool(target["ids"][row] == target["ids"][other])


def loss_of(output: HeadOutput) -> Tensor:
    assert output.loss is not None and output.loss.shape == ()
    return output.loss


@pytest.mark.parametrize("names", [("image", "voice"), ("image", "fused.text", "voice")])
@pytest.mark.parametrize("target", [None, some_target()], ids=["plain", "target"])
def test_against_the_formula(names: tuple[str, ...], target: Inputs | None) -> None:
    head, given = build(*names), reads(*names)
    output = head(given, target, step())
    expected, count = plain(head, given, target)
    torch.testing.assert_close(loss_of(output), expected)
    assert output.count == count > 0
    loss_of(output).backward()
    found = [parameter.grad.clone() for parameter in head.parameters() if parameter.grad is not None]
    head.zero_grad()
    expected.backward()
    for (name, parameter), gradient in zip(head.named_parameters(), found, strict=True):
        assert gradient.any(), name
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-5, atol=1e-5)


def yes_or_no(head: Contrastive, given: Mapping[str, Encoding], target: Inputs | None) -> Tensor:
    """The sigmoid loss, pair by pair, as the formula says it."""
    scale, total = head.log_scale.exp(), torch.zeros(())
    assert head.bias is not None
    for first, second in combinations(given, 2):
        rows = [row for row in range(BATCH) if given[first].present[row] and given[second].present[row]]
        vectors = {}
        for name, project in zip(given, head.project.values(), strict=True):
            vectors[name] = torch.nn.functional.normalize(project(given[name].pooled), dim=1)
        for row in rows:
            for other in rows:
                z = 1 if row == other else -1
                if z == 1 or not same(target, row, other):
                    logit = scale * vectors[first][row] @ vectors[second][other] + head.bias
                    total = total - torch.log(1 / (1 + torch.exp(-z * logit))).sum()
    return total


@pytest.mark.parametrize("target", [None, some_target()], ids=["plain", "target"])
def test_the_sigmoid_loss_against_the_formula(target: Inputs | None) -> None:
    head, given = build(loss="siglip"), reads()
    assert float(head.log_scale.detach().exp()) == pytest.approx(10) and head.bias is not None
    output = head(given, target, step())
    torch.testing.assert_close(loss_of(output), yes_or_no(head, given, target))
    assert output.count == plain(head, given, target)[1]
    loss_of(output).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in head.parameters())


def test_only_named_pairs_are_compared() -> None:
    some = build(pairs=[("image", "voice"), ("voice", "fused.text")])
    output = some(reads(), None, step())
    alone = [build(*pair)(reads(*pair), None, step()) for pair in (("image", "voice"), ("voice", "fused.text"))]
    assert output.count is not None and output.count > 0
    assert len(output.embeddings) == 3 and len(alone) == 2
    whole = build()
    whole.load_state_dict(some.state_dict())
    assert loss_of(whole(reads(), None, step())) > loss_of(output)
    names = list(some.metrics())
    assert names[-2:] == ["recall_at_1_image_to_voice", "recall_at_1_voice_to_image"]


@pytest.mark.parametrize("pair", [("image", "sound"), ("image", "image")])
def test_pairs_are_of_what_is_read(pair: tuple[str, str]) -> None:
    with pytest.raises(ValidationError, match="Give two different ones of 'image', 'voice'"):
        build("image", "voice", pairs=[pair])


def test_a_loss_of_guessing_is_remarked() -> None:
    said = build().remark(math.log(32) * 0.99, 32)
    assert said is not None and "log(32) = 3.466" in said
    assert build().remark(math.log(32) * 0.9, 32) is None and build(loss="siglip").remark(99.0, 32) is None


@pytest.mark.parametrize("loss", ["infonce", "siglip"])
@pytest.mark.parametrize("target", [None, some_target()], ids=["plain", "target"])
def test_two_processes_add_up_to_one(target: Inputs | None, loss: str) -> None:
    """Each sees the other's rows through `gather`; sums of losses, counts and gradients are those of one process."""
    head, given, half = build(loss=loss), reads(), BATCH // 2
    whole = head(given, target, step())
    loss_of(whole).backward()
    expected = [parameter.grad.clone() for parameter in head.parameters() if parameter.grad is not None]
    head.zero_grad()
    parts = [
        {name: Encoding(*(part[start : start + half] for part in each)) for name, each in given.items()}
        for start in (0, half)
    ]
    targets = [target and {key: part[start : start + half] for key, part in target.items()} for start in (0, half)]
    # What each process hands to `gather`, in order; then again, with the other one's rows.
    handed: list[list[Tensor]] = [[], []]
    for rank in (0, 1):

        def record(tensor: Tensor, rank: int = rank) -> Tensor:
            handed[rank].append(tensor)
            return torch.cat([tensor, tensor])

        head(parts[rank], targets[rank], step()._replace(gather=record))
    outputs = []
    for rank in (0, 1):
        pairs = iter(list(zip(*handed, strict=True)))

        def gather(tensor: Tensor, rank: int = rank, pairs=pairs) -> Tensor:  # type: ignore[no-untyped-def]
            both = list(next(pairs))
            assert both[rank].shape == tensor.shape and both[rank].dtype is tensor.dtype
            both[rank] = tensor
            return torch.cat(both)

        outputs.append(head(parts[rank], targets[rank], step(offset=rank * half)._replace(gather=gather)))
    torch.testing.assert_close(loss_of(outputs[0]) + loss_of(outputs[1]), loss_of(whole))
    assert outputs[0].count + outputs[1].count == whole.count
    (loss_of(outputs[0]) + loss_of(outputs[1])).backward()
    for gradient, parameter in zip(expected, head.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


def test_embeddings_have_length_one_or_are_absent() -> None:
    given = reads()
    output = build()(given, None, step())
    assert list(output.embeddings) == list(WIDTHS)
    for name, vectors in output.embeddings.items():
        assert vectors.shape == (BATCH, 7)
        torch.testing.assert_close(vectors.norm(dim=1), given[name].present.float())
    assert output.present is not None
    assert torch.equal(output.present, torch.stack([each.present for each in given.values()]).any(dim=0))


def test_absent_rows_may_hold_anything() -> None:
    head, given = build(), reads()
    dirty = {
        name: each._replace(pooled=torch.where(each.present[:, None], each.pooled, 9.0)) for name, each in given.items()
    }
    clean, found = head(given, None, step()), head(dirty, None, step())
    assert loss_of(clean) == loss_of(found)
    assert all(torch.equal(vectors, found.embeddings[name]) for name, vectors in clean.embeddings.items())


@pytest.mark.parametrize("absent", [0.0, 1.1])
def test_one_sample_and_no_sample(absent: float) -> None:
    """A single pair has nobody to be told from, and a batch without pairs nothing to learn: the loss is 0."""
    head = build()
    given = {name: Encoding(*(part[:1] for part in each)) for name, each in reads(absent=absent).items()}
    output = head(given, None, step())
    loss_of(output).backward()
    assert loss_of(output).abs() < 1e-6 and output.count == (3 if absent == 0 else 0)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


def test_all_of_one_target_have_nothing_to_be_told_from() -> None:
    head, given = build("image", "voice"), reads("image", "voice", absent=0.0)
    target = {"ids": torch.zeros(BATCH, dtype=torch.int64), "present": torch.ones(BATCH, dtype=torch.bool)}
    assert loss_of(head(given, target, step())).abs() < 1e-5
    assert loss_of(head(given, None, step())) > 1


def test_the_temperature_begins_and_ends_as_in_clip() -> None:
    head, given = build("image", "voice"), reads("image", "voice", absent=0.0)
    assert head.log_scale.shape == (1,) and float(head.log_scale.detach().exp()) == pytest.approx(1 / 0.07)
    losses = []
    for scale in (100.0, 1000.0, 50.0):
        with torch.no_grad():
            head.log_scale.fill_(math.log(scale))
        losses.append(float(loss_of(head(given, None, step())).detach()))
    assert losses[0] == pytest.approx(losses[1]) != pytest.approx(losses[2])


def test_bfloat16_does_not_round_similarities() -> None:
    head, given = build("image", "voice"), reads("image", "voice", absent=0.0)
    with torch.autocast("cpu", torch.bfloat16):
        output = head(given, None, step())
    first, second = output.embeddings.values()
    similar = head.log_scale.exp() * first @ second.T
    own = torch.arange(BATCH)
    expected = sum(torch.nn.functional.cross_entropy(each, own, reduction="sum") for each in (similar, similar.T)) / 2
    torch.testing.assert_close(loss_of(output), expected)


def test_it_learns_to_find_partners() -> None:
    """Two views of the same hidden vector; the metrics of the head go up."""
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(64, 4, generator=generator)
    given = {}
    for name in ("image", "voice"):
        pooled = hidden @ torch.randn(4, WIDTHS[name], generator=generator)
        given[name] = Encoding(pooled[:, None], torch.ones(64, 1, dtype=torch.bool), pooled)
    head = build("image", "voice")

    def figures() -> dict[str, float]:
        metrics = head.metrics()
        for metric in metrics.values():
            metric.update(head(given, None, step()), None)
        return {name: metric.compute() for name, metric in metrics.items()}

    with torch.no_grad():
        before = figures()
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    for _ in range(100):
        optimizer.zero_grad()
        (loss_of(head(given, None, step())) / 64).backward()
        optimizer.step()
    with torch.no_grad():
        after = figures()
    both = (after["recall_at_1_image_to_voice"] + after["recall_at_1_voice_to_image"]) / 2
    assert after["recall_at_1"] == pytest.approx(both)
    assert before["median_rank"] > 3 and after["median_rank"] == 1
    assert before["recall_at_1"] < 0.2 and after["recall_at_1"] > 0.9
    assert after["recall_at_1"] <= after["mean_reciprocal_rank"] <= after["recall_at_5"] <= after["recall_at_10"]
