"""Keys: which are taken, and the ephemeral ones that `client_secrets` gives out.

A standard key is any non-empty text, or the one that the server was told. What begins like an
ephemeral key must be one that this server gave out and that has not expired.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime_transports.local_server.errors import ApiError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from realtime_transports.openai.server_outputs import JsonObject

__all__ = ["EphemeralKey", "EphemeralKeys", "KeyRing"]

EPHEMERAL_PREFIX = "ek_"

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
        value = f"{EPHEMERAL_PREFIX}{secrets.token_hex(16)}"
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


class KeyRing:
    """Tells who may do what."""

    def __init__(
        self,
        api_key: SecretStr | None = None,
        *,
        are_expired: bool = False,
        ephemeral: EphemeralKeys | None = None,
    ) -> None:
        """Begin without ephemeral keys.

        Args:
            api_key: The one standard key that is taken; None takes any.
            are_expired: Whether ephemeral keys are treated as expired (a fault).
            ephemeral: Where those are kept; None begins with none.
        """
        self.ephemeral = ephemeral or EphemeralKeys()
        self._api_key = api_key
        self._are_expired = are_expired

    def check(self, shown: str | None) -> EphemeralKey | None:
        """The ephemeral key that was shown, None if it is a standard key.

        Raises:
            ApiError: No key was shown, or one that is not taken.
        """
        if not shown:
            raise ApiError(
                401,
                "Missing bearer authentication in header. Send 'Authorization: Bearer KEY'.",
                code="missing_authentication",
            )
        if shown.startswith(EPHEMERAL_PREFIX):
            return self._check_ephemeral(shown)
        if self._api_key is not None:
            wanted = self._api_key.get_secret_value().encode()
            if not hmac.compare_digest(shown.encode(errors="surrogateescape"), wanted):
                raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
        return None

    def _check_ephemeral(self, shown: str) -> EphemeralKey:
        key = self.ephemeral.find(shown)
        if key is None:
            raise ApiError(
                401,
                "Incorrect API key provided: this server did not give out this ephemeral key.",
                code="invalid_api_key",
            )
        if self._are_expired or self.ephemeral.is_expired(key):
            raise ApiError(
                401,
                "The ephemeral key has expired. Create another one with client_secrets.",
                code="expired_key",
            )
        return key
