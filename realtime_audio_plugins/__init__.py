"""Where audio comes from and goes to: files, devices, tones, silence, recordings."""

from realtime_audio_plugins.device import MicrophoneSource, SpeakerSink
from realtime_audio_plugins.file import FileSink, FileSource
from realtime_audio_plugins.null import NullSink, NullSource
from realtime_audio_plugins.recorder import StereoRecorder
from realtime_audio_plugins.tone import ToneSource

__all__ = [
    "FileSink",
    "FileSource",
    "MicrophoneSource",
    "NullSink",
    "NullSource",
    "SpeakerSink",
    "StereoRecorder",
    "ToneSource",
]
