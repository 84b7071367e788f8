"""Accelerate: where a run computes, and how its processes speak to each other. The only place that knows of it."""

from __future__ import annotations

import atexit
import os
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import DistributedType, broadcast_object_list, gather_object
from torch import Tensor
from torch.distributed import is_initialized

from mmsdk.config.training import TrainingConfig
from mmsdk.errors import ConfigError, TrainingError, listed

PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


class Processes:
    """The processes that train together, of which this is `rank`. All of them call the methods at the same time.

    Raises:
        ConfigError: precision, device or trackers are not to be had here. TrainingError: the processes that were
            started do not know of each other.
    """

    def __init__(self, training: TrainingConfig) -> None:
        cpu = training.device == "cpu" or not torch.accelerator.is_available()
        if cpu and training.precision == "float16":
            raise ConfigError("training.precision: float16 needs a GPU. Choose bfloat16 or float32.")
        _require_trackers(training)
        # A fresh one: a process that trains twice may use another precision or device the second time.
        AcceleratorState._reset_state(reset_partial_state=not is_initialized())
        precision, trackers = PRECISIONS[training.precision], training.trackers or None
        self.accelerator = accelerator = Accelerator(cpu=cpu, mixed_precision=precision, log_with=trackers)
        started = int(os.environ.get("WORLD_SIZE", "1"))
        if started != accelerator.num_processes:  # they would all write into one folder
            raise TrainingError(
                f"{started} processes were started, but {accelerator.num_processes} work together: use "
                f"torchrun --nproc-per-node {started} -m mmsdk train ..."
            )
        self.rank, self.count = accelerator.process_index, accelerator.num_processes
        self.distributed = accelerator.distributed_type != DistributedType.NO
        self.main, self.device, self.scaler = accelerator.is_main_process, accelerator.device, accelerator.scaler

    def gather(self, own: list[Any]) -> list[Any]:
        """The lists of all processes, one after the other."""
        gathered: list[Any] = gather_object(own) if self.count > 1 else own
        return gathered

    def tell(self, what: Any) -> Any:
        """What the first process has to say."""
        return broadcast_object_list([what])[0]

    def reduce(self, tensor: Tensor, how: str) -> Tensor:
        """Those of all processes, put together."""
        reduced: Tensor = self.accelerator.reduce(tensor, how)
        return reduced

    def wait(self) -> None:
        """Until all have come here."""
        self.accelerator.wait_for_everyone()

    def track(self, folder: Path, name: str) -> None:
        """Begin to send figures to the trackers, if there are any."""
        if self.accelerator.log_with:
            self.accelerator.project_configuration.set_directories(str(folder))
            self.accelerator.init_trackers(name)

    def end(self) -> None:
        for tracker in self.accelerator.trackers:
            tracker.finish()
        # Not now: the group of processes cannot be joined again to train once more.
        atexit.register(self.accelerator.state.destroy_process_group)


def _require_trackers(training: TrainingConfig) -> None:
    installed = [str(each) for each in get_available_trackers()]
    for name in training.trackers:
        if name not in installed:
            known = name in {str(each) for each in LOGGER_TYPE_TO_CLASS}
            hint = f": pip install {name}" if known else f". Accelerate knows: {listed(LOGGER_TYPE_TO_CLASS)}"
            raise ConfigError(f"training.trackers: '{name}' is not {'installed' if known else 'a tracker'}{hint}")
