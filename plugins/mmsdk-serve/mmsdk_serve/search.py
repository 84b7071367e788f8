"""The routes of a gallery: a search, and the small pictures of what it found."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from mmsdk_serve.bodies import body_of, body_schema
from mmsdk_serve.failures import RESPONSES
from mmsdk_serve.gallery import MOST, Gallery, Query
from mmsdk_serve.guard import failure
from mmsdk_serve.inputs import InputError, read_query, sample_schema

HIT = {
    "type": "object",
    "properties": {
        "rank": {"type": "integer", "minimum": 1},
        "id": {"type": "string"},
        "score": {"type": "number"},
        "values": {"type": "object", "description": "Texts and numbers of the row."},
        "pictures": {"type": "array", "items": {"type": "integer"}, "description": "Numbers for the route `pictures`."},
    },
    "required": ["rank", "id", "score", "values", "pictures"],
}


def add_search(app: FastAPI, gallery: Gallery) -> None:
    """The routes. A query is a sample: several columns are joined by the ranks that each gives."""
    name, streams = gallery.served.name, gallery.index.header.streams
    found = {
        "type": "object",
        "properties": {"in": {"type": "string", "enum": streams}, "results": {"type": "array", "items": HIT}},
        "required": ["in", "results"],
    }
    options = [
        {
            "name": "in",
            "in": "query",
            "schema": {"type": "string", "enum": streams},
            "description": "What is searched.",
        },
        {
            "name": "k",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": 10},
            "description": "So many results, or fewer where there are not so many rows.",
        },
    ]

    body = body_schema(sample_schema(gallery.columns), gallery.columns)

    async def search(request: Request) -> JSONResponse:
        """The rows of the index that are nearest to a query, the nearest first."""
        within, most = _options(request, streams)
        values = read_query(await body_of(request), gallery.columns)
        return JSONResponse(await gallery.search(Query(values, within, most)))

    async def picture(number: int) -> Response:
        """A picture that a search has told of, at most 256 pixels wide and high."""
        drawn = await gallery.small(number)
        if drawn is None:
            return failure(404, f"there is no picture {number}")
        return Response(drawn, media_type="image/jpeg", headers={"X-Content-Type-Options": "nosniff"})

    app.add_api_route(
        f"/pipelines/{name}/search",
        search,
        methods=["POST"],
        responses={**RESPONSES, 200: {"content": {"application/json": {"schema": found}}}},
        operation_id=f"search_{name}",
        openapi_extra={"requestBody": body, "parameters": options},
    )
    missing = {**RESPONSES[422], "description": "There is no such picture, or it cannot be read any longer."}
    app.add_api_route(
        f"/pipelines/{name}/pictures/{{number}}",
        picture,
        response_class=Response,
        responses={
            200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
            404: missing,
            **{status: RESPONSES[status] for status in (401, 422, 429, 503, 504)},
        },
        operation_id=f"picture_{name}",
    )


def _options(request: Request, streams: list[str]) -> tuple[str | None, int]:
    """in and k of the address.

    Raises:
        InputError: another stream, or no such number.
    """
    within, count = request.query_params.get("in"), request.query_params.get("k", "10")
    if within is not None and within not in streams:
        raise InputError(f"in: expected {' or '.join(map(repr, streams))}, found {within[:80]!r}")
    if not (count.isascii() and count.isdigit() and 1 <= int(count[:9]) <= MOST):
        raise InputError(f"k: expected a number from 1 to {MOST}, found {count[:20]!r}")
    return within, int(count)
