"""The page at /: its parts as one answer, with a policy that lets nothing from outside in."""

from __future__ import annotations

import secrets
from pathlib import Path

from starlette.responses import HTMLResponse

FOLDER = Path(__file__).parent
SCRIPTS = ("page.js", "inputs.js", "recorder.js", "answers.js", "gallery.js")


def page() -> HTMLResponse:
    """The page, with a nonce of its own."""
    nonce = secrets.token_urlsafe(16)
    parts = {"style": _text("page.css"), "script": "".join(map(_text, SCRIPTS)), "nonce": nonce}
    content = _text("page.html")
    for name, value in parts.items():
        content = content.replace("{{" + name + "}}", value)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src data: blob:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}
    return HTMLResponse(content, headers=headers)


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
