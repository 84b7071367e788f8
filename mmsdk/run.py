"""A run's folder: its config, log, checkpoints, saved pipeline, metrics and curve.

config.json         the resolved config, and what it was run with
log.jsonl           one JSON object a line
modalities.*        what modalities learned from the training data
checkpoints/        step-00000042/ ...
bad_samples.jsonl   samples that could not be read
pipeline/           the saved pipeline, once training is done
metrics.json        its figures
curve.png           losses and metrics over the epochs
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmsdk.config import PipelineConfig
from mmsdk.errors import CheckpointError, DecodeError, TrainingError

# What may differ when a run goes on: it changes how fast, never what is computed.
FREE = ("workers", "threads", "device", "trackers", "checkpoint", "log_every")


class Run:
    """The files of one run. Only the main process writes, except for bad samples."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoints = folder / "checkpoints"
        self.modalities = folder / "modalities"
        self.pipeline = folder / "pipeline"
        self._log = folder / "log.jsonl"
        self._bad = folder / "bad_samples.jsonl"

    @property
    def started(self) -> bool:
        return (self.folder / "config.json").exists()

    @property
    def finished(self) -> bool:
        return (self.folder / "metrics.json").exists() and (self.pipeline / "pipeline.json").exists()

    def begin(self, config: PipelineConfig, facts: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        replace(self.folder / "config.json", {"config": config.model_dump(mode="json"), **facts})

    def facts(self) -> dict[str, Any]:
        """What the run began with: "config", "data" (a digest), "processes", "threads"."""
        try:
            facts: dict[str, Any] = json.loads((self.folder / "config.json").read_text())
            return facts
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.folder / 'config.json'}: cannot be read: {error}") from None

    def require_same(self, config: PipelineConfig, data: str) -> dict[str, Any]:
        """The facts of a run that is to go on with this config and data.

        Raises:
            CheckpointError: names what differs.
        """
        facts = self.facts()
        old, new = facts["config"], config.model_dump(mode="json")
        differing = sorted(_differences(_fixed(old), _fixed(new)))
        if differing:
            raise CheckpointError(
                f"{self.folder}: began with another config; different: {', '.join(differing)}. "
                "Resume with the config that it began with, or choose another --out."
            )
        if facts["data"] != data:
            raise CheckpointError(f"{self.folder}: the data has changed since this run began: choose another --out")
        return facts

    def log(self, **entry: Any) -> None:
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def log_bytes(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0

    def rewind(self, log_bytes: int) -> None:
        """Forget what was logged after the checkpoint that the run goes on from."""
        if self._log.exists():
            os.truncate(self._log, log_bytes)

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text(encoding="utf-8").splitlines()]

    def finish(self, metrics: Mapping[str, float], more: Mapping[str, Any]) -> None:
        replace(self.folder / "metrics.json", {"metrics": dict(metrics), **more})

    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((self.folder / "metrics.json").read_text())
        return result

    def bad_ids(self) -> set[str]:
        if not self._bad.exists():
            return set()
        return {json.loads(line)["id"] for line in self._bad.read_text(encoding="utf-8").splitlines()}

    def add_bad(self, errors: Iterable[DecodeError]) -> None:
        with self._bad.open("a", encoding="utf-8") as file:
            for error in errors:
                file.write(json.dumps({"id": error.sample, "column": error.stream, "reason": error.reason}) + "\n")


class BadSamples:
    """Samples that could not be read: raised, or listed up to a budget of max(10, 0.1 %)."""

    def __init__(self, run: Run, policy: str, rows: int) -> None:
        self.run, self.policy, self.budget = run, policy, max(10, rows // 1000)
        self.known = run.bad_ids()

    def take(self, errors: Iterable[DecodeError]) -> None:
        fresh = {error.sample: error for error in errors if error.sample not in self.known}
        if not fresh:
            return
        if self.policy == "raise":
            first = next(iter(fresh.values()))
            raise DecodeError(
                first.reason + " (training.on_error: skip leaves such samples out)",
                sample=first.sample,
                stream=first.stream,
            )
        self.run.add_bad(fresh.values())
        self.known |= {str(sample) for sample in fresh}
        if len(self.known) > self.budget:
            where = self.run.folder / "bad_samples.jsonl"
            raise TrainingError(f"{len(self.known)} samples cannot be read, the budget is {self.budget}: see {where}")


def new_folder(stem: str, parent: Path = Path("runs")) -> Path:
    """runs/STEM, or the first of runs/STEM-2, runs/STEM-3, ... that is not there."""
    number = 1
    while (folder := parent / (stem if number == 1 else f"{stem}-{number}")).exists():
        number += 1
    return folder


def latest_folder(stem: str, parent: Path = Path("runs")) -> Path:
    """The last of runs/STEM, runs/STEM-2, ... that is there; runs/STEM where none is."""
    number = 1
    while (parent / f"{stem}-{number + 1}").exists():
        number += 1
    return parent / (stem if number == 1 else f"{stem}-{number}")


def replace(path: Path, content: Any) -> None:
    """Write a JSON file so that it is either the old or the new one, whole."""
    aside = path.with_name(f".{path.name}.writing")
    with aside.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _fixed(config: Mapping[str, Any]) -> dict[str, Any]:
    training = {key: value for key, value in config["training"].items() if key not in FREE}
    return {**config, "training": training}


def _differences(old: Any, new: Any, place: str = "") -> Iterable[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {*old, *new}:
            yield from _differences(old.get(key), new.get(key), f"{place}.{key}" if place else str(key))
    elif old != new:
        yield place
