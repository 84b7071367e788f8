"""Pictures of how far heads have come, one a file: `sketches/<head>/<stage>-0004.png` in the run's folder."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from mmsdk.errors import UnwritableError
from mmsdk.folders import writing
from mmsdk.interfaces import Prediction
from mmsdk.pipeline.prediction import predict
from mmsdk.training.job import Job
from mmsdk.training.plan import StagePlan


def write_sketches(job: Job, plan: StagePlan, epoch: int) -> None:
    """Those of the stage's heads that draw any after this epoch; of training samples where none are held out."""
    for name in plan.weights:
        sketch = job.pipeline.heads[name].sketch(epoch, partial(_predictions, job, plan, name))
        if sketch is not None and job.rank == 0:
            path = job.run.folder / "sketches" / name / f"{plan.config.name}-{epoch:04d}.png"
            with suppress(UnwritableError), writing(path):  # no picture is worth a run
                path.parent.mkdir(parents=True, exist_ok=True)
                sketch.save(path)


def _predictions(job: Job, plan: StagePlan, head: str, count: int) -> list[Prediction]:
    results = predict(job.pipeline, (plan.valid or plan.train)[:count], heads=[head])
    return [result[head] for result in results if result.error is None]
