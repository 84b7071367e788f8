"""Find, load and index plugins.

Looking is cheap: it reads package metadata only. A plugin is imported when a config names one of its components (the
prefix says which plugin that is), so a slow or broken plugin costs nothing to those who do not use it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from mmsdk.errors import PluginError, UnknownComponentError, listed, unknown_component

API = "v1"
GROUP = f"mmsdk.{API}"
COMMANDS = f"{GROUP}.commands"
HOOKS: Mapping[str, str] = {
    "modality": "mmsdk_modalities",
    "encoder": "mmsdk_encoders",
    "fusion": "mmsdk_fusions",
    "head": "mmsdk_heads",
}
Kind = Literal["modality", "encoder", "fusion", "head"]
State = Literal["found", "loaded", "failed", "incompatible", "conflict"]


@dataclass
class Plugin:
    """One plugin: where it comes from, and once it is loaded, the components of each kind by their `type`."""

    prefix: str
    module: str
    distribution: str
    version: str
    api: str = API
    state: State = "found"
    reason: str | None = None
    components: dict[str, dict[str, type[Any]]] = field(default_factory=lambda: {kind: {} for kind in HOOKS})

    def load(self) -> None:
        """Import the plugin and ask its hooks, once. A failure is kept as `reason`, never raised."""
        if self.state != "found":
            return
        try:
            self.components = _collect(import_module(self.module), self.prefix)
            self.state = "loaded"
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: a plugin may not end the program
            self.state = "failed"
            self.reason = (
                f"plugin '{self.prefix}' ({self.distribution} {self.version}) is installed but failed to load: "
            )
            self.reason += f"{type(error).__name__}: {error}"


def _collect(module: object, prefix: str) -> dict[str, dict[str, type[Any]]]:
    """What the hooks of one plugin return, checked. A manager of its own keeps a raising hook from the others."""
    import pluggy  # here, because looking at metadata alone does without it

    from mmsdk import hookspecs

    manager = pluggy.PluginManager("mmsdk")
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    found: dict[str, dict[str, type[Any]]] = {}
    for kind, hook in HOOKS.items():
        found[kind] = {}
        for component in (item for items in getattr(manager.hook, hook)() for item in items):
            name = component_type(component, kind)
            if prefix and not name.startswith(prefix + "."):
                raise PluginError(f"its {kind} '{name}' must be called '{prefix}.{name.rpartition('.')[2]}'")
            found[kind][name] = component
    return found


def component_type(component: type[Any], kind: str) -> str:
    """The `type` of a config class, such as 'speech.crnn'; checks that the class is a declaration of that kind."""
    if getattr(component, "kind", None) != kind:
        raise PluginError(f"{HOOKS[kind]} returned {component!r}, which is not a {kind} config class")
    name = component.type_name()
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", name):
        raise PluginError(
            f"{component.__name__} needs a field like: type: Literal['prefix.name'] = 'prefix.name' "
            f"(lower case, digits and underscores), not {name!r}"
        )
    return name


class Registry:
    """All components that can be named in a config, by kind and `type`."""

    def __init__(self, found: Iterable[EntryPoint] | None = None) -> None:
        core = Plugin("", "mmsdk.builtin.plugin", "mmsdk", _version("mmsdk"))
        self.plugins = [core, *_plugins(_installed() if found is None else found)]
        self.local: dict[str, dict[str, type[Any]]] = {kind: {} for kind in HOOKS}

    def find(self, kind: Kind, name: str) -> type[Any]:
        """The config class of a component; imports only the plugin that has its prefix.

        Raises:
            UnknownComponentError: there is no such component, or its plugin cannot be used.
        """
        if name in self.local[kind]:
            return self.local[kind][name]
        prefix, dot, _ = name.partition(".")
        owners = [plugin for plugin in self.plugins if plugin.prefix == (prefix if dot else "")]
        for owner in owners:
            owner.load()
            if name in owner.components[kind]:
                return owner.components[kind][name]
        known = [*self.local[kind], *(other for owner in owners for other in owner.components[kind])]
        if not owners:
            known += [other for plugin in self.plugins[:1] for other in plugin.components[kind]]
        reason = next((owner.reason for owner in owners if owner.reason), None)
        raise UnknownComponentError(unknown_component(kind, name, sorted(known), reason))

    def all(self, kind: Kind) -> dict[str, type[Any]]:
        """Every component of a kind, sorted by `type`; imports all plugins."""
        found = dict(self.local[kind])
        for plugin in self.plugins:
            plugin.load()
            found |= plugin.components[kind]
        return dict(sorted(found.items()))

    def owner(self, name: str) -> Plugin | None:
        """The plugin that has the prefix of a component; None for one that was registered in this process."""
        if any(name in components for components in self.local.values()):
            return None
        prefix, dot, _ = name.partition(".")
        return next((plugin for plugin in self.plugins if plugin.prefix == (prefix if dot else "")), None)

    def register(self, component: type[Any]) -> None:
        kind = str(getattr(component, "kind", None))
        if kind not in HOOKS:
            raise PluginError(f"{component!r} is not a config class of {listed(HOOKS)}")
        name = component_type(component, kind)
        owner = self.owner(name)
        if owner is not None:
            owner.load()
            if name in owner.components[kind]:
                raise PluginError(f"{kind} '{name}' exists already, in {owner.distribution}: choose another type")
        self.local[kind][name] = component


def _installed() -> Iterable[EntryPoint]:
    points = entry_points()
    return (point for group in points.groups for point in points.select(group=group))


def _plugins(found: Iterable[EntryPoint]) -> list[Plugin]:
    """The plugins that the metadata names, each once; two of one prefix exclude each other."""
    plugins: dict[tuple[str, str, str], Plugin] = {}
    for point in found:
        group = re.fullmatch(r"mmsdk\.(v\d+)", point.group)
        if group is None:
            continue
        name = point.dist.name if point.dist else "unknown"
        plugin = Plugin(point.name, point.module, name, point.dist.version if point.dist else "?", group[1])
        if plugin.api != API:
            plugin.state = "incompatible"
            plugin.reason = f"{name} needs plugin API {plugin.api}, this mmsdk speaks {API}: "
            plugin.reason += "pip install -U mmsdk" if plugin.api > API else f"pip install -U {name}"
        plugins[(group[1], point.name, name)] = plugin
    usable = [plugin for plugin in plugins.values() if plugin.state == "found"]
    for plugin in usable:
        rivals = [other.distribution for other in usable if other.prefix == plugin.prefix]
        if len(rivals) > 1:
            plugin.state = "conflict"
            plugin.reason = f"{listed(sorted(rivals))} both claim the prefix '{plugin.prefix}': uninstall one of them"
    return sorted(plugins.values(), key=lambda plugin: (plugin.prefix, plugin.distribution))


def _version(distribution: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"


@cache
def registry() -> Registry:
    """The registry of this process."""
    return Registry()


def register(component: type[Any]) -> type[Any]:
    """Make a config class known in this process only, for notebooks and experiments. Usable as a decorator.

    Raises:
        PluginError: the class is not a declaration, or its `type` is taken.
    """
    registry().register(component)
    return component
