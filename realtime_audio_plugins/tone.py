"""A tone, for tests and measurements."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from realtime_audio_plugins.generated import GeneratedSource
from realtime_core.errors import ValidationError

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["ToneSource"]


class ToneSource(GeneratedSource):
    """A sine: sample n is ``round(amplitude * 32767 * sin(2 * pi * frequency_hz * n / rate_hz))``.

    The phase is worked out from n exactly, so it neither jumps between blocks nor drifts.
    """

    def __init__(
        self,
        frequency_hz: float = 440.0,
        duration_s: float | None = None,
        *,
        rate_hz: int = 48_000,
        amplitude: float = 0.5,
    ) -> None:
        """Set the tone.

        Args:
            frequency_hz: More than 0, less than half the rate.
            duration_s: When it ends; None for never.
            rate_hz: Samples per second.
            amplitude: Of the peak, 0 to 1, where 1 is full scale.

        Raises:
            ValidationError: A value is out of its range.
        """
        super().__init__(rate_hz, duration_s)
        if not 0 < frequency_hz < rate_hz / 2:
            raise ValidationError(
                f"a tone's frequency must be between 0 and half the rate, {rate_hz / 2:g} Hz, "
                f"not {frequency_hz:g} Hz"
            )
        if not 0 <= amplitude <= 1:
            raise ValidationError(f"amplitude must be between 0 and 1, not {amplitude:g}")
        self.frequency_hz = frequency_hz
        self.amplitude = amplitude
        self._cycles_per_sample = Fraction(frequency_hz) / rate_hz

    def _compute(self, first_sample: int, count: int) -> Pcm16:
        first_cycle = float(first_sample * self._cycles_per_sample % 1)
        cycles = first_cycle + np.arange(count) * float(self._cycles_per_sample)
        wave = np.sin(2 * np.pi * cycles)
        samples: Pcm16 = np.rint(self.amplitude * 32767 * wave).astype(np.int16)
        return samples
