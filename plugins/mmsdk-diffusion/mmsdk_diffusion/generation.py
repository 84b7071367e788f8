"""Pictures for conditions: what `mmsdk generate` does, in Python."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL.Image import Image

from mmsdk import CheckpointError, ConfigError, DataError, Pipeline, Row, write_folder
from mmsdk_diffusion.grid import grid

if TYPE_CHECKING:
    from mmsdk_diffusion.head import ImageHead

AT_ONCE = 256
"""Pictures that are drawn together: more would need more memory."""


class Generated(NamedTuple):
    """The pictures of one condition: picture k is that of the seed plus k, whatever else is drawn.

    values: the condition, as it was given.
    """

    id: str
    values: Mapping[str, Any]
    pictures: list[Image]


def generate(
    pipeline: Pipeline,
    samples: Iterable[Mapping[str, Any] | Row],
    *,
    number: int = 1,
    head: str | None = None,
    **sampling: Any,
) -> Iterator[Generated]:
    """`number` pictures for each sample, which holds any of the streams that the head reads.

    head: by default the only one that draws. sampling: `steps`, `guidance`, `scheduler`, `seed`; what is not given is
    as the config says.

    Raises:
        ConfigError: no such head, several, or a setting that it cannot follow. DataError: a sample that cannot be read.
    """
    name = drawing_head(pipeline, head)
    drawer: ImageHead = pipeline.heads[name]  # type: ignore[assignment]
    given = drawer.sampling
    rows = [each if isinstance(each, Row) else Row(f"sample[{place}]", each) for place, each in enumerate(samples)]
    wanted = replace(given, number=number, **sampling)
    drawer.require(wanted)
    try:
        together = max(1, AT_ONCE // number)
        for start in range(0, len(rows), together):
            some = rows[start : start + together]
            pictures: list[list[Image]] = [[] for _ in some]
            for first in range(0, number, AT_ONCE):
                count = min(AT_ONCE, number - first)
                drawer.sampling = replace(wanted, seed=wanted.seed + first, number=count)
                for place, result in enumerate(pipeline.predict(some, heads=[name], batch_size=len(some))):
                    if result.error is not None:
                        raise DataError(f"sample '{result.id}': {result.error}")
                    value = result[name].value
                    pictures[place] += value if isinstance(value, list) else [value]
            for row, own in zip(some, pictures, strict=True):
                yield Generated(row.id, row.values, own)
    finally:
        drawer.sampling = given


def drawing_head(pipeline: Pipeline, head: str | None = None) -> str:
    """The head that draws: the named one, or the only one.

    Raises:
        ConfigError: there is none, several, or none of that name.
    """
    from mmsdk_diffusion.head import ImageHead

    able = [name for name in pipeline.config.heads if isinstance(pipeline.heads[name], ImageHead)]
    if head is None and len(able) == 1:
        return able[0]
    if not able:
        raise ConfigError("This pipeline draws no pictures: it has no head of `type: diffusion.image`")
    if head not in able:
        which = "Several heads draw" if head is None else f"There is no head '{head}' that draws"
        raise ConfigError(f"{which}: choose one with --head, of {', '.join(able)}")
    return head


def write_grid(path: str | Path, generated: Iterable[Generated]) -> int:
    """All pictures in one, a row for each condition; how many there are.

    Raises:
        CheckpointError: it cannot be written.
    """
    path, rows = Path(path), [each.pictures for each in generated]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        grid(rows).save(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error}") from None
    return sum(map(len, rows))


def write_pictures(folder: str | Path, generated: Iterable[Generated], column: str = "picture") -> int:
    """A PNG for each picture, and `pictures.jsonl` with the condition's columns and the file; how many there are.

    column: what the file's column is called; with the name of the head's target the folder is a table to train on.

    Raises:
        CheckpointError: the folder is there already, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise CheckpointError(f"{folder} exists: choose another folder, or remove it")
    count = 0

    def fill(aside: Path) -> None:
        nonlocal count
        with (aside / "pictures.jsonl").open("w", encoding="utf-8") as file:
            for each in generated:
                for number, picture in enumerate(each.pictures):
                    name = f"{count:06d}.png"
                    picture.save(aside / name)
                    row = {**each.values, "id": f"{each.id}-{number}", column: name}
                    file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
                    count += 1

    write_folder(folder, fill)
    return count
