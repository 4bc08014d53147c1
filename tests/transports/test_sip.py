"""`OpenAIRealtimeSIP`: what a call is accepted with, and what is done with it."""

from __future__ import annotations

import asyncio
import traceback
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_core.errors import TransportError, UserError
from realtime_transports.connecting import ConnectTimeouts
from realtime_transports.sip import CallError, OpenAIRealtimeSIP
from tests.end_to_end.bad_servers import raw_server
from tests.transports.http_answers import Http, answer
from tests.transports.sockets import Line

KEY = "sk-proj-0123456789abcdef"

SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}


def make(http: Http | None = None, line: Line | None = None, **options: Any) -> OpenAIRealtimeSIP:
    return OpenAIRealtimeSIP(
        api_key=KEY, http=http or Http(), create_web_socket=line or Line(), **options
    )


# The config of an agent


async def test_an_agent_of_openai_agents_becomes_a_session():
    async def instructions(context: Any, agent: Any) -> str:
        return f"You are {agent.name}, with {context}."

    agent = SimpleNamespace(
        name="Ann",
        instructions=instructions,
        prompt={"id": "pmpt_1", "version": "2"},
        tools=[
            SimpleNamespace(name="look", description="d", params_json_schema=SCHEMA),
            SimpleNamespace(name="off", description="", params_json_schema={}, is_enabled=False),
            SimpleNamespace(name="mcp", tool_config={"type": "mcp", "server_label": "s"}),
        ],
        handoffs=[SimpleNamespace(name="Bob the Second", handoff_description="Knows all.")],
    )
    session = await OpenAIRealtimeSIP.build_initial_config(agent, context="nobody")
    assert session["instructions"] == "You are Ann, with nobody."
    assert session["prompt"] == {"id": "pmpt_1", "version": "2"}
    look, mcp, handoff = session["tools"]
    assert look == {
        "type": "function",
        "name": "look",
        "description": "d",
        "parameters": SCHEMA,
    }
    assert mcp == {"type": "mcp", "server_label": "s"}
    assert handoff["name"] == "transfer_to_bob_the_second"
    assert handoff["description"].endswith("Knows all.")


async def test_a_mapping_will_do_for_an_agent():
    tool = {"name": "look", "parameters": SCHEMA}
    agent = {"name": "Ann", "instructions": "Be kind.", "voice": "marin", "tools": [tool]}
    session = await OpenAIRealtimeSIP.build_initial_config(agent, model="m")
    assert session["audio"]["output"]["voice"] == "marin"
    assert session["tools"] == [{"type": "function", **tool}]
    assert session["model"] == "m"


async def test_settings_count_and_overrides_count_more_but_the_agent_says_who_it_is():
    session = await OpenAIRealtimeSIP.build_initial_config(
        {"instructions": "agent", "voice": "ash"},
        {"instructions": "config", "tool_choice": "none", "audio": {"output": {"voice": "sage"}}},
        {"tool_choice": "required"},
        tracing={"workflow_name": "w"},
    )
    assert session["instructions"] == "agent"
    assert session["tool_choice"] == "required"
    assert session["audio"]["output"]["voice"] == "sage"
    assert session["tracing"] == {"workflow_name": "w"}


async def test_a_handoff_of_openai_agents_is_a_function_of_its_own_making():
    handoff = SimpleNamespace(
        tool_name="to_bob", tool_description="Bob.", input_json_schema=SCHEMA, agent_name="Bob"
    )
    session = await OpenAIRealtimeSIP.build_initial_config({"handoffs": [handoff]})
    assert [tool["name"] for tool in session["tools"]] == ["to_bob"]


async def test_a_tool_that_a_realtime_session_cannot_have_is_named():
    class WebSearchTool:
        name = "web_search"

    with pytest.raises(UserError, match="web_search"):
        await OpenAIRealtimeSIP.build_initial_config({"tools": [WebSearchTool()]})


async def test_turn_detection_that_the_calls_api_refuses_is_named():
    detection = {"type": "server_vad", "threshold": 0.5, "silenceDurationMs": 100}
    with pytest.raises(UserError, match="threshold and silence"):
        await OpenAIRealtimeSIP.build_initial_config(
            {}, {"audio": {"input": {"turn_detection": detection}}}
        )


DETECTION = {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 0.5}}}}


