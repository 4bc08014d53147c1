"""What audio devices a machine has, as plugins tell it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AudioDevice"]


@dataclass(frozen=True, slots=True)
class AudioDevice:
    """One device."""

    index: int
    """What to choose it by: ``mic:3``."""
    name: str
    """Or by a part of this, in any case, where only one device has it."""
    input_channels: int
    """0: it cannot record."""
    output_channels: int
    """0: it cannot play."""
    default_rate_hz: int
    is_default_input: bool = False
    is_default_output: bool = False
