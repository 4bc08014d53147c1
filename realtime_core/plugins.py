"""Finds plugins and makes what they bring, by name.

Each entry point is loaded on its own: a broken plugin is named, with its traceback, when one asks
for the list or for something that is not there, and never stops the rest.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import os
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pluggy

from realtime_core.errors import PluginError
from realtime_core.hookspecs import ENTRY_POINT_GROUP, RealtimeHooks

if TYPE_CHECKING:
    from realtime_core.audio import AudioRecorder, AudioSink, AudioSource
    from realtime_core.middleware import EventMiddleware

__all__ = ["PluginManager", "PluginStatus", "default_plugins"]

OWN_DISTRIBUTION = "realtime-transports"
ALLOW_VARIABLE = "REALTIME_PLUGINS"

KINDS = {
    "source": "realtime_audio_sources",
    "sink": "realtime_audio_sinks",
    "tap": "realtime_audio_taps",
    "middleware": "realtime_event_middlewares",
    "transport": "realtime_transports",
    "responder": "realtime_responders",
    "local server": "realtime_local_servers",
}
"""What plugins bring, and the hook that brings it."""

Factory = Callable[..., Any]


@dataclass
class PluginStatus:
    """What became of one plugin."""

    name: str
    distribution: str
    version: str
    provides: dict[str, list[str]] = field(default_factory=dict)
    """Names by kind (`KINDS`)."""
    error: str | None = None
    """The traceback, if it could not be loaded or one of its hooks raised."""
    is_allowed: bool = True
    """False when the allow-list leaves it out; it is then not loaded."""


class PluginManager:
    """The plugins of this environment."""

    def __init__(
        self,
        *,
        allow: Collection[str] | None = None,
        entry_points: Iterable[importlib.metadata.EntryPoint] | None = None,
    ) -> None:
        """Find plugins; they are loaded when something is first asked for.

        Args:
            allow: Names of the entry points to load besides this distribution's own. None allows
                all, an empty collection none.
            entry_points: Where to find plugins; None means the installed distributions'.
        """
        self._allow = allow
        self._entry_points = entry_points
        self._manager = pluggy.PluginManager("realtime")
        self._manager.add_hookspecs(RealtimeHooks)
        self._statuses: dict[str, PluginStatus] = {}
        self._factories: dict[str, dict[str, list[tuple[str, Factory]]]] = {k: {} for k in KINDS}
        self._is_loaded = False

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin that is not installed, for this process.

        Raises:
            PluginError: A plugin of this name is there already.
        """
        self._load()
        self._add(plugin, PluginStatus(name, "this process", ""))

    def statuses(self) -> list[PluginStatus]:
        """All plugins found, in the order in which they were loaded."""
        self._load()
        return list(self._statuses.values())

    def names(self, kind: str) -> list[str]:
        """The names of one kind (`KINDS`), sorted."""
        self._load()
        return sorted(self._factories[kind])

    def factory(self, kind: str, name: str) -> Factory:
        """The factory of this name.

        Raises:
            PluginError: There is none, or there are several.
        """
        self._load()
        found = self._factories[kind].get(name, [])
        if len(found) == 1:
            return found[0][1]
        if found:
            owners = ", ".join(owner for owner, _ in found)
            raise PluginError(f"several plugins bring a {kind} {name!r}: {owners}")
        raise PluginError(f"there is no {kind} {name!r}{self._hint(kind, name)}")

    def source(self, spec: str) -> AudioSource:
        """The audio source that a spec such as ``"file:question.wav"`` names."""
        made: AudioSource = self._make("source", spec)
        return made

    def sink(self, spec: str) -> AudioSink:
        """The audio sink that a spec such as ``"file:answer.wav"`` names."""
        made: AudioSink = self._make("sink", spec)
        return made

    def tap(self, spec: str) -> AudioRecorder:
        """The recorder that a spec such as ``"stereo:both.wav"`` names."""
        made: AudioRecorder = self._make("tap", spec)
        return made

    def middleware(self, spec: str) -> EventMiddleware:
        """The event middleware that a spec names."""
        made: EventMiddleware = self._make("middleware", spec)
        return made

    def _make(self, kind: str, spec: str) -> Any:
        name, _, argument = spec.partition(":")
        return self.factory(kind, name)(argument)

    def _hint(self, kind: str, name: str) -> str:
        known = self.names(kind)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(known)}"
        broken = [status.name for status in self._statuses.values() if status.error]
        if broken:
            hint += f" (not loaded: {', '.join(broken)}; `realtime plugins` says why)"
        return hint

    def _load(self) -> None:
        if self._is_loaded:
            return
        self._is_loaded = True
        entry_points = self._entry_points
        if entry_points is None:
            entry_points = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
        for entry_point in entry_points:
            self._load_entry_point(entry_point)

    def _load_entry_point(self, entry_point: importlib.metadata.EntryPoint) -> None:
        distribution = entry_point.dist
        status = PluginStatus(
            entry_point.name,
            distribution.name if distribution else "unknown",
            distribution.version if distribution else "",
        )
        if not self._is_allowed(status):
            status.is_allowed = False
            self._statuses[status.name] = status
            return
        try:
            plugin = entry_point.load()
            self._add(plugin, status)
        except Exception:  # a plugin is foreign code
            status.error = traceback.format_exc()
            self._statuses.setdefault(f"{status.distribution}: {status.name}", status)

    def _is_allowed(self, status: PluginStatus) -> bool:
        if self._allow is None or status.distribution == OWN_DISTRIBUTION:
            return True
        return status.name in self._allow

    def _add(self, plugin: object, status: PluginStatus) -> None:
        if status.name in self._statuses:
            other = self._statuses[status.name].distribution
            raise PluginError(f"{other} has a plugin of this name too", plugin=status.name)
        self._manager.register(plugin, name=status.name)
        self._statuses[status.name] = status
        for kind, hook in KINDS.items():
            for impl in getattr(self._manager.hook, hook).get_hookimpls():
                if impl.plugin is plugin:
                    self._collect(kind, impl.function, status)

    def _collect(
        self, kind: str, hook: Callable[[], Mapping[str, Factory]], status: PluginStatus
    ) -> None:
        try:
            factories = dict(hook())
        except Exception:  # a plugin is foreign code
            status.error = traceback.format_exc()
            return
        status.provides[kind] = sorted(factories)
        for name, factory in factories.items():
            self._factories[kind].setdefault(name, []).append((status.name, factory))


_default: PluginManager | None = None


def default_plugins() -> PluginManager:
    """The plugin manager of this process, for whoever does not bring one.

    The environment variable ``REALTIME_PLUGINS`` limits it: names of plugins to load besides our
    own, separated by commas; set and empty means none.
    """
    global _default  # noqa: PLW0603 - one cache a process, as entry points are the process's
    if _default is None:
        allowed = os.environ.get(ALLOW_VARIABLE)
        names = None if allowed is None else [n.strip() for n in allowed.split(",") if n.strip()]
        _default = PluginManager(allow=names)
    return _default
