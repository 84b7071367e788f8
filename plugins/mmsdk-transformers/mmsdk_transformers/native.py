"""transformers, in spite of libraries beside it that are installed but broken.

torchaudio and torchvision are built for certain builds of torch and of CUDA. transformers looks whether they are
installed, not whether they load, and then fails deep inside, even for a model of text. So they are tried first, and a
broken one is hidden while transformers looks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from mmsdk import PluginError

NATIVE = ("torchvision", "torchaudio", "torchcodec")


@cache
def broken() -> dict[str, str]:
    """The libraries that are installed and cannot be imported, each with the reason."""
    found = {}
    for name in NATIVE:
        if sys.modules.get(name) is None and find_spec(name) is not None:
            try:
                import_module(name)
            except Exception as error:  # ImportError, OSError, RuntimeError, AttributeError: whatever a loader says
                found[name] = f"{type(error).__name__}: {error}"
    return found


@cache
def library() -> ModuleType:
    """transformers, which has been told that broken libraries are not there."""
    with _hidden(broken()):
        library = import_module("transformers")
        answers = import_module("transformers.utils.import_utils")
        for name in broken():
            getattr(answers, f"is_{name}_available", bool)()  # it remembers the answer
    return library


def of_library(name: str) -> Any:
    """A class or a table of transformers by its name; only what that needs is imported.

    Raises:
        PluginError: transformers cannot import it; says which broken library is to blame.
    """
    with explained(name):
        return getattr(library(), name)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turns a failing import inside transformers into a PluginError that says how to mend it."""
    try:
        yield
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        if not broken():
            raise
        names, reasons = " and ".join(broken()), "; ".join(f"{name}: {reason}" for name, reason in broken().items())
        raise PluginError(
            f"transformers cannot import {what}, because {names} cannot be imported ({reasons}). Remove what does not "
            f"fit the installed torch: pip uninstall {' '.join(broken())}; or install a build that does."
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """transformers without its progress bars and its reports: what matters of them is an error here."""
    logging = library().utils.logging
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


@contextmanager
def _hidden(names: dict[str, str]) -> Iterator[None]:
    """While this lasts, these look as if they were not installed."""
    kept = {name: sys.modules.pop(name, None) for name in names}
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None stands for "not to be found"
    try:
        yield
    finally:
        for name, module in kept.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module
