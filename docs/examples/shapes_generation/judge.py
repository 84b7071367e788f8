"""The share of drawn pictures in which a VQA model, trained on other pictures, sees the colour and the shape asked for.

python judge.py --run runs/shapes --judge runs/shapes_judge --data shapes/judge.jsonl [--json] [--grid grid.png]

20 pictures of each of the 24 pairs, at the guidance of the config. Beside it, how well the judge sees the same in real
pictures of its own valid split: as they are, and made as small as the drawn ones first.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

from PIL import Image

import mmsdk
from mmsdk_diffusion import generate, write_grid

COLOURS = ["black", "blue", "brown", "gray", "green", "red", "teal", "yellow"]
SHAPES = ["circle", "rectangle", "triangle"]
UNSEEN = ["a black triangle", "a green rectangle", "a red circle", "a yellow rectangle"]
QUESTIONS = ["what color is the shape?", "what shape is in the image?"]


def answers(judge, pictures, question):
    results = judge.predict([{"image": picture, "question": question} for picture in pictures])
    return [result["answer"].value for result in results]


def drawn(run, number=20):
    pipeline = mmsdk.Pipeline.load(run)
    wanted = [
        {"id": f"a {colour} {shape}", "sentence": f"a {colour} {shape}"} for colour in COLOURS for shape in SHAPES
    ]
    return list(generate(pipeline, wanted, number=number))


def seen_as_wanted(judge, made):
    """Per sentence: the share of its pictures whose colour and whose shape the judge names."""
    found = {}
    for each in made:
        colours, shapes = (answers(judge, each.pictures, question) for question in QUESTIONS)
        said = [f"a {colour} {shape}" for colour, shape in zip(colours, shapes, strict=True)]
        found[each.values["sentence"]] = said.count(each.values["sentence"]) / len(said)
    return found


def on_real(judge, data, side=None):
    """The judge's accuracy on questions of these two kinds about real pictures that it was not trained on."""
    asked = defaultdict(list)
    for row in mmsdk.read_rows(data):
        if row.values["split"] == "valid" and row.values["question"] in QUESTIONS:
            asked[row.values["question"]].append(row.values)
    found = {}
    for question, rows in asked.items():
        pictures = [mmsdk.picture(row["image"]) for row in rows]
        if side is not None:
            pictures = [picture.resize((side, side), Image.Resampling.BICUBIC) for picture in pictures]
        said = answers(judge, pictures, question)
        found[question] = sum(one == row["answer"] for one, row in zip(said, rows, strict=True)) / len(rows)
    return found


def mean(shares, unseen):
    chosen = [share for sentence, share in shares.items() if (sentence in UNSEEN) == unseen]
    return sum(chosen) / len(chosen)


def report(run, judge_run, data, grid=None):
    judge, made = mmsdk.Pipeline.load(judge_run), drawn(run)
    if grid is not None:
        write_grid(grid, [each._replace(pictures=each.pictures[:8]) for each in made])
    shares = seen_as_wanted(judge, made)
    return {
        "seen pairs": mean(shares, False),
        "unseen pairs": mean(shares, True),
        "real, 64 x 64": on_real(judge, data),
        "real, by way of 32 x 32": on_real(judge, data, 32),
        "pairs": shares,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/shapes"))
    parser.add_argument("--judge", type=Path, default=Path("runs/shapes_judge"))
    parser.add_argument("--data", type=Path, default=Path("shapes/judge.jsonl"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--grid", type=Path)
    options = parser.parse_args()
    found = report(options.run, options.judge, options.data, options.grid)
    print(json.dumps(found) if options.json else "\n".join(f"{name}: {each}" for name, each in found.items()))
