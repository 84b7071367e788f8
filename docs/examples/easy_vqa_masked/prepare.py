"""Captions for easy-vqa's pictures, from their questions and answers: 'a blue circle', or what of it is told.

python docs/examples/easy_vqa_masked/prepare.py --source easy_vqa.jsonl --out captions.jsonl
"""

import argparse
import json
from pathlib import Path

COLOURS = {"black", "blue", "brown", "gray", "green", "red", "teal", "yellow"}
SHAPES = {"circle", "rectangle", "triangle"}
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--source", type=Path, default=Path("easy_vqa.jsonl"))
parser.add_argument("--out", type=Path, default=Path("captions.jsonl"))
given = parser.parse_args()
told: dict[str, set[str]] = {}
splits: dict[str, str] = {}
for row in map(json.loads, given.source.open()):
    image = str((given.source.parent / row["image"]).absolute())
    asked = row["question"].rstrip("?").split()
    negated = "no" in asked or "not" in asked
    true = asked if asked[0] == "what" or (row["answer"] == "yes") != negated else []
    told.setdefault(image, set()).update(({row["answer"], *true}) & (COLOURS | SHAPES))
    splits[image] = row["split"]
with given.out.open("w") as file:
    for image, words in told.items():
        caption = " ".join(["a", *(words & COLOURS or ["coloured"]), *(words & SHAPES or ["shape"])])
        file.write(json.dumps({"image": image, "caption": caption, "split": splits[image]}) + "\n")
