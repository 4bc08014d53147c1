"""What a response would have cost: tokens, about as many as the API would count.

Four characters make a token of text. Of audio, the API's guide on costs counts a token for each
100 ms of the user's and for each 50 ms of the assistant's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from realtime_transports.openai.server_conversation import RATE_HZ, StoredItem

__all__ = ["TokenBudget", "count_tokens", "usage_of"]

CHARACTERS_PER_TOKEN = 4
ASSISTANT_SAMPLES_PER_TOKEN = RATE_HZ // 20
USER_SAMPLES_PER_TOKEN = RATE_HZ // 10


class TokenBudget:
    """How much a response may still say: `max_output_tokens`, "inclusive of tool calls"."""

    def __init__(self, limit: int | None) -> None:
        """Begin with nothing spent.

        Args:
            limit: In tokens; None is without limit.
        """
        self._limit = limit
        self._spent = 0

    def spend(self, stored: StoredItem) -> None:
        """An item is complete."""
        self._spent += sum(count_tokens(stored))

    def characters_left(self, characters: int, samples: int) -> int | None:
        """How many more characters fit into an item that has so much already; None for any."""
        if self._limit is None:
            return None
        tokens = self._limit - self._spent - _tokens(samples, ASSISTANT_SAMPLES_PER_TOKEN)
        return max(0, tokens * CHARACTERS_PER_TOKEN - characters)

    def samples_left(self, characters: int, samples: int) -> int | None:
        """How many more samples fit into an item that has so much already; None for any."""
        if self._limit is None:
            return None
        tokens = self._limit - self._spent - _tokens(characters, CHARACTERS_PER_TOKEN)
        return max(0, tokens * ASSISTANT_SAMPLES_PER_TOKEN - samples)


def count_tokens(stored: StoredItem) -> tuple[int, int]:
    """About how many tokens an item costs: of text and of audio."""
    is_assistants = stored.item.get("role") == "assistant"
    per_token = ASSISTANT_SAMPLES_PER_TOKEN if is_assistants else USER_SAMPLES_PER_TOKEN
    text = stored.text() + str(stored.item.get("arguments", ""))
    samples = sum(len(part) for part in stored.audio.values())
    return _tokens(len(text), CHARACTERS_PER_TOKEN), _tokens(samples, per_token)


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


def _tokens(amount: int, per_token: int) -> int:
    return -(-amount // per_token)
