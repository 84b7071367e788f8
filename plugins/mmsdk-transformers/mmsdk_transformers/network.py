"""A network of transformers from a scrubbed config: the whole of it, or one tower of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from mmsdk import ConfigError
from mmsdk_transformers.native import explained, of_library, quiet
from mmsdk_transformers.scrubbing import scrubbed
from mmsdk_transformers.source import ModelSource, opened

Side = Literal["text", "image", "audio", "video"]
WORDS = {"text": ["text"], "image": ["vision", "visual", "image"], "audio": ["audio"], "video": ["video"]}
"""What the parts of each side are called in networks of several."""
STEADY = {"layerdrop": 0.0, "apply_spec_augment": False, "use_cache": False}
"""Random skipping of whole layers would leave parameters without a gradient; SpecAugment draws unseeded numbers."""


DEEPEST = 10_000
"""Layers: more than any network has. A config can say a billion, and would be built for hours."""


class Outputs(NamedTuple):
    """tokens [n, length, width]; pooled [n, pooled_width], the network's own, where it has one."""

    tokens: Tensor
    pooled: Tensor | None


def configuration(architecture: Mapping[str, Any]) -> Any:
    """The config object of transformers; None of its settings can lead to code or to another model.

    Raises:
        ConfigError: there is no such `model_type`, or its settings do not fit.
    """
    settings = scrubbed(dict(architecture))
    kind = settings.pop("model_type", None)
    known = of_library("CONFIG_MAPPING")
    if kind not in known:
        raise ConfigError(
            f"architecture: the installed transformers knows no model_type '{kind}': pip install -U transformers, or "
            "choose another model. Code from a model's own repository is never run."
        )
    with explained(f"the config of '{kind}'"):
        maker = known[kind]
    for name, count in _depths(settings):
        if count > DEEPEST:
            raise ConfigError(f"architecture: '{name}: {count}', and no network has more than {DEEPEST:,} of them")
    try:
        with quiet():
            config = maker(**settings)
    except Exception as error:  # whatever the library finds wrong with them
        raise ConfigError(f"architecture: these are no settings of '{kind}': {error}") from error
    for name, value in STEADY.items():
        if hasattr(config, name):
            setattr(config, name, value)
    return config


