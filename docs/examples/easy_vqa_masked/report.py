"""What hidden words can be told without the picture: the commonest word, and a run that sees no picture.

python docs/examples/easy_vqa_masked/report.py --data captions.jsonl --out runs/blind
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path

import mmsdk

HERE = Path(__file__).parent


def commonest(rows: list[mmsdk.Row]) -> float:
    """The share of the commonest word among all words of the captions."""
    words = Counter(word for row in rows for word in re.findall(r"\w+|[^\w\s]", row.values["caption"]))
    return words.most_common(1)[0][1] / words.total()


def without_pictures(data: Path, out: Path, seed: int) -> float:
    """The accuracy of the same training on the captions alone, with attention to themselves."""
    config = mmsdk.load_config(HERE / "pipeline.yaml").model_dump(mode="json", exclude_unset=True)
    del config["streams"]["image"]
    config["fusion"] = {"type": "transformer", "width": 64, "heads": 4, "layers": 1}
    config["data"]["path"] = str(data)
    config["training"]["seed"] = seed
    return mmsdk.train(config, out=out).metrics["valid/words/accuracy"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a folder for the run without pictures")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = [row for row in mmsdk.read_rows(arguments.data) if row.values["split"] == "train"]
    print(f"commonest word     {commonest(rows):.3f}")
    print(f"without pictures   {without_pictures(arguments.data, arguments.out, arguments.seed):.3f}")
