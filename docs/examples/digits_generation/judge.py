"""Five figures that judge generated digits together, beside generators that are good at one of them.

python judge.py --data digits/digits.jsonl --run runs/digits [--run ...] [--split valid] [--json]

500 digits, 50 of each, at guidance 0.5. No figure can be trusted alone: whoever copies is recognised.

recognised      the share that a support vector machine, trained on the real digits of the split, takes for what was
                asked for; larger is better
real_or_made    how often the nearest neighbour among real and generated digits is of the same sort (Xu et al., "An
                empirical study on evaluation metrics of generative adversarial networks", 2018); 0.5 is perfect
coverage        the share of real digits among whose 5 nearest real ones a generated one comes (Naeem et al., "Reliable
                Fidelity and Diversity Metrics for Generative Models", 2020); larger is better
distance        to the nearest training digit, over that of the real digits of the split: 0 means copies, 1 is perfect
teaches         the accuracy on the split of a support vector machine that has seen generated digits alone
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import pairwise_distances
from sklearn.svm import SVC

import mmsdk

DIGITS = "0123456789"
BARS = {"recognised": 0.97, "real_or_made": 0.68, "coverage": 0.90, "distance": 0.75, "teaches": 0.95}


def flat(picture):
    return np.asarray(picture.convert("L"), dtype=np.float64).ravel() / 255


def read(path, split):
    """(pictures [n, 64] in 0..1, labels [n]) of the rows of a split."""
    rows = [row for row in mmsdk.read_rows(path) if row.values["split"] == split]
    pictures = [flat(mmsdk.picture(path.parent / row.values["picture"])) for row in rows]
    return np.array(pictures), np.array([int(row.values["digit"]) for row in rows])


def generated(run, number=50, **changes):
    """`number` pictures of each digit, as (pictures, labels)."""
    pipeline = mmsdk.Pipeline.load(run)
    head = pipeline.heads["picture"]
    head.sampling = replace(head.sampling, number=number, guidance=0.5, **changes)
    results = pipeline.predict([{"digit": digit} for digit in DIGITS])
    pictures = [flat(picture) for result in results for picture in result["picture"].value]
    return np.array(pictures), np.repeat(np.arange(10), number)


def trivial(train, labels, number=50, seed=0):
    """The three generators that a figure alone could not tell from good ones."""
    rng, found = np.random.default_rng(seed), {"class mean": [], "Gaussian per class": [], "copies": []}
    for digit in range(10):
        own = train[labels == digit]
        found["class mean"].append(np.tile(own.mean(axis=0), (number, 1)))
        drawn = rng.multivariate_normal(own.mean(axis=0), np.cov(own.T), number)
        found["Gaussian per class"].append(drawn.clip(0, 1))
        found["copies"].append(own[rng.permutation(len(own))[:number]])
    return {name: (np.concatenate(parts), np.repeat(np.arange(10), number)) for name, parts in found.items()}


def figures(made, labels, train, real, real_labels):
    rng = np.random.default_rng(0)
    few = min(len(made), len(real))
    both = np.concatenate([made[rng.permutation(len(made))[:few]], real[rng.permutation(len(real))[:few]]])
    distances = pairwise_distances(both)
    np.fill_diagonal(distances, np.inf)
    sort = np.arange(2 * few) < few
    reach = np.sort(pairwise_distances(real), axis=1)[:, 5]  # place 0 is the digit itself
    nearest = [pairwise_distances(each, train).min(axis=1).mean() for each in (made, real)]
    return {
        "recognised": SVC(C=10).fit(real, real_labels).score(made, labels),
        "real_or_made": float((sort[distances.argmin(axis=1)] == sort).mean()),
        "coverage": float((pairwise_distances(real, made).min(axis=1) <= reach).mean()),
        "distance": nearest[0] / nearest[1],
        "teaches": SVC(C=10).fit(made, labels).score(real, real_labels),
    }


def passes(name, value):
    return value <= BARS[name] if name == "real_or_made" else value >= BARS[name]


def report(data, runs, split="test"):
    train, real = read(data, "train"), read(data, split)
    contestants = {str(run): generated(run) for run in runs} | trivial(*train)
    return {name: figures(*made, train[0], *real) for name, made in contestants.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("digits/digits.jsonl"))
    parser.add_argument("--run", type=Path, action="append", default=[])
    parser.add_argument("--split", default="test")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = report(options.data, options.run, options.split)
    if options.json:
        print(json.dumps(found))
    else:
        print(f"{'':24}" + "".join(f"{name:>14}" for name in BARS))
        for name, row in found.items():
            marks = (f"{value:.3f}{' ' if passes(each, value) else '!'}" for each, value in row.items())
            print(f"{name[-24:]:24}" + "".join(f"{mark:>14}" for mark in marks))
