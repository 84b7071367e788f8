"""mmsdk serve RUN..."""

from __future__ import annotations

import ipaddress
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmsdk import ConfigError
from mmsdk_serve.limits import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mmsdk import Pipeline
    from mmsdk_retrieval import Index


OWN = ("localhost", "127.0.0.1", "[::1]")
"""What this machine calls itself. Without a key no other name is answered."""


def command(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]RUN...",
            help="Runs, or saved pipelines; by default their folders' names.",
            show_default=False,
        ),
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="The address to listen at; others than this machine's own need a key.")] = (
        "127.0.0.1"
    ),
    index: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="An index that one of the runs made, to be searched; more than one, too."),
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file with the key that clients send as a bearer token.")
    ] = None,
    waiting: Annotated[int, typer.Option(min=1, help="Samples that may wait; more are answered with 429.")] = 64,
    batch: Annotated[int, typer.Option(min=1, help="Samples that are answered together.")] = 32,
    deadline: Annotated[float, typer.Option(min=0.1, help="Seconds until a request is given up.")] = 30.0,
    reading: Annotated[float, typer.Option(min=1, help="Seconds until a request has to be there.")] = 10.0,
    max_body: Annotated[int, typer.Option(min=1000, help="Bytes that a request may have.")] = 20_000_000,
    precision: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(help="bfloat16 where that is faster, and 1 % is close enough."),
    ] = "float32",
) -> None:
    """Answer requests over HTTP, with a page to try a pipeline at /."""
    key = _key(api_key_file)
    if key is None and not _own(host):
        raise ConfigError(
            f"--host {host}: others could reach it without a key: add --api-key-file FILE, or leave --host out"
        )
    folders = [_named(run) for run in runs]
    names = [name for name, _ in folders]
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise ConfigError(
            f"There are two pipelines '{twice[0]}': give one of them a name, as in other={folders[-1][1]}"
        )
    limits = Limits(waiting=waiting, batch=batch, deadline=deadline, body=max_body, reading=reading)
    with _socket(host, port) as listening:
        address = f"[{host}]" if ":" in host else host
        hosts = None if key is not None else [*OWN, address.lower()]
        app = _application(dict(folders), index or [], limits, key, hosts, precision)
        listening.listen(2048)  # from now on a client waits rather than being refused
        place = f"http://{address}:{listening.getsockname()[1]}"
        print(f"serving {', '.join(names)} at {place}", file=sys.stderr, flush=True)
        from mmsdk_serve.running import serve

        serve(app, listening, limits)


def _application(
    runs: Mapping[str, Path],
    indexes: Sequence[Path],
    limits: Limits,
    key: str | None,
    hosts: Sequence[str] | None,
    precision: Literal["float32", "bfloat16"],
) -> FastAPI:
    from mmsdk import Pipeline
    from mmsdk_serve.application import application

    pipelines = {name: Pipeline.load(run, precision=precision) for name, run in runs.items()}
    return application(pipelines, limits, key=key, hosts=hosts, indexes=_indexes(indexes, pipelines))


def _named(given: str) -> tuple[str, Path]:
    """The name of a pipeline, as it can stand in an address, and its folder: NAME=RUN, or RUN, whose name counts."""
    name, equals, run = given.partition("=")
    if not equals or Path(given).exists():
        name, run = Path(given).resolve().name, given
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip(".") or "pipeline", Path(run)


def _indexes(folders: Sequence[Path], pipelines: Mapping[str, Pipeline]) -> dict[str, Index]:
    """Each index by the name of the pipeline that made it."""
    if not folders:
        return {}
    try:
        from mmsdk_retrieval import Index
    except ModuleNotFoundError:
        raise ConfigError("--index needs mmsdk-retrieval: pip install 'mmsdk-serve[search]'") from None
    makers = {pipeline.fingerprint(): name for name, pipeline in pipelines.items()}
    found: dict[str, Index] = {}
    for folder in folders:
        index = Index.load(folder)
        name = makers.get(index.header.pipeline)
        if name is None:
            made = f" ({index.header.run})" if index.header.run else ""
            raise ConfigError(f"--index {folder}: none of these runs made it: add the one that did{made}")
        if name in found:
            raise ConfigError(f"--index {folder}: '{name}' has an index already: serve one of them")
        found[name] = index
    return found


def _key(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--api-key-file {file}: cannot be read: {error}") from None
    if len(key) < 16 or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"--api-key-file {file}: expected a key of 16 letters and digits or more; `openssl rand -hex 32` makes one"
        )
    return key


def _own(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _socket(host: str, port: int) -> socket.socket:
    """Bound before anything is loaded, so that a port in use is told at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Told that it is TCP, asyncio switches Nagle's algorithm off: an answer would wait 40 ms for an acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"{host}:{port} cannot be listened at: {reason}; choose another --port") from None
    return listening


app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
app.command()(command)
