"""Where recordings go, and that a page is whole or not there."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from realtime_core.batch.results import AudioFile
from realtime_core.errors import AudioError, UserError
from realtime_core.report.recordings import (
    EMBEDDED_BYTES_PER_S,
    EmbedLimit,
    chosen_to_embed,
    compress,
    find_recording,
    read_outline,
)
from realtime_core.report.runs import Run, read_run
from realtime_core.report.write import write_report
from tests.report.samples import make_row, make_run, write_run

ALL = EmbedLimit(None, None)
NONE = EmbedLimit(0, None)


def stored(page: Path, name: str) -> Any:
    match = re.search(rf'<script type="[^"]*" id="{name}">(.*?)</script>', page.read_text())
    assert match, name
    return match[1]


def told(page: Path, name: str) -> Any:
    return json.loads(stored(page, f"c-{name}"))


# Which are inside


def test_at_most_so_many_conversations_are_chosen():
    limit = EmbedLimit(2, None)
    assert chosen_to_embed([1.0] * 4, [2, 0, 1, 3], limit) == {2, 0}
    assert chosen_to_embed([None, 1.0, None, 1.0], [0, 1, 2, 3], limit) == {1, 3}
    assert chosen_to_embed([1.0] * 4, range(4), ALL) == {0, 1, 2, 3}
    assert chosen_to_embed([1.0] * 4, range(4), NONE) == set()


def test_the_page_does_not_grow_beyond_its_limit():
    minute = 60 * EMBEDDED_BYTES_PER_S
    limit = EmbedLimit(50, 10 * minute)
    assert len(chosen_to_embed([60.0] * 50, range(50), limit)) == 10


def test_the_failed_and_then_the_slowest_are_inside(tmp_path: Path):
    rows = [make_row(tmp_path, n, failing=0.0, slowness=1 + n) for n in range(4)]
    failure = make_row(tmp_path, 0, failing=1.0).error
    rows[1] = rows[1].model_copy(update={"status": "failed", "error": failure})
    write_run(tmp_path, rows)
    report = write_report([read_run(tmp_path)], tmp_path / "page.html", limit=EmbedLimit(2, None))
    urls = [told(tmp_path / "page.html", f"a-{n}")["audio"]["url"] for n in range(4)]
    assert [url is None for url in urls] == [False, True, False, True]
    assert (report.embedded, report.beside) == (2, 2)


# Where they are played from


def test_recordings_inside_are_opus_of_the_same_length(tmp_path: Path):
    make_run(tmp_path, 2, failing=0.0)
    write_report([read_run(tmp_path)], tmp_path / "page.html", limit=ALL)
    sound = stored(tmp_path / "page.html", "s-a-1")
    with soundfile.SoundFile(io.BytesIO(base64.b64decode(sound))) as opus:
        assert (opus.format, opus.subtype, opus.channels) == ("OGG", "OPUS", 2)
        seconds = opus.frames / opus.samplerate
    assert seconds == pytest.approx(
        told(tmp_path / "page.html", "a-1")["audio"]["duration_s"], abs=0.1
    )


def test_recordings_below_the_page_are_played_where_they_are(tmp_path: Path):
    make_run(tmp_path / "my run #1", 1, failing=0.0)
    write_report([read_run(tmp_path / "my run #1")], tmp_path / "page.html", limit=NONE)
    url = told(tmp_path / "page.html", "a-0")["audio"]["url"]
    assert url == "my%20run%20%231/audio/call-0000/conversation.wav"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["my run #1", "page.html"]


def test_recordings_elsewhere_are_copied_to_beside_the_page(tmp_path: Path):
    make_run(tmp_path / "run", 2, failing=0.0)
    (tmp_path / "pages").mkdir()
    page = tmp_path / "pages" / "page.html"
    write_report([read_run(tmp_path / "run")], page, limit=NONE)
    assert told(page, "a-1")["audio"]["url"] == "page-audio/a-1.opus"
    assert soundfile.info(str(page.parent / "page-audio" / "a-1.opus")).channels == 2


@pytest.mark.parametrize("rate_hz", [11_025, 24_000, 44_100])
def test_any_rate_becomes_one_that_opus_has(tmp_path: Path, rate_hz: int):
    at = np.arange(rate_hz) / rate_hz
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * at), rate_hz)
    compress(tmp_path / "a.wav", tmp_path / "a.opus")
    samples, found_hz = soundfile.read(tmp_path / "a.opus")
    assert found_hz in {24_000, 48_000}
    spectrum = np.abs(np.fft.rfft(samples[: found_hz // 2]))
    assert np.argmax(spectrum) * 2 == pytest.approx(440, abs=4)


@pytest.mark.parametrize("path", ["../secret.wav", "/etc/hostname", "audio/../../secret.wav"])
def test_a_path_that_leads_out_of_the_results_is_not_followed(tmp_path: Path, path: str):
    folder = tmp_path / "run"
    make_run(folder, 1, failing=0.0)
    (tmp_path / "secret.wav").write_bytes(next(folder.rglob("*.wav")).read_bytes())
    row = read_run(folder).rows[0]
    away = row.model_copy(
        update={"conversation": AudioFile(path=path, duration_s=1.0, size_bytes=1)}
    )
    assert find_recording(row, folder) is not None
    assert find_recording(away, folder) is None


def test_a_link_that_leads_out_of_the_results_is_not_followed(tmp_path: Path):
    folder = tmp_path / "run"
    make_run(folder, 1, failing=0.0)
    sound = next(folder.rglob("*.wav"))
    sound.rename(tmp_path / "secret.wav")
    sound.symlink_to(tmp_path / "secret.wav")
    assert find_recording(read_run(folder).rows[0], folder) is None


# What cannot be read


def test_a_recording_that_is_gone_or_broken_is_told_and_the_rest_is_there(tmp_path: Path):
    make_run(tmp_path, 3, failing=0.0)
    sounds = sorted(tmp_path.rglob("*.wav"))
    sounds[0].unlink()
    sounds[1].write_bytes(b"no sound")
    report = write_report([read_run(tmp_path)], tmp_path / "page.html")
    gone, broken, whole = (told(tmp_path / "page.html", f"a-{n}") for n in range(3))
    assert (gone["audio"], broken["audio"]) == (None, None)
    assert "not there" in gone["audio_problem"]
    assert "cannot be read" in broken["audio_problem"]
    assert whole["audio"]["is_stereo"]
    assert report.embedded == 1


def test_a_recording_of_many_channels_is_refused(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", np.zeros((100, 64), np.int16), 8_000)
    with pytest.raises(AudioError, match="64 channels"):
        read_outline(tmp_path / "a.wav")


def test_where_no_conversation_is_recorded_the_answer_is_played(tmp_path: Path):
    row = make_row(tmp_path, 1, failing=0.0)
    assert row.conversation is not None
    mono = tmp_path / "audio" / row.id / "answer.wav"
    soundfile.write(mono, np.full(8_000, 9_000, np.int16), 8_000)
    answer = AudioFile(path=f"audio/{row.id}/answer.wav", duration_s=1.0, size_bytes=9)
    write_run(tmp_path, [row.model_copy(update={"conversation": None, "answer": answer})])
    write_report([read_run(tmp_path)], tmp_path / "page.html")
    audio = told(tmp_path / "page.html", "a-0")["audio"]
    assert (audio["is_stereo"], audio["duration_s"]) == (False, 1.0)


# The runs


def test_a_run_that_still_goes_on_can_be_read(tmp_path: Path):
    make_run(tmp_path, 3)
    with (tmp_path / "results.jsonl").open("ab") as file:
        file.write(b'{"schema_version":1,"id":"torn')
    assert [row.id for row in read_run(tmp_path).rows] == ["call-0000", "call-0001", "call-0002"]


@pytest.mark.parametrize("content", [None, b"", b'{"id": "no row"}\n', b"nothing\n"])
def test_a_folder_without_results_is_wrong_use(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "results.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=str(tmp_path)):
        read_run(tmp_path)


def test_settings_that_cannot_be_read_are_left_out(tmp_path: Path):
    make_run(tmp_path, 1)
    assert read_run(tmp_path).settings["transport"] == "webrtc"
    (tmp_path / "batch.json").write_text("[")
    assert read_run(tmp_path).settings == {}


# The file


def test_a_page_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path):
    make_run(tmp_path / "run", 3, failing=0.0)
    page = tmp_path / "page.html"
    page.write_text("old")

    def stop(done: int, count: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        write_report([read_run(tmp_path / "run")], page, on_progress=stop)
    assert page.read_text() == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["page.html", "run"]


def test_a_page_that_cannot_be_written_is_told_before_recordings_are_read(tmp_path: Path):
    run = Run("run", tmp_path, (make_row(tmp_path, 1, failing=0.0),))
    read = []
    for out in (tmp_path, tmp_path / "none" / "page.html"):
        with pytest.raises(UserError, match=r"is a folder|cannot be written"):
            write_report([run], out, on_progress=lambda *_: read.append(1))
    assert not read


def test_the_page_has_the_rights_of_a_new_file(tmp_path: Path):
    make_run(tmp_path, 1, with_audio=False)
    mask = os.umask(0o027)
    try:
        write_report([read_run(tmp_path)], tmp_path / "page.html")
    finally:
        os.umask(mask)
    assert (tmp_path / "page.html").stat().st_mode & 0o777 == 0o640


def test_a_report_is_of_one_or_two_runs(tmp_path: Path):
    with pytest.raises(UserError, match="not 0"):
        write_report([], tmp_path / "page.html")