def _depths(settings: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """What says how many layers there are, at any depth."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _depths(value)
        elif any(word in name for word in ("layers", "depth", "blocks", "stages")):
            yield from ((name, each) for each in (value if isinstance(value, list) else [value]) if type(each) is int)


def build(architecture: Mapping[str, Any], side: Side) -> nn.Module:
    """The network, or the tower of it that encodes this side, with random weights.

    Raises:
        ConfigError: there is no such network, or it has no such side.
    """
    config = configuration(architecture)
    return made(_class(config, side), config)


def made(kind: Any, config: Any) -> nn.Module:
    """A network of this class, with random weights.

    Raises:
        ConfigError: its settings contradict one another.
    """
    try:
        with quiet():
            network: nn.Module = kind(config)
    except Exception as error:
        raise ConfigError(f"architecture: '{config.model_type}' cannot be built: {error}") from error
    return network


def fill(network: nn.Module, source: ModelSource, spare: Sequence[str] = ()) -> None:
    """Give a network, with or without adapters, its pre-trained weights; the arguments and errors of `load`."""
    loaded = load(network, source, spare)
    names = dict(network.named_parameters()) | dict(network.named_buffers())
    with torch.no_grad():
        for name, part in names.items():
            original = name.replace(".base_layer.", ".")  # where adapters stand around a layer
            if original in loaded:
                part.copy_(loaded[original])


def load(network: Any, source: ModelSource, spare: Sequence[str]) -> dict[str, Tensor]:
    """The pre-trained weights of `network`, by name; only those that it has are read.

    spare: the beginnings of names that may be missing, since nothing depends on them.

    Raises:
        ConfigError: there are none, a file is damaged, or weights are missing or of other shapes.
    """
    state: dict[str, Tensor] = {}
    dropped = getattr(network, "dropped", ())
    for path in source.weights():
        with opened(path) as file:
            names = [name for name in file.keys() if name.partition(".")[0] not in dropped]  # noqa: SIM118
            state |= {name: file.get_tensor(name) for name in names}
    with quiet():
        loaded, found = type(network).from_pretrained(
            None,
            config=deepcopy(network.config),
            state_dict=state,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
            trust_remote_code=False,
        )
    wrong = sorted({str(each[0] if isinstance(each, tuple) else each) for each in found["mismatched_keys"]})
    missing = sorted(name for name in found["missing_keys"] if not name.startswith(tuple(spare)))
    odd = sorted(name for name, part in state.items() if part.is_floating_point() and not part.isfinite().all())
    if odd:
        raise ConfigError(f"model '{source.model}': its weights {odd[:3]} are not finite: take another copy of it")
    if wrong or missing:
        what = f"has no weights for {missing[:3]}" if missing else f"has weights of other shapes for {wrong[:3]}"
        raise ConfigError(
            f"model '{source.model}' {what}, {len(wrong) + len(missing)} in all: it is not what its config.json says"
        )
    return dict(loaded.state_dict())


def is_dual(network: nn.Module, side: Side) -> bool:
    """Whether it is a tower whose pooled vector is compared with that of another, as in CLIP."""
    return hasattr(network, "get_text_features") and hasattr(network, f"get_{side}_features")


def run(network: Any, side: Side, inputs: Mapping[str, Any]) -> Outputs:
    """What the network gives; maps [n, width, height, width] become tokens."""
    if is_dual(network, side):
        found = getattr(network, f"get_{side}_features")(**inputs)
    else:
        found = (network.get_encoder() if network.config.is_encoder_decoder else network)(**inputs)
    tokens = found.last_hidden_state
    if tokens.dim() > 3:
        tokens = tokens.flatten(2).transpose(1, 2)  # [n, length, width]
    return Outputs(tokens, found.get("pooler_output"))


def widths(config: Any, side: Side, dual: bool) -> tuple[int, int]:
    """(width of the tokens, width of the pooled vector)."""
    own = config
    if dual:
        own = getattr(config, {"text": "text_config", "audio": "audio_config"}.get(side, "vision_config"))
    width = getattr(own, "hidden_size", None) or next(iter(reversed(getattr(own, "hidden_sizes", None) or [])), None)
    if not isinstance(width, int):
        raise ConfigError(f"architecture: '{config.model_type}' does not tell its width: choose another model")
    if not dual:
        return width, width
    return width, getattr(config, "projection_dim", None) or getattr(own, "projection_size", None) or width


def layers(network: nn.Module) -> list[nn.Module]:
    """The list of equal modules that holds the most parameters: the layers, in order of depth."""
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList) and len(module)]
    equal = [each for each in lists if len({type(module) for module in each}) == 1]
    return list(max(equal, key=lambda each: sum(part.numel() for part in each.parameters()), default=[]))


def _class(config: Any, side: Side) -> Any:
    """The class of the network, with its other sides and its decoder taken out."""
    classes, text = of_library("MODEL_MAPPING"), of_library("MODEL_FOR_TEXT_ENCODING_MAPPING")
    table = text if side == "text" and type(config) in text else classes
    if type(config) not in table:
        raise ConfigError(f"architecture: '{config.model_type}' has no network that encodes: choose another model")
    with explained(f"the network of '{config.model_type}'"):
        whole = table[type(config)]
    whole = whole[0] if isinstance(whole, tuple) else whole
    sides = [each for each in WORDS if hasattr(whole, f"get_{each}_features")]
    if "text" in sides and side not in sides:
        raise ConfigError(f"architecture: '{config.model_type}' encodes {', '.join(sides)}, not {side}")
    others = [word for each in sides if each != side for word in WORDS[each]] if "text" in sides else []
    return _without(whole, [*others, "decoder"] if config.is_encoder_decoder else others)


def _without(whole: Any, words: Sequence[str]) -> Any:
    """The class without the parts whose names contain one of these words, nor parameters that belong to no part."""
    if not words:
        return whole

    class Tower(whole):  # type: ignore[misc]
        dropped: frozenset[str]

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            parts = [name for name, _ in self.named_children() if any(word in name for word in words)]
            parts += [name for name, _ in self.named_parameters(recurse=False)]
            for name in parts:
                delattr(self, name)
            self.dropped = frozenset(parts)

        def _init_weights(self, module: nn.Module) -> None:
            if module is not self or not hasattr(self, "dropped"):  # once is enough; then there are parts missing
                super()._init_weights(module)

    # By name and module transformers knows how weights that were published under older names are to be read.
    Tower.__name__, Tower.__qualname__, Tower.__module__ = whole.__name__, whole.__qualname__, whole.__module__
    return Tower
