"""The embeddings of a file's rows as a folder, written while they are made.

embeddings.json         format, head, the pipeline's fingerprint, the data file, rows, sources with their widths
ids.json                the rows' ids, in the order of the vectors
<source>.safetensors    "vectors" [rows, width] float32; zeros where the source is absent
bad_samples.jsonl       the samples that were left out because they cannot be read
MANIFEST.json           sizes and sha256 of the above
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Self

import torch
from torch import Tensor

from mmsdk.data.skipping import as_told
from mmsdk.errors import DecodeError

FORMAT = 1
HEADER = 248
"""Bytes of a file's header. It is written last, when the number of rows is known, into the room that was left."""


class VectorFile:
    """A .safetensors file of one tensor, "vectors" [rows, width] float32, to which rows are added one by one.

    The format: the length of the header in 8 bytes, little-endian; the header, JSON that spaces may follow; the data.
    """

    def __init__(self, file: BinaryIO, width: int) -> None:
        self.file, self.width, self.rows, self.absent = file, width, 0, 0
        file.write(HEADER.to_bytes(8, "little") + b" " * HEADER)

    def add(self, vector: Tensor | None) -> None:
        """vector: [width]; None adds zeros."""
        self.rows, self.absent = self.rows + 1, self.absent + (vector is None)
        row = torch.zeros(self.width) if vector is None else vector
        self.file.write(row.numpy().astype("<f4").tobytes())

    def finish(self) -> None:
        size = 4 * self.rows * self.width
        header = {"vectors": {"dtype": "F32", "shape": [self.rows, self.width], "data_offsets": [0, size]}}
        self.file.seek(8)
        self.file.write(json.dumps(header).encode().ljust(HEADER))


class EmbeddingFiles:
    """The files of one head's embeddings in a folder, to which samples are added one by one."""

    def __init__(self, folder: Path, widths: Mapping[str, int]) -> None:
        self.folder, self.rows, self._open = folder, 0, ExitStack()
        self.sources: dict[str, VectorFile] = {}
        for source, width in widths.items():
            file = self._open.enter_context((folder / f"{source}.safetensors").open("wb"))
            self.sources[source] = VectorFile(file, width)
        self.ids = self._open.enter_context((folder / "ids.json").open("w", encoding="utf-8"))

    def add(self, name: str, vectors: Mapping[str, Tensor]) -> None:
        """vectors: [width] of each source that is present."""
        self.rows += 1
        self.ids.write(f"{'[' if self.rows == 1 else ','}\n{json.dumps(name)}")
        for source, file in self.sources.items():
            file.add(vectors.get(source))

    def finish(self, made_with: Mapping[str, Any], bad: Iterable[DecodeError]) -> None:
        """bad: the samples that were left out."""
        self.ids.write("\n]\n" if self.rows else "[]\n")
        for file in self.sources.values():
            file.finish()
        widths = {source: file.width for source, file in self.sources.items()}
        header = json.dumps({"format": FORMAT, **made_with, "rows": self.rows, "sources": widths}, indent=1)
        (self.folder / "embeddings.json").write_text(header, encoding="utf-8")
        lines = "".join(json.dumps(told) + "\n" for told in map(as_told, bad))
        (self.folder / "bad_samples.jsonl").write_text(lines, encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