@pytest.mark.parametrize("config", [DETECTION, {"provider_data": DETECTION}])
async def test_turn_detection_that_the_calls_api_refuses_is_named_wherever_it_is_said(config):
    line = Line()
    async with make(line=line) as transport:
        with pytest.raises(UserError, match=r"connect\(\) does not support .* threshold\."):
            await transport.connect(call_id="c", initial_session_config=config)
        assert transport.status == "disconnected"
        assert not line.sockets
        await transport.connect(call_id="c")
        with pytest.raises(UserError, match=r"update_session_config\(\) does not .* threshold\."):
            transport.update_session_config(config)
        transport.update_session_config({"audio": {"input": {"turn_detection": None}}})


async def test_a_config_may_say_of_audio_what_it_likes_in_the_providers_words():
    config = {"provider_data": {"audio": {"input": None}}}
    session = await OpenAIRealtimeSIP.build_initial_config({}, config)
    assert session["audio"]["input"] is None


# What is done with a call


async def test_calls_are_accepted_refused_passed_on_and_ended():
    http = Http(*[answer()] * 4)
    transport = make(http, headers={"X-Own": "1"})
    await transport.accept("c/1", {"type": "realtime"})
    await transport.reject("c2", 486)
    await transport.refer("tel:+14155550123", "c3")
    await transport.hangup("c4")
    assert [
        request.url.removeprefix("https://api.openai.com/v1/realtime/calls/")
        for request in http.requests
    ] == [
        "c%2F1/accept",
        "c2/reject",
        "c3/refer",
        "c4/hangup",
    ]
    assert [request.json() for request in http.requests[:3]] == [
        {"type": "realtime"},
        {"status_code": 486},
        {"target_uri": "tel:+14155550123"},
    ]
    assert http.requests[3].body == b""
    assert http.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    assert http.requests[0].headers["X-Own"] == "1"


async def test_the_call_that_is_attached_to_needs_no_name():
    http, line = Http(answer()), Line()
    async with make(http, line) as transport:
        with pytest.raises(UserError, match="call_id"):
            await transport.hangup()
        await transport.connect(call_id="rtc_9")
        assert line.socket.request.url.endswith("?call_id=rtc_9")
        await transport.hangup()
    assert http.requests[0].url.endswith("/rtc_9/hangup")


async def test_a_refusal_has_the_providers_words_and_no_key():
    http = Http(answer(404, {"error": {"message": f"no such call for {KEY}"}}))
    with pytest.raises(CallError) as info:
        await make(http).hangup("c")
    assert info.value.status == 404
    assert info.value.provider_message == "no such call for [key]"
    assert KEY not in "".join(traceback.format_exception(info.value))


async def test_a_server_that_is_not_reached_is_told_without_the_key():
    http = Http(TransportError(f"proxy said {KEY}"))
    with pytest.raises(CallError, match=r"asked to hangup: proxy said \[key\]") as info:
        await make(http).hangup("c")
    assert info.value.status is None
    assert info.value.__context__ is None


async def test_a_key_that_never_comes_is_not_waited_for():
    async def never() -> str:
        await asyncio.Event().wait()
        return KEY

    transport = make(timeouts=ConnectTimeouts(key_s=0.01))
    with pytest.raises(CallError, match=r"c could not be asked to hangup: no API key .* 0\.01 s"):
        await transport.hangup("c", api_key=never)


async def test_a_server_that_never_answers_is_not_waited_for():
    async with raw_server(b"", hang_up=False) as url:
        transport = OpenAIRealtimeSIP(
            api_key=KEY, calls_url=url, timeouts=ConnectTimeouts(http_s=0.05)
        )
        with pytest.raises(CallError, match=r"did not answer within 0\.05 s"):
            await transport.hangup("c")


# What a telephone call has not


async def test_the_audio_of_a_call_is_not_ours():
    async with make() as transport:
        assert transport.muted is None
        for refused in (lambda: transport.mute(True), lambda: transport.send_audio(b"\1\2")):
            with pytest.raises(TransportError, match="SIP"):
                refused()
        transport.interrupt()
        await transport.connect(call_id="c")
        await transport.wait_heard()
        await transport.wait_source_ended()


async def test_there_is_no_connecting_without_a_call():
    async with make() as transport:
        with pytest.raises(UserError, match="call_id"):
            await transport.connect()
    with pytest.raises(TypeError, match="source"):
        make(source="mic")
