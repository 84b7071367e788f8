"""Write scikit-learn's handwritten digits (8 x 8) as PNG files with a table: 997 train, 300 valid, 500 test.

python prepare.py --out digits
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--out", type=Path, default=Path("digits"))
out = options.parse_args().out
out.mkdir(parents=True, exist_ok=True)
pictures, labels = load_digits(return_X_y=True)
rest, test = train_test_split(range(len(labels)), test_size=500, stratify=labels, random_state=0)
train, valid = train_test_split(rest, test_size=300, stratify=labels[rest], random_state=0)
with (out / "digits.jsonl").open("w") as file:
    for split, members in (("train", train), ("valid", valid), ("test", test)):
        for place in sorted(members):
            Image.fromarray(np.rint(pictures[place].reshape(8, 8) * 255 / 16).astype(np.uint8)).save(
                out / f"{place}.png"
            )
            row = {"id": str(place), "split": split, "digit": str(labels[place]), "picture": f"{place}.png"}
            file.write(json.dumps(row) + "\n")
