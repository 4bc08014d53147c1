"""The audio of one call: its source, sink and media path, opened and closed together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from realtime_core.errors import AudioError
from realtime_core.events import AudioEvent
from realtime_core.plugins import default_plugins
from realtime_core.resample import StreamingResampler
from realtime_core.taps import is_tap, join_taps
from realtime_transports.audio.foreign import close_within, naming

if TYPE_CHECKING:
    from realtime_core.audio import AudioFrame, AudioSink, AudioSource, AudioTap
    from realtime_core.plugins import PluginManager
    from realtime_transports.openai.audio_labels import AudioLabel

__all__ = ["AudioEvents", "AudioSettings", "CallAudio"]

MediaT = TypeVar("MediaT")
"""What carries the audio between source, link and sink."""

EVENT_RATE_HZ = 24_000
"""The rate of `audio` events on every transport."""

TAIL_S = 0.2
"""Audio that is still on its way when the server tells that it has sent all of a response."""

CLOSE_DEADLINE_S = 5.0

DEFAULT_DEVICES = ("mic", "speaker")


@dataclass(frozen=True)
class AudioSettings(Generic[MediaT]):
    """What a transport was told about audio."""

    source: AudioSource | str | None
    sink: AudioSink | str | None
    tap: AudioTap | None
    plugins: PluginManager | None
    make_media_path: Callable[..., MediaT]
    """Called with `source`, `sink`, `tap`, `on_frame` and `on_error`; source and sink are open."""


class CallAudio(Generic[MediaT]):
    """Opens what a call needs, and closes what it made itself."""

    def __init__(self, settings: AudioSettings[MediaT]) -> None:
        """Nothing is made yet."""
        self._settings = settings
        self._owned_source: AudioSource | None = None
        self._owned_sink: AudioSink | None = None
        self.media: MediaT | None = None

    async def open(
        self,
        *,
        on_frame: Callable[[AudioFrame], None],
        on_error: Callable[[Exception], None],
    ) -> MediaT:
        """Open sink and source and make the media path.

        Raises:
            AudioError: One of them cannot be opened.
            PluginError: A spec names none.
        """
        sink, source = self._make_sink(), self._make_source()
        if sink is not None:
            with _advising("sink", self._settings.sink), naming("sink", sink):
                await sink.open()
        if source is not None:
            with _advising("source", self._settings.source), naming("source", source):
                await source.open()
        self.media = self._settings.make_media_path(
            source=source,
            sink=sink,
            # An echo canceller is a source that has to hear what is played.
            tap=join_taps(self._settings.tap, source if is_tap(source) else None),
            on_frame=on_frame,
            on_error=on_error,
        )
        return self.media

    async def close(self, *, complete: bool) -> None:
        """Close what was made here; its media path is closed by then.

        Args:
            complete: Whether the call came to its proper end.

        Raises:
            AudioError: One of them cannot be closed; the other one is.
        """
        source, sink = self._owned_source, self._owned_sink
        failures: list[AudioError | None] = []
        if source is not None:
            closing = source.close()
            failures.append(await close_within(CLOSE_DEADLINE_S, "source", source, closing))
        if sink is not None:
            closing = sink.close(complete=complete)
            failures.append(await close_within(CLOSE_DEADLINE_S, "sink", sink, closing))
        for failure in filter(None, failures):
            raise failure

    def _make_source(self) -> AudioSource | None:
        given = self._settings.source
        if isinstance(given, str):
            plugins = self._settings.plugins or default_plugins()
            given = self._owned_source = plugins.source(given)
        return given

    def _make_sink(self) -> AudioSink | None:
        given = self._settings.sink
        if isinstance(given, str):
            plugins = self._settings.plugins or default_plugins()
            given = self._owned_sink = plugins.sink(given)
        return given


@contextmanager
def _advising(role: str, given: object) -> Iterator[None]:
    """Say how to do without a device that is missing where it is what a transport takes unasked."""
    try:
        yield
    except AudioError as exc:
        if given not in DEFAULT_DEVICES:
            raise
        raise AudioError(f"{exc}; pass {role}=None for none") from exc


class AudioEvents:
    """Makes `audio` events of the frames of one call."""

    def __init__(
        self,
        current_label: Callable[[], AudioLabel | None],
        tell: Callable[[AudioEvent], object],
        is_wanted: Callable[[], bool],
    ) -> None:
        """Connect both ends.

        Args:
            current_label: What the audio that comes now belongs to; None between responses.
            tell: Gets the events.
            is_wanted: Whether anybody listens; nothing is made for nobody.
        """
        self._current_label = current_label
        self._tell = tell
        self._is_wanted = is_wanted
        self._resampler: StreamingResampler | None = None
        self._label: AudioLabel | None = None
        self._tail_s = 0.0

    def push(self, frame: AudioFrame) -> None:
        """Take a frame that came from the peer."""
        label = self._label_for(frame)
        if label is None or not self._is_wanted():
            self._resampler = None
            return
        if self._resampler is None:
            self._resampler = StreamingResampler(frame.rate_hz, EVENT_RATE_HZ, 1, low_delay=True)
        samples = self._resampler.push(frame.to_mono().reshape(-1, 1))
        if len(samples):
            data = samples.astype("<i2", copy=False).tobytes()
            self._tell(AudioEvent(data, label.response_id, label.item_id, label.content_index))

    def clear(self) -> None:
        """The model was interrupted: what still comes belongs to nothing."""
        self._label = None

    def _label_for(self, frame: AudioFrame) -> AudioLabel | None:
        current = self._current_label()
        if current is not None:
            self._label, self._tail_s = current, 0.0
        elif self._label is not None:
            self._tail_s += frame.duration_s
            if self._tail_s > TAIL_S:
                self._label = None
        return self._label
