"""A program that trains pipelines whose configs say where the data is; made to be run by several processes.

python training.py OUT CONFIG.json...
"""

from __future__ import annotations

import sys
from pathlib import Path

import mmsdk


def main() -> None:
    out, *configs = map(Path, sys.argv[1:])
    for config in configs:
        mmsdk.train(mmsdk.load_config(config), out=out / config.stem, show=False)


if __name__ == "__main__":
    main()
