"""What all parts of a training work with."""

from __future__ import annotations

from typing import NamedTuple

from mmsdk.training.accelerating import Processes
from mmsdk.training.gradient_caching import Parts
from mmsdk.training.holding import Copies
from mmsdk.training.interruption import Interruption
from mmsdk.training.job import Job
from mmsdk.training.progress import Progress


class Context(NamedTuple):
    """The job, who does it, how these hold the model, how much encoders take at a time, and who is told."""

    job: Job
    processes: Processes
    held: Copies
    parts: Parts
    progress: Progress
    interruption: Interruption
