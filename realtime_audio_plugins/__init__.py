"""Where audio comes from and goes to: files, pipes, devices, tones, silence, recordings."""

from realtime_audio_plugins.echo import EchoCancelledSource
from realtime_audio_plugins.file import FileSink, FileSource
from realtime_audio_plugins.microphone import MicrophoneSource
from realtime_audio_plugins.null import NullSink, NullSource
from realtime_audio_plugins.pcm import PcmSink, PcmSource
from realtime_audio_plugins.recorder import MixedRecorder, StereoRecorder
from realtime_audio_plugins.speaker import SpeakerSink
from realtime_audio_plugins.tone import ToneSource

__all__ = [
    "EchoCancelledSource",
    "FileSink",
    "FileSource",
    "MicrophoneSource",
    "MixedRecorder",
    "NullSink",
    "NullSource",
    "PcmSink",
    "PcmSource",
    "SpeakerSink",
    "StereoRecorder",
    "ToneSource",
]
