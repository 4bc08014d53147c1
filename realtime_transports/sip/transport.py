"""`OpenAIRealtimeSIP`: the events of a telephone call, whose audio the provider carries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from realtime_core.errors import TransportError, UserError
from realtime_transports.http_client import AiohttpClient, HttpClient, make_ssl_context
from realtime_transports.openai.api_keys import check_api_key
from realtime_transports.openai.config_values import member, plain_object
from realtime_transports.openai.session_config import (
    DEFAULT_REALTIME_MODEL,
    SessionConfig,
    build_session_payload,
    stated_session_payload,
)
from realtime_transports.openai.websocket_protocol import SipProtocol
from realtime_transports.sip.agent_config import agent_config
from realtime_transports.sip.calls import DEFAULT_CALLS_URL, CallError, CallsApi
from realtime_transports.websocket.connection import SocketTransport
from realtime_transports.websocket.settings import ConnectionOptions, connection_settings

if TYPE_CHECKING:
    from realtime_core.middleware import EventMiddleware
    from realtime_core.transport import ApiKey

__all__ = ["OpenAIRealtimeSIP"]

UNSUPPORTED_TURN_DETECTION = {
    "threshold": "threshold",
    "prefix_padding_ms": "prefixPaddingMs/prefix_padding_ms",
    "silence_duration_ms": "silenceDurationMs/silence_duration_ms",
}
"""What the calls API refuses in a telephone call's session, with the spellings it is given in."""


class OpenAIRealtimeSIP(SocketTransport):
    """A telephone call that came in over SIP.

    A webhook (`realtime.call.incoming`) names the call; then::

        config = await OpenAIRealtimeSIP.build_initial_config(agent)
        async with OpenAIRealtimeSIP() as transport:
            await transport.accept(call_id, config)
            await transport.connect(call_id=call_id)

    The audio flows between the caller and the server alone.
    """

    def __init__(
        self,
        *,
        calls_url: str = DEFAULT_CALLS_URL,
        http: HttpClient | None = None,
        model: str | None = None,
        api_key: ApiKey | None = None,
        middlewares: Iterable[EventMiddleware] = (),
        **options: Unpack[ConnectionOptions],
    ) -> None:
        """Set everything up; nothing is opened before `connect`.

        Args:
            calls_url: Where calls are accepted, refused, passed on and ended.
            http: Does so; None means aiohttp, with proxies from the environment.
            model: The model; None means the default of OpenAI's SDKs.
            api_key: A key, or a function or coroutine function that gives one. None means the
                environment's ``OPENAI_API_KEY``, for OpenAI's own endpoint only.
            middlewares: They see wire events; the first is the nearest to the program.
            options: See `ConnectionOptions`.

        Raises:
            UserError: An option cannot be used.
        """
        settings = connection_settings(options)
        super().__init__(
            SipProtocol(model=model), settings, api_key=api_key, middlewares=middlewares
        )
        self._key_timeout_s = settings.timeouts.key_s
        ssl_context = make_ssl_context(options.get("ca_file"))
        self._calls = CallsApi(
            http or AiohttpClient(ssl_context=ssl_context, timeout_s=settings.timeouts.http_s),
            calls_url,
            settings.credentials.headers,
            settings.credentials.key_header,
        )

    # The call

    @staticmethod
    async def build_initial_config(
        agent: object,
        config: SessionConfig | None = None,
        overrides: SessionConfig | None = None,
        *,
        model: str | None = None,
        tracing: Mapping[str, Any] | str | None = None,
        context: object = None,
    ) -> dict[str, Any]:
        """The session to accept a call with, as the agent wants it.

        Args:
            agent: A `RealtimeAgent` of openai-agents, or a mapping or object with some of `name`,
                `instructions`, `voice`, `prompt`, `tools` and `handoffs`; what it says counts.
            config: Settings of the session besides.
            overrides: Go over these, key by key.
            model: The model; None means the config's, or else the default of OpenAI's SDKs.
            tracing: ``"auto"``, or workflow name, group id and metadata; None says nothing.
            context: For an agent's instructions that are a function.

        Raises:
            UserError: The calls API does not know a setting of turn detection, or a tool.
            ValidationError: A setting has a form that cannot be sent.
        """
        said = {**_as_dict(config), **_as_dict(overrides)}
        of_agent = await agent_config(agent, context)
        if _chosen_voice(said) is not None:
            of_agent.pop("voice", None)
        chosen = {"model": model} if model else {}
        payload = build_session_payload(
            {**said, **of_agent, **chosen}, model=model or DEFAULT_REALTIME_MODEL
        )
        _check_turn_detection(payload, "OpenAIRealtimeSIP.build_initial_config()")
        return payload | ({} if tracing is None else {"tracing": tracing})

    async def accept(
        self, call_id: str, config: Mapping[str, Any], *, api_key: ApiKey | None = None
    ) -> None:
        """Take a call.

        Args:
            call_id: As the webhook named it.
            config: The session, as `build_initial_config` gives it.
            api_key: None means the constructor's.

        Raises:
            CallError: The server refused.
        """
        await self._ask(call_id, "accept", config, api_key)

    async def reject(
        self, call_id: str, status_code: int | None = None, *, api_key: ApiKey | None = None
    ) -> None:
        """Refuse a call.

        Args:
            call_id: As the webhook named it.
            status_code: SIP's reason for the caller, such as 486 for busy; None means 603.
            api_key: None means the constructor's.

        Raises:
            CallError: The server refused.
        """
        body = None if status_code is None else {"status_code": status_code}
        await self._ask(call_id, "reject", body, api_key)

    async def refer(
        self, target_uri: str, call_id: str | None = None, *, api_key: ApiKey | None = None
    ) -> None:
        """Pass a call on.

        Args:
            target_uri: Where to, such as ``tel:+14155550123`` or ``sip:agent@example.com``.
            call_id: None means the call this is attached to.
            api_key: None means the constructor's.

        Raises:
            CallError: The server refused.
        """
        await self._ask(call_id, "refer", {"target_uri": target_uri}, api_key)

    async def hangup(self, call_id: str | None = None, *, api_key: ApiKey | None = None) -> None:
        """End a call.

        Args:
            call_id: None means the call this is attached to.
            api_key: None means the constructor's.

        Raises:
            CallError: The server refused.
        """
        await self._ask(call_id, "hangup", None, api_key)

    async def _ask(
        self,
        call_id: str | None,
        action: str,
        body: Mapping[str, Any] | None,
        api_key: ApiKey | None,
    ) -> None:
        try:
            async with asyncio.timeout(self._key_timeout_s) as deadline:
                key = await self._resolve_api_key(api_key, self._calls.url)
        except TimeoutError:
            if not deadline.expired():  # the function's own
                raise
            raise CallError(
                f"call {call_id or self.call_id} could not be asked to {action}: no API key came "
                f"within {self._key_timeout_s:g} s"
            ) from None
        check_api_key(key)
        await self._calls.post(call_id or self.call_id or "", action, body, api_key=key)

    # What is otherwise than over WebSocket

    async def connect(
        self,
        *,
        api_key: ApiKey | None = None,
        model: str | None = None,
        url: str | None = None,
        call_id: str | None = None,
        initial_session_config: Mapping[str, Any] | None = None,
    ) -> None:
        """Attach to a call that was accepted; see `SocketTransport.connect`.

        Raises:
            UserError: There is no call id, or the config says of turn detection what the calls
                API refuses.
        """
        if not call_id:
            raise UserError("OpenAIRealtimeSIP requires `call_id` in the connect options.")
        _check_update(initial_session_config or {}, "OpenAIRealtimeSIP.connect()")
        await super().connect(
            api_key=api_key,
            model=model,
            url=url,
            call_id=call_id,
            initial_session_config=initial_session_config,
        )

    def update_session_config(self, config: Mapping[str, Any]) -> None:
        """Change the session's configuration.

        Raises:
            UserError: It says of turn detection what the calls API refuses.
        """
        _check_update(config, "OpenAIRealtimeSIP.update_session_config()")
        super().update_session_config(config)

    @property
    def muted(self) -> None:
        """None: the caller's audio does not pass here."""
        return None

    def mute(self, muted: bool) -> None:  # noqa: ARG002 - the contract's
        """Not here: the caller's audio reaches the server by itself."""
        raise TransportError("Mute is not supported for a SIP call, whose audio is not ours")

    def send_audio(self, pcm: bytes, *, commit: bool = False) -> None:  # noqa: ARG002 - likewise
        """Not here: the caller's audio reaches the server by itself."""
        raise TransportError(
            "OpenAIRealtimeSIP does not support sending audio buffers; audio is handled by the "
            "SIP call."
        )

    def interrupt(self, cancel_ongoing_response: bool = True) -> None:
        """Make the model stop talking; without a connection it does nothing."""
        if self._status == "connected":
            super().interrupt(cancel_ongoing_response)

    async def wait_source_ended(self) -> None:
        """There is no source, so there is nothing to wait for."""
        self._check_can_send()

    async def wait_heard(self) -> None:
        """The server plays, so there is nothing to wait for."""
        self._check_can_send()


