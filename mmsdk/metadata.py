"""What installed packages say of themselves, read without importing any of them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, PackageNotFoundError, distributions, version

API = "v1"
"""The plugin API that this mmsdk speaks. The entry-point group of plugins is `mmsdk.` and this."""
COMMANDS = f"mmsdk.{API}.commands"
"""The entry-point group of commands."""


def installed_entry_points() -> Iterator[EntryPoint]:
    """Every entry point of every installed package. A package with damaged metadata has none."""
    for distribution in distributions():
        try:
            yield from distribution.entry_points
        except Exception:
            continue


def distribution_of(point: EntryPoint) -> tuple[str, str]:
    """Name and version of the package that an entry point comes from."""
    try:
        return str(point.dist.name), str(point.dist.version)  # type: ignore[union-attr]
    except Exception:  # metadata that is missing or damaged
        return "unknown", "unknown"


def version_of(distribution: str) -> str:
    """The version of an installed package."""
    try:
        return version(distribution)
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"
