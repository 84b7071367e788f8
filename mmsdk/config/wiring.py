"""Does the pipeline fit together? Found out from declarations alone, before torch is imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmsdk.config.balance import GradientBlendConfig, complaint
from mmsdk.errors import did_you_mean, listed
from mmsdk.formats import Source
from mmsdk.plugins.registry import registry

if TYPE_CHECKING:
    from mmsdk.components import EncoderConfig, HeadConfig, ModalityConfig
    from mmsdk.config.pipeline import PipelineConfig
    from mmsdk.config.training import TrainingConfig

Where = tuple[str | int, ...]
Problem = tuple[Where, str]
FUSED = "fused"


def problems(config: PipelineConfig) -> list[Problem]:
    """Everything that does not fit, each with its place in the config."""
    sharing = list(_sharing(config))
    found = [*sharing, *_streams(config), *_heads(config), *_groups(config), *_training(config), *_streaming(config)]
    if sharing:
        return found  # the others ask for the owners of streams
    stages = list(_stages(config))
    return [*found, *_fusion(config), *stages, *(_balance(config) if not stages else ())]


def _sharing(config: PipelineConfig) -> Iterator[Problem]:
    for name, stream in config.streams.items():
        if stream.shared_with is None:
            continue
        where = ("streams", name, "shared_with")
        other = config.streams.get(stream.shared_with)
        if other is None:
            yield where, _no_stream(config, stream.shared_with)
        elif other.shared_with is not None:
            yield where, "Share with a stream that has a modality and an encoder of its own."


def _no_stream(config: PipelineConfig, name: str) -> str:
    hint = did_you_mean(name, list(config.streams)) or f" Streams: {listed(config.streams)}."
    return f"There is no stream '{name}'.{hint}"


def _streams(config: PipelineConfig) -> Iterator[Problem]:
    for name, stream in config.streams.items():
        if name == FUSED:
            yield ("streams", name), f"'{FUSED}' means the result of the fusion: choose another name for this stream."
        modality, encoder = stream.modality, stream.encoder
        where: Where = ("streams", name, "encoder")
        while modality is not None and encoder is not None and modality.gives in encoder.reads:  # `each` holds others
            modality, encoder, where = getattr(modality, "of", None), getattr(encoder, "of", None), (*where, "of")
        if modality is not None and encoder is not None:
            yield where, _mismatch(name, modality, encoder)


def _mismatch(stream: str, modality: ModalityConfig, encoder: EncoderConfig) -> str:
    fitting = [name for name, each in registry().loaded("encoder").items() if modality.gives in each.reads]
    return (
        f"Encoder '{encoder.type_name()}' reads {listed(encoder.reads)}, "
        f"but stream '{stream}' gives '{modality.gives}' ({modality.type_name()})."
        f" Encoders that read it: {listed(fitting, 'none that is loaded; see `mmsdk plugins`')}."
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
        if name in config.auxiliaries:
            continue  # what is wrong with one is wrong with the head that it helps
        where = ("heads", name)
        if name == FUSED:
            yield where, f"'{FUSED}' means the result of the fusion: choose another name for this head."
        given = "reads" in head.model_fields_set
        for place, read in enumerate(head.reads):
            complaint = _read(config, read)
            if complaint:
                yield (*where, "reads", place) if given else where, complaint
        if len(set(head.reads)) < len(head.reads):
            yield (*where, "reads"), "Each source can be read once."
        yield from _sources(where, head)
        yield from _auxiliary(config, where, head)
        yield from _target(where, head)


def _read(config: PipelineConfig, read: str) -> str | None:
    source, dot, stream = read.partition(".")
    if source != FUSED:
        return None if read in config.streams else _no_stream(config, read)
    if config.fusion is None:
        return "There is no `fusion:` to read from. Add one, or name streams in `reads`."
    if dot and stream not in config.streams:
        return _no_stream(config, stream)
    if dot and not config.fusion.contextual:
        return f"Fusion '{config.fusion.type_name()}' does not give '{read}': read '{stream}' or '{FUSED}' instead."
    return None


def _sources(where: tuple[str, ...], head: HeadConfig) -> Iterator[Problem]:
    if head.decision is not None and not head.scoring:
        yield (*where, "decision"), f"Head '{head.type_name()}' gives no scores that a decision rule could join."
    elif head.decision is not None and len(head.reads) < 2:
        yield (*where, "decision"), "A decision rule joins several sources: name at least two in `reads`."
    elif head.decision is None and head.sources == "one" and len(head.reads) > 1:
        how = ", or say how to join them: decision: {type: decision_mean}" if head.scoring else ""
        yield (*where, "reads"), f"Head '{head.type_name()}' reads one source. Read 'fused' (feature level){how}."
    elif head.decision is None and head.sources == "several" and len(head.reads) < 2:
        yield (*where, "reads"), f"Head '{head.type_name()}' reads at least two sources."


def _auxiliary(config: PipelineConfig, where: tuple[str, ...], head: HeadConfig) -> Iterator[Problem]:
    if head.auxiliary is None:
        return
    where = (*where, "auxiliary")
    if not head.scoring:
        able = "'classification', 'multilabel' and 'regression'"
        yield where, f"Head '{head.type_name()}' gives no scores of single streams; heads such as {able} do."
    elif head.reads != [FUSED]:
        yield where, f"Is for a head that reads '{FUSED}' alone, found {listed(head.reads)}: remove it."
    elif len(config.streams) == 1:
        yield where, "There is only one stream: remove it."


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


def _groups(config: PipelineConfig) -> Iterator[Problem]:
    """Where rows are grouped, values are lists."""
    for name, stream in config.streams.items() if config.group_by is not None else ():
        modality = stream.modality
        if modality is not None and not modality.reads_lists:
            own = modality.type_name()
            message = f"`group_by` makes lists, but modality '{own}' reads single values: {{type: each, of: {own}}}"
            yield ("streams", name, "modality"), f"{message}, with an encoder {{type: each, of: ...}}."
    for name, head in config.heads.items() if config.group_by is not None else ():
        target = head.target_config()
        if target is not None and not target.reads_lists:
            message = f"`group_by` makes lists, but target '{target.type_name()}' is a single value"
            yield ("heads", name, "target"), f"{message}: use head 'token_classification' for a label per row."


def _streaming(config: PipelineConfig) -> Iterator[Problem]:
    """What has to look all rows up, and rows that come one after the other."""
    sources = {"data": config.data, **{f"stages.{number}.data": each.data for number, each in enumerate(config.stages)}}
    streamed = next((name for name, data in sources.items() if data is not None and data.streaming is not None), None)
    if streamed is None:
        return
    training = config.training
    looking: dict[Where, object] = {
        ("group_by",): config.group_by,
        ("training", "group"): training.group,
        ("training", "batch_tokens"): training.batch_tokens,
        ("training", "balance"): training.balance if isinstance(training.balance, GradientBlendConfig) else None,
    }
    for where, value in looking.items():
        if value is not None:
            yield where, f"Looks all training rows up, but '{streamed}.streaming' streams them: remove one of the two."


def _stages(config: PipelineConfig) -> Iterator[Problem]:
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
        for index, part in enumerate(stage.freeze):
            yield from _part(config, (*where, "freeze", index), part)
        for part in stage.learning_rates:
            yield from _part(config, (*where, "learning_rates", part), part)
        for stream in stage.layer_decay:
            yield from _own_encoder(config, (*where, "layer_decay", stream), stream)


def _batch_tokens(training: TrainingConfig) -> Iterator[Problem]:
    if training.batch_tokens is None:
        return
    size = type(training).model_fields["batch_size"].default
    beside = {"group": training.group is not None, "batch_size": training.batch_size != size}
    for name in (name for name, given in beside.items() if given):
        yield ("training", "batch_tokens"), f"'batch_tokens' beside '{name}': give one of them"


def _training(config: PipelineConfig) -> Iterator[Problem]:
    group, stopping = config.training.group, config.training.early_stopping
    if group is not None and group not in config.streams:
        yield ("training", "group"), _no_stream(config, group)
    yield from _batch_tokens(config.training)
    yield from _divided(config.training)
    for place, stream in enumerate(config.training.activation_checkpointing):
        yield from _own_encoder(config, ("training", "activation_checkpointing", place), stream)
    for stream in config.training.modality_dropout:
        if stream not in config.streams:
            yield ("training", "modality_dropout", stream), _no_stream(config, stream)
    chosen: list[tuple[Where, str | None]] = [(("training", "select_by"), config.training.select_by)]
    chosen += [(("training", "early_stopping", "metric"), stopping.metric)] if stopping is not None else []
    for where, metric in chosen:
        if metric is not None and metric.partition("/")[0] not in config.heads:
            yield where, f"Metrics are called head/metric, but '{metric}' begins with none of {listed(config.heads)}."


def _divided(training: TrainingConfig) -> Iterator[Problem]:
    if training.sharding == "off":
        return
    if training.micro_batch is not None:
        why = "'micro_batch' lets each process call its layers as often as it needs, which divided layers do not allow"
        yield ("training", "micro_batch"), f"{why}: use 'activation_checkpointing' instead, or 'sharding: off'."
    if training.balance is not None:
        yield ("training", "balance"), "'balance' looks at whole gradients: leave it out, or write 'sharding: off'."
    if training.precision == "float16":
        yield ("training", "precision"), "'sharding: full' does not scale losses: write bfloat16 or float32."


def _balance(config: PipelineConfig) -> Iterator[Problem]:
    message = complaint(config)
    if message is not None:
        yield ("training", "balance"), message


def _own_encoder(config: PipelineConfig, where: Where, stream: str) -> Iterator[Problem]:
    if stream not in config.streams:
        yield where, _no_stream(config, stream)
    elif config.owner_of(stream) != stream:
        yield where, f"Stream '{stream}' shares its encoder: name '{config.owner_of(stream)}'."


def _part(config: PipelineConfig, where: Where, part: str) -> Iterator[Problem]:
    """Parts are `streams`, `streams.<stream>.encoder`, `fusion`, `heads`, `heads.<head>`, and what is inside them."""
    root, _, inside = part.partition(".")
    name = inside.partition(".")[0]
    known = [f"streams.{stream}.encoder" for stream in config.streams if config.owner_of(stream) == stream]
    known += ["fusion"] * (config.fusion is not None) + [f"heads.{head}" for head in config.heads]
    if any(f"{one}.".startswith(f"{part}.") or f"{part}.".startswith(f"{one}.") for one in known):
        return
    if root == "streams" and name in config.streams and config.owner_of(name) != name:
        yield where, f"Stream '{name}' shares its encoder: name 'streams.{config.owner_of(name)}.encoder'."
    else:
        yield where, f"There is no part '{part}'.{did_you_mean(part, known)} Parts: {listed(known)}."
