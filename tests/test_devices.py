"""Where saved pipelines compute. (There is no GPU in these tests; which one would be chosen can be told without.)"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mmsdk.pipeline.devices import chosen


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> Any:
        return SimpleNamespace(type="cuda")

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", found)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)


@pytest.mark.parametrize(("rank", "device"), [(None, "cuda:0"), ("1", "cuda:1"), ("2", "cuda:0")])
def test_each_process_has_its_own(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch, rank: str | None, device: str
) -> None:
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert chosen("auto") == torch.device(device) and chosen("cpu") == torch.device("cpu")


def test_without_any_the_processor_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert chosen("auto") == torch.device("cpu")
