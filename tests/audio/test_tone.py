"""The tone, compared with the closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_audio_plugins import ToneSource
from realtime_core.errors import ValidationError


async def read_all(source):
    await source.open()
    blocks = []
    while (frame := await source.read()) is not None:
        blocks.append(frame.samples[:, 0])
    await source.close()
    return np.concatenate(blocks)


def expected(frequency_hz, rate_hz, first, count, amplitude):
    index = np.arange(first, first + count, dtype=np.longdouble)
    phase = np.longdouble(frequency_hz) * index / rate_hz % 1
    return np.rint(amplitude * 32767 * np.sin(2 * np.longdouble(np.pi) * phase)).astype(int)


async def test_a_tone_is_the_sine_it_says():
    samples = await read_all(ToneSource(440, 1.0))
    assert len(samples) == 48_000
    assert np.abs(samples - expected(440, 48_000, 0, 48_000, 0.5)).max() <= 1
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert np.argmax(spectrum) == 440


@given(
    frequency_hz=st.floats(0.1, 3_999, allow_nan=False),
    first=st.integers(0, 8_000 * 3_600 * 24 * 365),
)
def test_the_phase_is_exact_even_after_a_year(frequency_hz, first):
    source = ToneSource(frequency_hz, rate_hz=8_000, amplitude=1.0)
    samples = source._compute(first, 160)
    split = np.concatenate([source._compute(first, 7), source._compute(first + 7, 153)])
    assert np.abs(samples - split.astype(int)).max() <= 1
    # 80-bit floats are good for a year's phase to 1e-8 cycles.
    assert np.abs(samples - expected(frequency_hz, 8_000, first, 160, 1.0)).max() <= 1


@pytest.mark.parametrize(
    "options",
    [
        {"frequency_hz": 0},
        {"frequency_hz": -440},
        {"frequency_hz": 24_000},
        {"frequency_hz": float("nan")},
        {"amplitude": 1.1},
        {"amplitude": float("nan")},
        {"duration_s": -1},
    ],
)
def test_values_out_of_range_are_refused(options):
    with pytest.raises(ValidationError):
        ToneSource(**options)
