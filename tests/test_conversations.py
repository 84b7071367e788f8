"""Raw text and sound of each utterance of a talk: the config of docs/conversations.md, on small talks."""

from __future__ import annotations

import json
import random
import wave
from pathlib import Path
from typing import Any

import numpy as np

import mmsdk

RATE = 4000
CONFIG: dict[str, Any] = {
    "group_by": {"key": "talk", "order": "position"},
    "streams": {
        "text": {
            "modality": {"type": "each", "of": {"type": "text"}},
            "encoder": {"type": "each", "of": {"type": "bag", "width": 16}, "context": {"type": "rnn", "width": 16}},
        },
        "sound": {
            "modality": {"type": "each", "of": {"type": "speech.waveform", "rate": RATE, "max_seconds": 1}},
            "encoder": {
                "type": "each",
                "of": {"type": "speech.cnn", "width": 16, "features": {"bins": 16, "normalize": False}},
                "context": {"type": "rnn", "width": 16},
            },
        },
    },
    "fusion": {"type": "fusion.aligned", "of": {"type": "gated", "width": 16}},
    "heads": {"mood": {"type": "token_classification", "target": "mood"}},
    "training": {"epochs": 10, "batch_size": 4, "learning_rate": 0.01, "device": "cpu", "threads": 1},
}


def beep(path: Path, high: bool, seconds: float) -> None:
    time = np.arange(int(RATE * seconds)) / RATE
    samples = np.sin(2 * np.pi * (1200 if high else 300) * time) * 12_000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())


def talks(folder: Path, count: int) -> Path:
    """Utterances whose mood is glad where text and tone are; some sounds are missing, and then the text tells."""
    drawn = random.Random(0)
    rows = []
    for talk in range(count):
        for position in range(2 + talk % 3):
            name, good, high = f"{talk}_{position}.wav", drawn.random() < 0.5, drawn.random() < 0.5
            beep(folder / name, high, 0.1 + 0.02 * position)
            sound = name if len(rows) % 7 else None
            glad = good and (high or sound is None)
            text = "good thing" if good else "bad thing"
            split = "train" if talk < 3 * count // 4 else "test"
            row = {"id": name, "talk": talk, "position": position, "text": text, "sound": sound, "split": split}
            rows.append(row | {"mood": "glad" if glad else "sad"})
    drawn.shuffle(rows)
    path = folder / "talks.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_text_and_sound_are_understood_together(tmp_path: Path) -> None:
    data = {"path": str(talks(tmp_path, 40)), "split_column": "split"}
    trained = mmsdk.train(CONFIG | {"data": data}, out=tmp_path / "run", show=False)
    assert trained.metrics["test/mood/accuracy"] >= 0.95  # the text alone: 0.75
    saved = mmsdk.Pipeline.load(trained.run)
    (result,) = saved.predict({"text": ["good thing", "bad thing"], "sound": [None, str(tmp_path / "0_0.wav")]})
    assert result["mood"].value == ["glad", "sad"]
    uneven, missing = saved.predict([{"text": ["good thing"], "sound": [None, None]}, {"sound": ["no.wav"]}])
    assert uneven.error is not None and "'text' has 1 values, 'sound' has 2" in uneven.error
    assert missing.error is not None and "'sound': step 0: there is no file 'no.wav'" in missing.error
