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

from realtime_core.errors import PluginError, RealtimeError
from realtime_core.hookspecs import ENTRY_POINT_GROUP, RealtimeHooks

if TYPE_CHECKING:
    from realtime_core.audio import AudioRecorder, AudioSink, AudioSource
    from realtime_core.middleware import EventMiddleware
    from realtime_core.replay import ReplayEngine
    from realtime_core.specs import Option
    from realtime_core.speech import SpeechEngine

__all__ = ["PluginManager", "PluginStatus", "default_plugins"]

OWN_DISTRIBUTION = "realtime-transports"
ALLOW_VARIABLE = "REALTIME_PLUGINS"

KINDS = {
    "source": "realtime_audio_sources",
    "sink": "realtime_audio_sinks",
    "tap": "realtime_audio_taps",
    "devices": "realtime_audio_devices",
    "middleware": "realtime_event_middlewares",
    "engine": "realtime_engines",
    "batch engine": "realtime_batch_engines",
    "transport": "realtime_transports",
    "speech engine": "realtime_speech_engines",
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
    options: dict[str, dict[str, tuple[Option, ...]]] = field(default_factory=dict)
    """By kind and name, where a factory tells its options."""
    error: str | None = None
    """What is wrong with it: the traceback, if it could not be loaded or one of its hooks raised;
    what works is there all the same."""
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
            allow: Names of the entry points to load besides this distribution's own; an empty
                collection allows none. None means what the environment variable
                ``REALTIME_PLUGINS`` says: names, separated by commas; where it is not set, all.
            entry_points: Where to find plugins; None means the installed distributions'.
        """
        self._allow = allow
        self._entry_points = entry_points
        self._manager = pluggy.PluginManager("realtime")
        self._manager.add_hookspecs(RealtimeHooks)
        self._statuses: list[PluginStatus] = []
        self._loaded: dict[str, PluginStatus] = {}
        self._factories: dict[str, dict[str, list[tuple[str, Factory]]]] = {k: {} for k in KINDS}
        self._is_loaded = False

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin that is not installed, for this process.

        Raises:
            PluginError: A plugin of this name is there already, or its hooks do not fit.
        """
        self._load()
        status = PluginStatus(name, "this process", "")
        self._add(plugin, status)
        self._statuses.append(status)

    def statuses(self) -> list[PluginStatus]:
        """All plugins found, in the order in which they were loaded."""
        self._load()
        return list(self._statuses)

    def names(self, kind: str) -> list[str]:
        """The names of one kind (`KINDS`), sorted."""
        self._load()
        return sorted(self._factories[kind])

    def factory(self, kind: str, name: str) -> Factory:
        """The factory of this name.

        Raises:
            PluginError: There is none, or there are several.
        """
        return self._find(kind, name)[1]

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

    def engine(self, spec: str) -> ReplayEngine:
        """The engine that a record's header names."""
        made: ReplayEngine = self._make("engine", spec)
        return made

    def speech_engine(self, spec: str) -> SpeechEngine:
        """The speech engine that a spec such as ``"local"`` names."""
        made: SpeechEngine = self._make("speech engine", spec)
        return made

    def responder(self, spec: str) -> Any:
        """The local server's responder that a spec such as ``"parrot"`` names."""
        return self._make("responder", spec)

    def _find(self, kind: str, name: str) -> tuple[str, Factory]:
        """The plugin that brings this name, and the factory."""
        self._load()
        found = self._factories[kind].get(name, [])
        if len(found) == 1:
            return found[0]
        if found:
            owners = ", ".join(owner for owner, _ in found)
            raise PluginError(f"several plugins bring a {kind} {name!r}: {owners}")
        raise PluginError(f"there is no {kind} {name!r}{self._hint(kind, name)}")

    def _make(self, kind: str, spec: str) -> Any:
        name, argument = _name_and_rest(spec)
        owner, factory = self._find(kind, name)
        try:
            made = factory(argument)
        except RealtimeError:
            raise
        except Exception as exc:  # a plugin is foreign code
            raise PluginError(
                f"plugin {owner} could not make the {kind} {spec!r}: {type(exc).__name__}: {exc}",
                plugin=owner,
            ) from exc
        if made is None:  # a forgotten `return`; elsewhere None means silence
            raise PluginError(f"plugin {owner} made no {kind} of {spec!r} but None", plugin=owner)
        return made

    def _hint(self, kind: str, name: str) -> str:
        known = self.names(kind)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ";"
        hint += f" there are: {_listed(known)}"
        broken = [
            f"{each.name} ({_last_line(each.error)})" for each in self._statuses if each.error
        ]
        if broken:
            hint += f" (broken: {_listed(broken)}; `realtime plugins` says more)"
        left_out = [status.name for status in self._statuses if not status.is_allowed]
        if left_out:
            hint += f" (not allowed, so not loaded: {_listed(left_out)})"
        return hint

    def _load(self) -> None:
        if self._is_loaded:
            return
        self._is_loaded = True
        if self._allow is None:
            self._allow = _allowed_by_environment()
        found = self._entry_points
        if found is None:
            found = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
        # Our own come first, so that nobody else's can take their names.
        for entry_point in sorted(found, key=lambda each: not _is_own(each)):
            self._load_entry_point(entry_point)

    def _load_entry_point(self, entry_point: importlib.metadata.EntryPoint) -> None:
        distribution = entry_point.dist
        status = PluginStatus(
            entry_point.name,
            distribution.name if distribution else "unknown",
            distribution.version if distribution else "",
        )
        self._statuses.append(status)
        if not _is_own(entry_point) and self._allow is not None:
            status.is_allowed = status.name in self._allow
        if not status.is_allowed:
            return
        try:
            self._add(entry_point.load(), status)
        except (Exception, SystemExit):  # a plugin is foreign code; it may even want to exit
            _note(status, traceback.format_exc())

    def _add(self, plugin: object, status: PluginStatus) -> None:
        if status.name in self._loaded:
            other = self._loaded[status.name].distribution
            raise PluginError(f"{other} has a plugin of this name too", plugin=status.name)
        try:
            self._manager.register(plugin, name=status.name)
        except pluggy.PluginValidationError as exc:
            if self._manager.is_registered(plugin):  # older pluggy leaves it half registered
                self._manager.unregister(plugin)
            raise PluginError(f"a hook does not fit: {exc}", plugin=status.name) from exc
        except ValueError as exc:
            raise PluginError(f"this plugin is there already: {exc}", plugin=status.name) from exc
        self._loaded[status.name] = status
        kinds = {hook: kind for kind, hook in KINDS.items()}
        for caller in self._manager.get_hookcallers(plugin) or ():
            for impl in caller.get_hookimpls():
                if impl.plugin is not plugin:
                    continue
                if caller.name in kinds:
                    self._collect(kinds[caller.name], impl.function, status)
                elif not impl.optionalhook:
                    _note(status, f"there is no hook {caller.name}{_did_you_mean(caller.name)}")

    def _collect(self, kind: str, hook: Callable[..., Any], status: PluginStatus) -> None:
        from realtime_core.specs import describe_options

        try:
            factories = dict(hook())
            _check_factories(factories)
            options = {name: describe_options(each) for name, each in factories.items()}
        except (Exception, SystemExit):  # a plugin is foreign code
            _note(status, f"{KINDS[kind]}: {traceback.format_exc()}")
            return
        status.provides[kind] = sorted(factories)
        if told := {name: options[name] for name in sorted(options) if options[name]}:
            status.options[kind] = told
        for name, factory in factories.items():
            self._factories[kind].setdefault(name, []).append((status.name, factory))


def _name_and_rest(spec: str) -> tuple[str, str]:
    """A spec's name and what a factory gets: the colon may be left out before options."""
    name, _, rest = spec.partition(":")
    if "?" in name:
        name, _, options = spec.partition("?")
        return name, f"?{options}"
    return name, rest


def _is_own(entry_point: importlib.metadata.EntryPoint) -> bool:
    return entry_point.dist is not None and entry_point.dist.name == OWN_DISTRIBUTION


def _allowed_by_environment() -> list[str] | None:
    allowed = os.environ.get(ALLOW_VARIABLE)
    if allowed is None:
        return None
    return [name.strip() for name in allowed.split(",") if name.strip()]


def _check_factories(factories: Mapping[Any, Any]) -> None:
    for name, factory in factories.items():
        if not isinstance(name, str) or not callable(factory):
            raise TypeError(f"a hook returns callables by name, not {factory!r} by {name!r}")


def _note(status: PluginStatus, problem: str) -> None:
    status.error = f"{status.error}\n{problem}" if status.error else problem


def _last_line(error: str) -> str:
    """What a traceback comes to."""
    return next((line for line in reversed(error.splitlines()) if line.strip()), "").strip()


def _did_you_mean(hook: str) -> str:
    close = difflib.get_close_matches(hook, KINDS.values(), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


_default: PluginManager | None = None


def default_plugins() -> PluginManager:
    """The plugin manager of this process, for whoever does not bring one."""
    global _default  # noqa: PLW0603 - one cache a process, as entry points are the process's
    if _default is None:
        _default = PluginManager()
    return _default
