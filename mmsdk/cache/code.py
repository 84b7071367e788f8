"""What the outcome of a component depends on beside its settings: code, its own and that of the libraries it uses.

Kept results of other code would be wrong, and nobody would see it. So the key of a cache holds every file of the
package that brought the component, as it is now (packages are also edited where they stand), and the versions of what
that package requires.
"""

from __future__ import annotations

import hashlib
import re
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from mmsdk.components import ComponentConfig
from mmsdk.config.resolution import components
from mmsdk.plugins.registry import registry


def code_key(*configs: ComponentConfig) -> str:
    """The same while the code of these components, and of those inside them, is the same.

    Raises:
        TypeError: it was written in a notebook or a shell, where code has no file to tell.
    """
    found = {_requirements("mmsdk")}
    for each in components(configs):
        owner = registry().owner(each.type_name())
        found.add(_package(type(each).__module__.partition(".")[0]))
        if owner is not None:
            found.add(_requirements(owner.distribution))
    return hashlib.sha256(" ".join(sorted(found)).encode()).hexdigest()


@cache
def _package(name: str) -> str:
    file = getattr(sys.modules[name], "__file__", None)
    if file is None or not Path(file).is_file():
        raise TypeError(f"the code of '{name}' is in no file, so that a change in it could not be told")
    sha, home = hashlib.sha256(), Path(file)
    for path in sorted(home.parent.rglob("*.py")) if home.name == "__init__.py" else [home]:
        sha.update(f"{path.relative_to(home.parent)} {path.stat().st_size}\n".encode())
        sha.update(path.read_bytes())
    return sha.hexdigest()


@cache
def _requirements(distribution: str) -> str:
    """The installed versions of what a distribution requires; extras count where they are installed."""
    try:
        names = {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requires(distribution) or ()}
    except PackageNotFoundError:
        return ""
    return " ".join(f"{name} {_version(name)}" for name in sorted(names))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
