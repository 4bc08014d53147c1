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
from realtime_core.specs import SpecOptions, describe_options


@pytest.fixture
def factories():
    manager = pluggy.PluginManager("realtime")
    manager.add_hookspecs(RealtimeHooks)
    manager.register(plugin)
    manager.check_pending()
    (sources,) = manager.hook.realtime_audio_sources()
    (sinks,) = manager.hook.realtime_audio_sinks()
    (taps,) = manager.hook.realtime_audio_taps()
    return {"source": sources, "sink": sinks, "tap": taps}


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
        ("source", "mic", "USB?aec=true", "EchoCancelledSource"),
        ("source", "pcm", "", "PcmSource"),
        ("source", "pcm", "-?rate=16000&channels=2&live=true", "PcmSource"),
        ("sink", "file", "answer.wav", "FileSink"),
        ("sink", "file", "answer.opus", "FileSink"),
        ("sink", "pcm", "-", "PcmSink"),
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
    tone = factories["source"]["tone"]("100?rate=8000&amplitude=0.25&seconds=2")
    assert (tone.frequency_hz, tone.rate_hz, tone.amplitude) == (100, 8_000, 0.25)
    pcm = factories["source"]["pcm"]("fifo?rate=8000&channels=2&live=true")
    assert (pcm.rate_hz, pcm.channels, pcm.is_live) == (8_000, 2, True)


def test_a_path_of_a_file_is_taken_as_it_stands(factories):
    for path in ("what?.wav", "50%20.wav", "a?rate=3&b.wav", "C:\\sounds\\a.wav"):
        assert str(factories["source"]["file"](path).path) == path
        assert str(factories["sink"]["file"](path).path) == path


@pytest.mark.parametrize("kind", ["source", "sink", "tap"])
def test_every_factory_tells_its_options_and_describes_them(factories, kind):
    for name, factory in factories[kind].items():
        assert issubclass(factory.options_model, SpecOptions)
        assert factory.options_model.model_config["frozen"]
        assert factory.name == name
        assert all(option.description for option in describe_options(factory))


@pytest.mark.parametrize(
    ("kind", "name", "argument", "message"),
    [
        ("source", "file", "", "file: path: it must be given, as in 'file:question.wav'"),
        ("sink", "file", "", "file: path: it must be given"),
        ("tap", "mix", "", "mix: path: it must be given"),
        ("source", "tone", "loud", "tone: hz: .*valid number.*, not 'loud'"),
        ("source", "tone", "-440", "tone: hz: .*greater than 0, not '-440'"),
        ("source", "tone", "30000", "between 0 and half the rate, 24000 Hz, not 30000 Hz"),
        ("source", "tone", "nan", "tone: hz: .*finite.*'nan'"),
        ("source", "tone", "?amplitude=2", "tone: amplitude: .*, not '2'"),
        ("source", "silence", "long", "silence: seconds: .*, not 'long'"),
        ("source", "silence", "inf", "silence: seconds: .*, not 'inf'"),
        ("source", "mic", "?aec=perhaps", "mic: aec: .*, not 'perhaps'"),
        ("source", "mic", "?buffer_ms=0", "mic: buffer_ms: .*, not '0'"),
        ("source", "pcm", "-?rate=fast", "pcm: rate: .*, not 'fast'"),
        ("sink", "pcm", "-?chanels=2", "pcm: chanels: there is no such option; did you mean 'cha"),
        ("sink", "speaker", "?aec=true", "speaker: aec: there is no such option"),
        ("source", "null", "x", "'null' takes nothing after its colon, not 'x'"),
        ("sink", "null", "x", "'null' takes nothing after its colon, not 'x'"),
    ],
)
def test_a_bad_argument_is_named(factories, kind, name, argument, message):
    with pytest.raises(ValidationError, match=message):
        factories[kind][name](argument)


def test_only_files_that_can_be_written_are_named(factories):
    with pytest.raises(UserError, match=r"'answer\.mp3': the name must end in \.wav, \.flac"):
        factories["sink"]["file"]("answer.mp3")


def test_the_plugin_loads_no_heavy_library():
    code = (
        "import sys, realtime_audio_plugins.plugin; "
        "print([name for name in ('soundfile', 'soxr', 'sounddevice', 'livekit', 'aiortc')"
        " if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=30, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


def test_what_is_public_is_listed():
    for name in realtime_audio_plugins.__all__:
        assert getattr(realtime_audio_plugins, name).__doc__
