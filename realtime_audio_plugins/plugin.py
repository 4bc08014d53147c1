"""The plugin of this package: registers its sources and sinks by name.

None of the modules imported here loads what reads files or plays sound: `open` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_audio_plugins.device import MicrophoneSource, SpeakerSink
from realtime_audio_plugins.file import FileSink, FileSource
from realtime_audio_plugins.null import NullSink, NullSource
from realtime_audio_plugins.recorder import StereoRecorder
from realtime_audio_plugins.tone import ToneSource
from realtime_core.errors import ValidationError
from realtime_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from realtime_core.audio import AudioRecorder, AudioSink, AudioSource

__all__ = ["realtime_audio_sinks", "realtime_audio_sources", "realtime_audio_taps"]


@hookimpl
def realtime_audio_sources() -> Mapping[str, Callable[[str], AudioSource]]:
    """``file:PATH``, ``mic[:NAME or INDEX]``, ``tone[:HZ]``, ``silence[:SECONDS]``, ``null``."""
    return {
        "file": _file_source,
        "mic": _microphone,
        "null": _null_source,
        "silence": _silence,
        "tone": _tone,
    }


@hookimpl
def realtime_audio_sinks() -> Mapping[str, Callable[[str], AudioSink]]:
    """``file:PATH``, ``speaker[:NAME or INDEX]``, ``null``."""
    return {"file": _file_sink, "null": _null_sink, "speaker": _speaker}


@hookimpl
def realtime_audio_taps() -> Mapping[str, Callable[[str], AudioRecorder]]:
    """``stereo:PATH``."""
    return {"stereo": _stereo}


def _stereo(path: str) -> AudioRecorder:
    return StereoRecorder(_require_path(path))


def _file_source(path: str) -> AudioSource:
    return FileSource(_require_path(path))


def _file_sink(path: str) -> AudioSink:
    return FileSink(_require_path(path))


def _null_source(argument: str) -> AudioSource:
    _require_nothing("null", argument)
    return NullSource()


def _null_sink(argument: str) -> AudioSink:
    _require_nothing("null", argument)
    return NullSink()


def _silence(duration_s: str) -> AudioSource:
    return NullSource(_number("silence", "seconds", duration_s) if duration_s else None)


def _tone(frequency_hz: str) -> AudioSource:
    return ToneSource(_number("tone", "Hz", frequency_hz) if frequency_hz else 440.0)


def _microphone(device: str) -> AudioSource:
    return MicrophoneSource(_device(device))


def _speaker(device: str) -> AudioSink:
    return SpeakerSink(_device(device))


def _require_path(path: str) -> str:
    if not path:
        raise ValidationError(
            "'file:' needs the path of a file after it, as in 'file:question.wav'"
        )
    return path


def _require_nothing(name: str, argument: str) -> None:
    if argument:
        raise ValidationError(f"{name!r} takes nothing after it, not {argument!r}")


def _number(name: str, unit: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as exc:
        raise ValidationError(
            f"what follows '{name}:' must be a number of {unit}, not {text!r}"
        ) from exc


def _device(text: str) -> int | str | None:
    """An index where it is a number, part of a name where it is not, None where there is none."""
    return int(text) if text.isdecimal() else text or None
