"""Write tenth.jsonl: every tenth training row, and the other splits whole.

python docs/examples/emoji_pretraining/prepare.py --source emoji/manifest.jsonl --out emoji/tenth.jsonl
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path


def prepare(source: Path, out: Path) -> Path:
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    train = [row for row in rows if row["split"] == "train"][::10]
    kept = train + [row for row in rows if row["split"] != "train"]
    for row in kept:  # paths are relative to the table that names them
        row["image"] = os.path.relpath(source.parent / row["image"], out.parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    print(prepare(arguments.source, arguments.out))
