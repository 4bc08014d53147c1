"""Samples and bytes."""

from __future__ import annotations

import numpy as np
import pytest

from realtime_transports.openai.audio_codec import bytes_per_sample, decode, encode, rate_hz_of

ULAW, ALAW = {"type": "audio/pcmu"}, {"type": "audio/pcma"}


@pytest.mark.parametrize(
    ("audio_format", "code", "sample"),
    [
        # ITU-T G.711, tables 1a to 2b, scaled to 16 bits.
        (ULAW, 0xFF, 0),
        (ULAW, 0x80, 32_124),
        (ULAW, 0x00, -32_124),
        (ULAW, 0xF0, 120),
        ("g711_ulaw", 0x8F, 16_764),
        (ALAW, 0xD5, 8),
        (ALAW, 0x55, -8),
        (ALAW, 0xAA, 32_256),
        ("g711_alaw", 0x2A, -32_256),
        (ALAW, 0xC5, 264),
    ],
)
def test_telephone_codes_say_what_the_standard_says(audio_format: object, code: int, sample: int):
    assert decode(bytes([code]), audio_format).tolist() == [sample]
    assert encode(np.array([sample], np.int16), audio_format) == bytes([code])


@pytest.mark.parametrize("audio_format", [ULAW, ALAW])
def test_every_code_comes_back_and_no_sample_is_far_off(audio_format: object):
    meanings = decode(bytes(range(256)), audio_format)
    again = decode(encode(meanings, audio_format), audio_format)
    assert (again == meanings).all()
    samples = np.arange(-32_768, 32_768, 7).astype(np.int16)
    error = np.abs(decode(encode(samples, audio_format), audio_format) - samples.astype(np.int32))
    assert (error <= np.abs(samples.astype(np.int32)) / 16 + 16).all()


def test_pcm_is_little_endian_and_half_a_sample_is_dropped():
    samples = np.array([1, -2, 32_767], np.int16)
    data = encode(samples, {"type": "audio/pcm", "rate": 24_000})
    assert data == b"\x01\x00\xfe\xff\xff\x7f"
    assert decode(data + b"\x01", None).tolist() == samples.tolist()


@pytest.mark.parametrize(
    ("audio_format", "rate_hz", "size"),
    [
        (ULAW, 8_000, 1),
        ("g711_alaw", 8_000, 1),
        ({"type": "audio/pcm", "rate": 16_000}, 16_000, 2),
        ({"type": "audio/pcm", "rate": None}, 24_000, 2),
        ({"type": "audio/other"}, 24_000, 2),
        (None, 24_000, 2),
    ],
)
def test_a_format_has_a_rate_and_a_size(audio_format: object, rate_hz: int, size: int):
    assert (rate_hz_of(audio_format), bytes_per_sample(audio_format)) == (rate_hz, size)


@pytest.mark.parametrize("rate", [0, -1, 0.5, float("inf"), float("nan"), 10**400, "16000", None])
def test_a_rate_that_no_audio_has_counts_as_24_khz(rate):
    assert rate_hz_of({"type": "audio/pcm", "rate": rate}) == 24_000
