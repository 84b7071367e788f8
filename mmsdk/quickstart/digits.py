"""Step 1, prepare the data: 1,797 handwritten digits that scikit-learn ships, with questions about them.

Answers are balanced, given the picture and given the question: neither alone tells much. Train, valid and test are
blocks of the file, which runs by writer, so the test is on handwriting that was hardly seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmsdk.errors import DataError

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPLITS = {"train": range(1200), "valid": range(1200, 1398), "test": range(1398, 1797)}
QUESTIONS_PER_IMAGE = 6
ABSENT = 0.15
"""The share of rows that lack the picture or the question."""


def write_data(folder: Path, seed: int = 0) -> None:
    """Write images/*.png, pairs.jsonl (picture and description) and samples.jsonl (picture, question, answer)."""
    from PIL import Image

    digits = load_digits()
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    for number, pixels in enumerate(digits.images):
        picture = Image.fromarray((pixels * (255 / 16)).round().astype(np.uint8))
        picture.save(folder / image_name(number))
    with (folder / "pairs.jsonl").open("w") as file:
        for split in ("train", "valid"):
            for number in SPLITS[split]:
                for description in rng.permutation(_descriptions(int(digits.target[number])))[:2]:
                    row = {"split": split, "image": image_name(number), "text": str(description)}
                    file.write(json.dumps(row | {"digit": int(digits.target[number])}) + "\n")
    with (folder / "samples.jsonl").open("w") as file:
        for split, numbers in SPLITS.items():
            for number in numbers:
                for place, (question, answer) in enumerate(_questions(int(digits.target[number]), rng)):
                    row = {"image": image_name(number), "text": question}
                    if rng.random() < ABSENT:
                        del row[str(rng.choice(["image", "text"]))]
                    file.write(json.dumps({"id": f"{number}-{place}", "split": split, **row, "answer": answer}) + "\n")


def load_digits() -> Any:
    """scikit-learn's digits: images [1797, 8, 8] in 0..16, target [1797].

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError:
        raise DataError("The quickstart's digits come with scikit-learn: pip install 'mmsdk[quickstart]'") from None
    return datasets.load_digits()


def image_name(number: int) -> str:
    return f"images/{number:04d}.png"


def _descriptions(digit: int) -> list[str]:
    parity = "odd" if digit % 2 else "even"
    return [
        f"a handwritten {NAMES[digit]}",
        f"the digit {digit}",
        f"{NAMES[digit]}, an {parity} number",
        f"{digit} is {parity}",
    ]


def _questions(digit: int, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Questions in turn about the digit, its parity, and its size. Bounds lie as often below the digit as above."""
    for place in range(QUESTIONS_PER_IMAGE):
        if place % 3 == 0:
            yield str(rng.choice(["which digit is this?", "what digit do you see?", "name the digit"])), str(digit)
        elif place % 3 == 1:
            parity = str(rng.choice(["even", "odd"]))
            yield f"is it {parity}?", _yes((digit % 2 == 0) == (parity == "even"))
        elif rng.random() < 0.5:
            bound = int(np.clip(digit + rng.integers(-3, 3), 0, 8))
            yield f"is it greater than {bound}?", _yes(digit > bound)
        else:
            bound = int(np.clip(digit + rng.integers(-2, 4), 1, 9))
            yield f"is it less than {bound}?", _yes(digit < bound)


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"
