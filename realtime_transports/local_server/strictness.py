"""What the real API refuses and this server takes, unless it is told to be strict.

Being lenient lets people try things without an account's set-up; being strict finds before
production what would fail there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs

from realtime_transports.local_server.errors import ApiError
from realtime_transports.local_server.requests import key_in_header

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from aiohttp import web

    from realtime_transports.local_server.keys import EphemeralKey
    from realtime_transports.local_server.requests import Offer

__all__ = [
    "require_known_model",
    "require_session_type",
    "require_standard_key",
    "require_what_a_call_needs",
    "require_what_a_socket_needs",
]

MODELS = ("gpt-realtime", "gpt-4o-realtime", "gpt-4o-mini-realtime")
"""What the names of the API's realtime models begin with (openai-python's
``RealtimeSessionCreateRequest.model``)."""


def require_what_a_call_needs(offer: Offer, key: EphemeralKey | None) -> None:
    """A call names its session: by its key, or beside its offer."""
    if key is None and offer.session is None:
        raise ApiError(
            400,
            "Missing required parameter: 'session'. With a standard API key send "
            "multipart/form-data with 'sdp' and 'session', or use an ephemeral key.",
            code="missing_required_parameter",
            param="session",
        )
    if offer.session is not None:
        require_session_type(offer.session)


def require_what_a_socket_needs(request: web.Request, key: EphemeralKey | None) -> None:
    """A WebSocket names its model, unless its key does; a page shows an ephemeral key."""
    is_of_a_page = hdrs.ORIGIN in request.headers and key_in_header(request) is None
    if key is None and is_of_a_page:
        raise ApiError(
            401,
            "A page must use an ephemeral key: a standard API key would be seen by its visitors.",
            code="invalid_api_key",
        )
    if key is None and not request.query.get("model"):
        raise ApiError(
            400,
            "Missing required parameter: 'model'.",
            code="missing_required_parameter",
            param="model",
        )


def require_standard_key(key: EphemeralKey | None) -> None:
    """An ephemeral key begins sessions and does nothing else."""
    if key is not None:
        raise ApiError(
            403,
            "You have insufficient permissions for this operation: an ephemeral key begins "
            "sessions only.",
            code="insufficient_permissions",
        )


def require_session_type(session: Mapping[str, Any]) -> None:
    """A session says that it is one for speech."""
    if "type" not in session:
        raise ApiError(
            400,
            "Missing required parameter: 'session.type'.",
            code="missing_required_parameter",
            param="session.type",
        )


def require_known_model(model: str) -> None:
    """The model is one that the API has."""
    if not model.startswith(MODELS):
        raise ApiError(
            404,
            f"The model `{model}` does not exist or you do not have access to it.",
            code="model_not_found",
            param="model",
        )
