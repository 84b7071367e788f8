"""The runs of a tournament: trained, judged, and found again when it goes on."""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmsdk.comparison.contestants import Contestant, LeftOut
from mmsdk.comparison.judging import Judged, judge
from mmsdk.comparison.task import Task
from mmsdk.data.samples import InMemory
from mmsdk.errors import CheckpointError, DataError, Interrupted, MmsdkError, told
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.training.loop import train
from mmsdk.training.run import Run, replace


class Runs:
    """The runs of a tournament: all contestants with seed 0, then all with seed 1, and so on."""

    def __init__(self, folder: Path, data: InMemory | None, task: Task, show: bool) -> None:
        self.folder, self.data, self.task, self.show = folder, data, task, show
        self.seconds: list[float] = []

    def all(self, found: Sequence[Contestant], left_out: list[LeftOut], seeds: int) -> dict[str, list[Judged]]:
        """What each contestant reached, by seed. One that fails takes no further part."""
        results: dict[str, list[Judged]] = {each.name: [] for each in found}
        for each in left_out:
            self._say(f"left out: {each.name}: {each.reason}")
        for seed in range(seeds):
            for contestant in found:
                name = contestant.name
                if name not in results:
                    continue
                done, total = sum(map(len, results.values())), seeds * len(results)
                try:
                    results[name].append(self._one(contestant, seed, f"run {done + 1} of {total}", total - done))
                except (KeyboardInterrupt, Interrupted):
                    self._say("\nThe same command goes on with this tournament.")
                    raise
                except CheckpointError:  # a full disk, or a folder of something else: all would fail
                    raise
                except Exception as error:  # anybody's strategy may fail in any way: the others go on
                    reason = str(error).partition("\n")[0] if isinstance(error, MmsdkError) else told(error)
                    left_out.append(LeftOut(name, f"seed {seed}: {reason}"))
                    self._say(f"left out: {name}: seed {seed}: {reason}")
                    del results[name]
        return results

    def _one(self, contestant: Contestant, seed: int, place: str, left: int) -> Judged:
        """Train and judge, or look up what was found when this was done before."""
        task, run = self.task, Run(run_folder(self.folder, contestant.name, seed))
        training = contestant.config.training.model_copy(update={"seed": seed})
        config = contestant.config.model_copy(update={"training": training})
        if run.finished:
            run.require_same(config)
            noted = _noted(run, task)
            if noted is not None:
                return noted
        self._say(f"{place}, {contestant.name}, seed {seed}{self._expected(left)}")
        start = time.monotonic()
        if run.finished:  # judged by something else before
            pipeline = Pipeline.load(run.folder)
        else:
            pipeline = train(config, self.data, out=run.folder, resume=run.started, show=False).pipeline
        judged = judge(pipeline, task.head, task.metric, task.rows, task.train, task.damages)
        if math.isnan(judged.figure):
            raise DataError(f"'{task.metric}' has no figure on split '{task.split}'")
        _note(run, task, judged)
        shutil.rmtree(run.checkpoints, ignore_errors=True)  # of many runs they would fill a disk
        self.seconds.append(time.monotonic() - start)
        self._say(f"    {task.split}/{task.head}/{task.metric} {judged.figure:.4f}, {self.seconds[-1]:.0f} s")
        return judged

    def _expected(self, left: int) -> str:
        if not self.seconds:
            return ""
        return f" ({left} to go, about {left * sum(self.seconds) / len(self.seconds) / 60:.0f} min)"

    def _say(self, line: str) -> None:
        if self.show:
            print(line, file=sys.stderr, flush=True)


def run_folder(folder: Path, contestant: str, seed: int) -> Path:
    """Where a contestant's run stands."""
    return folder / contestant / f"seed-{seed}"


def _note(run: Run, task: Task, judged: Judged) -> None:
    values = [None if math.isnan(value) else value for value in judged.values]
    replace(run.folder / "judged.json", {**_key(task), "figure": judged.figure, "values": values})


def _noted(run: Run, task: Task) -> Judged | None:
    """What a run was found to be worth, if it was judged by the same."""
    try:
        noted = json.loads((run.folder / "judged.json").read_text(encoding="utf-8"))
        if any(noted[key] != value for key, value in _key(task).items()):
            return None
        values = [math.nan if each is None else float(each) for each in noted["values"]]
        return Judged(float(noted["figure"]), values) if len(values) == len(task.rows) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _key(task: Task) -> dict[str, Any]:
    damage = [str(each) for each in task.damages]
    return {"head": task.head, "metric": task.metric, "split": task.split, "damage": damage}
