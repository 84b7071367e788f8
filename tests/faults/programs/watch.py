"""What a process does while it reads something that a stranger made, as the interpreter's audit hooks tell it.

    with watch.looking() as seen: ...

`seen` names what must not happen: a program started, a socket, a pickle, a file written, a module that nobody listed.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NEVER = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen", "pickle.find_class")
NEVER += ("ctypes.dlopen", "shutil.rmtree", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.link")
HARMLESS = ("socket.__new__", "socket.gethostname")
"""asyncio makes a pair of sockets for itself; nobody else can be reached by that."""


class Watch:
    """imports: the packages that may be imported. secret: part of the names of files that nobody may open."""

    def __init__(self, imports: Collection[str], secret: str = "canary") -> None:
        self.imports, self.secret = {*sys.stdlib_module_names, *imports}, secret
        self.allowed: tuple[str, ...] = ()
        self._seen: list[str] | None = None
        sys.addaudithook(self._hook)  # stays for the life of the process, and looks only while it is asked to

    @contextmanager
    def looking(self, *allowed: str) -> Iterator[list[str]]:
        """allowed: events that may happen this time."""
        self.allowed, self._seen = allowed, []
        try:
            yield self._seen
        finally:
            self._seen = None

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._seen is not None and (told := self._told(event, arguments)) is not None and event not in self.allowed:
            self._seen.append(told)

    def _told(self, event: str, arguments: tuple[Any, ...]) -> str | None:
        if event in NEVER or (event.startswith("socket.") and event not in HARMLESS):
            return f"{event} {arguments!r:.80}"
        if event == "import" and arguments[0].partition(".")[0] not in self.imports:
            return f"imports {arguments[0]}"
        if event == "open":
            path, mode, flags = arguments
            written = set(mode) & set("wax+") if isinstance(mode, str) else flags & 0o3  # O_WRONLY, O_RDWR
            if written:
                return f"writes {path}"
            return f"opens {path}" if self.secret in str(path) else None
        code = getattr(arguments[0], "co_filename", "") if event == "exec" and arguments else ""
        return f"runs {code}" if self.secret in code else None


def reset_peak() -> None:
    """Forget the most memory that this process has held so far."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")


def memory(name: str) -> int:
    """VmHWM, the most memory held, or VmRSS, what is held now; in bytes, 0 where the system does not tell."""
    status = Path("/proc/self/status")
    return int(status.read_text().partition(f"{name}:")[2].split()[0]) * 1024 if status.exists() else 0