def _as_dict(config: SessionConfig | None) -> dict[str, Any]:
    if config is None:
        return {}
    return dict(config) if isinstance(config, Mapping) else config.model_dump(exclude_unset=True)


def _chosen_voice(config: Mapping[str, Any]) -> object:
    """The voice that the session's settings name, which goes over the agent's."""
    audio = config.get("audio")
    output = audio.get("output") if isinstance(audio, Mapping) else None
    voice = output.get("voice") if isinstance(output, Mapping) else None
    return config.get("voice") if voice is None else voice


def _check_update(config: SessionConfig, caller: str) -> None:
    # Tools have nothing to do with it, and are read where they are sent.
    written = plain_object(config, field="session config") | {"tools": None}
    _check_turn_detection(stated_session_payload(written), caller)


def _check_turn_detection(payload: Mapping[str, Any], caller: str) -> None:
    detection = member(payload, "audio", "input", "turn_detection")
    if not isinstance(detection, Mapping):
        return
    given = [label for key, label in UNSUPPORTED_TURN_DETECTION.items() if key in detection]
    if given:
        # The words of OpenAI Agents JS, whose users look for them.
        raise UserError(
            f"{caller} does not support SIP turn-detection fields {_listed(given)}. The Realtime "
            "Calls API rejects these session.audio.input.turn_detection properties for SIP "
            "sessions, so remove them before accepting the call."
        )


def _listed(names: list[str]) -> str:
    if len(names) < 3:
        return " and ".join(names)
    return f"{', '.join(names[:-1])}, and {names[-1]}"
