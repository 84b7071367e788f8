"""Write a table with a tenth of the training labels: of each subgroup every tenth row, and the other splits whole.

python docs/examples/emoji_pretraining/prepare.py --source emoji/manifest.jsonl --out emoji_tenth/tenth.jsonl
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from itertools import count
from pathlib import Path


def prepare(source: Path, out: Path) -> None:
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    place = defaultdict(count)  # of the next training row of each subgroup
    kept = [row for row in rows if row["split"] != "train" or next(place[row["subgroup"]]) % 10 == 0]
    for row in kept:  # paths are relative to the table that names them
        row["image"] = os.path.relpath(source.parent / row["image"], out.parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    prepare(arguments.source, arguments.out)
