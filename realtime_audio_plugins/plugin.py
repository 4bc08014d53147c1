"""The plugin of this package: registers its sources and sinks by name.

None of the modules imported here loads what reads files or plays sound: `open` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_audio_plugins import options
from realtime_audio_plugins.echo import EchoCancelledSource
from realtime_audio_plugins.file import FileSink, FileSource
from realtime_audio_plugins.microphone import MicrophoneSource
from realtime_audio_plugins.middlewares.factories import middleware_factories
from realtime_audio_plugins.null import NullSink, NullSource
from realtime_audio_plugins.pcm import PcmSink, PcmSource
from realtime_audio_plugins.portaudio import list_devices
from realtime_audio_plugins.recorder import MixedRecorder, StereoRecorder
from realtime_audio_plugins.speaker import SpeakerSink
from realtime_audio_plugins.tone import ToneSource
from realtime_core.hookspecs import hookimpl
from realtime_core.specs import SpecFactory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from realtime_core.audio import AudioRecorder, AudioSink, AudioSource
    from realtime_core.devices import AudioDevice
    from realtime_core.middleware import EventMiddleware
    from realtime_core.speech import SpeechEngine

__all__ = [
    "realtime_audio_devices",
    "realtime_audio_sinks",
    "realtime_audio_sources",
    "realtime_audio_taps",
    "realtime_event_middlewares",
    "realtime_speech_engines",
]


@hookimpl
def realtime_audio_sources() -> Mapping[str, Callable[[str], AudioSource]]:
    """Files, pipes, the microphone, tones and silence."""
    return {
        "file": SpecFactory("file", options.FileOptions, lambda o: FileSource(o.path)),
        "mic": SpecFactory("mic", options.MicrophoneOptions, _microphone),
        "null": SpecFactory("null", options.NoOptions, lambda _: NullSource()),
        "pcm": SpecFactory("pcm", options.PcmSourceOptions, _pcm_source),
        "silence": SpecFactory("silence", options.SilenceOptions, _silence),
        "tone": SpecFactory("tone", options.ToneOptions, _tone),
    }


@hookimpl
def realtime_audio_sinks() -> Mapping[str, Callable[[str], AudioSink]]:
    """Files, pipes, the speaker, and nothing."""
    return {
        "file": SpecFactory("file", options.FileOptions, lambda o: FileSink(o.path)),
        "null": SpecFactory("null", options.NoOptions, lambda _: NullSink()),
        "pcm": SpecFactory("pcm", options.PcmSinkOptions, _pcm_sink),
        "speaker": SpecFactory("speaker", options.SpeakerOptions, _speaker),
    }


@hookimpl
def realtime_audio_taps() -> Mapping[str, Callable[[str], AudioRecorder]]:
    """Recordings of both sides, in two channels or one."""
    return {
        "mix": SpecFactory("mix", options.RecorderOptions, lambda o: MixedRecorder(o.path)),
        "stereo": SpecFactory("stereo", options.RecorderOptions, lambda o: StereoRecorder(o.path)),
    }


@hookimpl
def realtime_audio_devices() -> Mapping[str, Callable[[], Sequence[AudioDevice]]]:
    """What the microphone and the speaker choose from."""
    return {"portaudio": list_devices}


@hookimpl
def realtime_event_middlewares() -> Mapping[str, Callable[[str], EventMiddleware]]:
    """What looks at events: logs, records, redacts, measures, traces."""
    return middleware_factories()


@hookimpl
def realtime_speech_engines() -> Mapping[str, Callable[[str], SpeechEngine]]:
    """English speech on this machine."""
    return {"local": SpecFactory("local", options.NoOptions, _local_speech)}


def _local_speech(_: options.NoOptions) -> SpeechEngine:
    from realtime_audio_plugins.speech import LocalSpeechEngine

    return LocalSpeechEngine()


def _microphone(chosen: options.MicrophoneOptions) -> AudioSource:
    microphone = MicrophoneSource(chosen.device, buffer_ms=chosen.buffer_ms)
    return EchoCancelledSource(microphone) if chosen.aec else microphone


def _speaker(chosen: options.SpeakerOptions) -> AudioSink:
    return SpeakerSink(chosen.device, buffer_ms=chosen.buffer_ms)


def _pcm_source(chosen: options.PcmSourceOptions) -> AudioSource:
    return PcmSource(
        chosen.path,
        rate_hz=chosen.rate,
        channels=chosen.channels,
        live=chosen.live,
        buffer_ms=chosen.buffer_ms,
    )


def _pcm_sink(chosen: options.PcmSinkOptions) -> AudioSink:
    return PcmSink(
        chosen.path, rate_hz=chosen.rate, channels=chosen.channels, buffer_ms=chosen.buffer_ms
    )


def _silence(chosen: options.SilenceOptions) -> AudioSource:
    return NullSource(chosen.seconds, rate_hz=chosen.rate)


def _tone(chosen: options.ToneOptions) -> AudioSource:
    return ToneSource(chosen.hz, chosen.seconds, rate_hz=chosen.rate, amplitude=chosen.amplitude)
