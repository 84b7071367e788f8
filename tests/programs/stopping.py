"""Trains a job that is asked to stop by signals, at random instants, and resumed each time, until it ends.

    python -m tests.programs.stopping FOLDER --processes 2 --signals 5 --seed 0

With --kill one of the processes is killed instead, and the others have to end by themselves. Prints one JSON object per
signal, then what became of the run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from pathlib import Path

import numpy as np

from tests.programs.killing import ends_well, entries, kill, metrics, newest, start, weights

JOB = "seldom_saved"
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]
LONG = 60.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--signals", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kill", action="store_true")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    whole, stopped = given.folder / "whole", given.folder / "stopped"
    given.folder.mkdir(parents=True, exist_ok=True)

    processes, _ = start(JOB, whole, given.processes)
    assert ends_well(processes), "the run that nobody stops has failed"
    steps = max(entry["total"] for entry in entries(whole))

    for place, target in enumerate(sorted(rng.integers(1, steps, size=given.signals))):
        processes, _ = start(JOB, stopped, given.processes)
        while len([entry for entry in entries(stopped) if entry["event"] == "step"]) < target:
            assert all(process.is_alive() for process in processes), "it has failed before it was stopped"
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        which = signal.SIGKILL if given.kill else SIGNALS[place % len(SIGNALS)]
        rank, at = int(rng.integers(len(processes))), time.monotonic()
        os.kill(processes[rank].pid or 0, which)
        for process in processes:
            process.join(LONG)
        seconds = time.monotonic() - at
        codes = [process.exitcode for process in processes]
        kill(processes)
        lost = max(entry["total"] for entry in entries(stopped)) - newest(stopped)
        print(json.dumps({"signal": which.name, "rank": rank, "codes": codes, "seconds": seconds, "steps_lost": lost}))

    processes, _ = start(JOB, stopped, given.processes)
    ended = ends_well(processes)
    same = ended and weights(whole) == weights(stopped) and metrics(whole) == metrics(stopped)
    print(json.dumps({"same": same and entries(whole) == entries(stopped)}))


if __name__ == "__main__":
    main()
