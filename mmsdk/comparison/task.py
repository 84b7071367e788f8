"""What contestants are judged by, found out before any of them is trained."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from mmsdk.comparison.contestants import SINGLE, Contestant
from mmsdk.comparison.judging import chosen_metric
from mmsdk.config.pipeline import PipelineConfig
from mmsdk.data.collate import identity
from mmsdk.data.samples import InMemory, Row
from mmsdk.data.tables import chosen
from mmsdk.errors import ConfigError, DataError, did_you_mean, listed
from mmsdk.evaluation.robustness import Damage
from mmsdk.pipeline.modalities import Modalities
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.training.plan import StagePlan, plan_stages, with_streams

FEWEST = 10
"""Rows, or groups of rows, that anything is said of."""


class Task(NamedTuple):
    """A metric of a head, and the rows of a split that it is measured on.

    train: the training rows. groups: of each row, where rows belong together; else empty. damages: done to the rows.
    notes: for the user.
    """

    head: str
    metric: str
    larger_is_better: bool
    split: str
    rows: Sequence[Row]
    train: Sequence[Row]
    groups: list[Hashable]
    damages: list[Damage]
    notes: list[str]


def task_of(
    config: PipelineConfig,
    found: Sequence[Contestant],
    data: InMemory | None,
    head: str,
    metric: str | None,
    split: str | None,
    damages: Sequence[str] = (),
    together: str | None = None,
) -> Task:
    """What to judge the contestants by.

    Raises:
        ConfigError: no such metric or damage. DataError: no such split, or too few rows to say anything.
    """
    whole = next(each.config for each in found if each.level != SINGLE).resolve()
    modalities = Modalities(whole)
    plan = plan_stages(whole, data, modalities)[-1]
    if plan.streamed is not None:
        raise ConfigError("data.streaming: nothing is compared on streamed rows: leave it out, and name fewer shards")
    name = _split(plan, split)
    targets = [port for port in modalities.target_ports if port.name == head]
    rows = with_streams(plan.splits[name], modalities)
    rows = chosen(rows, (place for place, row in enumerate(rows) if all(port.present(row) for port in targets)))
    if len(rows) < FEWEST:
        raise DataError(
            f"Split '{name}' has {len(rows)} rows with a stream and the target of '{head}': at least {FEWEST} are "
            "needed to compare"
        )
    harm = _damages(damages, modalities.fit(lambda: plan.train)) if damages else []
    simplest = found[0].config.resolve()
    untrained = Pipeline(simplest, Modalities(simplest).fit(lambda: plan.train))
    group = config.training.group
    column = together or (whole.column_of(group) if group is not None else None)
    groups = _groups(rows, column, name) if column is not None else []
    notes = [*_cautions(config, plan, name)]
    if groups:
        notes.append(f"Rows with the same '{column}' are drawn together.")
    others = [other for other in config.heads if other != head and other not in config.auxiliaries]
    if others:
        notes.append(f"Every contestant is trained for '{head}' alone, without {listed(others)}.")
    return Task(head, *chosen_metric(untrained, head, metric), name, rows, plan.train, groups, harm, notes)


def _split(plan: StagePlan, wanted: str | None) -> str:
    """The split to judge on."""
    if wanted is not None and wanted not in plan.splits:
        hint = did_you_mean(wanted, list(plan.splits)) or f" There is: {listed(plan.splits)}."
        raise DataError(f"There is no split '{wanted}'.{hint}")
    other = [name for name in plan.splits if name not in (plan.train_split, plan.valid_split) and plan.splits[name]]
    if wanted is not None or "test" in other:
        return wanted or "test"
    if len(other) > 1:
        raise DataError(f"Name the split to judge on, with --split. There is: {listed(other)}")
    if not other and not plan.valid:
        raise DataError(
            f"There is nothing to judge on beside '{plan.train_split}': hold rows out, such as data: "
            "{path: FILE, holdout: {valid: 0.1, test: 0.2}}"
        )
    return other[0] if other else plan.valid_split


def _cautions(config: PipelineConfig, plan: StagePlan, split: str) -> list[str]:
    if split == plan.train_split:
        return [f"'{split}' was trained on: these scores tell what was learned by heart."]
    if split == plan.valid_split and (config.training.keep == "best" or config.training.early_stopping is not None):
        return [f"'{split}' chose the epochs, too, so that scores are a little too good: better hold out a 'test'."]
    return []


def _damages(wanted: Sequence[str], modalities: Modalities) -> list[Damage]:
    """What STREAM/CORRUPTION/SEVERITY means, such as image/noise/0.3, once for each stream."""
    known = {port.name: port.modality.corruptions for port in modalities.stream_ports}
    found: dict[str, Damage] = {}
    ways = [f"{stream}/{name}" for stream, own in known.items() for name in own]
    for text in wanted:
        way, _, severity = text.rpartition("/")
        stream, _, name = way.partition("/")
        if way not in ways:
            raise ConfigError(
                f"There is no damage '{text}': write STREAM/CORRUPTION/SEVERITY, such as {(ways or ['image/noise'])[0]}"
                f"/0.5.{did_you_mean(way, ways)} There is: {listed(ways)}"
            )
        try:
            degree = float(severity)
        except ValueError:
            degree = math.nan
        if not math.isfinite(degree):
            raise ConfigError(f"Damage '{text}': the severity should be a number, found '{severity}'")
        found[stream] = Damage(stream, name, degree, known[stream][name].unit)
    if len(found) < len(wanted):
        raise ConfigError(f"Damages {listed(wanted)}: one for each stream")
    return list(found.values())


def _groups(rows: Sequence[Row], column: str | Sequence[str], split: str) -> list[Hashable]:
    """What each row has in a column: rows that share it say less than as many rows that do not."""
    values = [row.value(column) for row in rows]
    if all(value is None for value in values):
        known = list(dict.fromkeys(name for row in rows for name in row.values))
        hint = did_you_mean(str(column), known) or f" Columns: {listed(known)}."
        raise DataError(f"No row of split '{split}' has a value in column '{column}', to keep rows together by.{hint}")
    groups: list[Hashable] = [
        ("alone", place) if value is None else ("group", identity(value)) for place, value in enumerate(values)
    ]
    if len(set(groups)) < FEWEST:
        raise DataError(
            f"Split '{split}' has {len(set(groups))} different values of '{column}', by which rows are kept together: "
            f"at least {FEWEST} are needed to compare"
        )
    return groups
