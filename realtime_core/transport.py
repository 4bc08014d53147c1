"""The contract that every transport keeps: what a program sees of a realtime session.

Names are those of OpenAI Agents JS (`RealtimeTransportLayer`) in Python's spelling. Like
`asyncio.StreamWriter`, calls that send are plain functions that never block, and `drain` waits for
room; `close` starts closing and `wait_closed` ends it; ``async with`` does both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from realtime_core.emitter import Emitter

if TYPE_CHECKING:
    from pydantic import SecretStr

    from realtime_core.creation import ItemLike
    from realtime_core.events import FunctionCall
    from realtime_core.handles import HistoryResetHandle, ResponseHandle
    from realtime_core.items import McpApprovalRequestItem, RealtimeItem

__all__ = ["ApiKey", "ConnectionState", "ConnectionStatus", "RealtimeTransportLayer"]

ConnectionStatus: TypeAlias = Literal["disconnected", "connecting", "connected"]

ApiKey: TypeAlias = (
    "str | SecretStr | Callable[[], str | SecretStr] | Callable[[], Awaitable[str | SecretStr]]"
)
"""A key, or a function or coroutine function that gives one when it is needed."""


@dataclass(frozen=True)
class ConnectionState:
    """A look at the connection; transports add their own fields."""

    status: ConnectionStatus = "disconnected"


class RealtimeTransportLayer(Emitter, ABC):
    """A realtime session with a model, over some link.

    Events are listed in `realtime_core.events.TRANSPORT_EVENTS`; every event of the server comes
    under its own type too. Listeners run after the state has changed.
    """

    @property
    @abstractmethod
    def status(self) -> ConnectionStatus:
        """Whether there is a connection."""

    @property
    @abstractmethod
    def muted(self) -> bool | None:
        """Whether the user's audio is held back; None where the transport has no say in it."""

    @property
    @abstractmethod
    def current_model(self) -> str:
        """The model of the session, or of the next one."""

    @property
    @abstractmethod
    def call_id(self) -> str | None:
        """The provider's id of the call; None where there is no call."""

    @property
    @abstractmethod
    def connection_state(self) -> ConnectionState:
        """The connection with its parts, for diagnosis."""

    @property
    @abstractmethod
    def history(self) -> tuple[RealtimeItem, ...]:
        """The conversation, as the server told it, in its order."""

    @abstractmethod
    async def connect(
        self,
        *,
        api_key: ApiKey | None = None,
        model: str | None = None,
        url: str | None = None,
        call_id: str | None = None,
        initial_session_config: Mapping[str, Any] | None = None,
    ) -> None:
        """Connect, and wait until the session has the configuration asked for.

        On a link that keeps all events in order, as a WebSocket does, it is enough that the
        configuration is the first of them: nothing that follows meets another. Such a transport
        does not wait for the server's confirmation, and a refusal comes as `error`.

        Connecting while connected does nothing; while connecting, it waits for the attempt under
        way. WebSocket and SIP refuse both with `UserError`, as OpenAI Agents JS does. Cancelling
        ends the attempt and releases everything.

        Args:
            api_key: The key; None means the constructor's, else the environment's.
            model: The model; None means the constructor's, else the provider's default.
            url: The endpoint for this connection; None means the constructor's.
            call_id: A running call to attach to, where the transport can.
            initial_session_config: The session's configuration.

        Raises:
            ConnectError: No connection came about; it names the stage.
            UserError: The arguments do not fit.
        """

    @abstractmethod
    def send_event(self, event: Mapping[str, Any]) -> None:
        """Send a client event as it is. ``response.create`` waits for its turn.

        Raises:
            TransportError: There is no connection, or the event is too large for it.
        """

    @abstractmethod
    def send_message(
        self,
        message: str | Mapping[str, Any],
        other_event_data: Mapping[str, Any] | None = None,
        *,
        trigger_response: bool = True,
    ) -> None:
        """Send a message of the user.

        Args:
            message: Text, or a message item with its content.
            other_event_data: More fields for the client event.
            trigger_response: Whether to ask for a response too.
        """

    @abstractmethod
    def add_image(self, image: str, *, trigger_response: bool = True) -> None:
        """Send an image of the user.

        Args:
            image: A data URL.
            trigger_response: Whether to ask for a response too.
        """

    @abstractmethod
    def send_audio(self, pcm: bytes, *, commit: bool = False) -> None:
        """Send audio of the user in an event, beside any audio source.

        Args:
            pcm: In the session's input format; by default int16, 24 kHz, mono.
            commit: Whether the user's turn ends with it.

        Raises:
            TransportError: There is no connection, or the audio is too much for one event of it.
        """

    @abstractmethod
    def request_response(self, response: Mapping[str, Any] | None = None) -> ResponseHandle:
        """Ask for a response, as soon as no other is under way.

        Args:
            response: Settings of this response only. Requests without settings are merged while
                they wait. With ``"conversation": "none"`` it runs beside others.

        Returns:
            A handle whose `wait_created` tells how it went; it may be ignored.
        """

    @abstractmethod
    def update_session_config(self, config: Mapping[str, Any]) -> None:
        """Change the session's configuration."""

    @abstractmethod
    def send_function_call_output(
        self, tool_call: FunctionCall, output: str, start_response: bool = True
    ) -> None:
        """Answer a function call of the model.

        Args:
            tool_call: The call, as `function_call` brought it.
            output: What the function returned.
            start_response: Whether to ask for a response too.
        """

    @abstractmethod
    def send_mcp_response(
        self, approval_request: McpApprovalRequestItem, approved: bool, reason: str | None = None
    ) -> None:
        """Answer a request to approve the call of an MCP tool.

        Args:
            approval_request: The request, as `mcp_approval_request` brought it.
            approved: The answer.
            reason: Told to the model; None tells none.
        """

    @abstractmethod
    def interrupt(self, cancel_ongoing_response: bool = True) -> None:
        """Make the model stop talking, now.

        What was not heard yet never will be. If any audio is cut off by this, or by the server
        because the user talks, `audio_interrupted` tells it, once.

        Args:
            cancel_ongoing_response: Whether to cancel the response too, not only its audio.
        """

    @abstractmethod
    def mute(self, muted: bool) -> None:
        """Hold the user's audio back, or let it through. It holds for later connections too."""

    @abstractmethod
    def reset_history(
        self,
        old_history: Sequence[ItemLike],
        new_history: Sequence[ItemLike],
        *,
        audio_as_transcript: bool = False,
    ) -> HistoryResetHandle:
        """Make the server's conversation the new one, order included; `history` follows.

        Items that both have stay as they are, and so do the server's items that neither has. An
        item that both have and that the server has deleted meanwhile is not brought back.

        Args:
            old_history: What the server has.
            new_history: What it shall have. Speech of the model cannot be created, nor speech of
                the user without its audio, nor MCP items: they may stay and may go.
            audio_as_transcript: Whether speech that would have to be created becomes text, where
                it has a transcript.

        Returns:
            A handle whose `wait_applied` tells how it went; it may be ignored.

        Raises:
            UserError: The server cannot be brought there; the item is named. Nothing was sent.
            TransportError: A request could not be sent. What was sent before is undone as far as
                possible.
        """

    @abstractmethod
    async def drain(self) -> None:
        """Wait until there is room for more to send.

        Raises:
            TransportError: The connection is gone.
        """

    @abstractmethod
    async def wait_source_ended(self) -> None:
        """Wait until the audio source has ended and all of its audio has left.

        Raises:
            TransportError: There is no connection, or it ended before.
        """

    @abstractmethod
    async def wait_heard(self) -> None:
        """Wait until the audio that the model has sent so far has been heard or stored.

        Raises:
            TransportError: There is no connection, or it ended before.
        """

    @abstractmethod
    def close(self) -> None:
        """Begin to close, in any state; the status is `disconnected` at once.

        Closing twice is fine.

        Raises:
            TransportError: A part could not be closed; everything else is.
        """

    @abstractmethod
    async def wait_closed(self) -> None:
        """Wait until everything that was opened is closed."""

    async def __aenter__(self) -> Self:
        """Nothing is opened yet: `connect` does that."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close, and wait until it is done."""
        try:
            self.close()
        finally:
            await self.wait_closed()
