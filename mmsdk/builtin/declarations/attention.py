"""Attention heads share a width evenly; encoders and fusions refuse a config where they cannot."""

from __future__ import annotations

from mmsdk.fields import errors_at


def require_even_heads(title: str, width: int, heads: int) -> None:
    """Raise a pydantic error at `heads` that names the largest number that would do."""
    if width % heads:
        best = max(number for number in range(1, min(heads, width) + 1) if width % number == 0)
        message = f"{heads} heads cannot share a width of {width} evenly: give 'heads: {best}'"
        raise errors_at(title, [(("heads",), message)])
