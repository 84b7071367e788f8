"""The contrastive loss of large batches, forward and backward: mmsdk's and that of two whole tables."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measuring import Result, taken
from mmsdk.builtin.heads.similarities import Table, log_sigmoid, log_sum_exp

WIDTH, SCALE, BIAS = 256, 14.0, -10.0
GOALS, MEGABYTES = (("seconds", 0.7), ("megabytes", 1 / 20)), 600
MISSING = "open_clip is not installed: uv run --with open-clip-torch python -m benchmarks contrastive_loss"


def run(quick: bool) -> list[Result]:
    size, larger, rounds = (2048, 4096, 1) if quick else (16_384, 32_768, 2)
    results = [*_compared("infonce", "naive", size, rounds), *_compared("siglip", "naive", size, rounds)]
    if find_spec("open_clip") is not None:
        results += _compared("infonce", "open_clip", size, rounds)
    else:
        results += [Result.not_measured(_name("infonce", what, "open_clip"), MISSING, goal) for what, goal in GOALS]
    much = _measured("ours", "infonce", larger)["megabytes"] / 1000
    name, note = "contrastive_loss: infonce / 600 MB", f"{larger:,} samples, MB instead of ms"
    results.append(
        Result.of(name, [much], [MEGABYTES / 1000], goal=1.0, equal=_same("infonce", "naive"), note=note),
    )
    return results


def _compared(loss: str, other: str, size: int, rounds: int) -> list[Result]:
    """Time and memory of ours by the other side's."""
    found: dict[str, list[dict[str, float]]] = {"ours": [], other: []}
    for number in range(rounds):  # each in a process of its own: memory that was taken once is not given back
        for side in ("ours", other) if number % 2 == 0 else (other, "ours"):
            found[side].append(_measured(side, loss, size))
    equal = _same(loss, other)
    results = []
    for what, goal in GOALS:
        note = f"{size:,} samples, width {WIDTH}" + (", MB instead of ms" if what == "megabytes" else "")
        per = 1000 if what == "megabytes" else 1
        ours, theirs = ([each[what] / per for each in found[side]] for side in ("ours", other))
        results.append(Result.of(_name(loss, what, other), ours, theirs, goal=goal, equal=equal, note=note))
    return results


def _name(loss: str, what: str, other: str) -> str:
    return f"contrastive_loss: {loss}, {what} / {'whole tables' if other == 'naive' else other}"


def _measured(side: str, loss: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.contrastive_loss", side, loss, str(size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _given(size: int) -> list[Tensor]:
    torch.manual_seed(0)
    x = F.normalize(torch.randn(size, WIDTH), dim=1)
    y = F.normalize(x + 0.05 * torch.randn(size, WIDTH), dim=1)
    return [part.requires_grad_() for part in (x, y, torch.tensor([SCALE]), torch.tensor([BIAS]))]


def _ours(loss: str, x: Tensor, y: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    if loss == "infonce":
        return contrastive(x, y, scale)
    return log_sigmoid(x, y, scale, bias, _table(x)) / len(x)


def contrastive(x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    """The mean InfoNCE of vectors [n, width], in both directions, as the contrastive head computes it."""
    there, back = log_sum_exp(x, y, scale, _table(x))
    return ((there + back) / 2 - scale * (x * y).sum(dim=1)).mean()


def _table(x: Tensor) -> Table:
    every = torch.ones(len(x), dtype=torch.bool, device=x.device)
    return Table(every, every, None, 0)


def _naive(loss: str, x: Tensor, y: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """As it stands in the papers of CLIP and SigLIP."""
    own = torch.arange(len(x))
    if loss == "siglip":
        sign = 2 * torch.eye(len(x)) - 1
        return -F.logsigmoid(sign * (scale * x @ y.T + bias)).sum() / len(x)
    there, back = scale * x @ y.T, scale * y @ x.T
    return (F.cross_entropy(there, own) + F.cross_entropy(back, own)) / 2


def _open_clip(loss: str, x: Tensor, y: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    from open_clip.loss import ClipLoss

    found: Tensor = ClipLoss()(x, y, scale)
    return found


SIDES = {"ours": _ours, "naive": _naive, "open_clip": _open_clip}


def _same(loss: str, other: str) -> bool:
    """Gradients to 1e-5 of their length."""
    found = []
    for side in (_ours, SIDES[other]):
        given = _given(2048)
        wanted = [part for part in given if loss == "siglip" or part is not given[-1]]
        found.append([side(loss, *given).detach(), *torch.autograd.grad(side(loss, *given), wanted)])
    return all(float((one - other).norm() / other.norm()) <= 1e-5 for one, other in zip(*found, strict=True))


def _one(side: str, loss: str, size: int) -> None:
    torch.set_num_threads(1)
    SIDES[side](loss, *_given(64)).backward()  # type: ignore[no-untyped-call]  # libraries take their memory now
    given = _given(size)
    print(json.dumps(taken(lambda: SIDES[side](loss, *given).backward())._asdict()))


if __name__ == "__main__":
    _one(sys.argv[1], sys.argv[2], int(sys.argv[3]))
