"""Microphone and speaker on a sound card that does not exist: a PulseAudio server of our own.

What is played to its null sink is recorded from that sink's monitor. PortAudio reaches it through
ALSA's pulse plugin. All of it runs without rights, without hardware, and in a home of its own.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.end_to_end.commands import EXAMPLE, command_path, environment

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0

ASOUNDRC = """
pcm.!default { type pulse hint.description "Virtual" }
ctl.!default { type pulse }
pcm.pulse { type pulse }
"""
SERVER = """
load-module module-native-protocol-unix auth-cookie-enabled=0
load-module module-null-sink sink_name=virtual rate=48000
set-default-sink virtual
set-default-source virtual.monitor
"""


def why_not():
    """What is missing here; nothing on a machine that can run this."""
    if not sys.platform.startswith("linux"):
        return "needs Linux"
    if shutil.which("pulseaudio") is None:
        return "needs Debian's pulseaudio"
    if not list(Path("/usr/lib").glob("**/alsa-lib/libasound_module_pcm_pulse.so")):
        return "needs Debian's libasound2-plugins"
    try:
        import sounddevice  # noqa: F401 - whether it finds PortAudio
    except (ImportError, OSError) as exc:
        return f"needs sounddevice and Debian's libportaudio2: {exc}"
    return None


MISSING = why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
]


class Machine:
    """A sound server, and the environment in which programs find it and nothing else."""

    def __init__(self, folder):
        home, run = folder / "home", folder / "run"
        home.mkdir()
        run.mkdir(mode=0o700)
        (home / ".asoundrc").write_text(ASOUNDRC)
        (folder / "server.pa").write_text(SERVER)
        self.env = {
            **environment(),
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(run),
            "PULSE_RUNTIME_PATH": str(run / "pulse"),
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        }
        self.socket = run / "pulse" / "native"
        self.log = folder / "server.log"
        with self.log.open("wb") as log:
            self.server = subprocess.Popen(
                [str(shutil.which("pulseaudio")), "-n", "-F", str(folder / "server.pa"),
                 "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--realtime=no"],
                env=self.env, stdout=log, stderr=log,
            )  # fmt: skip

    def wait_until_it_listens(self):
        pause = threading.Event()
        for _ in range(round(PATIENCE_S / 0.05)):
            assert self.server.poll() is None, self.log.read_text()
            with socket.socket(socket.AF_UNIX) as client:
                if client.connect_ex(str(self.socket)) == 0:
                    return
            pause.wait(0.05)
        pytest.fail(f"the sound server does not listen: {self.log.read_text()}")

    def run(self, code, *arguments):
        """Run Python code there; the object it prints as JSON."""
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=self.env, capture_output=True, text=True, timeout=40, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def stop(self):
        self.server.kill()
        self.server.wait()


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    try:
        machine.wait_until_it_listens()
        yield machine
    finally:
        machine.stop()


ROUND_TRIP = """
import asyncio, json, sys
import numpy as np, soundfile
from realtime_audio_plugins import MicrophoneSource, SpeakerSink, ToneSource

async def listen(microphone, frames, began):
    # Until half a second of silence after the sound.
    was_loud, silent = False, 0
    while silent < 25:
        frame = await microphone.read()
        frames.append(frame)
        began.set()
        is_loud = bool(np.abs(frame.samples).max() > 1_000)
        was_loud = was_loud or is_loud
        silent = silent + 1 if was_loud and not is_loud else 0

async def main():
    microphone, speaker = MicrophoneSource("default"), SpeakerSink("default")
    await microphone.open()
    await speaker.open()
    frames, began = [], asyncio.Event()
    listening = asyncio.create_task(listen(microphone, frames, began))
    await began.wait()
    tone = ToneSource(1_000, 2.0, rate_hz=speaker.rate_hz)
    await tone.open()
    written, played = 0, []
    while (frame := await tone.read()) is not None:
        await speaker.write(frame)
        written += len(frame.samples)
        played.append(speaker.played_samples)
    await speaker.drain()
    total = speaker.played_samples
    await asyncio.wait_for(listening, 20)
    await speaker.close()
    await microphone.close()
    samples = np.concatenate([frame.samples for frame in frames])
    soundfile.write(sys.argv[1], samples, frames[0].rate_hz)
    starts = [frame.first_sample for frame in frames]
    lengths = [len(frame.samples) for frame in frames]
    print(json.dumps({
        "written": written, "played": played, "total": total, "rate_hz": frames[0].rate_hz,
        "gaps": microphone.dropped_samples, "starts": starts, "lengths": lengths,
    }))

