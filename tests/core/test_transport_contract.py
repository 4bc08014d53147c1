"""The contract that every transport keeps, and that those of this distribution do."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from realtime_core.emitter import Emitter
from realtime_core.errors import TransportError
from realtime_core.events import FunctionCall
from realtime_core.items import McpApprovalRequestItem
from realtime_core.transport import ConnectionState, RealtimeTransportLayer
from realtime_transports import OpenAIRealtimeWebRTC

PROPERTIES = ["status", "muted", "current_model", "call_id", "connection_state", "history"]

PLAIN = [
    "send_event",
    "send_message",
    "add_image",
    "send_audio",
    "request_response",
    "update_session_config",
    "send_function_call_output",
    "send_mcp_response",
    "interrupt",
    "mute",
    "reset_history",
    "close",
]
"""Calls that never block."""

WAITING = ["connect", "drain", "wait_source_ended", "wait_heard", "wait_closed"]

OF_THE_EMITTER = ["on", "once", "off", "emit", "events"]

TRANSPORTS: list[Callable[[], Any]] = [lambda: OpenAIRealtimeWebRTC(source=None, sink=None)]

CALL = FunctionCall(name="look_up", arguments="{}", call_id="call_1")
REQUEST = McpApprovalRequestItem(
    item_id="item_1",
    type="mcp_approval_request",
    server_label="shop",
    name="buy",
    arguments={},
    approved=None,
)

SENDS: dict[str, Callable[[RealtimeTransportLayer], Any]] = {
    "send_event": lambda transport: transport.send_event({"type": "response.cancel"}),
    "send_message": lambda transport: transport.send_message("Hello"),
    "add_image": lambda transport: transport.add_image("data:image/png;base64,AA=="),
    "send_audio": lambda transport: transport.send_audio(b"\0\0"),
    "request_response": lambda transport: transport.request_response(),
    "update_session_config": lambda transport: transport.update_session_config({}),
    "send_function_call_output": lambda transport: transport.send_function_call_output(CALL, "1"),
    "send_mcp_response": lambda transport: transport.send_mcp_response(REQUEST, True),
    "reset_history": lambda transport: transport.reset_history([], []),
}


class Closing(RealtimeTransportLayer):
    """Remembers how it is closed; its first `close` may fail."""

    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__()
        self.calls: list[str] = []
        self._failure = failure

    def close(self) -> None:
        self.calls.append("close")
        if self._failure is not None:
            raise self._failure

    async def wait_closed(self) -> None:
        self.calls.append("wait_closed")


# Closing needs the rest of the contract as little as the test does.
Closing.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    return [
        (each.name, each.kind, each.default)
        for each in inspect.signature(function).parameters.values()
    ]


# The contract itself


def test_the_contract_has_the_members_of_the_design_and_no_other():
    public = {name for name in vars(RealtimeTransportLayer) if not name.startswith("_")}
    assert public == {*PROPERTIES, *PLAIN, *WAITING}
    assert {*OF_THE_EMITTER} <= {name for name in vars(Emitter) if not name.startswith("_")}


@pytest.mark.parametrize("name", [*PROPERTIES, *PLAIN, *WAITING])
def test_every_member_is_left_to_the_transport_and_documented(name: str):
    member = inspect.getattr_static(RealtimeTransportLayer, name)
    assert getattr(member, "__isabstractmethod__", False)
    assert inspect.getdoc(member)


def test_calls_that_send_are_plain_functions_and_what_waits_is_awaited():
    for name in PLAIN:
        assert not inspect.iscoroutinefunction(getattr(RealtimeTransportLayer, name)), name
    for name in WAITING:
        assert inspect.iscoroutinefunction(getattr(RealtimeTransportLayer, name)), name


def test_connect_takes_keywords_only_and_needs_none():
    _, *rest = inspect.signature(RealtimeTransportLayer.connect).parameters.values()
    names = ["api_key", "model", "url", "call_id", "initial_session_config"]
    assert [each.name for each in rest] == names
    assert all(each.kind is each.KEYWORD_ONLY and each.default is None for each in rest)


def test_a_look_at_the_connection_does_not_change_afterwards():
    state = ConnectionState()
    assert state.status == "disconnected"
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.status = "connected"  # type: ignore[misc]


async def test_async_with_closes_and_waits():
    async with Closing() as transport:
        assert transport.calls == []
    assert transport.calls == ["close", "wait_closed"]


async def test_async_with_closes_when_its_body_raises_and_lets_the_error_through():
    transport = Closing()
    with pytest.raises(KeyError):
        async with transport:
            raise KeyError("the program's own")
    assert transport.calls == ["close", "wait_closed"]


async def test_async_with_waits_though_a_part_could_not_be_closed():
    transport = Closing(TransportError("the channel does not close"))
    with pytest.raises(TransportError, match="the channel does not close"):
        async with transport:
            pass
    assert transport.calls == ["close", "wait_closed"]


# The transports of this distribution


@pytest.fixture(params=TRANSPORTS, ids=lambda make: type(make()).__name__)
def transport(request: pytest.FixtureRequest) -> RealtimeTransportLayer:
    made: RealtimeTransportLayer = request.param()
    return made


def test_a_transport_leaves_no_member_out(transport: RealtimeTransportLayer):
    for name in dir(transport):
        member = inspect.getattr_static(type(transport), name, None)
        assert not getattr(member, "__isabstractmethod__", False), name


@pytest.mark.parametrize("name", [*PLAIN, *WAITING])
def test_a_transports_calls_take_what_the_contract_says(
    transport: RealtimeTransportLayer, name: str
):
    ours, contract = getattr(type(transport), name), getattr(RealtimeTransportLayer, name)
    assert parameters(ours) == parameters(contract)
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(contract)


def test_a_new_transport_is_disconnected_and_empty(transport: RealtimeTransportLayer):
    assert transport.status == "disconnected"
    assert transport.connection_state.status == "disconnected"
    assert transport.call_id is None
    assert transport.history == ()
    assert transport.current_model


@pytest.mark.parametrize("name", sorted(set(PLAIN) - {"close", "interrupt", "mute"}))
def test_nothing_can_be_sent_without_a_connection(transport: RealtimeTransportLayer, name: str):
    heard: list[Any] = []
    transport.on("error", heard.append)
    with pytest.raises(TransportError, match="not connected"):
        SENDS[name](transport)
    assert heard == []


@pytest.mark.parametrize("name", ["drain", "wait_source_ended", "wait_heard"])
async def test_nothing_can_be_waited_for_without_a_connection(
    transport: RealtimeTransportLayer, name: str
):
    with pytest.raises(TransportError, match="not connected"):
        await getattr(transport, name)()


async def test_closing_what_was_never_opened_is_fine_and_tells_nothing(
    transport: RealtimeTransportLayer,
):
    told: list[str] = []
    for event in ("disconnected", "connection_change", "error"):
        transport.on(event, lambda *args, event=event: told.append(event))
    for _ in range(2):
        transport.close()
        await transport.wait_closed()
    assert told == []
    assert transport.status == "disconnected"


def test_mute_holds_before_there_is_a_connection(transport: RealtimeTransportLayer):
    if transport.muted is None:
        return  # it has no say in the user's audio
    assert transport.muted is False
    transport.mute(True)
    assert transport.muted is True
    transport.mute(False)
    assert transport.muted is False
