"""Little tables with real little files, such as somebody may have."""

from __future__ import annotations

import csv
import json
import random
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
THINGS = ("mug", "rake", "pen", "lamp")


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A .csv or .jsonl file of these rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def things(folder: Path, count: int = 60, split: bool = False) -> list[dict[str, Any]]:
    """Coloured things: id, picture, sentence, question, sound, price, kind, and perhaps split."""
    draw = random.Random(0)
    rows = []
    for number in range(count):
        colour, thing = draw.choice(list(COLOURS)), draw.choice(THINGS)
        row = {
            "id": f"t{number:04}",
            "picture": picture(folder / f"{number}.png", COLOURS[colour]).name,
            "sound": tone(folder / f"{number}.wav", 200 + 200 * list(COLOURS).index(colour)).name,
            "sentence": f"a {draw.choice(['new', 'used', 'fine'])} {colour} {thing} number {number} for the house",
            "question": draw.choice(["which colour has this thing?", "what is the colour of it now?"]),
            "price": round(draw.uniform(1, 90), 2),
            "kind": colour,
        }
        rows.append(row | ({"split": ("train", "train", "valid", "test")[number % 4]} if split else {}))
    return rows


def picture(path: Path, colour: tuple[int, int, int] = (9, 9, 9), size: tuple[int, int] = (20, 16)) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def tone(path: Path, frequency: int = 300, rate: int = 8000, seconds: float = 0.1) -> Path:
    """A square wave in 16 bits."""
    samples = [8000 if 2 * frequency * place // rate % 2 else -8000 for place in range(int(rate * seconds))]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
    return path
