"""Realtime models of an Azure resource: where they are, and how to be let in.

Azure speaks the same protocol under `{resource}/openai/v1/realtime` (GA; no `api-version`), with a
deployment's name in the place of a model's. Who connects shows an `api-key`, or a token of
Microsoft Entra as bearer token. WebRTC takes neither: it wants an ephemeral key, which
`client_secrets` gives to who has one of the two.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from realtime_core.errors import ConnectError, ConnectStage, TransportError, UserError
from realtime_transports.http_client import (
    AiohttpClient,
    HttpAnswer,
    HttpClient,
    make_ssl_context,
    refusal,
    request_headers,
    without_key,
)

if TYPE_CHECKING:
    from realtime_core.transport import ApiKey

__all__ = ["AzureRealtime"]

CREDENTIAL_TIMEOUT_S = 30.0
"""As for the stage `key` of a connection."""


class AzureRealtime:
    """A deployment of a realtime model.

    It gives the arguments that transports need for it::

        azure = AzureRealtime("https://mine.openai.azure.com", "gpt-realtime", api_key=key)
        OpenAIRealtimeWebRTC(source="mic", **azure.webrtc_options())
        OpenAIRealtimeWebSocket(**azure.websocket_options())

    With a token provider, such as that of `azure.identity.get_bearer_token_provider`, a token is
    asked for at each connection.
    """

    def __init__(
        self,
        resource: str,
        deployment: str,
        *,
        api_key: str | SecretStr | None = None,
        token_provider: ApiKey | None = None,
        session: Mapping[str, Any] | None = None,
        ca_file: str | None = None,
        http: HttpClient | None = None,
    ) -> None:
        """Name the deployment, and how to be let in.

        Args:
            resource: The resource's endpoint, such as ``https://mine.openai.azure.com``.
            deployment: The deployment's name.
            api_key: A key of the resource.
            token_provider: A function or coroutine function that gives a token, instead.
            session: What the ephemeral key of a WebRTC call is for, besides the deployment, in the
                API's own names. What the first audio fixes, such as the voice, belongs here.
            ca_file: Certificates to trust, PEM; None means the system's.
            http: Asks for ephemeral keys; None means aiohttp, with proxies from the environment.

        Raises:
            UserError: The resource is no HTTPS address, or not exactly one of key and provider is
                given.
        """
        parts = urlsplit(resource)
        is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if not parts.hostname or (parts.scheme != "https" and not is_local):
            raise UserError(
                f"{resource!r} is no Azure endpoint; it looks like https://NAME.openai.azure.com"
            )
        if (api_key is None) == (token_provider is None):
            raise UserError("give either the resource's api_key or a token_provider")
        self._base = f"{parts.scheme}://{parts.netloc}/openai/v1/realtime"
        self._deployment = deployment
        self._api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        self._token_provider = token_provider
        self._session = dict(session or {})
        self._ca_file = ca_file
        self._http = http or AiohttpClient(ssl_context=make_ssl_context(ca_file))

    def websocket_options(self) -> dict[str, Any]:
        """The arguments for `OpenAIRealtimeWebSocket`."""
        scheme, _, rest = self._base.partition("://")
        socket_scheme = "wss" if scheme == "https" else "ws"
        return {
            "url": f"{socket_scheme}://{rest}?model={quote(self._deployment, safe='')}",
            "model": self._deployment,
            "api_key": self._credential,
            "key_header": self._key_header,
            "ca_file": self._ca_file,
        }

    def sip_options(self) -> dict[str, Any]:
        """The arguments for `OpenAIRealtimeSIP`."""
        return {**self.websocket_options(), "calls_url": f"{self._base}/calls"}

    def webrtc_options(self) -> dict[str, Any]:
        """The arguments for `OpenAIRealtimeWebRTC`; each call gets an ephemeral key of its own."""
        return {
            "base_url": f"{self._base}/calls",
            "model": self._deployment,
            "api_key": self.create_client_secret,
            # The key belongs to a configured session, whatever it looks like.
            "use_insecure_api_key": True,
            "ca_file": self._ca_file,
        }

    async def create_client_secret(self) -> SecretStr:
        """A new ephemeral key for this deployment; also for a browser or a phone of the user's.

        Raises:
            ConnectError: The resource gave none; at stage `key`. It shows no key.
        """
        credential = await self._credential_in_time()
        session = {"type": "realtime", "model": self._deployment, **self._session}
        shown = credential.get_secret_value()
        headers = {
            **request_headers(),
            "Content-Type": "application/json",
            self._key_header: shown if self._api_key else f"Bearer {shown}",
        }
        failure: str | None = None
        answer: HttpAnswer | None = None
        try:
            answer = await self._http.post(
                f"{self._base}/client_secrets",
                headers=headers,
                body=json.dumps({"session": session}).encode(),
            )
        except TransportError as exc:
            failure = without_key(str(exc), credential)
        # Raised outside the handler: the client's own error may hold the request's headers.
        if answer is None:
            raise ConnectError(ConnectStage.KEY, f"no ephemeral key: {failure}")
        return _secret_in(answer, credential)

    @property
    def _key_header(self) -> str:
        return "Authorization" if self._api_key is None else "api-key"

    async def _credential_in_time(self) -> SecretStr:
        try:
            async with asyncio.timeout(CREDENTIAL_TIMEOUT_S) as deadline:
                return await self._credential()
        except TimeoutError:
            if not deadline.expired():  # the provider's own
                raise
            raise ConnectError(
                ConnectStage.KEY, f"no token came within {CREDENTIAL_TIMEOUT_S:g} s"
            ) from None

    async def _credential(self) -> SecretStr:
        given: Any = self._api_key or self._token_provider
        if callable(given):
            given = given()
            if inspect.isawaitable(given):
                given = await given
        return given if isinstance(given, SecretStr) else SecretStr(given or "")


def _secret_in(answer: HttpAnswer, credential: SecretStr) -> SecretStr:
    if not 200 <= answer.status < 300:
        refused = refusal("request for an ephemeral key", answer, credential)
        raise ConnectError(
            ConnectStage.KEY,
            str(refused),
            status=refused.status,
            provider_message=refused.provider_message,
        )
    value: object = None
    # What the parser says is not told: it may quote the secret.
    with contextlib.suppress(ValueError, LookupError, TypeError, RecursionError):
        value = json.loads(answer.body)["value"]
    if not isinstance(value, str) or not value:
        raise ConnectError(ConnectStage.KEY, "the answer has no ephemeral key in `value`")
    return SecretStr(value)
