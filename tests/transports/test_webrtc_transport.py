"""`OpenAIRealtimeWebRTC` above a connection that the test is the peer of."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_core.errors import (
    ConnectError,
    ConnectionLostError,
    ConnectStage,
    TransportError,
    UserError,
)
from realtime_transports.connecting import ConnectTimeouts
from realtime_transports.webrtc import link as link_module
from tests.transports.peers import PeerConnection, Phone

SHORT_S = 0.02
DEADLINE_S = 10.0


async def ended(phone: Phone) -> None:
    if phone.transport.status != "disconnected":
        await asyncio.wait_for(phone.transport.wait_for("disconnected"), DEADLINE_S)


# Connecting


async def test_a_channel_that_never_opens_ends_the_attempt():
    phone = Phone(timeouts=ConnectTimeouts(ice_s=SHORT_S))
    async with phone.transport:
        with pytest.raises(ConnectError, match="longer than") as caught:
            await phone.transport.connect()
        assert caught.value.stage is ConnectStage.ICE
        assert phone.transport.status == "disconnected"


@pytest.mark.parametrize("is_open", [False, True])
async def test_a_channel_that_closes_too_early_ends_the_attempt(is_open: bool):
    phone = Phone()
    async with phone.transport:
        task = await phone.dial()
        if is_open:
            phone.channel.open()
        phone.channel.end()
        with pytest.raises(ConnectError, match="closed the data channel"):
            await task
        assert phone.names().count("disconnected") == 1


async def test_a_session_that_is_not_confirmed_in_time_ends_the_attempt():
    phone = Phone(timeouts=ConnectTimeouts(session_s=SHORT_S))
    async with phone.transport:
        task = await phone.dial()
        phone.channel.open()
        with pytest.raises(ConnectError) as caught:
            await task
        assert caught.value.stage is ConnectStage.SESSION
        assert phone.transport.status == "disconnected"
        assert "connected" not in phone.names()


async def test_a_refused_configuration_ends_the_attempt_at_once():
    phone = Phone()
    async with phone.transport:
        task = await phone.dial()
        phone.channel.open()
        phone.channel.say("error", error={"type": "invalid_request_error", "message": "no voice"})
        with pytest.raises(ConnectError, match="no voice"):
            await task


async def test_a_confirmation_of_any_form_is_one():
    phone = Phone()
    async with phone.transport:
        task = await phone.dial()
        phone.channel.open()
        phone.channel.fire("message", '{"type": "session.updated"}')
        await task
        assert phone.transport.status == "connected"


async def test_a_failed_channel_fails_the_attempt_with_an_error_and_nothing_comes_after_it():
    phone = Phone(timeouts=ConnectTimeouts(session_s=SHORT_S))
    async with phone.transport:
        task = await phone.dial()
        phone.channel.open()
        phone.channel.fire("error", RuntimeError("broken"))
        with pytest.raises(ConnectError, match="broken"):
            await task
        told = list(phone.told)
        again = await phone.dial()
        phone.channel.open()
        with pytest.raises(ConnectError, match="longer than"):  # which outlasts the first
            await again
        assert phone.told[: len(told)] == told
        assert [type(error) for error in phone.errors] == [ConnectError, ConnectError]


async def test_a_lost_peer_ends_the_attempt_that_waits_for_the_confirmation(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(link_module, "DISCONNECTED_GRACE_S", SHORT_S)
    phone = Phone(timeouts=ConnectTimeouts(session_s=SHORT_S))
    async with phone.transport:
        task = await phone.dial()
        phone.channel.open()
        phone.peer.become("disconnected")
        with pytest.raises(ConnectError):
            await task
        assert "connected" not in phone.names()


async def test_without_a_key_nothing_is_posted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    phone = Phone(api_key=None)
    async with phone.transport:
        with pytest.raises(UserError, match="API key"):
            await phone.transport.connect()
        assert not phone.posted


@pytest.mark.parametrize(
    ("location", "call_id"),
    [
        ("/v1/realtime/calls/rtc_1?x=1#y", "rtc_1"),
        ("https://host/v1/realtime/calls/rtc_1/", "rtc_1"),
        ("/", None),
    ],
)
async def test_the_call_id_is_the_last_segment_of_the_location(location: str, call_id: str | None):
    phone = Phone()
    phone.location = location
    async with phone.transport:
        await phone.connect()
        assert phone.transport.call_id == call_id


async def test_whoever_connects_meanwhile_gets_the_attempt_under_way():
    phone = Phone()
    async with phone.transport:
        first = await phone.dial(model="m1")
        second = asyncio.ensure_future(phone.transport.connect(model="m2"))
        phone.channel.open()
        phone.channel.confirm()
        await asyncio.gather(first, second)
        assert phone.transport.current_model == "m1"
        assert len(phone.peers) == 1


async def test_nothing_is_sent_before_the_configuration_holds():
    phone = Phone()
    async with phone.transport:
        task = await phone.dial()
        phone.channel.open()
        for send in (
            lambda: phone.transport.send_message("early"),
            lambda: phone.transport.send_audio(b"\0\0"),
            phone.transport.interrupt,
        ):
            with pytest.raises(TransportError):
                send()
        phone.channel.confirm()
        await task
        assert phone.channel.types() == ["session.update"]


# Another connection in its place


async def test_channel_and_track_move_to_the_connection_that_is_put_in_place():
    other = PeerConnection()
    phone = Phone(change_peer_connection=lambda _: other)
    async with phone.transport:
        task = asyncio.ensure_future(phone.transport.connect())
        await other.is_answered.wait()
        (channel,) = other.channels
        channel.open()
        channel.confirm()
        await task
        assert phone.peer.is_closed
        assert other.tracks == [phone.media.track]
        phone.media.take_calls()
        phone.transport.mute(True)
        assert phone.media.take_calls() == [("muted", True)]
        phone.transport.send_message("hello")
        assert "conversation.item.create" in channel.types()
        assert not phone.channel.sent
    assert other.is_closed
    assert phone.media.calls == ["close"]


# Mute


async def test_a_new_connection_begins_muted_if_it_was_muted_before():
    phone = Phone()
    async with phone.transport:
        phone.transport.mute(True)
        await phone.connect()
        assert phone.media.take_calls() == [("muted", True), "start"]
        phone.transport.close()
        await phone.transport.wait_closed()
        await phone.connect()
        assert phone.media.take_calls() == [("muted", True), "start"]


async def test_without_a_microphone_there_is_still_a_track():
    phone = Phone(source=None)
    async with phone.transport:
        await phone.connect()
        assert phone.peer.tracks == [phone.media.track]


# Losing the connection


async def test_a_channel_that_closes_ends_the_connection():
    phone = Phone()
    async with phone.transport:
        await phone.connect()
        phone.channel.end()
        assert phone.transport.status == "disconnected"
        assert phone.names()[-3:] == ["connection_change", "disconnected", "error"]
        assert isinstance(phone.errors[-1], ConnectionLostError)
        with pytest.raises(TransportError):
            phone.transport.send_message("x")
        await phone.connect()
        assert phone.transport.status == "connected"


async def test_a_channel_that_fails_is_told_with_an_error_of_ours():
    phone = Phone()
    async with phone.transport:
        await phone.connect()
        phone.channel.fire("error", RuntimeError("broken"))
        (error,) = phone.errors
        assert isinstance(error, ConnectionLostError)
        assert "broken" in str(error)


@pytest.mark.parametrize("states", [["disconnected"], ["disconnected", "connecting"]])
async def test_a_lost_peer_that_does_not_come_back_ends_the_connection(
    states: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(link_module, "DISCONNECTED_GRACE_S", SHORT_S)
    phone = Phone()
    async with phone.transport:
        await phone.connect()
        for state in states:
            phone.peer.become(state)
        await ended(phone)


async def test_a_lost_peer_that_comes_back_keeps_the_connection(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(link_module, "DISCONNECTED_GRACE_S", SHORT_S)
    phone = Phone()
    async with phone.transport:
        await phone.connect()
        for state in ("disconnected", "connecting", "connected"):
            phone.peer.become(state)
        loop = asyncio.get_running_loop()
        passed = loop.create_future()
        loop.call_later(3 * SHORT_S, passed.set_result, None)
        await passed
        assert phone.transport.status == "connected"


# Interruption


async def test_an_interruption_of_what_plays_is_told_once_and_silences_it_at_once():
    phone = Phone()
    async with phone.transport:
        await phone.connect()
        phone.channel.say("output_audio_buffer.started", response_id="r1")
        phone.media.take_calls()
        phone.transport.interrupt()
        assert phone.interruptions == 1
        assert phone.media.take_calls() == [("silence", 1.0), "clear"]
        phone.transport.interrupt()
        phone.channel.say("output_audio_buffer.cleared", response_id="r1")
        assert phone.interruptions == 1
        assert phone.media.take_calls() == ["clear", ("silence", 0.2), "clear"]
        phone.channel.say("output_audio_buffer.started", response_id="r2")
        assert phone.media.take_calls() == [("silence", 0.0)]


async def test_audio_that_the_server_cuts_off_is_told_and_dropped_before_listeners_hear_of_it():
    phone = Phone()
    seen: list[Any] = []
    async with phone.transport:
        await phone.connect()
        phone.channel.say("output_audio_buffer.started", response_id="r1")
        phone.media.take_calls()
        phone.transport.on("*", lambda _: seen.append(list(phone.media.calls)))
        phone.channel.say("output_audio_buffer.cleared", response_id="r1")
        assert seen == [[("silence", 0.2), "clear"]]
        assert phone.interruptions == 1
        phone.transport.interrupt()
        assert phone.interruptions == 1


async def test_interrupting_silence_tells_nothing():
    phone = Phone()
    async with phone.transport:
        await phone.connect()
        phone.transport.interrupt()
        phone.channel.say("output_audio_buffer.started", response_id="r1")
        phone.channel.say("output_audio_buffer.stopped", response_id="r1")
        phone.transport.interrupt()
        assert phone.interruptions == 0
        assert ("silence", 1.0) not in phone.media.calls


async def test_interrupting_the_audio_alone_leaves_the_response_running():
    phone = Phone()
    async with phone.transport:
        await phone.connect()
        phone.channel.say("response.created", response={"id": "r1"})
        phone.transport.interrupt(False)
        phone.transport.interrupt()
        assert phone.channel.types()[1:] == [
            "output_audio_buffer.clear",
            "response.cancel",
            "output_audio_buffer.clear",
        ]
