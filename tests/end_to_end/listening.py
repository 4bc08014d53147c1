"""Measures what came back: is it loud enough, long enough, and the same speech?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

COMPARED_RATE_HZ = 16_000
HOP = 160
"""10 ms."""
WINDOW = 512
BANDS = 40


def read_mono(path: Path) -> tuple[np.ndarray, int]:
    """Samples as float64, full scale 1, and their rate."""
    samples, rate_hz = soundfile.read(path, dtype="float64", always_2d=True)
    return samples.mean(axis=1), rate_hz


def sounding_span(samples: np.ndarray, below_peak_db: float = 40.0) -> slice:
    """From the first to the last sample that is within so many dB of the peak."""
    magnitude = np.abs(samples)
    loud = np.flatnonzero(magnitude > magnitude.max() * 10 ** (-below_peak_db / 20))
    return slice(int(loud[0]), int(loud[-1]) + 1)


def sounding_part(samples: np.ndarray) -> np.ndarray:
    """The samples in `sounding_span`."""
    return samples[sounding_span(samples)]


def level_db(samples: np.ndarray) -> float:
    """Root mean square, in dB of full scale."""
    return float(10 * np.log10(np.mean(np.square(samples)) + 1e-20))


def likeness(one: Path, other: Path) -> float:
    """How alike two recordings sound: 1 for the same, about 0 for different speech.

    The correlation of their log-mel spectra, each band freed of its mean, so that neither loudness
    nor the recording's overall colour counts, at the alignment (up to 0.5 s) where it is best.
    """
    ours, theirs = (_log_mel(path) for path in (one, other))
    shifts = range(-50, 51)
    return max(_correlation(ours, theirs, shift) for shift in shifts)


def _log_mel(path: Path) -> np.ndarray:
    samples, rate_hz = read_mono(path)
    if rate_hz != COMPARED_RATE_HZ:
        samples = signal.resample_poly(samples, COMPARED_RATE_HZ, rate_hz)
    samples = sounding_part(samples)
    samples /= np.sqrt(np.mean(np.square(samples)))
    _, _, spectrum = signal.stft(samples, nperseg=WINDOW, noverlap=WINDOW - HOP, padded=True)
    power = _mel_filters() @ np.square(np.abs(spectrum))
    # What is 40 dB below the mean is silence to the ear beside speech; codecs fill it with noise.
    return 10 * np.log10(np.maximum(power, power.mean() * 1e-4))


def _mel_filters() -> np.ndarray:
    """Triangles from 100 Hz to 7 kHz, evenly spaced on the mel scale; (bands, bins)."""
    mel_edges = np.linspace(*(2595 * np.log10(1 + np.array([100, 7000]) / 700)), BANDS + 2)
    edges = 700 * (10 ** (mel_edges / 2595) - 1)
    bins = np.fft.rfftfreq(WINDOW, 1 / COMPARED_RATE_HZ)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling))


def _correlation(ours: np.ndarray, theirs: np.ndarray, shift: int) -> float:
    """Of the frames that both have when `theirs` begins `shift` frames later."""
    ours = ours[:, max(0, shift) :]
    theirs = theirs[:, max(0, -shift) :]
    count = min(ours.shape[1], theirs.shape[1])
    one, other = (part[:, :count] for part in (ours, theirs))
    one = one - one.mean(axis=1, keepdims=True)
    other = other - other.mean(axis=1, keepdims=True)
    return float((one * other).sum() / np.sqrt(np.square(one).sum() * np.square(other).sum()))


def tone_frequency(samples: np.ndarray, rate_hz: int) -> float:
    """The strongest frequency, in Hz: the peak of the spectrum, interpolated between its bins."""
    window = signal.windows.gaussian(len(samples), len(samples) / 8)
    magnitude = np.log(np.abs(np.fft.rfft(samples * window)) + 1e-12)
    peak = int(magnitude.argmax())
    # A Gaussian's transform is one too, so the logarithm near the peak is a parabola exactly.
    left, middle, right = magnitude[peak - 1 : peak + 2]
    offset = 0.5 * (left - right) / (left - 2 * middle + right)
    return float((peak + offset) * rate_hz / len(samples))
