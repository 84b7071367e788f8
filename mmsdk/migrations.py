"""What older versions have written, brought up to date step by step. Standard library only.

A config carries `schema_version`, a saved pipeline `format`. When one of these numbers goes up, a step is added to its
table here, the old number is told apart from the new one nowhere else, and all that was ever written stays readable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

Content = dict[str, Any]
Steps = Mapping[int, Callable[[Content], Content]]
"""By version: makes of content of that version the same in the next one. It may change what it is given."""

CONFIG: Steps = {}
"""The mapping of a config, by `schema_version`."""
SAVED: Steps = {}
"""The content of pipeline.json, by `format`; the config in it comes after that, by its own number."""


def newest(steps: Steps) -> int:
    """The version that the last step leads to; the first one is 1."""
    return max(steps, default=0) + 1


def version_of(content: Mapping[str, Any], key: str) -> int | None:
    """None where what stands there is no number. Content without one is of version 1, for ever."""
    version = content.get(key, 1)
    return version if isinstance(version, int) and not isinstance(version, bool) else None


def migrated(content: Content, key: str, steps: Steps) -> Content:
    """The content in the newest version, as a copy; itself where it is of that version, or of none that is known."""
    version = version_of(content, key)
    if version is None or version not in steps:
        return content
    content = deepcopy(content)
    while version in steps:
        content = steps[version](content)
        version += 1
        content[key] = version
    return content
