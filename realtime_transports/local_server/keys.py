"""Ephemeral keys: what `client_secrets` gives out and calls are made with."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime_transports.openai.server_outputs import JsonObject

__all__ = ["EphemeralKey", "EphemeralKeys"]

MAX_KEYS = 1_000
"""The oldest is forgotten beyond that."""


@dataclass(frozen=True)
class EphemeralKey:
    """A key that was given out."""

    value: str
    expires_at: int
    """In seconds since 1970."""
    session_changes: JsonObject
    """What its sessions begin with, as in a session.update."""

    def __repr__(self) -> str:
        return f"EphemeralKey(expires_at={self.expires_at})"


class EphemeralKeys:
    """The keys of one server."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """Begin with none.

        Args:
            now: The time in seconds since 1970.
        """
        self._now = now
        self._keys: dict[str, EphemeralKey] = {}

    def create(self, session_changes: JsonObject, lifetime_s: int) -> EphemeralKey:
        """A new key."""
        value = f"ek_{secrets.token_hex(16)}"
        key = EphemeralKey(value, int(self._now()) + lifetime_s, session_changes)
        self._keys[value] = key
        if len(self._keys) > MAX_KEYS:
            del self._keys[next(iter(self._keys))]
        return key

    def find(self, value: str) -> EphemeralKey | None:
        """The key of this value, expired or not; None if it was not given out here."""
        return self._keys.get(value)

    def is_expired(self, key: EphemeralKey) -> bool:
        """Whether it may no longer be used."""
        return self._now() >= key.expires_at