asyncio.run(main())
"""


def test_what_the_speaker_plays_the_microphone_hears(machine, tmp_path):
    told = machine.run(ROUND_TRIP, str(tmp_path / "heard.wav"))
    assert told["rate_hz"] == 48_000
    assert told["written"] == told["total"] == 96_000
    assert told["played"] == sorted(told["played"])
    assert told["played"][-1] < told["written"]  # it plays at its own pace, and not all at once
    assert told["gaps"] == 0
    assert told["starts"] == list(np.cumsum([0, *told["lengths"][:-1]]))

    heard, rate_hz = soundfile.read(tmp_path / "heard.wav", dtype="float64")
    loud = np.flatnonzero(np.abs(heard) > 0.05)
    assert len(loud)
    middle = (loud[0] + loud[-1]) // 2
    piece = heard[middle - rate_hz // 4 : middle + rate_hz // 4] * np.hanning(rate_hz // 2)
    spectrum = np.abs(np.fft.rfft(piece))
    assert np.argmax(spectrum) * 2 == pytest.approx(1_000, abs=2)
    assert (loud[-1] - loud[0]) / rate_hz == pytest.approx(2.0, abs=0.1)
    # A null sink's monitor gives back what was played; a gap or a click would spread the spectrum.
    around = slice(490, 511)
    assert (spectrum[around] ** 2).sum() > 0.98 * (spectrum**2).sum()


UNPLUGGED = """
import asyncio, json, os, signal, sys
from realtime_audio_plugins import MicrophoneSource, SpeakerSink, ToneSource
from realtime_core.errors import AudioError

async def main():
    microphone, speaker = MicrophoneSource(), SpeakerSink()
    await microphone.open()
    await speaker.open()
    tone = ToneSource(rate_hz=speaker.rate_hz)
    await tone.open()
    for _ in range(25):
        await microphone.read()
        await speaker.write(await tone.read())
    os.kill(int(sys.argv[1]), signal.SIGKILL)
    errors = {}
    loop = asyncio.get_running_loop()
    begin = loop.time()
    try:
        while True:
            await microphone.read()
    except AudioError as exc:
        errors["microphone"] = str(exc)
    try:
        while True:
            await speaker.write(await tone.read())
    except AudioError as exc:
        errors["speaker"] = str(exc)
    await microphone.close()
    await speaker.close()
    print(json.dumps({"errors": errors, "took_s": loop.time() - begin}))

asyncio.run(main())
"""


def test_a_device_that_goes_away_is_an_error_and_no_hang(machine):
    told = machine.run(UNPLUGGED, str(machine.server.pid))
    assert "stopped working" in told["errors"]["microphone"]
    assert "stopped working" in told["errors"]["speaker"]
    assert told["took_s"] < PATIENCE_S


def test_the_devices_are_listed(machine):
    done = subprocess.run(
        [command_path(), "devices", "--json"],
        env=machine.env, capture_output=True, text=True, timeout=40, check=True,
    )  # fmt: skip
    by_name = {device["name"]: device for device in json.loads(done.stdout)}
    assert by_name["default"]["is_default_input"]
    assert by_name["default"]["is_default_output"]
    assert by_name["default"]["input_channels"] > 0
    assert by_name["default"]["system"] == "portaudio"


def test_an_answer_is_played_by_the_speaker(machine, tmp_path):
    done = subprocess.run(
        [command_path(), "run", str(EXAMPLE), "--responder", "parrot",
         "--out", "speaker:default?buffer_ms=5000",
         "--stereo", str(tmp_path / "both.wav")],
        env=machine.env, capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "answer: audio received in speaker:default?buffer_ms=5000" in done.stdout
    both, _ = soundfile.read(tmp_path / "both.wav")
    assert np.abs(both[:, 1]).max() > 0.1
