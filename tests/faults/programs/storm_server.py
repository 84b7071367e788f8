"""A server whose speed is known: python storm_server.py PORT.

A batch of eight takes a tenth of a second of waiting, so that 80 samples a second are answered however busy the machine
is. The answer to a sample is its own title, so that whoever gets another's is found out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import uvicorn

import mmsdk
from mmsdk_serve import Limits, application
from tests.export import pipelines

BATCH, SECONDS = 8, 0.1


def echo(self: mmsdk.Pipeline, samples: Sequence[Any], **options: Any) -> list[mmsdk.Result]:
    time.sleep(SECONDS)
    return [mmsdk.Result(str(place), error=f"echo {sample['words']}") for place, sample in enumerate(samples)]


if __name__ == "__main__":
    own = pipelines.pipeline(pipelines.config(streams={"words": pipelines.TEXT}))
    mmsdk.Pipeline.predict = echo  # type: ignore[assignment, method-assign]
    app = application({"shop": own}, Limits(waiting=64, batch=BATCH, deadline=10))
    uvicorn.run(app, port=int(sys.argv[1]), log_level="critical", timeout_keep_alive=10)
