"""Two processes that train a transformer: each with a share of it, and each with a copy."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

import mmsdk
from benchmarks.measuring import Result
from mmsdk.data.collate import Collator
from mmsdk.data.samples import as_row
from mmsdk.pipeline.modalities import Modalities
from mmsdk.training.holding import Copies, Shares
from mmsdk.training.processes import gather

WORDS = 32


def run(quick: bool) -> list[Result]:
    """Processor time counts what a process spends on the exchange, too; memory is what stays between two steps."""
    width, layers, size, rounds = (32, 1, 4, 1) if quick else (256, 6, 32, 5)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    given = [str(each) for each in (width, layers, size, rounds)]
    done = subprocess.run([*launch, "benchmarks.sharding", *given], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    note = f"transformer of {layers} layers, {width} wide, {size} texts of {WORDS} words per process"
    names = {"megabytes": "sharding: memory of a process, shares / copies, MB instead of ms"}
    names["seconds"] = "sharding: processor time of a step, shares / copies"
    return [Result.of(name, *found[what], goal=None, equal=found["equal"], note=note) for what, name in names.items()]


def _pipeline(width: int, layers: int, size: int) -> tuple[mmsdk.Pipeline, mmsdk.Batch]:
    encoder = {"type": "transformer", "width": width, "layers": layers, "heads": 4, "dropout": 0}
    config = mmsdk.load_config(
        {
            "streams": {"text": {"modality": "text", "encoder": encoder}},
            "heads": {"label": {"type": "classification", "target": "label", "reads": ["text"]}},
        }
    )
    rows = [
        as_row({"text": " ".join(f"w{(place * word) % 50}" for word in range(WORDS)), "label": place % 3}, str(place))
        for place in range(size)
    ]
    torch.manual_seed(0)
    pipeline = mmsdk.Pipeline(config, Modalities(config).fit(lambda: rows)).train()
    pipeline.gather = gather
    ports = pipeline.modalities
    return pipeline, Collator(ports.stream_ports, ports.target_ports)(rows).batch


class Side:
    """A pipeline in training."""

    def __init__(self, kind: type[Copies], accelerator: Accelerator, *sizes: int) -> None:
        self.accelerator = accelerator
        self.pipeline, self.batch = _pipeline(*sizes)
        self.held = kind(self.pipeline, accelerator)
        self.model, self.optimizer = self.held.prepare(torch.optim.AdamW(self.pipeline.parameters(), 1e-4, fused=True))

    def step(self) -> float:
        """Seconds of processor time."""
        torch.distributed.barrier()
        start = time.process_time()
        loss = self.model(self.batch, ["label"])["label"].loss
        self.accelerator.backward(loss / len(self.batch.ids))
        self.optimizer.step()
        taken = time.process_time() - start
        self.optimizer.zero_grad()
        return taken

    def megabytes(self) -> float:
        """Of weights, their gradients, and what the optimizer knows, in this process."""
        parameters: list[nn.Parameter] = list(self.pipeline.parameters())
        states = [each for state in self.optimizer.state.values() for each in state.values()]
        parts = [*parameters, *parameters, *states]  # a gradient is as large as its weight
        return sum(_local(each).nbytes for each in parts) / 2**20


def _local(tensor: Tensor) -> Tensor:
    local: Any = getattr(tensor, "to_local", None)
    return tensor if local is None else local()


def _main(width: int, layers: int, size: int, rounds: int) -> None:
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    sides = [Side(kind, accelerator, width, layers, size) for kind in (Shares, Copies)]
    for side in sides:
        side.step()  # libraries, and moments, take their memory now
    seconds: list[list[float]] = [[], []]
    for number in range(rounds):
        for place in (0, 1) if number % 2 == 0 else (1, 0):
            seconds[place].append(sides[place].step())
    ours, theirs = (side.held.whole() for side in sides)
    if accelerator.is_main_process:
        assert ours is not None and theirs is not None
        state = theirs.state_dict()
        equal = all(torch.allclose(each, state[name], rtol=0, atol=1e-5) for name, each in ours.state_dict().items())
        held = [[side.megabytes() / 1000] for side in sides]
        print(json.dumps({"equal": equal, "seconds": seconds, "megabytes": held}))


if __name__ == "__main__":
    _main(*map(int, sys.argv[1:]))
