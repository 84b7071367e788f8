"""Does the pipeline fit together? Found out from declarations alone, before torch is imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmsdk.errors import did_you_mean, listed
from mmsdk.formats import Source

if TYPE_CHECKING:
    from mmsdk.config import EncoderConfig, HeadConfig, ModalityConfig, PipelineConfig

Problem = tuple[tuple[str | int, ...], str]
FUSED = "fused"


def problems(config: PipelineConfig) -> list[Problem]:
    """Everything that does not fit, each with its place in the config."""
    streams = list(_streams(config))
    return streams or [*_fusion(config), *_heads(config), *_stages(config)]


def _streams(config: PipelineConfig) -> Iterator[Problem]:
    names = list(config.streams)
    for name, stream in config.streams.items():
        where = ("streams", name)
        if name == FUSED:
            yield where, f"'{FUSED}' means the result of the fusion: choose another name for this stream"
        if stream.shared_with is not None:
            other = config.streams.get(stream.shared_with)
            if other is None:
                yield (
                    (*where, "shared_with"),
                    f"There is no stream '{stream.shared_with}'. Streams: {listed(names)}.",
                )
            elif other.shared_with is not None or stream.shared_with == name:
                yield (
                    (*where, "shared_with"),
                    "Share with a stream that has a modality and an encoder of its own.",
                )
            continue
        modality, encoder = stream.modality, stream.encoder
        assert modality is not None and encoder is not None  # StreamConfig saw to it
        if modality.gives not in encoder.reads:
            yield (*where, "encoder"), _mismatch(name, modality, encoder)


def _mismatch(stream: str, modality: ModalityConfig, encoder: EncoderConfig) -> str:
    return (
        f"Encoder '{encoder.type_name()}' reads {listed(encoder.reads)}, "
        f"but stream '{stream}' gives '{modality.gives}' ({modality.type_name()})."
    )


def _fusion(config: PipelineConfig) -> Iterator[Problem]:
    if config.fusion is None:
        return
    complaint = config.fusion.check(list(config.streams))
    if complaint:
        yield ("fusion",), complaint
        return
    sources = {}
    for name in config.streams:
        encoder = config.streams[config.owner_of(name)].encoder
        widths = encoder.widths() if encoder is not None else None
        if widths is None:
            return
        sources[name] = Source(*widths)
    count = config.fusion.parameters(sources)
    if count is not None and count > config.max_fusion_parameters:
        yield ("fusion",), over_limit(config, count)


def over_limit(config: PipelineConfig, count: int) -> str:
    """What to say about a fusion that needs more parameters than the config allows."""
    assert config.fusion is not None
    return (
        f"Fusion '{config.fusion.type_name()}' would need {count:,} parameters for {len(config.streams)} streams, "
        f"the limit is {config.max_fusion_parameters:,}: make the encoders narrower, choose another fusion, "
        "or raise 'max_fusion_parameters'."
    )


def _heads(config: PipelineConfig) -> Iterator[Problem]:
    for name, head in config.heads.items():
        where = ("heads", name)
        if name == FUSED:
            yield where, f"'{FUSED}' means the result of the fusion: choose another name for this head"
        for place, read in enumerate(head.reads):
            complaint = _read(config, read)
            if complaint:
                yield (*where, "reads", place), complaint
        if len(set(head.reads)) < len(head.reads):
            yield (*where, "reads"), "Each source can be read once."
        yield from _sources(where, head)
        yield from _target(where, head)


def _read(config: PipelineConfig, read: str) -> str | None:
    source, dot, stream = read.partition(".")
    names = list(config.streams)
    if source == FUSED:
        if config.fusion is None:
            return "There is no `fusion:` to read from. Add one, or name streams in `reads`."
        if dot and stream not in config.streams:
            return f"There is no stream '{stream}' in '{read}'. Streams: {listed(names)}."
        if dot and not config.fusion.contextual:
            return f"Fusion '{config.fusion.type_name()}' does not give '{read}': read '{stream}' or '{FUSED}' instead."
        return None
    if read in config.streams:
        return None
    return f"There is no stream '{read}'.{did_you_mean(read, names) or f' Streams: {listed(names)}.'}"


def _sources(where: tuple[str, ...], head: HeadConfig) -> Iterator[Problem]:
    if head.decision is not None:
        if not head.scoring:
            yield (
                (*where, "decision"),
                f"Head '{head.type_name()}' gives no scores that a decision rule could join.",
            )
        elif len(head.reads) < 2:
            yield (*where, "decision"), "A decision rule joins several sources: name at least two in `reads`."
    elif head.sources == "one" and len(head.reads) > 1:
        yield (
            (*where, "reads"),
            (
                f"Head '{head.type_name()}' reads one source. Read 'fused' (feature level), "
                "or say how to join them: decision: {type: decision_mean}."
            ),
        )
    elif head.sources == "several" and len(head.reads) < 2:
        yield (*where, "reads"), f"Head '{head.type_name()}' reads at least two sources."


def _target(where: tuple[str, ...], head: HeadConfig) -> Iterator[Problem]:
    if head.target is None:
        if head.target_modality is not None and head.needs_target:
            yield where, f"Head '{head.type_name()}' needs 'target: <column>'."
        return
    if head.target_modality is None:
        yield (*where, "target"), f"Head '{head.type_name()}' takes no target."
        return
    modality = head.target_config()
    if modality is not None and not modality.targets:
        yield (*where, "target"), f"Modality '{modality.type_name()}' cannot be a target."


def _stages(config: PipelineConfig) -> Iterator[Problem]:
    roots = [f"streams.{name}" for name in config.streams if config.owner_of(name) == name]
    roots += ["fusion"] * (config.fusion is not None) + [f"heads.{name}" for name in config.heads]
    seen: set[str] = set()
    for place, stage in enumerate(config.stages):
        where = ("stages", place)
        if stage.name in seen:
            yield (*where, "name"), f"There are two stages '{stage.name}'."
        seen.add(stage.name)
        for head in stage.heads or {}:
            if head not in config.heads:
                hint = did_you_mean(head, list(config.heads)) or f" Heads: {listed(config.heads)}."
                yield (*where, "heads", head), f"There is no head '{head}'.{hint}"
        for key in ("freeze", "learning_rates"):
            for part in getattr(stage, key):
                if not any(part == root or part.startswith(root + ".") for root in [*roots, "streams", "heads"]):
                    yield (*where, key), f"There is no part '{part}'. Parts: {listed(roots)}."
    if config.training.group is not None and config.training.group not in config.streams:
        yield (
            ("training", "group"),
            f"There is no stream '{config.training.group}'. Streams: {listed(config.streams)}.",
        )
