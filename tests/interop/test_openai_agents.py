"""The openai-agents SDK, over its own WebSocket model, talks to the local server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("agents")

from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession
from agents.realtime.model_inputs import RealtimeModelSendRawMessage
from agents.tool import function_tool

from tests.interop.speech import paced, question

pytestmark = pytest.mark.realtime_server(responder="speech")

DEADLINE_S = 20.0


class Conversation:
    """A session, and every event that it has told so far."""

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.events: list[Any] = []
        self._mark = 0
        self._changed = asyncio.Event()

    async def read(self) -> None:
        async for event in self.session:
            self.events.append(event)
            self._changed.set()

    async def until(self, kind: str, fits: Callable[[Any], bool] = lambda _event: True) -> Any:
        """The next event of a kind, after the one that was waited for last."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for index in range(self._mark, len(self.events)):
                    event = self.events[index]
                    self._mark = index + 1
                    if event.type == kind and fits(event):
                        return event
                self._changed.clear()
                await self._changed.wait()

    async def until_server(self, kind: str) -> dict[str, Any]:
        """The next event of the server, as it was sent."""

        def is_it(event: Any) -> bool:
            data = event.data
            return data.type == "raw_server_event" and data.data.get("type") == kind

        return (await self.until("raw_model_event", is_it)).data.data

    def texts(self) -> list[tuple[str, str]]:
        """Who said what, as the SDK's history has it."""
        history = self.session._history
        return [
            (
                item.role,
                " ".join(
                    part.text or "" if hasattr(part, "text") else part.transcript or ""
                    for part in item.content
                ),
            )
            for item in history
            if item.type == "message"
        ]


@contextlib.asynccontextmanager
async def conversation(server: Any, agent: RealtimeAgent):
    settings = {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
    config = {
        "url": f"{server.websocket_url}/realtime?model=gpt-realtime",
        "api_key": server.api_key,
        "initial_model_settings": settings,
    }
    async with await RealtimeRunner(agent).run(model_config=config) as session:
        talk = Conversation(session)
        reading = asyncio.create_task(talk.read())
        try:
            yield talk
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def agent(**settings: Any) -> RealtimeAgent:
    return RealtimeAgent(name="Interop", instructions="Be brief", **settings)


async def test_a_text_turn_is_answered_in_speech(realtime_server):
    async with conversation(realtime_server, agent()) as talk:
        await talk.session.send_message("Good morning to you")
        assert len((await talk.until("audio")).audio.data) > 0
        await talk.until("agent_end")
        (asked, answered) = talk.texts()
        assert asked == ("user", "Good morning to you")
        assert answered[0] == "assistant"
        assert answered[1]


async def test_a_spoken_turn_is_heard_and_answered(realtime_server):
    async with conversation(realtime_server, agent()) as talk:
        async for chunk in paced(question(24_000), 24_000):
            await talk.session.send_audio(chunk)
        await talk.session.send_audio(bytes(24_000 * 2))
        await talk.until_server("input_audio_buffer.committed")
        done = await talk.until_server("response.done")
        assert done["response"]["status"] == "completed"
        assert [role for role, _text in talk.texts()] == ["user", "assistant"]


async def test_a_tool_is_called_and_its_output_spoken(realtime_server):
    calls = []

    @function_tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        calls.append(city)
        return f"It is sunny in {city}"

    async with conversation(realtime_server, agent(tools=[get_weather])) as talk:
        await talk.session.send_message("Please use get_weather for Paris")
        assert (await talk.until("tool_end")).output
        await talk.until_server("response.output_audio.done")
        await talk.until_server("response.done")
        assert len(calls) == 1
        assert "sunny" in talk.texts()[-1][1]


async def test_an_interruption_ends_the_response(realtime_server):
    async with conversation(realtime_server, agent()) as talk:
        await talk.session.send_message("Tell me a long story")
        await talk.until("audio")
        await talk.session.interrupt()
        await talk.until("audio_interrupted")
        await talk.until_server("response.done")
        heard = [event for event in talk.events if event.type == "audio"]
        await talk.session.send_message("Good morning to you")
        created = await talk.until_server("response.created")
        await talk.until_server("response.done")
        late = [
            event
            for event in talk.events
            if event.type == "audio"
            and event not in heard
            and event.audio.response_id != created["response"]["id"]
        ]
        assert late == []


async def test_the_history_can_be_changed(realtime_server):
    async with conversation(realtime_server, agent()) as talk:
        await talk.session.send_message("Good morning to you")
        await talk.until_server("response.done")
        first = talk.session._history[0].item_id
        deletion = RealtimeModelSendRawMessage(
            message={"type": "conversation.item.delete", "other_data": {"item_id": first}}
        )
        await talk.session.model.send_event(deletion)
        assert (await talk.until_server("conversation.item.deleted"))["item_id"] == first
        await talk.until("history_updated")
        assert first not in [item.item_id for item in talk.session._history]


async def test_closing_ends_the_session_at_the_server(realtime_server):
    async with conversation(realtime_server, agent()) as talk:
        await talk.session.send_message("Good morning to you")
        await talk.until_server("response.done")
    (served,) = realtime_server.sessions
    await realtime_server.until(lambda: not served.is_open)
