"""Divide easy-vqa: pictures with sentences such as 'a blue circle' to learn from, other pictures to train a judge on.

python prepare.py --source easy_vqa.jsonl --out shapes
"""

import argparse
import json
from pathlib import Path

WORDS = {"black blue brown gray green red teal yellow": {}, "circle rectangle triangle": {}}
UNSEEN = ["a black triangle", "a green rectangle", "a red circle", "a yellow rectangle"]
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--source", type=Path, default=Path("easy_vqa.jsonl"))
parser.add_argument("--out", type=Path, default=Path("shapes"))
given = parser.parse_args()
given.out.mkdir(parents=True, exist_ok=True)
rows = [json.loads(line) for line in given.source.open()]
for row in rows:  # questions and answers tell the colour and the shape
    row["image"] = str((given.source.parent / row["image"]).absolute())
    asked = row["question"].rstrip("?").split()
    negated = "no" in asked or "not" in asked
    told = asked if asked[0] == "what" or (row["answer"] == "yes") != negated else []
    for words, known in WORDS.items():
        for word in {row["answer"], *told} & set(words.split()):
            known[row["image"]] = word
colours, shapes = WORDS.values()
own = list(dict.fromkeys(row["image"] for row in rows))[:2000]  # of these the judge sees none
pairs = {image: f"a {colours[image]} {shapes[image]}" for image in own if image in colours and image in shapes}
lines = [{"sentence": pairs[image], "picture": image} for image in pairs if pairs[image] not in UNSEEN]
(given.out / "shapes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
lines = [row for row in rows if row["image"] not in pairs and row["question"].startswith("what")]
(given.out / "judge.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
