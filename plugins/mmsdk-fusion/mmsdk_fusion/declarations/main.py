"""A stream that has a role of its own. No torch here."""

from __future__ import annotations

from collections.abc import Iterable


def main_stream(main: str | None, streams: Iterable[str]) -> str:
    """The one that is named, or the first."""
    return main or next(iter(streams))


def without_main(name: str, main: str | None, streams: list[str]) -> str | None:
    """What is wrong where the main stream of the fusion `name` is not there."""
    if main is None or main in streams:
        return None
    return f"Fusion '{name}': there is no stream '{main}' for 'main'. Streams: {', '.join(map(repr, streams))}."
