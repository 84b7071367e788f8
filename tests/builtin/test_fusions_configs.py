"""Fusion configs that cannot work, and what they say."""

from __future__ import annotations

import pytest

from mmsdk.builtin.declarations.token_fusions import CrossAttentionConfig, FiLMConfig, TransformerFusionConfig
from mmsdk.components import FusionConfig
from mmsdk.errors import ConfigError
from mmsdk.formats import Source


def test_film_joins_two_streams() -> None:
    assert FiLMConfig().check(["a", "b"]) is None
    assert FiLMConfig(target="a", condition="c").check(["a", "b", "c"]) is None
    for config, streams, part in [
        (FiLMConfig(), ["a"], "joins two of 1 streams"),
        (FiLMConfig(target="a"), ["a", "b", "c"], "'condition: <stream>'"),
        (FiLMConfig(target="pic"), ["pix", "text"], "Did you mean 'pix'?"),
        (FiLMConfig(target="a", condition="a"), ["a", "b"], "cannot modulate itself"),
    ]:
        complaint = config.check(streams)
        assert complaint is not None and part in complaint
        with pytest.raises(ConfigError, match="film"):
            config.build({name: Source(2, 2) for name in streams})


@pytest.mark.parametrize(
    ("config", "pair"),
    [
        (FiLMConfig(), ("z", "a")),
        (FiLMConfig(target="a"), ("a", "z")),
        (FiLMConfig(condition="z"), ("a", "z")),
        (FiLMConfig(condition="a"), ("z", "a")),
    ],
)
def test_film_takes_streams_in_the_order_of_the_config(config: FiLMConfig, pair: tuple[str, str]) -> None:
    assert config.pair(["z", "a"]) == pair


def test_cross_attention_needs_two_streams() -> None:
    assert "use 'transformer'" in (CrossAttentionConfig().check(["a"]) or "")
    with pytest.raises(ConfigError, match="two streams"):
        CrossAttentionConfig().build({"a": Source(2, 2)})


@pytest.mark.parametrize("config", [TransformerFusionConfig, CrossAttentionConfig])
def test_heads_share_the_width_evenly(config: type[FusionConfig]) -> None:
    with pytest.raises(ValueError, match="give 'heads: 6'"):
        config(width=12, heads=8)
