"""For the tests of the core and of every plugin here: nothing is left behind in the user's own cache."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.faults.tally"]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("MMSDK_CACHE")
    os.environ["MMSDK_CACHE"] = str(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_DATASETS_CACHE", str(folder / "datasets"))
        if "datasets" in sys.modules:  # it has looked already
            patch.setattr(sys.modules["datasets"].config, "HF_DATASETS_CACHE", folder / "datasets")
        yield folder
    os.environ.pop("MMSDK_CACHE")
    if before is not None:
        os.environ["MMSDK_CACHE"] = before
