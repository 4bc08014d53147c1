import numpy as np
import pytest
from realtime_core.errors import ValidationError
from realtime_core.plugins import default_plugins
from realtime_core.testing import AudioSourceContract
from realtime_core.testing.sources import SourceCase

from realtime_example.dial import DialSource


class TestDialSource(AudioSourceContract):
    @pytest.fixture
    def case(self):
        return SourceCase(make=lambda: default_plugins().source("dial:19?tone_ms=50"))


@pytest.mark.asyncio
async def test_a_key_sounds_like_its_row_and_column():
    source = DialSource("6", tone_ms=500, pause_ms=0)
    await source.open()
    frames = [frame.to_mono() for frame in [await source.read() for _ in range(25)]]
    await source.close()
    magnitude = np.abs(np.fft.rfft(np.concatenate(frames)))
    loudest_hz = sorted(np.argsort(magnitude)[-2:] * 2)
    assert loudest_hz == pytest.approx([770, 1477], abs=2)


@pytest.mark.parametrize("spec", ["dial", "dial:12x", "dial:1?tone_ms=1", "dial:1?speed=2"])
def test_what_no_telephone_has_is_refused(spec):
    with pytest.raises(ValidationError, match=r"^dial: (keys|tone_ms|speed):"):
        default_plugins().source(spec)
