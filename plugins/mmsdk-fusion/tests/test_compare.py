"""fusion.compare: found, built, exact in its parameter count, blind to what stands in an absent slot."""

from __future__ import annotations

import torch

from mmsdk import Encoding, Source, load_config
from mmsdk.plugins import registry

SOURCES = {"a": Source(5, 5), "b": Source(7, 7)}


def encodings(batch: int = 4) -> dict[str, Encoding]:
    torch.manual_seed(0)
    made = {}
    for name, source in SOURCES.items():
        tokens = torch.randn(batch, 3, source.width)
        made[name] = Encoding(tokens, torch.ones(batch, 3, dtype=torch.bool), tokens.mean(dim=1))
    return made


def build(width: int = 8):  # type: ignore[no-untyped-def]
    torch.manual_seed(1)
    return registry().find("fusion", "fusion.compare")(width=width).build(SOURCES)


def test_parameters_are_counted_exactly() -> None:
    config = registry().find("fusion", "fusion.compare")(width=8)
    assert sum(p.numel() for p in build().parameters()) == config.parameters(SOURCES)


def test_an_absent_slot_is_not_read() -> None:
    fusion, whole = build(), encodings()
    absent = whole["b"]._replace(mask=torch.zeros(4, 3, dtype=torch.bool))
    garbage = absent._replace(tokens=absent.tokens * 1e6, pooled=torch.full((4, 7), torch.nan))
    first = fusion({"a": whole["a"], "b": absent}).encoding.pooled
    assert torch.equal(first, fusion({"a": whole["a"], "b": garbage}).encoding.pooled)
    assert not torch.equal(first, fusion(whole).encoding.pooled)


def test_rows_without_any_stream_are_zero_and_masked() -> None:
    whole = {name: each._replace(mask=torch.zeros(4, 3, dtype=torch.bool)) for name, each in encodings().items()}
    fused = build()(whole).encoding
    assert not fused.mask.any() and not fused.pooled.any()


def test_it_compares_exactly_two_streams() -> None:
    stream = {"modality": {"type": "text"}, "encoder": {"type": "bag"}}
    head = {"type": "classification", "target": "label"}
    config = {"streams": {"a": stream, "b": stream}, "fusion": {"type": "fusion.compare"}, "heads": {"label": head}}
    assert load_config(config).fusion is not None
    try:
        load_config(config | {"streams": {"a": stream}})
    except Exception as error:
        assert "compares two streams, found 1" in str(error)
    else:
        raise AssertionError("one stream was accepted")
