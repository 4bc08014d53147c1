"""The names under which this package's sources and sinks are found."""

import subprocess
import sys

import pluggy
import pytest

import realtime_audio_plugins
from realtime_audio_plugins import plugin
from realtime_core.audio import AudioSink, AudioSource
from realtime_core.errors import UserError, ValidationError
from realtime_core.hookspecs import RealtimeHooks


@pytest.fixture
def factories():
    manager = pluggy.PluginManager("realtime")
    manager.add_hookspecs(RealtimeHooks)
    manager.register(plugin)
    manager.check_pending()
    (sources,) = manager.hook.realtime_audio_sources()
    (sinks,) = manager.hook.realtime_audio_sinks()
    return {"source": sources, "sink": sinks}


@pytest.mark.parametrize(
    ("kind", "name", "argument", "made"),
    [
        ("source", "file", "question.wav", "FileSource"),
        ("source", "file", "C:/with:colon.wav", "FileSource"),
        ("source", "tone", "", "ToneSource"),
        ("source", "tone", "1000.5", "ToneSource"),
        ("source", "silence", "", "NullSource"),
        ("source", "silence", "2.5", "NullSource"),
        ("source", "null", "", "NullSource"),
        ("source", "mic", "", "MicrophoneSource"),
        ("source", "mic", "USB", "MicrophoneSource"),
        ("sink", "file", "answer.wav", "FileSink"),
        ("sink", "null", "", "NullSink"),
        ("sink", "speaker", "3", "SpeakerSink"),
    ],
)
def test_specs_make_what_they_name(factories, kind, name, argument, made):
    result = factories[kind][name](argument)
    assert type(result) is getattr(realtime_audio_plugins, made)
    assert isinstance(result, AudioSource if kind == "source" else AudioSink)


def test_arguments_reach_what_is_made(factories):
    assert factories["source"]["tone"]("1000.5").frequency_hz == 1000.5
    assert factories["source"]["tone"]("").frequency_hz == 440
    assert factories["source"]["file"]("C:/a:b.wav").path.name == "a:b.wav"


@pytest.mark.parametrize(
    ("kind", "name", "argument", "message"),
    [
        ("source", "file", "", "needs the path of a file"),
        ("sink", "file", "", "needs the path of a file"),
        ("source", "tone", "loud", "must be a number of Hz, not 'loud'"),
        ("source", "tone", "-440", "-440"),
        ("source", "tone", "nan", "nan"),
        ("source", "silence", "long", "must be a number of seconds, not 'long'"),
        ("source", "silence", "inf", "inf"),
        ("source", "null", "x", "takes nothing after it, not 'x'"),
        ("sink", "null", "x", "takes nothing after it, not 'x'"),
    ],
)
def test_a_bad_argument_is_named(factories, kind, name, argument, message):
    with pytest.raises(ValidationError, match=message):
        factories[kind][name](argument)


def test_only_wav_files_are_written(factories):
    with pytest.raises(UserError, match=r"'answer\.mp3': the name must end in \.wav"):
        factories["sink"]["file"]("answer.mp3")


def test_the_plugin_loads_no_heavy_library():
    code = (
        "import sys, realtime_audio_plugins.plugin; "
        "print([name for name in ('soundfile', 'soxr', 'sounddevice', 'aiortc', 'aiohttp')"
        " if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=30, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


def test_what_is_public_is_listed():
    for name in realtime_audio_plugins.__all__:
        assert getattr(realtime_audio_plugins, name).__doc__
