"""The tournament: every contestant trained with every seed, and judged on the same rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmsdk.comparison.contestants import (
    ALL,
    SINGLE,
    Contestant,
    LeftOut,
    chosen_head,
    contestants,
    nothing_fuses,
)
from mmsdk.comparison.costs import costs
from mmsdk.comparison.judging import Judged
from mmsdk.comparison.runs import Runs, run_folder
from mmsdk.comparison.standings import Comparison, standings
from mmsdk.comparison.statistics import Array, as_units
from mmsdk.comparison.task import FEWEST, Task, task_of
from mmsdk.comparison.telling import as_csv, as_markdown, sentence
from mmsdk.comparison.variants import Settings
from mmsdk.config.file import load_config
from mmsdk.config.pipeline import PipelineConfig
from mmsdk.data.samples import InMemory, digest
from mmsdk.errors import CheckpointError, ConfigError, DataError
from mmsdk.folders import read_json, writing
from mmsdk.training.run import replace, require_same_config


def compare(
    config: str | Path | Mapping[str, Any] | PipelineConfig,
    data: InMemory | None = None,
    *,
    fusions: str | Sequence[str] = ALL,
    also: Mapping[str, Settings] | None = None,
    seeds: int = 5,
    out: str | Path | None = None,
    head: str | None = None,
    metric: str | None = None,
    split: str | None = None,
    damage: Sequence[str] = (),
    together: str | None = None,
    overrides: Sequence[str] = (),
    show: bool = True,
) -> Comparison:
    """Train fusion strategies of both levels and each stream alone, with several seeds; say what can be told apart.

    The same call goes on with a tournament that was stopped; what has been trained is not trained again.

    config, data, overrides: as in `train`. fusions: "all" that are installed, or their types. also: more of them with
    settings of their own, such as {"wide": {"type": "gated", "width": 256}}. out: the tournament's folder, by default
    runs/<name of the config>-compare. head: by default the only one with a target. metric: of that head, by default its
    main one. split: by default "test", or the only one that is neither trained on nor valid, or valid. damage: done to
    the streams of the rows that are judged, such as ["image/noise/0.3"], see `evaluate_corruptions`. together: the
    column of what rows have in common, such as the video that they are from; by default that of training.group. show:
    progress on stderr.

    Raises:
        MmsdkError: with a message for the user. A contestant that cannot work with this config is no error: it is
        listed under `left_out`.
    """
    if seeds < 1:
        raise ConfigError(f"seeds: at least 1 is needed, found {seeds}; 5 are usual")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("A tournament runs in one process: start it without torchrun")
    checked = load_config(config, overrides)
    judge_by = chosen_head(checked, head, metric)
    names = [fusions] if isinstance(fusions, str) else list(dict.fromkeys(fusions))
    found, left_out = contestants(checked, judge_by, names, also or {})
    damages = [damage] if isinstance(damage, str) else damage
    task = task_of(checked, found, data, judge_by, metric, split, damages, together)
    stem = Path(config).stem if isinstance(config, str | Path) else "pipeline"
    folder = Path(out) if out is not None else Path("runs") / f"{stem}-compare"
    _claim(folder, checked, task)
    results = Runs(folder, data, task, show).all(found, left_out, seeds)
    found = [each for each in found if each.name in results]
    if all(each.level == SINGLE for each in found):
        raise nothing_fuses(left_out)
    comparison = _compared(found, left_out, results, task, folder)
    comparison = comparison._replace(sentence=sentence(comparison))
    replace(folder / "results.json", comparison.as_dict())
    for name, text in (("results.csv", as_csv(comparison)), ("table.md", as_markdown(comparison))):
        with writing(folder / name):
            (folder / name).write_text(text, encoding="utf-8")
    return comparison


def _claim(folder: Path, config: PipelineConfig, task: Task) -> None:
    """Note down what the folder's tournament is of, or see that it is the same.

    Raises:
        CheckpointError: it is one of another config, head or data. ConfigError: the folder holds something else.
    """
    tree = {**config.model_dump(mode="json"), "head": task.head}
    tree["training"] = {**tree["training"], "seed": 0}  # each contestant has the seeds from 0 on
    data = digest({"train": task.train, task.split: task.rows})
    path = folder / "tournament.json"
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder} holds something else than a tournament: choose another --out")
        return replace(path, {"config": tree, "data": {task.split: data}})
    try:
        old = read_json(path)
        began, known = dict(old["config"]), dict(old["data"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not of a tournament, or damaged: {error}") from None
    require_same_config(folder, began, tree)
    if known.setdefault(task.split, data) != data:
        raise CheckpointError(f"{folder}: the data has changed since this tournament began: choose another --out")
    return replace(path, {"config": began, "data": known})  # another split may be judged later


def _compared(
    found: Sequence[Contestant],
    left_out: list[LeftOut],
    results: Mapping[str, list[Judged]],
    task: Task,
    folder: Path,
) -> Comparison:
    values, rows, notes = _values([results[each.name] for each in found], task)
    folders = {run_folder(folder, each.name, 0): each.config for each in found}
    spent = costs(folders, task.head, task.rows)
    if values.shape[1] == 1:
        notes.append("One seed does not tell what chance in training does: differences may be of the seed alone.")
    return standings(found, left_out, values, [spent[each] for each in folders], task, rows, [*task.notes, *notes])


def _values(results: Sequence[Sequence[Judged]], task: Task) -> tuple[Array, int, list[str]]:
    """[contestants, seeds, units], how many rows that is, and what is to be known of it."""
    if not all(each.by_row for own in results for each in own):
        figures = np.array([[[each.figure] for each in own] for own in results])
        return (
            figures,
            len(task.rows),
            [f"'{task.metric}' is no mean over rows: what other rows would have changed is not in the figures."],
        )
    values = np.array([[each.values for each in own] for own in results])
    known = ~np.isnan(values).any(axis=(0, 1))
    notes = []
    if not known.all():
        notes.append(f"{(~known).sum()} rows are left out, which some contestants could not read.")
    if known.sum() < FEWEST:
        raise DataError(f"Only {known.sum()} rows could be read by every contestant: at least {FEWEST} are needed")
    values = values[:, :, known]
    if task.groups:
        values = as_units(values, [group for group, here in zip(task.groups, known, strict=True) if here])
    return values, int(known.sum()), notes
