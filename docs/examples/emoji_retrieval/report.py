"""How often a search finds the right one first: of the whole test split, and of its rows whose base is new.

python docs/examples/emoji_retrieval/report.py runs/emoji emoji/manifest.jsonl
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmsdk import Pipeline, Row, read_rows

TIE = 1e-6
"""Similarities that are nearer than this count as equal."""


def found_first(queries: Tensor, candidates: Tensor) -> Tensor:
    """[rows, width] each -> [rows] bool: whether the partner, in the same row, is nearer than all others."""
    similar = queries @ candidates.T  # [rows, rows]
    rivals = similar.masked_fill(torch.eye(len(similar), dtype=torch.bool), -torch.inf)
    return similar.diagonal() > rivals.amax(dim=1) + TIE  # ties count against


def report(pipeline: Pipeline, rows: Sequence[Row]) -> dict[str, float]:
    """Recall at 1 by direction. Candidates are all rows, whichever rows ask."""
    vectors = pipeline.embed(rows)
    new = torch.tensor([not row.values["base_in_train"] for row in rows])
    figures = {}
    for asked, searched in (("text", "image"), ("image", "text")):
        hits = found_first(vectors[asked], vectors[searched]).float()
        figures[f"{asked} to {searched}"] = float(hits.mean())
        figures[f"{asked} to {searched}, new bases"] = float(hits[new].mean())
    return figures


if __name__ == "__main__":
    run, data = map(Path, sys.argv[1:3])
    test = [row for row in read_rows(data) if row.values["split"] == "test"]
    for name, figure in report(Pipeline.load(run), test).items():
        print(f"{name:<26} {figure:.3f}")
