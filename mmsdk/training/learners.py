"""Which decision rules have something to learn, and whether the data has what they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mmsdk.config.pipeline import PipelineConfig
from mmsdk.errors import DataError, listed
from mmsdk.pipeline.modalities import Modalities

if TYPE_CHECKING:
    from mmsdk.training.plan import StagePlan


def learners(config: PipelineConfig, heads: Iterable[str]) -> list[str]:
    """Those of the heads whose decision rule has something to learn."""
    rules = {name: config.heads[name].decision for name in heads}
    return [name for name, rule in rules.items() if rule is not None and rule.learns]


def require_held_out(config: PipelineConfig, stages: Sequence[StagePlan], modalities: Modalities) -> None:
    """Complain before the training of a rule that will have nothing to learn from.

    Raises:
        DataError: a stage trains such a head, and has no valid rows with its target.
    """
    for plan in stages:
        for name in learners(config, plan.weights):
            ports = [port for port in modalities.target_ports if port.name == name]
            if any(port.raw(row) is not None for row in plan.valid for port in ports):
                continue
            rule, split = config.heads[name].decision, plan.valid_split
            assert rule is not None
            found = "no row in it has this head's target" if plan.valid else f"there are {listed(plan.splits)}"
            where = f" of stage '{plan.config.name}'" if config.stages else ""
            raise DataError(
                f"Head '{name}': '{rule.type_name()}' learns from the split '{split}'{where}, which has nothing to "
                f"learn from ({found}). {advice(plan)}, or take a rule that learns nothing: "
                "decision: {type: decision_mean}"
            )


def advice(plan: StagePlan) -> str:
    """How to get a valid split."""
    data = plan.data
    if data is None:
        return "Give lists of rows for both, data={'train': [...], 'valid': [...]}"
    if data.files:
        return f"Add '{data.valid_split}: FILE' to `data:`"
    if data.split_column is not None:
        return f"Write '{data.valid_split}' into column '{data.split_column}' of some rows"
    return f"Add 'holdout: {{{data.valid_split}: 0.2}}' to `data:`"
