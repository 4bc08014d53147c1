import wave

import numpy as np
import pytest
from realtime_core.audio import AudioFrame
from realtime_core.testing import AudioSinkContract
from realtime_core.testing.sinks import SinkCase

from realtime_example.parts import RATE_HZ, PartsSink


def read(path):
    with wave.open(str(path)) as part:
        return np.frombuffer(part.readframes(part.getnframes()), "<i2")


def stored(folder):
    return np.concatenate([read(path) for path in sorted(folder.glob("*.wav"))])


class TestPartsSink(AudioSinkContract):
    @pytest.fixture
    def case(self, tmp_path):
        folder = tmp_path / "answers"
        return SinkCase(
            make=lambda: PartsSink(folder, part_s=0.05),
            make_unusable=lambda: PartsSink(tmp_path / "missing" / "answers"),
            stored=lambda: stored(folder),
        )


@pytest.mark.asyncio
async def test_a_part_has_its_name_once_it_is_complete(tmp_path):
    sink = PartsSink(tmp_path, part_s=1.0)
    await sink.open()
    await sink.write(AudioFrame(np.ones((RATE_HZ + 10, 1), np.int16), RATE_HZ))
    names = [path.name for path in sorted(tmp_path.iterdir())]
    assert names == ["0001.wav", "0002.wav.part"]
    await sink.close(complete=False)
    assert [path.name for path in sorted(tmp_path.iterdir())] == names
    assert len(read(tmp_path / "0001.wav")) == RATE_HZ
