"""CIDEr of captions: those a run writes, those of another photograph, and a fifth person's.

python docs/examples/coco_captions/report.py --data coco-photos/manifest.jsonl runs/coco
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from pathlib import Path

import mmsdk

Texts = dict[str, list[str]]


def cider(references: Texts, said: Texts) -> float:
    """Vedantam et al., "CIDEr: Consensus-based Image Description Evaluation", 2015, as pycocoevalcap computes it.

    In 0..10, of lower-case words without punctuation; the published figures are of another tokenizer, which needs Java.
    The weights of words come from the references given: figures compare within one table.
    """
    from pycocoevalcap.cider.cider import Cider

    def words(texts: Texts) -> Texts:
        return {name: [" ".join(re.findall(r"\w+", text.lower())) for text in own] for name, own in texts.items()}

    score, _ = Cider().compute_score(words(references), words(said))
    return float(score)


def captions(data: Path, split: str) -> Texts:
    """The captions of each photograph in a split, by the photograph's path."""
    found = defaultdict(list)
    for row in mmsdk.read_rows(data):
        if row.values["split"] == split:
            found[str(data.parent / row.values["image"])].append(row.values["caption"])
    return dict(found)


def shifted(texts: Texts) -> Texts:
    """Each photograph with the next one's captions."""
    names = list(texts)
    return {name: texts[other] for name, other in zip(names, names[1:] + names[:1], strict=True)}


def report(data: Path, run: Path) -> dict[str, float]:
    references, fifth = captions(data, "train"), captions(data, "test")
    results = mmsdk.Pipeline.load(run).predict([{"image": photograph} for photograph in references])
    written = {name: [result.predictions["caption"].value] for name, result in zip(references, results, strict=True)}
    return {
        "written": cider(references, written),
        "written for another photograph": cider(references, shifted(written)),
        "a fifth person": cider(references, fifth),
        "a fifth person, of another photograph": cider(references, shifted(fifth)),
        "different texts": len({text for (text,) in written.values()}),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("run", type=Path)
    arguments = parser.parse_args()
    for name, figure in report(arguments.data, arguments.run).items():
        print(f"{name:40} {figure:.3f}")
