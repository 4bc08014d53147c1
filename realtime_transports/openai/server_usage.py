"""What a response would have cost: tokens, about as many as the API would count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from realtime_transports.openai.server_conversation import RATE_HZ, StoredItem

__all__ = ["count_tokens", "usage_of"]


def count_tokens(stored: StoredItem) -> tuple[int, int]:
    """About how many tokens an item costs: of text and of audio.

    Four characters make a token. The API's guide on costs counts a token for each 100 ms of the
    user's audio and for each 50 ms of the assistant's.
    """
    text = stored.text() + str(stored.item.get("arguments", ""))
    samples_per_token = RATE_HZ // (20 if stored.item.get("role") == "assistant" else 10)
    samples = sum(len(part) for part in stored.audio.values())
    return -(-len(text) // 4), -(-samples // samples_per_token)


def usage_of(context: Sequence[StoredItem], answer: Sequence[StoredItem]) -> dict[str, Any]:
    """The `usage` of a response."""
    text_in, audio_in = _sum_tokens(context)
    text_out, audio_out = _sum_tokens(answer)
    return {
        "total_tokens": text_in + audio_in + text_out + audio_out,
        "input_tokens": text_in + audio_in,
        "output_tokens": text_out + audio_out,
        "input_token_details": {
            "text_tokens": text_in,
            "audio_tokens": audio_in,
            "image_tokens": 0,
            "cached_tokens": 0,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
    }


def _sum_tokens(items: Sequence[StoredItem]) -> tuple[int, int]:
    counted = [count_tokens(stored) for stored in items]
    return sum(text for text, _ in counted), sum(audio for _, audio in counted)
