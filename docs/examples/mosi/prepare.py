"""Write samples.jsonl for the mosi examples: per line an utterance, its features, transcript, and place in its video.

python docs/examples/mosi/prepare.py --source ../shared/data/mosi --out data/mosi
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path


def prepare(source: Path, out: Path) -> Path:
    """The source's own split (62 videos train, 31 test); the last column of each features file is the label."""
    tables = {
        (stream, split): [
            row[:-1] for row in csv.reader((source / f"features/{stream}_{split}0.csv").read_text().splitlines())
        ]
        for stream in ("text", "audio", "video")
        for split in ("train", "test")
    }
    out.mkdir(parents=True, exist_ok=True)
    with (out / "samples.jsonl").open("w") as file:
        for line in (source / "manifest.jsonl").read_text().splitlines():
            row = json.loads(line)
            split = row["source_split"]
            features = {
                stream: [float(number) for number in tables[stream, split][row["feature_row"]]]
                for stream in ("text", "audio", "video")
            }
            place = {"talk": row["video"], "position": row["position"], "transcript": row["text"]}
            sample = {"id": row["id"], "split": split, **place, **features, "label": row["label"]}
            file.write(json.dumps(sample) + "\n")
    return out / "samples.jsonl"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=Path("../shared/data/mosi"))
    parser.add_argument("--out", type=Path, default=Path("data/mosi"))
    options = parser.parse_args()
    print(prepare(options.source, options.out))
