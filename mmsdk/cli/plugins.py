"""mmsdk plugins"""

from __future__ import annotations

from typing import Any

from mmsdk.cli.options import Json, answer

KINDS = {"modality": "modalities", "encoder": "encoders", "fusion": "fusions", "head": "heads"}


def command(json: Json = False) -> None:
    """Installed plugins and what they bring; a broken one is shown with the reason."""
    from mmsdk.plugins import registry

    found: list[dict[str, Any]] = []
    for plugin in registry().plugins:
        plugin.load()
        components = {KINDS[kind]: sorted(own) for kind, own in plugin.components.items()}
        origin = {"distribution": plugin.distribution, "version": plugin.version, "api": plugin.api}
        found.append({"prefix": plugin.prefix, **origin, "state": plugin.state, "reason": plugin.reason, **components})
    lines = []
    for facts in found:
        lines.append(f"{facts['distribution']} {facts['version']} (API {facts['api']}): {facts['state']}")
        lines += [f"  {facts['reason']}"] if facts["reason"] else []
        lines += [f"  {kinds}: {', '.join(facts[kinds])}" for kinds in KINDS.values() if facts[kinds]]
    answer({"plugins": found}, json, "\n".join(lines))
