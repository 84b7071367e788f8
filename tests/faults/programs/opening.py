"""Opens folders that were attacked: python opening.py JOB.json, which says {"good": {kind: folder}, "attacked": [...]}.

A process of its own, so that whatever happens is seen from outside. Each folder gives a line of JSON: what it came to
("as before", "other answers", the error that refused it, or what broke), what the audit hook saw, seconds, bytes.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import watch

import mmsdk
from mmsdk.cache.features import FeatureCache
from mmsdk.errors import MmsdkError
from tests.faults import folders

SECONDS = 20
MEMORY = 12 * 2**30
"""Bytes of address space, of which torch takes some; a folder that wants more fails here, as it would elsewhere."""
PACKAGES = ["mmsdk", "torch", "torchgen", "numpy", "safetensors", "pydantic", "pydantic_core", "tokenizers", "PIL"]
PACKAGES += ["mmsdk_retrieval", "mmsdk_transformers", "transformers", "huggingface_hub", "accelerate", "onnxruntime"]
SAMPLE = {name: value for name, value in folders.ROWS[0].items() if name in ("text", "numbers", "image")}


def pipeline(folder: Path) -> Any:
    found = mmsdk.Pipeline.load(folder).predict({name: SAMPLE[name] for name in ("text", "numbers")})[0]
    assert found.error is None, found.error
    return [round(each, 5) for each in found.predictions["colour"].scores.values()]


def vectors(found: mmsdk.Pipeline) -> Any:
    both = found.embed({"text": SAMPLE["text"], "image": np.zeros((9, 9, 3), dtype=np.uint8)})
    return {name: each.numpy().round(4).tolist() for name, each in both.items()}


def hub(folder: Path) -> Any:
    return vectors(mmsdk.Pipeline.load(folder))


def model(folder: Path) -> Any:
    return vectors(mmsdk.Pipeline.from_config(folders.of_model(folder)))


def run(folder: Path) -> Any:
    """Go on with it, to the end."""
    trained = mmsdk.train(folders.CONFIG, folders.ROWS, out=folder, resume=True, show=False)
    return {name: round(value, 5) for name, value in trained.metrics.items()}


def index(folder: Path) -> Any:
    from mmsdk_retrieval import Index

    opened = Index.load(folder)
    found = opened.search(KEPT["pipeline"], {"text": "red circle large"}, within="numbers")
    return [(hit.id, round(hit.score, 4)) for hit in found]


def features(root: Path) -> Any:
    own: mmsdk.Pipeline = KEPT["pipeline"]
    own.requires_grad_(False)
    cache = FeatureCache(root=root)
    port = cache.port(own, folders.CACHED)
    rows = [mmsdk.Row(str(row["id"]), row, None) for row in folders.ROWS]
    cache.fill(own, port, rows)
    found = port.modality.collate([port.prepare(row, port.raw(row)) for row in rows])
    return [np.round(each.numpy(), 4).tolist() for each in (found.pooled, found.tokens)]


OPEN: dict[str, Callable[[Path], Any]] = {
    "pipeline": pipeline,
    "export": pipeline,
    "hub": hub,
    "model": model,
    "run": run,
    "index": index,
    "features": features,
}
WRITES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")
ALLOWED = {"run": (*WRITES, "os.fork", "ctypes.dlopen"), "features": WRITES}
"""What a run that goes on, and a cache that is filled, do by themselves."""
KEPT: dict[str, Any] = {}


def late(number: int, frame: Any) -> None:
    raise TimeoutError(f"not done within {SECONDS} seconds")


def outcome(kind: str, folder: Path, expected: Any) -> str:
    try:
        found = OPEN[kind](folder)
    except MmsdkError as error:
        return f"refused: {error}"
    except BaseException as error:  # even a panic of a library, which is no Exception
        return f"broke: {type(error).__name__}: {error}"[:500]
    return "as before" if found == expected else "other answers"


def main(job: dict[str, Any]) -> None:
    looking = watch.Watch(PACKAGES)
    KEPT["pipeline"] = mmsdk.Pipeline.load(job["good"]["pipeline"])
    expected = {kind: OPEN[kind](Path(folder)) for kind, folder in job["good"].items()}
    signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for kind, folder in job["attacked"]:
        print(f"{kind} {folder}", file=sys.stderr, flush=True)  # the last one is what it died of
        watch.reset_peak()
        before, begun = watch.memory("VmRSS"), time.perf_counter()
        signal.alarm(SECONDS)
        with looking.looking(*ALLOWED.get(kind, ())) as seen:
            told = outcome(kind, Path(folder), expected[kind])
        signal.alarm(0)
        figures = {"seconds": time.perf_counter() - begun, "gained": watch.memory("VmHWM") - before}
        print(json.dumps({"outcome": told, "seen": seen[:5], **figures}), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(json.loads(Path(sys.argv[1]).read_text()))
