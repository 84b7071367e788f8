"""A pipeline of a picture, a text and two numbers, saved, and as it is served; another one, with an index to search."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
import pytest
import soundfile
import torch
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image

import mmsdk
from mmsdk_retrieval import Index
from mmsdk_serve import Limits, application
from mmsdk_serve.running import configured

CONFIG = {
    "streams": {
        "photo": {"modality": {"type": "image", "size": 8}, "encoder": {"type": "cnn", "width": 16, "layers": 1}},
        "title": {"modality": {"type": "text"}, "encoder": {"type": "bag", "width": 16}},
        "facts": {
            "modality": {"type": "tabular", "numbers": ["price", "weight"]},
            "encoder": {"type": "mlp", "width": 16},
        },
    },
    "fusion": {"type": "concat", "width": 16},
    "heads": {"kind": {"type": "classification", "target": "kind"}},
    "training": {"epochs": 2, "batch_size": 8, "threads": 1},
}


COLOURS = {"red": (220, 30, 30), "green": (30, 160, 30), "blue": (30, 30, 220), "grey": (128, 128, 128)}
SEEKING = {
    "streams": {
        "image": {"modality": {"type": "image", "size": 8}, "encoder": {"type": "cnn", "width": 16, "layers": 1}},
        "text": {"column": "caption", "modality": {"type": "text"}, "encoder": {"type": "bag", "width": 16}},
    },
    "heads": {"match": {"type": "contrastive", "reads": ["image", "text"], "width": 8}},
    "training": {"epochs": 2, "batch_size": 4, "threads": 1},
}


def _png(red: int, size: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size), (red, 60, 90)).save(file, "PNG")
    return file.getvalue()


def _samples(count: int) -> list[dict[str, Any]]:
    return [
        {
            "photo": _png(50 + 3 * place % 200),
            "title": f"a {'red' if place % 2 else 'blue'} thing {place % 5}",
            "price": float(place),
            "weight": 2.0 - place,
        }
        for place in range(count)
    ]


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """The bytes of a picture of one colour."""
    return _png


@pytest.fixture(scope="session")
def samples() -> Callable[[int], list[dict[str, Any]]]:
    """So many samples, each of them another one."""
    return _samples


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [{**sample, "kind": "ab"[place % 2]} for place, sample in enumerate(_samples(24))]
    return mmsdk.train(CONFIG, rows, out=tmp_path_factory.mktemp("runs") / "shop", show=False).run


@pytest.fixture(scope="session")
def pipeline(run: Path) -> mmsdk.Pipeline:
    torch.set_num_threads(1)
    return mmsdk.Pipeline.load(run)


@pytest.fixture
def client(pipeline: mmsdk.Pipeline) -> Iterator[TestClient]:
    with TestClient(application({"shop": pipeline}, Limits(body=200_000))) as client:
        yield client


@pytest.fixture(scope="session")
def seeker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that compares pictures and captions; an index lies beside it."""
    folder = tmp_path_factory.mktemp("seeking")
    rows = [
        {"id": name, "image": str(folder / f"{name}.png"), "caption": f"a {name} square", "size": 500}
        for name in COLOURS
    ]
    for name, colour in COLOURS.items():
        Image.new("RGB", (500, 400), colour).save(folder / f"{name}.png")
    run = mmsdk.train(
        SEEKING,
        [{**row, "id": f"{row['id']} {copy}"} for row in rows for copy in range(6)],
        out=folder / "squares",
        show=False,
    ).run
    rows.append({"id": "words", "caption": "no square at all"})
    Index.build(mmsdk.Pipeline.load(run), rows, run=run).save(folder / "squares.index")
    return run


@pytest.fixture(scope="session")
def index(seeker: Path) -> Index:
    return Index.load(seeker.with_name("squares.index"))


@pytest.fixture(scope="session")
def seeking(seeker: Path) -> mmsdk.Pipeline:
    torch.set_num_threads(1)
    return mmsdk.Pipeline.load(seeker)


HEARING = {
    "streams": {
        "sound": {
            "modality": {"type": "speech.waveform", "rate": 16_000},
            "encoder": {"type": "speech.cnn", "width": 16, "features": {"type": "log_mel", "normalize": False}},
        }
    },
    "heads": {"pitch": {"type": "classification", "target": "pitch", "reads": ["sound"]}},
    "training": {"epochs": 12, "batch_size": 8, "learning_rate": 0.01, "threads": 1},
}


def _tone(frequency: float, seconds: float = 0.5, rate: int = 16_000, loudness: float = 0.5) -> bytes:
    times = np.arange(round(seconds * rate)) / rate
    file = io.BytesIO()
    soundfile.write(file, loudness * np.sin(2 * np.pi * frequency * times), rate, format="WAV")
    return file.getvalue()


@pytest.fixture(scope="session")
def tone() -> Callable[..., bytes]:
    """A sine as the bytes of a WAV file: frequency in Hz, seconds, rate, loudness."""
    return _tone


@pytest.fixture(scope="session")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> mmsdk.Pipeline:
    """Tells low tones from high ones."""
    pytest.importorskip("mmsdk_speech")
    rows = [
        {"sound": _tone(pitch + 5 * place, loudness=0.1 + 0.02 * place), "pitch": name}
        for place in range(8)
        for pitch, name in ((250, "low"), (1900, "high"))
    ]
    run = mmsdk.train(HEARING, rows, out=tmp_path_factory.mktemp("runs") / "tones", show=False).run
    return mmsdk.Pipeline.load(run)


@pytest.fixture(scope="session")
def listening() -> Callable[..., AbstractContextManager[str]]:
    """`with listening(pipelines, **options) as address`: the application at a port of this machine."""
    return _listening


@contextmanager
def _listening(pipelines: dict[str, mmsdk.Pipeline], limits: Limits | None = None, **options: Any) -> Iterator[str]:
    config = configured(application(pipelines, limits, **options), limits or Limits())
    config.port = 0
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
