"""The configs of contestants, as trees: one head, all streams joined by a strategy, or one stream alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmsdk.components import FusionConfig
from mmsdk.config.pipeline import PipelineConfig
from mmsdk.config.wiring import FUSED
from mmsdk.errors import ConfigError, listed

Settings = Mapping[str, Any]
Tree = dict[str, Any]


def base_of(config: PipelineConfig, head: str) -> Tree:
    """The config with one head, and without what speaks of the others."""
    tree = config.model_dump()
    tree["heads"] = {head: tree["heads"][head]}
    for stage in tree["stages"]:
        if head not in (stage["heads"] or config.heads):
            raise ConfigError(
                f"Stage '{stage['name']}' trains {listed(stage['heads'])}, not '{head}': train it once by itself, and "
                "let each contestant begin with what it learned: init_from: {run: FOLDER}; or compare without stages: "
                "--set stages=[]"
            )
        stage["heads"] = {head: (stage["heads"] or {}).get(head, 1.0)}
    training = tree["training"]
    if (training["select_by"] or "").partition("/")[0] != head:
        training["select_by"] = None
    stopping = training["early_stopping"]
    if stopping is not None and (stopping["metric"] or "").partition("/")[0] != head:
        stopping["metric"] = None
    if tree["init_from"] is not None:  # what another fusion or head has learned would be a head start for one of them
        streams = [part for part in tree["init_from"]["parts"] if part.partition(".")[0] == "streams"]
        tree["init_from"] = {**tree["init_from"], "parts": streams} if streams else None
    return tree


def fused(base: Tree, head: str, strategy: type[FusionConfig], settings: Settings) -> Tree:
    """All streams, joined by a strategy of either level."""
    own = dict(base["heads"][head])
    if strategy.level == "decision":
        own |= {"reads": list(base["streams"]), "decision": dict(settings), "auxiliary": None}
        return _pruned({**base, "fusion": None, "heads": {head: own}})
    reads = own["reads"] if any(read.partition(".")[0] == FUSED for read in own["reads"]) else [FUSED]
    own |= {"reads": reads, "decision": None}
    return _pruned({**base, "fusion": dict(settings), "heads": {head: own}})


def alone(config: PipelineConfig, base: Tree, head: str, stream: str) -> Tree:
    """One stream, and nothing else in the config that speaks of any other."""
    own = {**base["streams"][config.owner_of(stream)], "column": config.column_of(stream)}
    judge = {**base["heads"][head], "reads": [stream], "decision": None, "auxiliary": None}
    return _pruned({**base, "streams": {stream: own}, "fusion": None, "heads": {head: judge}})


def _pruned(tree: Tree) -> Tree:
    """Without settings for parts that are not there."""

    def there(part: str) -> bool:
        root, _, inside = part.partition(".")
        name = inside.partition(".")[0]
        return (root == "fusion" and tree["fusion"] is not None) or (
            root in ("streams", "heads") and (not name or name in tree[root])
        )

    def stage(own: Tree) -> Tree:
        return own | {
            "freeze": [part for part in own["freeze"] if there(part)],
            "learning_rates": {part: rate for part, rate in own["learning_rates"].items() if there(part)},
            "layer_decay": {name: decay for name, decay in own["layer_decay"].items() if name in tree["streams"]},
        }

    training = dict(tree["training"])
    training["group"] = training["group"] if training["group"] in tree["streams"] else None
    if tree["fusion"] is None:  # one stream has no other to be in balance with, and a rule's sources are trained alone
        training["balance"] = None
    dropout = training["modality_dropout"]
    training["modality_dropout"] = {name: share for name, share in dropout.items() if name in tree["streams"]}
    again = training["activation_checkpointing"]
    training["activation_checkpointing"] = [name for name in again if name in tree["streams"]]
    begun = tree["init_from"]
    if begun is not None:
        parts = [part for part in begun["parts"] if there(part)]
        begun = {**begun, "parts": parts} if parts else None
    return {**tree, "stages": [stage(own) for own in tree["stages"]], "training": training, "init_from": begun}
