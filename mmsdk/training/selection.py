"""Which epoch of a stage is the best, and when to stop."""

from __future__ import annotations

from collections.abc import Mapping

from mmsdk.config.training import TrainingConfig
from mmsdk.errors import ConfigError, listed
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.training.checkpoint import Position
from mmsdk.training.plan import StagePlan


class Selection:
    """Follows one metric of the valid split. Without such a split, or without metrics, the last epoch is the best."""

    def __init__(self, pipeline: Pipeline, plan: StagePlan, training: TrainingConfig) -> None:
        self.patience = training.early_stopping.patience if training.early_stopping is not None else None
        self.keep_best = training.keep == "best"
        self.metric, self.sign = None, 1.0
        known = {
            f"{head}/{name}": metric for head in plan.weights for name, metric in pipeline.heads[head].metrics().items()
        }
        helping = pipeline.config.auxiliaries  # stable: the first among equals
        by_weight = sorted(plan.weights, key=lambda head: (head in helping, -plan.weights[head]))
        main = [f"{head}/{name}" for head in by_weight for name in list(pipeline.heads[head].metrics())[:1]]
        stopping = training.early_stopping.metric if training.early_stopping is not None else None
        wanted = training.select_by or stopping
        if wanted is not None and wanted.partition("/")[0] in plan.weights and wanted not in known:
            raise ConfigError(f"There is no metric '{wanted}'. There is: {listed(known)}.")
        chosen = wanted if wanted in known else next(iter(main), None)
        self._before: tuple[float | None, int | None] = None, None
        if chosen is not None and plan.valid:
            self.metric = chosen
            self.sign = 1.0 if known[chosen].larger_is_better else -1.0

    def take(self, figures: Mapping[str, float], position: Position) -> bool:
        """Note an epoch's figures (`head/metric` -> value) in the position; True where it is time to stop."""
        if self.metric is None:
            return False
        self._before = position.best, position.best_total
        value = figures.get(self.metric)
        better = value is not None and (position.best is None or self.sign * value > self.sign * position.best)
        if better or (value is not None and value == position.best):  # of equals the newest: it learned for longer
            position.best, position.best_total = value, position.total
        position.waited = 0 if better else position.waited + 1
        return self.patience is not None and position.waited >= self.patience

    def forget(self, position: Position) -> None:
        """What `take` noted last, where its checkpoint could not be saved: there would be nothing to go back to."""
        if position.best_total == position.total:
            position.best, position.best_total = self._before

    def verdict(self, position: Position, plan: StagePlan, steps: int) -> str:
        """What a stage ends with, in words."""
        last = position.step // plan.steps_per_epoch
        early = f"stopped early, {self.metric} has not improved for {position.waited} epochs; " * (
            position.step < steps
        )
        best = self.wants(position)
        if best is None:
            return f"{early}ends with the weights of epoch {last}"
        epoch = last - (position.total - best) // plan.steps_per_epoch
        return f"{early}goes back to the weights of epoch {epoch}, {self.metric} {position.best:.4f}"

    def wants(self, position: Position) -> int | None:
        """The `total` of the checkpoint whose weights the stage should end with; None for those that are there."""
        best = position.best_total
        return best if self.keep_best and best not in (None, position.total) else None
