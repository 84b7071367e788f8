"""Can it tell a name from the same name with another skin tone? Test rows with a tone, each with all other tones.

python docs/examples/emoji_matching/report.py runs/emoji_matching emoji/manifest.jsonl
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from mmsdk import Pipeline, Row, read_rows

TONES = ["light", "medium-light", "medium", "medium-dark", "dark"]


def other_tones(caption: str) -> list[str]:
    """The caption with each other tone in place of its own; none where it has no tone, or two different ones."""
    name, _, details = caption.partition(": ")
    found = [detail.removesuffix(" skin tone") for detail in details.split(", ") if detail.endswith(" skin tone")]
    if len(set(found)) != 1:
        return []
    return [f"{name}: " + details.replace(f"{found[0]} skin", f"{tone} skin") for tone in TONES if tone != found[0]]


def report(pipeline: Pipeline, rows: Sequence[Row]) -> dict[str, float]:
    """The share of right names that are taken, of wrong ones that are refused, and the mean of both."""
    toned = [row for row in rows if other_tones(row.values["caption"])]
    wrong = [
        row._replace(values={**row.values, "caption": other})
        for row in toned
        for other in other_tones(row.values["caption"])
    ]
    shares = []
    for pairs, expected in ((toned, True), (wrong, False)):
        judged = pipeline.predict(pairs, heads=["match"])
        shares.append(sum(result["match"].value is expected for result in judged) / len(judged))
    taken, refused = shares
    return {"rows": len(toned), "taken": taken, "refused": refused, "accuracy": (taken + refused) / 2}


if __name__ == "__main__":
    run, data = map(Path, sys.argv[1:3])
    test = [row for row in read_rows(data) if row.values["split"] == "test"]
    for name, figure in report(Pipeline.load(run), test).items():
        print(f"{name:<10} {figure:.3f}")
