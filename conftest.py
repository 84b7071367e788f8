"""For the tests of the core and of every plugin here: nothing is left behind in the user's own cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.faults.tally"]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("MMSDK_CACHE")
    os.environ["MMSDK_CACHE"] = str(folder)
    yield folder
    os.environ.pop("MMSDK_CACHE")
    if before is not None:
        os.environ["MMSDK_CACHE"] = before
