"""How much a saved pipeline will weigh, found out before any memory is taken for it.

A config of a few kilobytes can ask for a billion layers, or for one that no machine has room for. Its weights lie
beside it, so that what they do not have cannot be meant.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from mmsdk.config.pipeline import PipelineConfig
from mmsdk.errors import CheckpointError, MmsdkError
from mmsdk.pipeline.modalities import Modalities
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.pipeline.without_values import without_values

ROOM = 16
"""Some networks are built whole, and then lose what is not used: so many times what is in the file is let pass."""
PARTS, NUMBERS = 10_000, 2**28
"""So many parameters, and numbers in them, are let pass in any case while the sketch is made."""


class TooHeavyError(MmsdkError):
    """More than the file can hold."""


def require_weight(config: PipelineConfig, modalities: Modalities, file: Path) -> None:
    """Build the pipeline without memory, and compare it with its file.

    Raises:
        CheckpointError: the file is damaged, or far smaller than what the config asks for.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            sizes = [prod(opened.get_slice(name).get_shape()) for name in opened.keys()]  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file}: does not fit this pipeline: {error}") from None
    numbers = sum(sizes)
    try:
        sketch = _sketched(config, modalities, PARTS + ROOM * len(sizes), NUMBERS + ROOM * numbers)
        if (wanted := sum(parameter.numel() for parameter in sketch.parameters())) > numbers:
            raise TooHeavyError(f"{wanted:,} numbers")
    except TooHeavyError as error:
        raise CheckpointError(
            f"{file}: does not fit this pipeline: it holds {numbers:,} numbers in {len(sizes):,} tensors, and the "
            f"config asks for {error}"
        ) from None
    except Exception:  # a component that cannot be built without memory; what else is wrong is told when it is built
        return


def _sketched(config: PipelineConfig, modalities: Modalities, parts: int, numbers: int) -> Pipeline:
    """Without values; given up as soon as it has more parameters, or more numbers in them."""
    registered = taken = 0

    def count(module: nn.Module, name: str, parameter: Any) -> None:
        nonlocal registered, taken
        registered += 1
        taken += parameter.numel() if parameter is not None else 0
        if registered > parts:
            raise TooHeavyError(f"more than {parts:,} tensors")
        if taken > numbers:
            raise TooHeavyError(f"more than {numbers:,} numbers")

    hook = register_module_parameter_registration_hook(count)
    try:
        with without_values():
            return Pipeline(config, modalities)
    finally:
        hook.remove()
