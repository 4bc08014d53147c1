"""Where the API key comes from, and what cannot be one."""

from __future__ import annotations

import inspect
import os
from typing import Any

from pydantic import SecretStr

from realtime_core.errors import UserError
from realtime_core.transport import ApiKey

__all__ = ["API_KEY_VARIABLE", "check_api_key", "resolve_api_key"]

API_KEY_VARIABLE = "OPENAI_API_KEY"
OPENAI_HOST = "https://api.openai.com/"


async def resolve_api_key(api_key: SecretStr | ApiKey | None, endpoint: str) -> SecretStr:
    """The key for an endpoint; empty when there is none.

    Args:
        api_key: As the program gave it; None means the environment's ``OPENAI_API_KEY``, which
            goes to OpenAI's own host only.
        endpoint: The URL that it is for.
    """
    given: Any = api_key
    if given is None and endpoint.startswith(OPENAI_HOST):
        given = os.environ.get(API_KEY_VARIABLE)
    if callable(given):
        given = given()
        if inspect.isawaitable(given):
            given = await given
    return given if isinstance(given, SecretStr) else SecretStr(given or "")


def check_api_key(key: SecretStr) -> None:
    """Refuse what cannot be a key, without showing it.

    Raises:
        UserError: It is empty, or has characters that cannot be sent in a header.
    """
    text = key.get_secret_value()
    if not text:
        raise UserError(
            "no API key: pass api_key to the constructor or to connect(), or set "
            f"{API_KEY_VARIABLE} for OpenAI's own endpoint"
        )
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UserError("the API key has characters that no key has; is it the right variable?")
