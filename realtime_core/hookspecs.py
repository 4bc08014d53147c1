"""What a plugin can bring.

A plugin is a module (or object) with functions marked `hookimpl`, named by an entry point of the
group ``realtime.plugins`` in its distribution's metadata::

    [project.entry-points."realtime.plugins"]
    my-plugin = "my_package.plugin"

Each hook returns factories by name. The module is imported when plugins are first asked for, so it
should import little; a factory imports what it needs when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import pluggy

if TYPE_CHECKING:
    from realtime_core.audio import AudioRecorder, AudioSink, AudioSource
    from realtime_core.batch.engine import BatchEngine
    from realtime_core.devices import AudioDevice
    from realtime_core.middleware import EventMiddleware
    from realtime_core.speech import SpeechEngine
    from realtime_core.transport import RealtimeTransportLayer

__all__ = ["ENTRY_POINT_GROUP", "RealtimeHooks", "hookimpl"]

ENTRY_POINT_GROUP = "realtime.plugins"

hookspec = pluggy.HookspecMarker("realtime")
hookimpl = pluggy.HookimplMarker("realtime")
"""Marks a plugin's functions as implementations of the hooks below."""

SourceFactory: TypeAlias = "Callable[[str], AudioSource]"
SinkFactory: TypeAlias = "Callable[[str], AudioSink]"
TapFactory: TypeAlias = "Callable[[str], AudioRecorder]"
MiddlewareFactory: TypeAlias = "Callable[[str], EventMiddleware]"
DeviceLister: TypeAlias = "Callable[[], Sequence[AudioDevice]]"
SpeechEngineFactory: TypeAlias = "Callable[[str], SpeechEngine]"
BatchEngineFactory: TypeAlias = "Callable[[], BatchEngine]"
TransportFactory: TypeAlias = "Callable[..., RealtimeTransportLayer]"


class RealtimeHooks:
    """The hooks, documented where they are specified."""

    @hookspec
    def realtime_audio_sources(self) -> Mapping[str, SourceFactory]:
        """Audio sources by name.

        A factory gets what follows the name in a spec: ``"440"`` for ``"tone:440"``, ``""`` for
        ``"mic"``. It raises `UserError` when that does not fit. It opens nothing: `open` does.
        `realtime_core.specs.SpecFactory` makes one from a pydantic model of its options.
        """
        raise AssertionError("a specification is not called")

    @hookspec
    def realtime_audio_sinks(self) -> Mapping[str, SinkFactory]:
        """Audio sinks by name; factories as for sources."""
        raise AssertionError("a specification is not called")

    @hookspec
    def realtime_audio_taps(self) -> Mapping[str, TapFactory]:
        """Recorders of conversations by name.

        A factory gets what follows the name in a spec, and returns an `AudioRecorder`.
        """
        raise AssertionError("a specification is not called")

    @hookspec
    def realtime_audio_devices(self) -> Mapping[str, DeviceLister]:
        """What lists the audio devices of this machine, by the name of the system that has them.

        It takes nothing, may take a second, and raises `AudioError` when it cannot look, with what
        to install. ``realtime devices`` shows them.
        """
        raise AssertionError("a specification is not called")

    @hookspec
    def realtime_event_middlewares(self) -> Mapping[str, MiddlewareFactory]:
        """Event middlewares by name; factories as for sources."""
        raise AssertionError("a specification is not called")

    @hookspec
    def realtime_engines(self) -> Mapping[str, Callable[[str], Any]]:
        """Protocols without I/O by name, to feed records to (``realtime replay``).

        A factory gets what follows the name in the spec that a watch was told
        (`realtime_core.middleware.EngineWatch.attached`), and returns a `ReplayEngine`.
        """
        raise AssertionError("a specification is not called")

    @hookspec
    def realtime_batch_engines(self) -> Mapping[str, BatchEngineFactory]:
        """What runs the jobs of a batch, by name (``realtime batch --engine``).

        A factory takes nothing and returns a `realtime_core.batch.engine.BatchEngine`; it opens
        nothing.
        """
        raise AssertionError("a specification is not called")

    @hookspec
    def realtime_transports(self) -> Mapping[str, TransportFactory]:
        """Transports by name. A factory takes the keyword arguments of the transport's class."""
        raise AssertionError("a specification is not called")

    @hookspec
    def realtime_speech_engines(self) -> Mapping[str, SpeechEngineFactory]:
        """What hears and speaks, by name; factories as for sources.

        The local server's responders listen and talk with it.
        """
        raise AssertionError("a specification is not called")

    @hookspec
    def realtime_responders(self) -> Mapping[str, Callable[[str], Any]]:
        """Responders of the local server by name; factories as for sources."""
        raise AssertionError("a specification is not called")

    @hookspec
    def realtime_local_servers(self) -> Mapping[str, Callable[..., Any]]:
        """Servers that can be run on this machine, by name; ``realtime serve`` runs them.

        A factory takes ``host``, ``port``, ``responder`` and ``plugins``, and whichever of the
        other options of ``realtime serve`` it has: ``allowed_hosts``, ``allowed_origins``,
        ``api_key``, ``strict``, ``faults`` (texts), ``seed``, ``max_sessions``, ``max_session_s``,
        ``max_idle_s``, ``observer`` (`realtime_core.serving.ServerObserver`) and ``keep_events``;
        the command gives those that were asked for. It returns an asynchronous context manager
        that has ``url`` while it is open: the base URL, ending in ``/v1``. For the fixture
        `realtime_server` it also has ``websocket_url``, ``sessions`` and ``forget_sessions()``.
        """
        raise AssertionError("a specification is not called")
