"""Factorised bilinear forms are the dense ones that they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmsdk import Encoding, FeatureFusion, Source
from mmsdk_fusion.ban import BilinearAttention
from mmsdk_fusion.mcb import CompactBilinear
from mmsdk_fusion.mfb import FactorizedBilinear
from mmsdk_fusion.mlb import LowRankBilinear
from mmsdk_fusion.multiplicative_interaction import MultiplicativeInteraction
from mmsdk_fusion.mutan import Tucker

SOURCES = {"words": Source(5, 5), "image": Source(4, 4)}
WIDTH, BATCH = 6, 7


def streams(*vectors: Tensor) -> dict[str, Encoding]:
    mask = torch.ones(len(vectors[0]), 1, dtype=torch.bool)
    return {name: Encoding(each[:, None], mask, each) for name, each in zip(SOURCES, vectors, strict=True)}


def some() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(BATCH, 5, generator=generator), torch.randn(BATCH, 4, generator=generator)


def joined(fusion: FeatureFusion, words: Tensor, image: Tensor) -> Tensor:
    with torch.no_grad():
        return fusion.eval()(streams(words, image)).encoding.pooled


def with_one(vector: Tensor) -> Tensor:
    return torch.cat([vector, torch.ones(len(vector), 1)], dim=1)


def affine(layer: torch.nn.Linear) -> Tensor:
    """The matrix of a linear layer over [z; 1]: [outputs, inputs + 1]."""
    return torch.cat([layer.weight, layer.bias[:, None]], dim=1).detach()


def test_mlb_without_tanh_is_a_tensor_of_low_rank() -> None:
    words, image = some()
    fusion = LowRankBilinear(SOURCES, WIDTH, rank=3, tanh=False)
    u, v, last = affine(fusion.factors["words"]), affine(fusion.factors["image"]), fusion.out[1]
    tensor = torch.einsum("ri,rj,kr->kij", u, v, last.weight.detach())
    dense = torch.einsum("kij,ni,nj->nk", tensor, with_one(words), with_one(image)) + last.bias.detach()
    torch.testing.assert_close(joined(fusion, words, image), dense)
    assert torch.linalg.matrix_rank(tensor.flatten(0, 1)) <= 3  # as the page says, of rank `rank`


@pytest.mark.parametrize("rank", [1, 4])
def test_mutan_has_a_core_whose_slices_are_of_low_rank(rank: int) -> None:
    words, image = some()
    fusion = Tucker(SOURCES, WIDTH, hidden=8, rank=rank)
    first, second = (affine(fusion.core[name]).unflatten(0, (rank, WIDTH)) for name in SOURCES)
    core = torch.einsum("rki,rkj->kij", first, second)  # [width, hidden + 1, hidden + 1]
    assert int(torch.linalg.matrix_rank(core).max()) == rank
    inner = [
        with_one(fusion.project[name](vector).tanh().detach())
        for name, vector in zip(SOURCES, (words, image), strict=True)
    ]
    torch.testing.assert_close(joined(fusion, words, image), torch.einsum("kij,ni,nj->nk", core, *inner))


def rooted(form: Tensor) -> Tensor:
    return torch.nn.functional.normalize(form.sign() * form.abs().sqrt(), dim=1)


def test_mfb_is_a_form_of_rank_pool_before_root_and_norm() -> None:
    words, image = some()
    fusion = FactorizedBilinear(SOURCES, WIDTH, pool=3)
    u, v = (affine(fusion.blocks[0][name]).unflatten(0, (WIDTH, 3)) for name in SOURCES)  # type: ignore[index]
    tensor = torch.einsum("kri,krj->kij", u, v)
    assert int(torch.linalg.matrix_rank(tensor).max()) == 3
    dense = torch.einsum("kij,ni,nj->nk", tensor, with_one(words), with_one(image))
    torch.testing.assert_close(joined(fusion, words, image), rooted(dense), rtol=0, atol=1e-3)


def test_mfh_multiplies_the_next_order_with_the_one_before() -> None:
    words, image = some()
    fusion = FactorizedBilinear(SOURCES, WIDTH, pool=3, orders=2)
    first, second = (
        (block["words"](words) * block["image"](image)).detach()  # type: ignore[index]
        for block in fusion.blocks
    )
    dense = [rooted(each.unflatten(1, (WIDTH, 3)).sum(dim=2)) for each in (first, first * second)]
    torch.testing.assert_close(joined(fusion, words, image), torch.cat(dense, dim=1), rtol=0, atol=1e-3)


def test_mcb_is_the_count_sketch_of_the_outer_product() -> None:
    words, image = some()
    torch.manual_seed(0)
    fusion, width = CompactBilinear(SOURCES, 16), 16
    one, other = (fusion.sketches[name] for name in SOURCES)
    sketch = torch.zeros(BATCH, width)
    for i in range(5):
        for j in range(4):
            place = int(one.place[i] + other.place[j]) % width
            sketch[:, place] += one.sign[i] * other.sign[j] * words[:, i] * image[:, j]
    torch.testing.assert_close(joined(fusion, words, image), rooted(sketch), rtol=0, atol=2e-3)


def test_mcb_keeps_inner_products_of_outer_products_on_average() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b, c, d = torch.randn(4, 8, generator=generator)
    sources = {"words": Source(8, 8), "image": Source(8, 8)}
    torch.manual_seed(0)
    found = []
    for _ in range(400):
        fusion = CompactBilinear(sources, 32)
        one, other = (fusion.sketches[name] for name in sources)

        def sketch(x: Tensor, y: Tensor, one=one, other=other) -> Tensor:  # type: ignore[no-untyped-def]
            spectrum = torch.fft.rfft(one(x[None])) * torch.fft.rfft(other(y[None]))
            return torch.fft.irfft(spectrum, n=32)[0]

        found.append(sketch(a, b) @ sketch(c, d))
    true, estimates = float(a @ c) * float(b @ d), torch.stack(found)
    error = float(estimates.std() / len(found) ** 0.5)
    assert abs(float(estimates.mean()) - true) < 4 * error and error < float(a.norm() * b.norm() * c.norm() * d.norm())


def test_multiplicative_interaction_is_the_full_form() -> None:
    words, image = some()
    fusion = MultiplicativeInteraction(SOURCES, WIDTH)
    dense = fusion.linear(torch.cat([words, image], dim=1)).detach()
    # A form is found out by asking: z' W x is what is left of h(z, x) without the linear part.
    units = torch.stack(
        [
            torch.stack(
                [joined(fusion, i[None], j[None])[0] - fusion.linear(torch.cat([i, j])).detach() for j in torch.eye(4)]
            )
            for i in torch.eye(5)
        ]
    )  # [5, 4, width]
    dense = dense + torch.einsum("ijk,ni,nj->nk", units, words, image)
    torch.testing.assert_close(joined(fusion, words, image), dense, rtol=1e-4, atol=1e-5)
    assert torch.linalg.matrix_rank(units[..., 0]) == 4  # in full, not of low rank


def test_ban_is_a_sum_over_all_pairs_of_tokens() -> None:
    """Its definition, pair by pair: f = P sum_ij A_ij (U x_i) * (V y_j), A = softmax of p ((U' x_i) * (V' y_j))."""
    generator = torch.Generator().manual_seed(0)
    given = {
        name: Encoding(
            torch.randn(BATCH, length, source.width, generator=generator), mask, torch.zeros(BATCH, source.width)
        )
        for (name, source), length in zip(SOURCES.items(), (3, 2), strict=True)
        for mask in [torch.ones(BATCH, length, dtype=torch.bool)]
    }
    torch.manual_seed(0)
    fusion = BilinearAttention(SOURCES, WIDTH, glimpses=2).eval()
    with torch.no_grad():
        x, y = (fusion.project(given)[name] for name in SOURCES)  # [batch, i, width], [batch, j, width]
        left, right = (fusion.embed[name](tokens) for name, tokens in zip(SOURCES, (x, y), strict=True))
        scores = torch.einsum("gd,nid,njd->ngij", fusion.maps, left, right)
        shares = scores.flatten(2).softmax(dim=2).view_as(scores)
        for place, glimpse in enumerate(fusion.glimpses):
            pairs = torch.einsum("nij,nid,njd->nd", shares[:, place], glimpse.first(x), glimpse.second(y))  # type: ignore[operator]
            x = x + glimpse.out(pairs)[:, None]  # type: ignore[operator]
        torch.testing.assert_close(fusion(given).encoding.pooled, x.mean(dim=1))
        attention = fusion.attention(given)
    torch.testing.assert_close(attention["words"], shares.mean(dim=1).sum(dim=2) / 2)
    torch.testing.assert_close(attention["image"], shares.mean(dim=1).sum(dim=1) / 2)
