"""What all transports share that speak the OpenAI Realtime protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from realtime_core.errors import TransportError
from realtime_transports.openai.api_keys import resolve_api_key
from realtime_transports.openai.protocol import ClientProtocol
from realtime_transports.openai.shell import ProtocolShell

if TYPE_CHECKING:
    from realtime_core.creation import ItemLike
    from realtime_core.events import FunctionCall
    from realtime_core.handles import HistoryResetHandle, ResponseHandle
    from realtime_core.items import McpApprovalRequestItem, RealtimeItem
    from realtime_core.middleware import EventMiddleware
    from realtime_core.transport import ApiKey

__all__ = ["OpenAIRealtimeBase"]


class OpenAIRealtimeBase(ProtocolShell):
    """Base of the transports that speak the OpenAI Realtime protocol.

    A subclass brings the link. It implements what is abstract here and in the contract (`connect`,
    `close`, the state, the waits), and of the members that begin with an underscore it uses those
    that have a docstring; they are the interface for subclasses and change like any public one.

    * The link is ready: `_begin_link`, then `_flush`, which writes the configuration. The link is
      gone: `_end_link`.
    * A message came: `_receive_message`. To see events as they pass, override `_receive_event`;
      to play audio before listeners hear of it, override `_tell`.
    * Whatever fails where nobody called: `_report`. Tasks that outlive `close`:
      `_keep_until_closed`. Waits that end with the connection: `_until_disconnected`.

    The protocol is `ClientProtocol` where audio has a track of its own, `WebSocketProtocol` where
    it is in events. A link that carries messages both ways and no more needs no subclass: the
    WebSocket transport's ``create_web_socket`` takes anything that behaves like a socket.
    """

    def __init__(
        self,
        *,
        model: str | None = None,
        api_key: ApiKey | None = None,
        middlewares: Iterable[EventMiddleware] = (),
        protocol: ClientProtocol | None = None,
    ) -> None:
        """Set up the protocol.

        Args:
            model: The model; None means the default of OpenAI's SDKs.
            api_key: The key; None means the environment's ``OPENAI_API_KEY``, which goes to
                OpenAI's own host only.
            middlewares: They see wire events; the first is the nearest to the program.
            protocol: What decides, where it is not that of a link with a media track; it has the
                model then.
        """
        super().__init__(protocol or ClientProtocol(model=model), middlewares)
        self._closing: set[asyncio.Task[Any]] = set()
        self._api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key

    @property
    def current_model(self) -> str:
        """The model of the session, or of the next one."""
        return self._protocol.model

    @current_model.setter
    def current_model(self, model: str) -> None:
        self._protocol.model = model

    @property
    def history(self) -> tuple[RealtimeItem, ...]:
        """The conversation, as the server told it."""
        return self._protocol.history

    # What the program asks for

    def send_event(self, event: Mapping[str, Any]) -> None:
        """Send a client event as it is; ``response.create`` waits for its turn."""
        self._perform(lambda: self._protocol.send_event(event))

    def send_message(
        self,
        message: str | Mapping[str, Any],
        other_event_data: Mapping[str, Any] | None = None,
        *,
        trigger_response: bool = True,
    ) -> None:
        """Send a message of the user; see the contract."""
        self._perform(
            lambda: self._protocol.send_message(
                message, other_event_data, trigger_response=trigger_response
            )
        )

    def add_image(self, image: str, *, trigger_response: bool = True) -> None:
        """Send an image of the user, as a data URL."""
        self._perform(lambda: self._protocol.add_image(image, trigger_response=trigger_response))

    def send_audio(self, pcm: bytes, *, commit: bool = False) -> None:
        """Send audio of the user in an event."""
        self._perform(lambda: self._protocol.send_audio(pcm, commit=commit))

    def request_response(self, response: Mapping[str, Any] | None = None) -> ResponseHandle:
        """Ask for a response, as soon as no other is under way; see the contract."""
        return self._perform_asking(lambda: self._protocol.request_response(response))

    def update_session_config(self, config: Mapping[str, Any]) -> None:
        """Change the session's configuration."""
        self._perform(lambda: self._protocol.update_session_config(config))

    def send_function_call_output(
        self, tool_call: FunctionCall, output: str, start_response: bool = True
    ) -> None:
        """Answer a function call of the model."""
        self._perform(
            lambda: self._protocol.send_function_call_output(tool_call, output, start_response)
        )

    def send_mcp_response(
        self, approval_request: McpApprovalRequestItem, approved: bool, reason: str | None = None
    ) -> None:
        """Answer a request to approve the call of an MCP tool."""
        self._perform(lambda: self._protocol.send_mcp_response(approval_request, approved, reason))

    def interrupt(self, cancel_ongoing_response: bool = True) -> None:
        """Make the model stop talking, now."""
        self._perform(lambda: self._protocol.interrupt(cancel_ongoing_response))

    def reset_history(
        self,
        old_history: Sequence[ItemLike],
        new_history: Sequence[ItemLike],
        *,
        audio_as_transcript: bool = False,
    ) -> HistoryResetHandle:
        """Make the server's conversation the new one; see the contract."""
        return self._perform_asking(
            lambda: self._protocol.reset_history(
                old_history, new_history, audio_as_transcript=audio_as_transcript
            )
        )

    def build_session_payload(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The ``session`` object that a configuration becomes on the wire."""
        return self._protocol.build_session_payload(config)

    # Waiting

    async def _until_disconnected(self, waiting: Coroutine[Any, Any, object]) -> None:
        """Wait for something, but not beyond the connection.

        Raises:
            TransportError: The connection ended first.
        """
        gone = asyncio.get_running_loop().create_future()

        def on_disconnected() -> None:
            if not gone.done():
                gone.set_exception(TransportError("the connection ended while waiting for audio"))

        self.once("disconnected", on_disconnected)
        task = asyncio.ensure_future(waiting)
        try:
            await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
            (gone if gone.done() else task).result()
        finally:
            self.off("disconnected", on_disconnected)
            task.cancel()
            gone.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _keep_until_closed(self, task: asyncio.Task[Any]) -> None:
        """Have `wait_closed` wait for a task."""
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def wait_closed(self) -> None:
        """Wait until everything that was opened is closed, and listeners have run."""
        current = asyncio.current_task()
        while closing := [task for task in self._closing if task is not current]:
            await asyncio.wait(closing)
        await self._finish_listeners()

    # Keys

    async def _resolve_api_key(self, api_key: ApiKey | None, endpoint: str) -> SecretStr:
        """The key for an endpoint, as it was given; empty when there is none.

        Check it with `check_api_key` before use.
        """
        return await resolve_api_key(self._api_key if api_key is None else api_key, endpoint)
