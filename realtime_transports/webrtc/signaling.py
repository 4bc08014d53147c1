"""Posts the offer and reads the answer: the one HTTP exchange of a call."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from realtime_core.errors import ConnectError, ConnectStage, TransportError
from realtime_transports.http_client import (
    content_without_key,
    endpoint_hint,
    refusal,
    request_headers,
    without_key,
)

if TYPE_CHECKING:
    from pydantic import SecretStr

    from realtime_transports.http_client import HttpAnswer, HttpClient

__all__ = ["CallAnswer", "Signaling"]

CALLS_PATH = "/realtime/calls"


@dataclass(frozen=True)
class CallAnswer:
    """An accepted call."""

    sdp: str
    call_id: str | None


@dataclass(frozen=True)
class Signaling:
    """How to place a call at an endpoint."""

    http: HttpClient
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent besides our own; they win over them. They may hold secrets."""
    organization: str | None = None
    project: str | None = None

    async def place_call(
        self,
        url: str,
        offer_sdp: str,
        *,
        api_key: SecretStr,
        session: Mapping[str, Any] | None = None,
    ) -> CallAnswer:
        """Post the offer.

        Args:
            url: The full endpoint.
            offer_sdp: The offer.
            api_key: Sent as bearer token.
            session: The session's configuration, sent with the offer as multipart; None posts the
                offer alone, for a key that belongs to a configured session (API reference,
                "Create call").

        Raises:
            ConnectError: No call came about; at stage `http`.
        """
        outcome = await self._exchange(url, _body(offer_sdp, session), api_key)
        if isinstance(outcome, ConnectError):
            # Not chained: what aiohttp raises may quote the server, which may quote the key, and
            # its frames hold the request's headers.
            raise outcome
        return outcome

    async def _exchange(
        self, url: str, content: tuple[str, bytes], api_key: SecretStr
    ) -> CallAnswer | ConnectError:
        content_type, body = content
        try:
            answer = await self.http.post(
                url, headers=self._headers(api_key, content_type), body=body
            )
        except TransportError as exc:
            return ConnectError(ConnectStage.HTTP, without_key(str(exc), api_key))
        if not 200 <= answer.status < 300:
            hint = endpoint_hint("base_url", url, CALLS_PATH)
            return refusal("Realtime call request", answer, api_key, hint_404=hint)
        if answer.body_error is not None:
            return ConnectError(ConnectStage.HTTP, without_key(str(answer.body_error), api_key))
        return _accepted(answer, api_key)

    def _headers(self, api_key: SecretStr, content_type: str) -> dict[str, str]:
        ours = request_headers(organization=self.organization, project=self.project)
        return {
            **ours,
            "Content-Type": content_type,
            "Authorization": f"Bearer {api_key.get_secret_value()}",
            **self.headers,
        }


def _body(offer_sdp: str, session: Mapping[str, Any] | None) -> tuple[str, bytes]:
    if session is None:
        return "application/sdp", offer_sdp.encode()
    boundary = f"realtime-{secrets.token_hex(12)}"
    parts = (
        ("sdp", "application/sdp", offer_sdp),
        ("session", "application/json", json.dumps(session)),
    )
    text = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n'
        f"Content-Type: {kind}\r\n\r\n{content}\r\n"
        for name, kind, content in parts
    )
    return f"multipart/form-data; boundary={boundary}", f"{text}--{boundary}--\r\n".encode()


def _accepted(answer: HttpAnswer, api_key: SecretStr) -> CallAnswer:
    call_id = _call_id(answer.headers)
    return CallAnswer(
        content_without_key(answer.body.decode(errors="replace"), api_key),
        None if call_id is None else content_without_key(call_id, api_key),
    )


def _call_id(headers: Mapping[str, str]) -> str | None:
    """The call id: the last segment of the path in `Location`."""
    location = headers.get("Location")
    if location is None:
        return None
    path = location.partition("?")[0].partition("#")[0]
    return path.rstrip("/").rpartition("/")[2] or None
