"""Audio at another rate, piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import soxr

    from realtime_core.audio import Pcm16

__all__ = ["RateConverter", "StreamingResampler"]


class StreamingResampler:
    """Changes the rate of a stream; any way of cutting the input into pieces gives the same output.

    The pieces put together are the input's duration at the new rate, to within one sample (two with
    `low_delay`). When both rates are equal the samples pass through untouched and soxr is not even
    imported.
    """

    def __init__(
        self, in_rate_hz: int, out_rate_hz: int, channels: int = 1, *, low_delay: bool = False
    ) -> None:
        """Prepare for one stream.

        Args:
            in_rate_hz: Samples per second that come in.
            out_rate_hz: Samples per second that go out.
            channels: How many channels both have.
            low_delay: For live audio. What comes out lags less behind what went in (24 to 48 kHz:
                10 ms instead of 38 ms; 48 to 24 kHz: 5 instead of 38; 8 to 24 kHz: 30 instead of
                73), for a constant shift of up to two output samples and about twice the CPU time.
                Aliases stay below -110 dB either way (soxr 1.1.0).

        Raises:
            ValueError: A rate or the number of channels is not positive.
        """
        if in_rate_hz <= 0 or out_rate_hz <= 0 or channels <= 0:
            raise ValueError(
                f"rates and channels must be positive, "
                f"not {in_rate_hz} Hz, {out_rate_hz} Hz, {channels} channels"
            )
        self.in_rate_hz = in_rate_hz
        self.out_rate_hz = out_rate_hz
        self.channels = channels
        self._stream = None
        if in_rate_hz != out_rate_hz:
            self._stream = _open_stream(in_rate_hz, out_rate_hz, channels, low_delay=low_delay)

    def push(self, samples: Pcm16) -> Pcm16:
        """What can be told after these samples.

        Args:
            samples: int16, shape (n, channels); n may be 0.

        Returns:
            int16, shape (m, channels); m is often 0 at the start, as the filter looks ahead. May
            be `samples` itself when the rates are equal.

        Raises:
            ValueError: The samples have another shape or type.
        """
        if samples.ndim != 2 or samples.shape[1] != self.channels or samples.dtype != np.int16:
            raise ValueError(
                f"samples must be int16 of shape (n, {self.channels}), "
                f"not {samples.dtype} of shape {samples.shape}"
            )
        if self._stream is None:
            return samples
        return _to_pcm16(self._stream.resample_chunk(samples.astype(np.float32)))

    def flush(self) -> Pcm16:
        """The rest of the stream; after this a new stream may begin.

        Returns:
            int16, shape (m, channels).
        """
        nothing = np.zeros((0, self.channels), np.float32)
        if self._stream is None:
            return nothing.astype(np.int16)
        rest = _to_pcm16(self._stream.resample_chunk(nothing, last=True))
        self._stream.clear()
        return rest


def _open_stream(
    in_rate_hz: int, out_rate_hz: int, channels: int, *, low_delay: bool
) -> soxr.ResampleStream:
    import soxr

    # float32 and not int16: soxr dithers integers, so that the cutting would show in the samples.
    # Its engine for variable rates looks ahead less than the one for fixed rates.
    return soxr.ResampleStream(in_rate_hz, out_rate_hz, channels, dtype="float32", vr=low_delay)


def _to_pcm16(samples: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Pcm16:
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


class RateConverter:
    """Brings a stream to one rate, whatever rate its pieces have.

    What a change of rate leaves inside is put before what comes after it.
    """

    def __init__(self, out_rate_hz: int, channels: int = 1, *, low_delay: bool = False) -> None:
        """Set what comes out; the arguments are as for `StreamingResampler`."""
        self.channels = channels
        self._out_rate_hz = out_rate_hz
        self._low_delay = low_delay
        self._in_rate_hz: int | None = None
        self._resampler: StreamingResampler | None = None

    def push(self, samples: Pcm16, in_rate_hz: int) -> Pcm16:
        """Take a piece of shape (n, channels) at some rate; get what is ready."""
        if in_rate_hz == self._in_rate_hz and self._resampler is not None:
            return self._resampler.push(samples)
        before = self.flush()
        self._in_rate_hz = in_rate_hz
        self._resampler = StreamingResampler(
            in_rate_hz, self._out_rate_hz, self.channels, low_delay=self._low_delay
        )
        return np.concatenate([before, self._resampler.push(samples)])

    def flush(self) -> Pcm16:
        """The rest."""
        resampler, self._resampler = self._resampler, None
        if resampler is None:
            return np.zeros((0, self.channels), np.int16)
        return resampler.flush()
