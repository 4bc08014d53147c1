"""What can be done with a call over HTTP: take it, refuse it, pass it on, end it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from realtime_core.errors import TransportError, UserError
from realtime_transports.http_client import HttpAnswer, HttpClient, refusal, without_key

if TYPE_CHECKING:
    from pydantic import SecretStr

__all__ = ["DEFAULT_CALLS_URL", "CallError", "CallsApi"]

DEFAULT_CALLS_URL = "https://api.openai.com/v1/realtime/calls"


class CallError(TransportError):
    """The server did not do with a call what it was asked for."""

    def __init__(
        self, message: str, *, status: int | None = None, provider_message: str | None = None
    ) -> None:
        """Tell what was refused.

        Args:
            message: What happened.
            status: The HTTP status; None when no answer came.
            provider_message: The server's own explanation, if it sent one.
        """
        super().__init__(message)
        self.status = status
        self.provider_message = provider_message


@dataclass(frozen=True)
class CallsApi:
    """The calls of one endpoint."""

    http: HttpClient
    url: str = DEFAULT_CALLS_URL
    """Where calls are; a call's own address is below it."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with each request; they may hold secrets."""
    key_header: str = "Authorization"
    """Holds the key: as bearer token if it is this one, else alone."""

    async def post(
        self,
        call_id: str,
        action: str,
        body: Mapping[str, Any] | None = None,
        *,
        api_key: SecretStr,
    ) -> None:
        """Ask for something.

        Args:
            call_id: The call, as the webhook or the `Location` of its answer named it.
            action: `accept`, `reject`, `refer` or `hangup`.
            body: What belongs to it.
            api_key: The key.

        Raises:
            CallError: It was refused, or the server was not reached. It shows no key.
            UserError: There is no call id.
        """
        if not call_id:
            raise UserError(f"to {action} a call, name it: call_id is empty")
        url = f"{self.url}/{quote(call_id, safe='')}/{action}"
        failure: str | None = None
        answer: HttpAnswer | None = None
        try:
            answer = await self.http.post(
                url,
                headers=self._headers(api_key, with_body=body is not None),
                body=b"" if body is None else json.dumps(body).encode(),
            )
        except TransportError as exc:
            failure = without_key(str(exc), api_key)
        # Raised outside the handler: the client's own error may hold the request's headers.
        if answer is None:
            raise CallError(f"call {call_id} could not be asked to {action}: {failure}")
        if not 200 <= answer.status < 300:
            refused = refusal(f"request to {action} call {call_id}", answer, api_key)
            raise CallError(
                str(refused), status=answer.status, provider_message=refused.provider_message
            )

    def _headers(self, api_key: SecretStr, *, with_body: bool) -> dict[str, str]:
        key = api_key.get_secret_value()
        shown = f"Bearer {key}" if self.key_header == "Authorization" else key
        content = {"Content-Type": "application/json"} if with_body else {}
        return {self.key_header: shown, **content, **self.headers}
