"""Reads configs that nobody would write: python configs.py FIRST LAST FOLDER.

Config number n is the same each time. Each gives a line of JSON: what it was, whether it was read or refused or what
broke, what the audit hook saw, seconds of processor time, and by how much memory rose.
"""

from __future__ import annotations

import json
import random
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import watch

from mmsdk import ConfigError, load_config
from mmsdk.config.yaml_file import parse_yaml
from tests.test_config_fuzz import GOOD, ODD, PLACES, TOKENS

PACKAGES = ["mmsdk", "mmsdk_fusion", "mmsdk_speech", "mmsdk_video", "mmsdk_transformers", "mmsdk_diffusion"]
PACKAGES += ["mmsdk_retrieval", "pydantic", "pydantic_core", "ruamel", "rich", "typing_extensions"]
NINE = ",".join(["*a"] * 9)
BOMBS = [
    *("[" * 100_000, "{a: " * 5_000, "- " * 20_000, "? " * 5_000, "a: &a [*a]", f"a: &a [x]\nb: [{NINE}]"),
    *("<<: &a {<<: *a}", "a" * 200_000, "a" * 200_001, "# " + "x" * 300_000, "\n" * 199_000, "a: 1\n" * 20_000),
    *("".join(f"k{n}: 1\n" for n in range(11_000)), "!!python/object/apply:os.system [id]", "!!python/name:os.system"),
    *("!<tag:evil.example,2026:x> y", "%TAG ! tag:x\n--- 1", "---\na: 1\n---\nb: 2", "\ufeff" * 10, "\0"),
    *("a: |\n" + "  x\n" * 30_000, 'a: "' + "\\u0000" * 30_000 + '"', "a: " + "9" * 100_000, "streams: *x"),
    *("streams: {a: {shared_with: b}, b: {shared_with: a}}\nheads: {}", "2026-11-29", "= : =", "? {a: b}\n: c"),
]
"""YAML that is expensive, or that other readers run."""
TYPES = ["os.system", "builtins.eval", "canary.Evil", "mmsdk.cli.main", "transformers.AutoModel", "subprocess.Popen"]


def text(rng: random.Random) -> str:
    """The good one, edited anywhere."""
    made = GOOD
    for _ in range(rng.randrange(1, 5)):
        start, length = rng.randrange(len(GOOD)), rng.randrange(13)
        made = (
            made[:start]
            + rng.choice([*TOKENS, "".join(chr(rng.randrange(0x3000)) for _ in range(4))])
            + made[start + length :]
        )
    return made


def tree(rng: random.Random) -> dict[str, Any]:
    """The good one with odd values, keys and types in places."""
    made: dict[str, Any] = parse_yaml(GOOD, "config")
    for _ in range(rng.randrange(1, 4)):
        *parents, last = rng.choice(PLACES)
        node: Any = made
        for key in parents:
            found = (isinstance(node, dict) and key in node) or (isinstance(node, list) and key in range(len(node)))
            node = node[key] if found else {}
        value = rng.choice([*ODD, *({"type": name} for name in TYPES), {"_target_": rng.choice(TYPES)}])
        if isinstance(node, dict):
            node["_target_" if rng.random() < 0.1 else last] = value
        elif isinstance(node, list) and last in range(len(node)):
            node[last] = value
    return made


def override(rng: random.Random) -> str:
    return f"{'.'.join(map(str, rng.choice(PLACES)))}={rng.choice([*TOKENS, *TYPES, 'x' * 1000])}"


def config(number: int, folder: Path) -> tuple[str, Callable[[], Any]]:
    """What kind it is, and what reads it."""
    rng = random.Random(number)
    path = folder / "pipeline.yaml"
    kind = rng.choices(["text", "tree", "override", "bytes", "bomb"], [40, 30, 15, 10, 5])[0]
    if kind in ("text", "bomb", "bytes"):
        data = rng.randbytes(rng.randrange(300)) if kind == "bytes" else b""
        written = rng.choice(BOMBS) if kind == "bomb" else text(rng)
        path.write_bytes(data or written.encode("utf-8", "replace"))
        return kind, lambda: load_config(path)
    if kind == "tree":
        made = tree(rng)
        return kind, lambda: load_config(made)
    typed, good = override(rng), parse_yaml(GOOD, "config")
    return kind, lambda: load_config(good, [typed])


def main(first: int, last: int, folder: Path) -> None:
    load_config(parse_yaml(GOOD, "config"))
    looking = watch.Watch(PACKAGES)
    for number in range(first, last):
        kind, read = config(number, folder)
        watch.reset_peak()
        before, begun = watch.memory("VmRSS"), time.process_time()
        with looking.looking() as seen:
            try:
                read()
                outcome = "read"
            except ConfigError as error:
                placed = str(error).startswith((f"{folder / 'pipeline.yaml'}:", "config: ", "--set "))
                outcome = "refused" if placed else f"no place: {error}"[:200]
            except BaseException as error:
                outcome = f"broke: {type(error).__name__}: {error}"[:200]
        figures = {"seconds": time.process_time() - begun, "gained": watch.memory("VmHWM") - before}
        print(json.dumps({"number": number, "kind": kind, "outcome": outcome, "seen": seen[:3], **figures}), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
