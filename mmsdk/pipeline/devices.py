"""Where a saved pipeline computes."""

from __future__ import annotations

import os
from typing import Literal

import torch

Device = Literal["auto", "cpu"]


def chosen(device: Device) -> torch.device:
    """auto: this process's accelerator, by LOCAL_RANK where a launcher started several; the processor without any."""
    if device == "cpu" or not torch.accelerator.is_available():
        return torch.device("cpu")
    kind = torch.accelerator.current_accelerator()
    assert kind is not None
    return torch.device(kind.type, int(os.environ.get("LOCAL_RANK", "0")) % torch.accelerator.device_count())
