"""One bad sample in a batch costs the others nothing."""

from __future__ import annotations

import random
import struct
import zlib
from typing import Any

import pytest

import mmsdk
from mmsdk_serve import Limits
from mmsdk_serve.served import Served

EXPLODES = "poison"
"""Makes the pipeline itself fail for the batch that it is in."""


def poisoned(place: int) -> dict[str, Any]:
    """A sample that cannot be answered, each time in another way."""
    kinds: list[dict[str, Any]] = [
        {"photo": b"no picture"},
        {"photo": png_claiming(20_000)},
        {"price": "a lot"},
        {"price": 1e39},
        {"title": ["no", "text"]},
        {"photo": [[2.0, -1.0]]},
        {},
        {"title": EXPLODES},
    ]
    return kinds[place % len(kinds)]


def png_claiming(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    body = b"\0\0\0\rIHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.faults("A8")
def test_a_poisoned_sample_costs_no_other_one_its_answer(
    pipeline: mmsdk.Pipeline, samples: Any, monkeypatch: pytest.MonkeyPatch, tally: Any
) -> None:
    """Batches of eight, one of them poisoned: seven right answers and one error."""
    good = samples(40)
    alone = [pipeline.predict(sample)[0]["kind"].scores for sample in good]
    predict, sizes = mmsdk.Pipeline.predict, list[int]()

    def failing(self: mmsdk.Pipeline, given: Any, **options: Any) -> Any:
        sizes.append(len(given))
        if any(each.get("title") == EXPLODES for each in given):
            raise RuntimeError("the network failed")
        return predict(self, given, **options)

    monkeypatch.setattr(mmsdk.Pipeline, "predict", failing)
    served = Served("shop", pipeline, Limits(deadline=60))
    rng = random.Random(0)
    for number in range(tally.size(100, 10_000)):
        with tally.case(number):
            chosen, at = rng.sample(range(len(good)), 7), rng.randrange(8)
            batch = [good[place] for place in chosen]
            batch.insert(at, poisoned(number))
            results = [future.exception() or future.result() for future in served.batcher.submit(batch, 60)]
            poison = results.pop(at)
            assert isinstance(poison, RuntimeError) or (isinstance(poison, mmsdk.Result) and poison.error), poison
            for place, result in zip(chosen, results, strict=True):
                assert isinstance(result, mmsdk.Result)
                assert result["kind"].scores == pytest.approx(alone[place], abs=1e-5)
    assert 8 in sizes  # they were batches
    served.batcher.close()
