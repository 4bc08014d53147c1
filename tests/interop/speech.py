"""A spoken question, as clients send it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

QUESTION = Path(__file__).parents[2] / "examples" / "question.wav"


def question(rate_hz: int) -> np.ndarray:
    """The question: int16 of shape (n,)."""
    samples, rate = soundfile.read(QUESTION, dtype="int16", always_2d=True)
    return soxr.resample(samples[:, 0], rate, rate_hz).astype(np.int16)


async def paced(samples: np.ndarray, rate_hz: int) -> AsyncIterator[bytes]:
    """Blocks of 20 ms, at the pace of speech."""
    loop = asyncio.get_running_loop()
    began, length = loop.time(), rate_hz // 50
    for block, at in enumerate(range(0, len(samples), length)):
        await asyncio.sleep(max(0.0, began + block * 0.02 - loop.time()))
        yield samples[at : at + length].tobytes()
