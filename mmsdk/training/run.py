"""A run's folder: its config, log, checkpoints, saved pipeline, metrics and curve.

config.json         the resolved config, and what it was run with
log.jsonl           one JSON object a line
modalities.*        what modalities learned from the training data
checkpoints/        step-00000042/ ..., and frozen/: weights that no stage trains
bad_samples.jsonl   samples that could not be read
sketches/           pictures of how far heads were after an epoch, of heads that make any
pipeline/           the saved pipeline, once training is done
metrics.json        its figures
curve.png           losses and metrics over the epochs
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmsdk.config.file import load_config, saved_config
from mmsdk.config.pipeline import PipelineConfig
from mmsdk.data.skipping import as_told, budget
from mmsdk.errors import CheckpointError, DecodeError, MmsdkError, TrainingError, UnwritableError
from mmsdk.folders import flush, read_json, sweep, writing

# What of `training` may differ when a run goes on: speed, memory, what to do when something fails. So may the card.
FREE = ["workers", "threads", "device", "trackers", "checkpoint", "log_every", "not_finite", "micro_batch", "sharding"]


class Run:
    """The files of one run. Only the main process writes, except for bad samples."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoints = folder / "checkpoints"
        self.modalities = folder / "modalities"
        self.pipeline = folder / "pipeline"
        self._log = folder / "log.jsonl"
        self._bad = folder / "bad_samples.jsonl"
        self._unwritten: list[dict[str, Any]] = []

    @property
    def started(self) -> bool:
        """Whether there is anything to go on from, or to lose."""
        return self.finished or any(self.checkpoints.glob("step-*"))

    @property
    def finished(self) -> bool:
        return (self.folder / "metrics.json").exists() and (self.pipeline / "pipeline.json").exists()

    def begin(self, config: PipelineConfig, facts: Mapping[str, Any]) -> None:
        """Write down what the run is of, as given and resolved. Nothing stays of one without a first checkpoint."""
        for path in (self._log, self._bad):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        replace(self.folder / "config.json", {"config": config.model_dump(mode="json"), **facts})

    def resolved(self, config: PipelineConfig) -> PipelineConfig:
        """The config that the run began with, resolved as it was then."""
        tree = self.facts()["resolved"]
        same = tree == config.model_dump(mode="json")
        return config if same else saved_config(tree, self.folder / "config.json")

    def sweep(self) -> None:
        """Remove what a dead process left half written."""
        for folder in (self.folder, self.checkpoints):
            sweep(folder)

    def facts(self) -> dict[str, Any]:
        """What the run began with: "config", "resolved" (the same), "data" (a digest), "processes", "threads"."""
        facts = read_json(self.folder / "config.json")
        try:
            return {key: facts[key] for key in ("config", "resolved", "data", "processes", "threads")}
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"{self.folder / 'config.json'}: not of a run, or damaged: {error}") from None

    def require_same(self, config: PipelineConfig, data: str | None = None) -> dict[str, Any]:
        """The facts of a run that is to go on with this config and, where it is known, this data.

        Raises:
            CheckpointError: names what differs.
        """
        facts = self.facts()
        require_same_config(self.folder, _completed(facts["config"]), config.model_dump(mode="json"))
        if data is not None and facts["data"] != data:
            raise CheckpointError(f"{self.folder}: the data has changed since this run began: choose another --out")
        return facts

    def log(self, **entry: Any) -> None:
        """Add an entry. One that the disk does not take is kept for the next time: training goes on."""
        self._unwritten.append(entry)
        with suppress(UnwritableError):
            _append(self._log, self._unwritten)
            self._unwritten = []

    def log_bytes(self) -> int:
        """How long the log is, once it is safely on disk."""
        if not self._log.exists():
            return 0
        with suppress(OSError):
            flush(self._log)
        return self._log.stat().st_size

    def rewind(self, log_bytes: int) -> None:
        """Forget what was logged after the checkpoint that the run goes on from, and lines that were cut short."""
        for path, most in ((self._log, log_bytes), (self._bad, None)):
            if path.exists():
                os.truncate(path, path.read_bytes()[:most].rfind(b"\n") + 1)

    def entries(self) -> list[dict[str, Any]]:
        return _lines(self._log)

    def finish(self, metrics: Mapping[str, float], more: Mapping[str, Any]) -> None:
        replace(self.folder / "metrics.json", {"metrics": dict(metrics), **more})

    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = read_json(self.folder / "metrics.json")
        return result

    def bad_ids(self) -> set[str]:
        return {line["id"] for line in _lines(self._bad)}

    def add_bad(self, errors: Iterable[DecodeError]) -> None:
        _append(self._bad, map(as_told, errors))


class BadSamples:
    """Samples that could not be read: raised, or listed up to a budget of max(10, 0.1 %)."""

    def __init__(self, run: Run, policy: str, rows: int) -> None:
        self.run, self.policy, self.budget = run, policy, budget(rows)
        self.known = run.bad_ids()

    def take(self, errors: Iterable[DecodeError]) -> None:
        met = {error.sample: error for error in errors}
        if met.keys() - self.known:
            self.known |= self.run.bad_ids()  # what other processes have met
        fresh = {sample: error for sample, error in met.items() if sample not in self.known}
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


def require_same_config(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Complain where what is in a folder began with another config.

    Raises:
        CheckpointError: names what differs.
    """
    differing = sorted(_differences(_fixed(old), _fixed(new)))
    if differing:
        raise CheckpointError(
            f"{folder}: began with another config; different: {', '.join(differing)}. "
            "Resume with the config that it began with, or choose another --out."
        )


def _completed(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A written config with the defaults of options that did not exist when it was written."""
    try:
        return load_config(config).model_dump(mode="json")
    except MmsdkError:  # then it certainly is another one
        return config


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
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        flush(aside)
        aside.replace(path)
        flush(path.parent)


def _append(path: Path, lines: Iterable[Any]) -> None:
    """Add a JSON object per line, all in one write: other processes may add to the file, too."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    with writing(path), path.open("ab", buffering=0) as file:
        whole, before = text.encode("utf-8", "surrogatepass"), file.tell()
        written = file.write(whole)
        if written < len(whole):  # the disk is full: half a line must not stay
            os.truncate(path, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file; none where there is no file. A line that is not finished yet is left out.

    Raises:
        CheckpointError: a line is something else.
    """
    whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
    found = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            found.append(dict(json.loads(line)))
        except (ValueError, TypeError, RecursionError) as error:
            raise CheckpointError(f"{path}:{number}: damaged: {error}") from None
    return found


def _fixed(config: Mapping[str, Any]) -> dict[str, Any]:
    training = {key: value for key, value in config["training"].items() if key not in FREE}
    return {**config, "training": training, "card": None}


def _differences(old: Any, new: Any, place: str = "") -> Iterable[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {*old, *new}:
            yield from _differences(old.get(key), new.get(key), f"{place}.{key}" if place else str(key))
    elif old != new:
        yield place
