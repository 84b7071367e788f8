"""Every error that a user can cause, and the sentences that more than one place says.

An error names the place, the bad value, what would be right, and what to type.
Standard library only: each other module may import this one.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path


class MmsdkError(Exception):
    """Base of all errors that mmsdk raises on purpose. The command line prints it without a traceback."""


class ConfigError(MmsdkError):
    """A pipeline config that cannot be read, validated or wired together."""


class UnknownComponentError(ConfigError):
    """A config names a component that no installed plugin provides."""


class PluginError(MmsdkError):
    """A plugin that is missing, broken, for another API version, or in conflict with another one."""


class DataError(MmsdkError):
    """A data file or a table of samples that cannot be used."""


class DecodeError(DataError):
    """One value that cannot be read. `sample` is filled in by whoever knows the sample's id."""

    def __init__(self, reason: str, *, sample: str | None = None, stream: str | None = None) -> None:
        self.reason, self.sample, self.stream = reason, sample, stream
        where = f"sample '{sample}': " if sample is not None else ""
        where += f"'{stream}': " if stream is not None else ""
        super().__init__(where + reason)

    def at(self, sample: str, stream: str) -> DecodeError:
        """The same error, with the sample and the stream that it happened in."""
        return DecodeError(self.reason, sample=sample, stream=stream)


class CheckpointError(MmsdkError):
    """A checkpoint or a saved pipeline that is missing, damaged, or belongs to something else."""


class HubError(MmsdkError):
    """The Hugging Face hub does not have what was asked for, refuses it, or cannot be reached."""


class UnwritableError(CheckpointError):
    """A file or a folder that cannot be written: no room, no permission, a disk that is gone."""


class ExportError(MmsdkError):
    """A pipeline that cannot be exported, or an exported one that cannot do what was asked of it."""


class TrainingError(MmsdkError):
    """Training that cannot go on: a loss or a gradient that is not finite, nothing to train on, ..."""


class Interrupted(SystemExit):
    """A training run that was asked to stop by a signal; the same command with resume goes on with it.

    No error, so that nobody who goes on after errors goes on after this. A program that does not catch it ends with
    exit code 85, by which a batch system can tell that the job is to be queued again.
    """

    CODE = 85

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = self.CODE


# Packages that provide components under a prefix. For a config only these are ever suggested for installation; of a
# saved pipeline's own plugins also those that it names itself, see `saving`.
KNOWN_PLUGINS = {
    "diffusion": "mmsdk-diffusion",
    "fusion": "mmsdk-fusion",
    "retrieval": "mmsdk-retrieval",
    "serve": "mmsdk-serve",
    "speech": "mmsdk-speech",
    "transformers": "mmsdk-transformers",
    "video": "mmsdk-video",
}


def told(error: BaseException) -> str:
    """The type and the text of somebody else's error, which may not even have one."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def listed(names: Iterable[object], empty: str = "none") -> str:
    """`'a', 'b'`, or `empty` where there is nothing to list."""
    return ", ".join(f"'{name}'" for name in names) or empty


def did_you_mean(name: str, known: Sequence[str], cutoff: float = 0.6) -> str:
    """`" Did you mean 'transformer'?"`, or the empty string when nothing known is near."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    return f" Did you mean '{near[0]}'?" if near else ""


def no_such_file(path: Path) -> str:
    """What to say where a file is not there: the one beside it that may be meant."""
    try:
        beside = os.listdir(path.parent)
    except OSError:
        beside = []
    hint = did_you_mean(path.name, beside)
    return f"{path}: there is no such file{'.' if hint else ''}{hint}"


def unknown_component(
    kind: str, name: str, known: Sequence[str], reason: str | None = None, installed: bool = False
) -> str:
    """What to say about a component that is not there, in the order of what helps most.

    known: the components of that kind that could be meant. reason: why it cannot be used, although it is there.
    installed: whether its plugin is there.
    """
    if reason is not None:
        return f"{kind} '{name}' cannot be used: {reason}"
    hint = did_you_mean(name, known)
    prefix, dot, _ = name.partition(".")
    if hint or installed or not dot:
        none = f"none: the plugin '{prefix}' brings no {kind} at all"
        more = "" if dot else " Those of plugins have a prefix: see `mmsdk plugins`."
        return f"Unknown {kind} '{name}'.{hint or f' Known: {listed(known, none)}.{more}'}"
    if prefix in KNOWN_PLUGINS:
        return f"Unknown {kind} '{name}'. It is provided by another package: pip install {KNOWN_PLUGINS[prefix]}"
    return (
        f"Unknown {kind} '{name}': no installed plugin has the prefix '{prefix}'."
        f"{did_you_mean(prefix, list(KNOWN_PLUGINS), 0.75)} "
        "Install the package that brings it; `mmsdk plugins` lists what is installed."
    )
