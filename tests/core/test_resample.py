"""Streaming resampling: laws, and scipy and closed forms as second sources."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import firwin, resample_poly

from realtime_core.resample import RateConverter, StreamingResampler

RATES = [8_000, 11_025, 16_000, 24_000, 44_100, 48_000, 96_000]


def run(resampler, samples, sizes=()):
    """Push in pieces of these sizes and the rest at once; everything that comes out."""
    pieces = []
    begin = 0
    for size in sizes:
        pieces.append(resampler.push(samples[begin : begin + size]))
        begin += size
    pieces.append(resampler.push(samples[begin:]))
    pieces.append(resampler.flush())
    return np.concatenate(pieces)


def noise(count, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(-32768, 32768, (count, channels)).astype(np.int16)


def tone(frequency_hz, rate_hz, count, amplitude=10_000):
    wave = amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(count) / rate_hz)
    return np.rint(wave).astype(np.int16).reshape(-1, 1)


def level_db(signal, reference):
    return 20 * np.log10(max(np.sqrt(np.mean(np.square(signal))), 1e-9) / reference)


@settings(max_examples=60, deadline=None)
@given(
    in_rate_hz=st.sampled_from(RATES),
    out_rate_hz=st.sampled_from(RATES),
    channels=st.integers(1, 3),
    count=st.integers(0, 6_000),
    sizes=st.lists(st.integers(0, 2_000), max_size=20),
    low_delay=st.booleans(),
)
def test_any_chunking_gives_the_same_samples(
    *, in_rate_hz, out_rate_hz, channels, count, sizes, low_delay
):
    samples = noise(count, channels)

    def fresh():
        return StreamingResampler(in_rate_hz, out_rate_hz, channels, low_delay=low_delay)

    at_once = run(fresh(), samples)
    assert np.array_equal(run(fresh(), samples, sizes), at_once)
    assert at_once.dtype == np.int16
    assert at_once.shape[1] == channels
    assert abs(len(at_once) - count * out_rate_hz / in_rate_hz) <= (2 if low_delay else 1)


@settings(max_examples=20, deadline=None)
@given(first=st.integers(0, 3_000), second=st.integers(0, 3_000), low_delay=st.booleans())
def test_a_flushed_resampler_begins_anew(first, second, low_delay):
    resampler = StreamingResampler(16_000, 24_000, low_delay=low_delay)
    run(resampler, noise(first, seed=1))
    assert not len(resampler.flush())
    expected = run(StreamingResampler(16_000, 24_000, low_delay=low_delay), noise(second, seed=2))
    assert np.array_equal(run(resampler, noise(second, seed=2)), expected)


def test_equal_rates_pass_samples_through_untouched():
    samples = noise(1_000, 2)
    assert run(StreamingResampler(48_000, 48_000, 2), samples, [3, 500]).tobytes() == (
        samples.tobytes()
    )


@pytest.mark.parametrize("low_delay", [False, True])
@pytest.mark.parametrize(("in_rate_hz", "out_rate_hz"), [(16_000, 48_000), (48_000, 24_000)])
def test_a_tone_keeps_its_level_and_stays_clean(in_rate_hz, out_rate_hz, low_delay):
    resampler = StreamingResampler(in_rate_hz, out_rate_hz, low_delay=low_delay)
    result = run(resampler, tone(1_000, in_rate_hz, in_rate_hz))[:, 0].astype(float)
    inner = result[out_rate_hz // 4 : out_rate_hz * 3 // 4]
    time = np.arange(len(inner)) / out_rate_hz
    basis = np.column_stack([f(2 * np.pi * 1_000 * time) for f in (np.cos, np.sin)])
    weights, *_ = np.linalg.lstsq(basis, inner, rcond=None)
    assert np.hypot(*weights) == pytest.approx(10_000, rel=1e-3)
    # Rounding to 16 bits leaves noise of 1/sqrt(12), twice.
    assert level_db(inner - basis @ weights, 10_000) < -80


def test_samples_stay_where_they_are_in_time():
    result = run(StreamingResampler(16_000, 48_000), tone(500, 16_000, 16_000))
    expected = tone(500, 48_000, 48_000)
    assert np.abs(result - expected)[4_800:-4_800].max() <= 2


def test_it_agrees_with_scipy():
    band_limited = np.convolve(noise(24_000)[:, 0] / 4, firwin(301, 6_000, fs=24_000), "same")
    samples = np.rint(band_limited).astype(np.int16).reshape(-1, 1)
    result = run(StreamingResampler(24_000, 48_000), samples, [480] * 40)
    expected = resample_poly(samples[:, 0].astype(float), 2, 1, window=("kaiser", 14.0))
    difference = (result[:, 0] - expected)[2_000:-2_000]
    assert level_db(difference, np.std(expected)) < -50


@pytest.mark.parametrize("low_delay", [False, True])
def test_what_the_lower_rate_cannot_hold_is_removed(low_delay):
    resampler = StreamingResampler(48_000, 16_000, low_delay=low_delay)
    result = run(resampler, tone(10_000, 48_000, 48_000))
    assert np.abs(result[2_000:-2_000]).max() <= 1


def test_overshoot_is_clipped_not_wrapped():
    square = np.where(np.arange(4_000) // 40 % 2, 32767, -32768).astype(np.int16).reshape(-1, 1)
    result = run(StreamingResampler(16_000, 48_000), square)[:, 0].astype(int)
    assert result.max() == 32767
    assert result.min() == -32768
    assert np.abs(np.diff(result)).max() < 45_000


def test_low_delay_lags_less():
    def lag_samples(*, low_delay):
        resampler = StreamingResampler(48_000, 24_000, low_delay=low_delay)
        lags = []
        came = 0
        for block in range(1, 50):
            came += len(resampler.push(noise(960)))
            lags.append(block * 480 - came)
        return max(lags)

    assert lag_samples(low_delay=True) <= 0.010 * 24_000
    assert lag_samples(low_delay=False) > 0.020 * 24_000


@pytest.mark.parametrize("arguments", [(0, 8_000, 1), (8_000, -1, 1), (8_000, 8_000, 0)])
def test_senseless_rates_and_channels_are_refused(arguments):
    with pytest.raises(ValueError, match="must be positive"):
        StreamingResampler(*arguments)


@pytest.mark.parametrize(
    "samples", [np.zeros(5, np.int16), np.zeros((5, 2), np.int16), np.zeros((5, 1), np.float32)]
)
def test_samples_of_another_form_are_refused(samples):
    with pytest.raises(ValueError, match=r"int16 of shape \(n, 1\)"):
        StreamingResampler(8_000, 8_000).push(samples)


def test_soxr_is_imported_only_when_used():
    code = (
        "import sys; from realtime_core.resample import StreamingResampler as R; R(8000, 8000); "
        "assert 'soxr' not in sys.modules; R(8000, 16000); assert 'soxr' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_a_stream_whose_rate_changes_keeps_its_pitch_and_length():
    converter = RateConverter(48_000)
    out = np.concatenate(
        [
            converter.push(tone(400, 8_000, 8_000), 8_000),
            converter.push(tone(400, 24_000, 24_000), 24_000),
            converter.push(tone(400, 48_000, 48_000), 48_000),
            converter.flush(),
        ]
    )[:, 0]
    assert len(out) == pytest.approx(3 * 48_000, abs=6)
    for second in range(3):
        steady = out[second * 48_000 + 4_800 : (second + 1) * 48_000 - 4_800]
        spectrum = np.abs(np.fft.rfft(steady * np.hanning(len(steady))))
        assert np.argmax(spectrum) * 48_000 / len(steady) == pytest.approx(400, abs=2)


def test_a_converter_that_got_nothing_gives_nothing():
    assert RateConverter(48_000, 2).flush().shape == (0, 2)
