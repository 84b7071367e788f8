"""Where a model comes from: a folder, or a repository of the Hugging Face hub. No torch here.

Only JSON and safetensors are read. Nothing that stands in them decides what else is read or run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints, TypeAdapter, ValidationInfo

from mmsdk import ConfigError, ConfigPath

HUB_ID = re.compile(r"(?!.*(\.\.|--))\w[\w.-]{0,95}(/\w[\w.-]{0,95})?")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
CONVERT = (
    'python -c "from transformers import AutoModel; '
    "AutoModel.from_pretrained('MODEL').save_pretrained('FOLDER')\" on a machine where you trust it"
)


def _placed(value: Any, info: ValidationInfo) -> Any:
    """A folder becomes an absolute path; a hub id stays."""
    if not isinstance(value, str | Path):
        return value
    if not str(value):
        raise ValueError("expected a folder or a hub id, found nothing")
    if str(value).startswith("~"):
        return str(Path(value).expanduser())
    folder = TypeAdapter(ConfigPath).validate_python(value, context=info.context).absolute()
    if str(value).startswith(".") or Path(value).is_absolute() or folder.is_dir():
        return str(folder)
    if not HUB_ID.fullmatch(str(value)):
        raise ValueError(f"'{value}' is neither a folder ('{folder}' does not exist) nor a hub id such as 'org/name'")
    return str(value)


ModelName = Annotated[
    str,
    BeforeValidator(_placed),
    Field(description="a folder, relative to the config file's, or a hub id such as openai/clip-vit-base-patch32"),
]


Revision = Annotated[
    str, StringConstraints(pattern=r"^[0-9A-Za-z_][0-9A-Za-z_.-]*(/[0-9A-Za-z_][0-9A-Za-z_.-]*)*$", max_length=200)
]
"""As git calls branches, tags and commits. The library of the hub makes paths of them: no `..` and no beginning `/`."""


@dataclass(frozen=True)
class ModelSource:
    """model: an absolute folder, or a hub id. revision: a branch, tag or commit of the hub."""

    model: str
    revision: str | None = None

    @property
    def folder(self) -> Path | None:
        """The folder; None for a model of the hub."""
        return Path(self.model) if Path(self.model).is_absolute() else None

    def require_here(self, field: str) -> None:
        """Refuse to ask the hub. What is built has been resolved, in a saved pipeline as well: one that was not, and
        wants to be when it is opened, was not written by mmsdk.

        Raises:
            ConfigError: it is a model of the hub; `field` is what would have to be looked up there.
        """
        if self.folder is None:
            raise ConfigError(f"'{field}' of model '{self.model}' is not known here: call `resolve()` on the config")

    def pinned(self) -> ModelSource:
        """The same with the commit as revision, so that it stays the same model."""
        if self.folder is not None:
            return self
        snapshot = self.file("config.json").parent.name  # .../snapshots/<commit>/config.json
        return replace(self, revision=snapshot)

    def file(self, name: str) -> Path:
        """The path of a file of the model, downloaded if need be.

        Raises:
            ConfigError: it is not there, or cannot be had; says what was looked for where.
        """
        found = self.find(name)
        if found is not None:
            return found
        if self.folder is not None and not self.folder.is_dir():
            raise ConfigError(f"model: there is no folder '{self.folder}': give the folder of a model, or a hub id")
        raise ConfigError(f"model '{self.model}': it has no '{name}': give a model in the format of transformers")

    def find(self, name: str) -> Path | None:
        """Like `file`, but None where the model has no such file."""
        if self.folder is None:
            return _downloaded(self.model, name, self.revision)
        return self.folder / name if (self.folder / name).is_file() else None

    def json(self, name: str) -> dict[str, Any]:
        """What a JSON file holds: a mapping.

        Raises:
            ConfigError: the file is not there, or holds something else.
        """
        path = self.file(name)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from None
        if not isinstance(found, dict):
            raise ConfigError(f"{path}: expected a mapping, found {type(found).__name__}")
        return found

    def weights(self) -> list[Path]:
        """The safetensors files of the model.

        Raises:
            ConfigError: it has none; other formats are never opened.
        """
        whole = self.find(WEIGHTS)
        if whole is not None:
            return [whole]
        if self.find(INDEX) is not None:
            parts = self.json(INDEX).get("weight_map")
            names = sorted(set(map(str, parts.values()))) if isinstance(parts, dict) else []
            if names and all(re.fullmatch(r"[\w-][\w.-]*\.safetensors", name) for name in names):
                return [self.file(name) for name in names]
            raise ConfigError(f"model '{self.model}': '{INDEX}' names no safetensors files beside it")
        raise ConfigError(
            f"model '{self.model}': it has no '{WEIGHTS}'. Weights in other formats, such as pytorch_model.bin, are "
            f"pickles, which can run any code, and are never opened. Convert them: {CONVERT}; or set "
            "'pretrained: false' to begin with random weights."
        )

    def number(self, name: str) -> float | None:
        """A single weight, such as a scale; None where the model has none of that name.

        Raises:
            ConfigError: the model has no weights, or they are damaged.
        """
        for path in self.weights():
            with opened(path) as file:
                if name in file.keys():  # noqa: SIM118
                    found = file.get_tensor(name)
                    if found.numel() != 1:
                        raise ConfigError(f"{path}: '{name}' has the shape {list(found.shape)}, a scale is one number")
                    return float(found)
        return None


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A safetensors file, of which single tensors can be read.

    Raises:
        ConfigError: it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def _downloaded(model: str, name: str, revision: str | None) -> Path | None:
    """A file of the hub, from the local cache where it is there already; HF_HUB_OFFLINE=1 asks nobody."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(hf_hub_download(model, name, revision=revision))
    except GatedRepoError:
        reason = f"it is gated: accept its terms at https://huggingface.co/{model}, then: hf auth login"
    except RepositoryNotFoundError:
        reason = f"there is no such model on the hub, or it is private (hf auth login), and no folder '{Path(model)}'"
    except RevisionNotFoundError:
        reason = f"it has no revision '{revision}'"
    except LocalEntryNotFoundError:
        if name != "config.json":  # that one is asked for first, and is in the cache wherever anything is
            return None
        reason = (
            f"it is not in the local cache, and the hub cannot be reached (or HF_HUB_OFFLINE is set), nor is there a "
            f"folder '{Path(model)}': connect once, or give the path of a folder"
        )
    except EntryNotFoundError:
        return None
    except Exception as error:  # of the HTTP library, which is no business of ours
        reason = f"the hub answers: {type(error).__name__}: {error}"
    raise ConfigError(f"model '{model}': {reason}")
