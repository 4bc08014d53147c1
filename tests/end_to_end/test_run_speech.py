"""What is said comes back: the audio of whole conversations, through everything."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from realtime_core.audio import AudioFrame
from realtime_transports import LocalRealtimeServer, OpenAIRealtimeWebRTC
from tests.end_to_end.commands import DEADLINE_S, EXAMPLE, OTHERS, Ended, Running
from tests.end_to_end.listening import (
    level_db,
    likeness,
    read_mono,
    sounding_part,
    sounding_span,
    tone_frequency,
)

ALIKE = 0.9
"""Above it two recordings are the same speech: measured 0.99 and more for what came back."""

UNLIKE = 0.5
"""Below it they are not: measured 0.2 and less for other sentences, of the same voice too."""

ONLY_LOOPBACK = """
import fcntl, os, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lo:
    SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 1, 0x40
    fcntl.ioctl(lo, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP | IFF_RUNNING))
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Runs a command after bringing up `lo`, which is down in a network namespace just made."""

PARROT = ("--responder", "parrot")

UNSHARE = ("unshare", "--user", "--map-root-user", "--net")


@dataclass(frozen=True)
class Conversation:
    """What a command left behind."""

    ended: Ended
    answer: Path
    stereo: Path

    @property
    def report(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.ended.out)
        return result


def why_no_namespaces() -> str | None:
    """Why commands cannot run without a network here, or None if they can."""
    if shutil.which(UNSHARE[0]) is None:
        return "there is no `unshare` here"
    attempt = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return None if attempt.returncode == 0 else f"unshare is not permitted: {attempt.stderr}"


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Conversation]:
    """The example asked in several ways, all at once, as each takes its ten seconds."""
    folder = tmp_path_factory.mktemp("conversations")
    ways: dict[str, dict[str, Any]] = {
        "manual": {"arguments": ["--json"]},
        "vad": {"arguments": ["--json", "--turns", "vad"]},
        "plain": {"arguments": []},
    }
    if why_no_namespaces() is None:
        prefix = (*UNSHARE, sys.executable, "-c", ONLY_LOOPBACK)
        ways["offline"] = {"arguments": ["--json"], "prefix": prefix}
    with ExitStack() as stack:
        running = {}
        for name, way in ways.items():
            files = ["--out", folder / f"{name}.wav", "--stereo", folder / f"{name}-both.wav"]
            running[name] = stack.enter_context(
                Running(
                    "run", EXAMPLE, *files, *PARROT, *way["arguments"], prefix=way.get("prefix", ())
                )
            )
        return {
            name: Conversation(one.end(), folder / f"{name}.wav", folder / f"{name}-both.wav")
            for name, one in running.items()
        }


def assert_same_speech(answer: Path, question: Path) -> None:
    asked, asked_hz = read_mono(question)
    answered, answered_hz = read_mono(answer)
    asked, answered = sounding_part(asked), sounding_part(answered)
    ratio = (len(answered) / answered_hz) / (len(asked) / asked_hz)
    assert ratio == pytest.approx(1.0, abs=0.05)
    assert level_db(answered) == pytest.approx(level_db(asked), abs=1.0)
    assert likeness(answer, question) > ALIKE


@pytest.mark.parametrize("name", ["manual", "vad", "plain"])
def test_the_answer_is_the_users_own_speech(conversations: dict[str, Conversation], name: str):
    conversation = conversations[name]
    assert conversation.ended.code == 0, conversation.ended
    assert_same_speech(conversation.answer, EXAMPLE)


@pytest.mark.parametrize("other", OTHERS, ids=lambda path: path.stem)
def test_the_comparison_tells_other_speech_apart(
    conversations: dict[str, Conversation], other: Path
):
    assert likeness(conversations["manual"].answer, other) < UNLIKE
    assert likeness(EXAMPLE, other) < UNLIKE


def test_the_comparison_finds_a_hole_in_the_speech(
    conversations: dict[str, Conversation], tmp_path: Path
):
    samples, rate_hz = read_mono(conversations["manual"].answer)
    middle = len(samples) // 2
    shorter = np.delete(samples, slice(middle, middle + rate_hz // 5))
    soundfile.write(tmp_path / "shorter.wav", shorter, rate_hz)
    assert likeness(tmp_path / "shorter.wav", EXAMPLE) < ALIKE


def test_it_works_without_any_network(conversations: dict[str, Conversation]):
    if (reason := why_no_namespaces()) is not None:
        pytest.skip(reason)
    conversation = conversations["offline"]
    assert conversation.ended.code == 0, conversation.ended
    assert_same_speech(conversation.answer, EXAMPLE)


def test_with_json_stdout_is_one_object_and_stderr_silent(conversations: dict[str, Conversation]):
    conversation = conversations["manual"]
    assert conversation.ended.out.count("\n") == 1
    assert not conversation.ended.err
    report = conversation.report
    assert report["question"] == {
        "path": str(EXAMPLE),
        "duration_s": pytest.approx(2.87, abs=0.01),
        "transcript": "",
    }
    assert report["answer"]["path"] == str(conversation.answer)
    duration_s = soundfile.info(conversation.answer).duration
    assert report["answer"]["duration_s"] == pytest.approx(duration_s, abs=0.001)
    assert report["is_embedded"] is True
    assert report["responses"] == 1
    stages = ["sdp", "audio", "http", "ice", "dtls", "channel", "session"]
    assert [stage for stage in report["connect_s"] if stage != "key"] == stages
    assert report["usage"]["total_tokens"] > 0


def test_without_a_terminal_the_lines_are_plain(conversations: dict[str, Conversation]):
    conversation = conversations["plain"]
    lines = conversation.ended.out.splitlines()
    assert not conversation.ended.err
    assert "\x1b" not in conversation.ended.out
    assert [line.partition(":")[0] for line in lines[3:]] == [
        "connected to",
        "connect time",
        "question",
        "answer",
        "answered",
        "voice to voice",
        "first audio",
        "conversation",
    ]
    assert lines[1:3] == ["connected; the question begins", "the answer begins"]


@pytest.mark.parametrize("name", ["manual", "vad"])
def test_the_conversation_has_both_sides_on_one_time_line(
    conversations: dict[str, Conversation], name: str
):
    both, rate_hz = soundfile.read(conversations[name].stereo, dtype="float64")
    user, agent = both[:, 0], both[:, 1]
    asked, _ = read_mono(EXAMPLE)
    for side in (user, agent):
        assert level_db(sounding_part(side)) == pytest.approx(level_db(sounding_part(asked)), abs=1)
    said, answered = sounding_span(user), sounding_span(agent)
    assert said.start / rate_hz < 0.5
    assert said.stop < answered.start
    report = conversations[name].report
    assert 0 < report["first_audio_s"] < report["voice_to_voice_s"]
    # What counts as sound differs, and what is late on a busy machine.
    heard_s = (answered.start - said.stop) / rate_hz
    assert heard_s == pytest.approx(report["voice_to_voice_s"], abs=0.3)


class Sent:
    """A tap that tells when so much of a tone has left."""

    def __init__(self, wanted_s: float) -> None:
        self._wanted_s = wanted_s
        self.enough = asyncio.Event()

    def sent(self, frame: AudioFrame, at_s: float) -> None:
        if frame.samples.any():
            self._wanted_s -= frame.duration_s
        if self._wanted_s <= 0:
            self.enough.set()

    def heard(self, frame: AudioFrame, at_s: float) -> None:
        """Of no interest."""


async def send_tone(frequency_hz: float, answer: Path) -> None:
    """Have an endless tone for a while, and keep what comes back."""
    sent = Sent(wanted_s=1.5)
    async with (
        asyncio.timeout(DEADLINE_S),
        LocalRealtimeServer(responder="parrot") as server,
        OpenAIRealtimeWebRTC(
            source=f"tone:{frequency_hz}",
            sink=f"file:{answer}",
            base_url=f"{server.url}/realtime/calls",
            loopback=True,
            tap=sent,
        ) as transport,
    ):
        no_detection = {"audio": {"input": {"turn_detection": None}}}
        await transport.connect(api_key="any", initial_session_config=no_detection)
        await sent.enough.wait()
        transport.send_event({"type": "input_audio_buffer.commit"})
        transport.request_response()
        await transport.wait_for("output_audio_buffer.stopped")
        await transport.wait_heard()


async def test_a_tone_comes_back_at_its_pitch_and_without_a_jump(tmp_path: Path):
    answer = tmp_path / "tone.wav"
    await send_tone(440.0, answer)
    samples, rate_hz = read_mono(answer)
    sounding = sounding_part(samples)
    assert len(sounding) / rate_hz == pytest.approx(1.5, abs=0.2)
    # The tone is switched on and, at the commit, cut off: there the codec rings for some 20 ms.
    # A jump would be a jump there too, but what the tone's own slope is, only the rest can say.
    steady = sounding[rate_hz // 10 : -rate_hz // 10]
    assert tone_frequency(steady, rate_hz) == pytest.approx(440.0, abs=1.0)
    amplitude = np.sqrt(2) * 10 ** (level_db(steady) / 20)
    assert amplitude == pytest.approx(0.5, rel=0.1)
    slope = amplitude * 2 * np.pi * 440.0 / rate_hz
    assert np.abs(np.diff(steady)).max() < 1.5 * slope
    assert np.abs(np.diff(samples)).max() < 1.5 * slope


def test_the_measure_of_pitch_is_right():
    rate_hz = 24_000
    for frequency_hz in (439.0, 440.0, 440.3, 1000.7):
        tone = np.sin(2 * np.pi * frequency_hz * np.arange(30_000) / rate_hz)
        assert tone_frequency(tone, rate_hz) == pytest.approx(frequency_hz, abs=0.01)
