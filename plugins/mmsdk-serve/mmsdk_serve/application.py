"""The application: pipelines by name, health, metrics, the page, and the routes of the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from starlette.responses import HTMLResponse, Response

from mmsdk import ConfigError, Pipeline
from mmsdk_serve.batching import Batcher
from mmsdk_serve.failures import RESPONSES, handle_failures
from mmsdk_serve.gallery import Gallery
from mmsdk_serve.guard import Door, Guard
from mmsdk_serve.limits import Limits
from mmsdk_serve.page import page
from mmsdk_serve.prediction import add_prediction
from mmsdk_serve.protocol import add_protocol
from mmsdk_serve.search import add_search
from mmsdk_serve.served import Served

if TYPE_CHECKING:
    from mmsdk_retrieval import Index


def application(
    pipelines: Mapping[str, Pipeline],
    limits: Limits | None = None,
    *,
    key: str | None = None,
    hosts: Collection[str] | None = None,
    indexes: Mapping[str, Index] | None = None,
) -> FastAPI:
    """The ASGI application that serves pipelines by name.

    key: what clients have to send as a bearer token. hosts: the names, such as "localhost", that requests may be
    addressed to; None: any. indexes: of mmsdk-retrieval, by the name of the pipeline that made them; those pipelines
    are searched, too.

    Raises:
        ConfigError: a pipeline that cannot be served: it has neither a head that predicts nor an index, or it reads
            whole groups of rows; or an index of a pipeline that is not there.
        CheckpointError: an index was made with another pipeline.
    """
    limits, indexes = limits or Limits(), indexes or {}
    if unknown := indexes.keys() - pipelines.keys():
        raise ConfigError(f"An index of '{min(unknown)}', which is not served; served are {', '.join(pipelines)}")
    served = {
        name: Served(name, _servable(name, pipeline, name in indexes), limits) for name, pipeline in pipelines.items()
    }
    galleries = {name: Gallery(served[name], index) for name, index in indexes.items()}
    batchers: list[Batcher[Any, Any]] = [each.batcher for each in served.values()]
    batchers += [batcher for each in galleries.values() for batcher in (each.searching, each.drawing)]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for batcher in batchers:
            batcher.close(limits.deadline)

    app = FastAPI(title="mmsdk", lifespan=lifespan, docs_url=None, redoc_url=None)
    registry = CollectorRegistry()
    sizes = Histogram(
        "mmsdk_batch_size", "Samples answered together.", ["pipeline"], registry=registry, buckets=[1, 2, 4, 8, 16, 32]
    )
    waiting = Gauge("mmsdk_waiting", "Samples that wait.", ["pipeline"], registry=registry)
    for name, each in served.items():
        each.batcher.seen = sizes.labels(name).observe
        waiting.labels(name).set_function(partial(len, each.batcher))
        if each.heads:
            add_prediction(app, each)
        if name in galleries:
            add_search(app, galleries[name])
    add_protocol(app, [each for each in served.values() if each.heads])

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the server is there."""
        return {"status": "ok"}

    @app.get("/metrics", responses={401: RESPONSES[401]}, response_class=Response)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")

    @app.get("/pipelines", responses={401: RESPONSES[401]})
    async def names() -> list[dict[str, Any]]:
        """The pipelines with their columns, heads, and what can be searched."""
        searched = {name: each.about() for name, each in galleries.items()}
        return [{**each.about(), "search": searched.get(name)} for name, each in served.items()]

    @app.get("/", include_in_schema=False)
    async def start() -> HTMLResponse:
        return page()

    handle_failures(app, limits, pipelines)
    queues = {f"/pipelines/{name}/predict": each.batcher for name, each in served.items()}
    queues |= {f"/v2/models/{name}/infer": each.batcher for name, each in served.items()}
    app.state.door = door = Door(key, queues, registry)
    Gauge("mmsdk_inside", "Requests under way.", registry=registry).set_function(lambda: door.inside)
    app.add_middleware(Guard, hosts=hosts, limits=limits, door=door, registry=registry)
    return app


def _servable(name: str, pipeline: Pipeline, searched: bool) -> Pipeline:
    if pipeline.config.group_by is not None:
        raise ConfigError(f"'{name}' reads groups of rows (group_by): it cannot be served; use `mmsdk predict`")
    if not searched and not any(head.predicts for head in pipeline.config.heads.values()):
        raise ConfigError(f"'{name}' has no head that makes predictions: add --index FOLDER, or use `mmsdk search`")
    return pipeline
