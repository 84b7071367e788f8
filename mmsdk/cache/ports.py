"""Where a pipeline reads its samples once there are caches: ports that know encodings, or decoded files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from safetensors import SafetensorError

from mmsdk.cache.decoded import Decoded
from mmsdk.cache.encoded import Encoded
from mmsdk.cache.features import FeatureCache
from mmsdk.components import ModalityConfig
from mmsdk.data.samples import Row
from mmsdk.pipeline.modalities import Port
from mmsdk.pipeline.pipeline import Pipeline


class Share(NamedTuple):
    """Which part of the values a process makes, and with how many workers it decodes."""

    rank: int = 0
    processes: int = 1
    workers: int = 0


Say = Callable[[str], None]
Rows = Callable[[], Iterable[Row]]
"""Gives them again each time: they may lie on a disk."""


def silent(line: str) -> None:
    """Says nothing."""


def encoded_ports(
    pipeline: Pipeline,
    wanted: Mapping[str, str | None],
    rows: Rows,
    precision: str,
    share: Share,
    say: Say,
) -> dict[str, Port]:
    """The ports of streams whose encodings are known, once those that are not are made.

    wanted: by stream, why it is not to be cached, or None.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    found: dict[str, Port] = {}
    cache = FeatureCache(precision)
    for stream, reason in wanted.items():
        if reason is None:
            try:
                port = cache.port(pipeline, stream)
                known, made, _ = cache.fill(pipeline, port, rows(), share.rank, share.processes)
                found[stream], outcome = port, f"{known} values from {cache.root}, {made} encoded once"
            except TypeError as error:
                outcome = f"not cached: {error}"
        else:
            outcome = f"not cached: {reason}"
        say(f"stream '{stream}' is frozen, {outcome}")
    return found


def decoded_ports(pipeline: Pipeline, ports: Sequence[Port], rows: Rows, share: Share, say: Say) -> dict[str, Port]:
    """The ports of streams whose decoded files are known, once those that are not are decoded."""
    config = pipeline.config
    configs = {port.name: config.streams[config.owner_of(port.name)].modality for port in ports}
    return {port.name: _decoded(configs[port.name], port, rows, share, say) for port in ports}


def decoded_targets(pipeline: Pipeline, heads: Collection[str], rows: Rows, share: Share, say: Say) -> dict[str, Port]:
    """The same for the targets of heads, such as pictures."""
    ports = [port for port in pipeline.modalities.target_ports if port.name in heads]
    configs = {port.name: pipeline.config.heads[port.name].target_config() for port in ports}
    return {port.name: _decoded(configs[port.name], port, rows, share, say) for port in ports}


def _decoded(config: ModalityConfig | None, port: Port, rows: Rows, share: Share, say: Say) -> Port:
    """Whatever finds no room, or cannot be written, is decoded each time, as if there were no cache."""
    if config is None or not (port.modality.packs and port.modality.reads_files):
        return port
    try:
        decoded = Decoded(config, port.modality)
        known, made, whole = decoded.fill(port, rows(), share.rank, share.processes, share.workers)
    except (TypeError, OSError, SafetensorError) as error:
        say(f"the files of '{port.name}' are decoded each time: {error}")
        return port
    if known or made:
        rest = "" if whole else ", the others each time: the cache is full, see MMSDK_CACHE_GB"
        say(f"{known} files of '{port.name}' from {decoded.root}, {made} decoded once{rest}")
    return port._replace(decoded=decoded)


def look_again(ports: Sequence[Port]) -> None:
    """See what other processes have made in the meantime."""
    for port in ports:
        if isinstance(port.modality, Encoded):
            port.modality.store.look()
        if isinstance(port.decoded, Decoded):
            port.decoded.store.look()
