"""An attempt to place a call, and which keys it takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from realtime_core.errors import UserError
from realtime_transports.connecting import rejected_config
from realtime_transports.openai.api_keys import check_api_key

if TYPE_CHECKING:
    from pydantic import SecretStr

    from realtime_transports.connecting import ConnectRequest

__all__ = ["Attempt", "KeyRules", "rejected_config"]

EPHEMERAL_KEY_PREFIX = "ek_"


class Attempt:
    """What one call of `connect` wants, and how far it has come.

    Whoever calls `connect` meanwhile waits for its outcome too.
    """

    def __init__(self, request: ConnectRequest, *, model_before: str) -> None:
        """Begin.

        Args:
            request: What was asked for.
            model_before: The model that comes back if this comes to nothing.
        """
        self.request = request
        self.model_before = model_before
        self.task: asyncio.Task[None] | None = None
        self.is_configuring = False
        """Whether the configuration has been sent."""
        self.confirmed = asyncio.Event()
        """Set when the server has confirmed it."""
        self.outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Those who wait may all have been cancelled; then nobody asks for the exception.
        self.outcome.add_done_callback(lambda done: done.cancelled() or done.exception())


class KeyRules:
    """Which keys are taken, and what is posted with them."""

    def __init__(self, *, use_insecure_api_key: bool, require_ephemeral_key: bool) -> None:
        """See `OpenAIRealtimeWebRTC`."""
        self._use_insecure = use_insecure_api_key
        self._require_ephemeral = require_ephemeral_key

    def check(self, key: SecretStr) -> None:
        """Refuse a key that cannot be used.

        Raises:
            UserError: It is none, or not ephemeral where it has to be.
        """
        if self._require_ephemeral and not self._use_insecure and not _is_ephemeral(key):
            # The wording is that of OpenAI Agents JS, whose users look for it.
            raise UserError(
                "Using the WebRTC connection in a browser environment requires an ephemeral client "
                "key. If you need to use a regular API key, use the WebSocket transport or set the "
                "`useInsecureApiKey` option to true."
            )
        check_api_key(key)

    def posts_session(self, key: SecretStr) -> bool:
        """Whether the session goes along with the offer; an ephemeral key has one already."""
        return not (self._use_insecure or _is_ephemeral(key))


def _is_ephemeral(key: SecretStr) -> bool:
    return key.get_secret_value().startswith(EPHEMERAL_KEY_PREFIX)
