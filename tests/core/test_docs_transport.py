"""The page on transports has every method, property and option, as they are."""

from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from realtime_core import RealtimeTransportLayer
from realtime_transports import (
    LocalRealtimeServer,
    OpenAIRealtimeMemory,
    OpenAIRealtimeWebRTC,
    OpenAIRealtimeWebSocket,
)
from realtime_transports.websocket.settings import ConnectionOptions

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "transport.md").read_text()
MEMBERS = {
    name: member
    for name, member in inspect.getmembers(RealtimeTransportLayer)
    if not name.startswith("_")
}
WEBSOCKET_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(OpenAIRealtimeWebSocket).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
}


def shown(name: str, member: Any) -> str:
    """The line that the page has of a method or property."""
    if isinstance(member, property):
        return f"{name}: {inspect.signature(member.fget).return_annotation}"
    signature = str(inspect.signature(member)).replace("'", "")
    prefix = "async " if inspect.iscoroutinefunction(member) else ""
    return prefix + name + re.sub(r"^\(self(, )?", "(", signature)


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [text for marked, text in found if marked == language]


def signatures() -> list[str]:
    """What the page's plain blocks declare; a line that is indented goes on."""
    text = "".join(block for block in blocks("") if "await " not in block)
    return re.sub(r"\n +", " ", text).splitlines()


def options(transport: str) -> dict[str, str]:
    """The options of a class with their defaults, as the page's table has them."""
    chapter = PAGE.partition(f"\n## Options of {transport}\n")[2].partition("\n## ")[0]
    return {
        name: default.strip("`")
        for names, default in re.findall(r"^\| (`.*?`) \| (.*?) \|", chapter, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }


def example(name: str) -> Any:
    """A function of the page's."""
    names: dict[str, Any] = {"asyncio": asyncio}
    block = next(block for block in blocks("python") if f"def {name}(" in block)
    exec(block, names)  # noqa: S102 - our own page
    return names[name]


@pytest.mark.parametrize("name", MEMBERS)
def test_every_method_and_property_is_on_the_page_as_it_is(name: str):
    assert shown(name, MEMBERS[name]) in signatures()
    assert f"**`{name}`**" in PAGE


def test_the_page_declares_nothing_else():
    assert len(signatures()) == len(MEMBERS)


def test_every_option_of_webrtc_is_on_the_page():
    assert set(options("OpenAIRealtimeWebRTC")) == set(
        inspect.signature(OpenAIRealtimeWebRTC).parameters
    )


def test_every_option_of_websocket_is_on_the_page():
    known = WEBSOCKET_DEFAULTS.keys() | ConnectionOptions.__annotations__.keys()
    assert set(options("OpenAIRealtimeWebSocket")) == known


def test_defaults_of_source_and_sink_are_told_as_they_are():
    webrtc = inspect.signature(OpenAIRealtimeWebRTC).parameters
    for name in ("source", "sink"):
        assert options("OpenAIRealtimeWebRTC")[name] == f'"{webrtc[name].default}"'
        assert options("OpenAIRealtimeWebSocket")[name] == repr(WEBSOCKET_DEFAULTS[name])


async def test_the_example_of_interrupting_tells_whether_there_was_anything_to_stop():
    stop = example("stop")
    async with OpenAIRealtimeMemory(responder=["One, two, three, four, five, six."]) as transport:
        await transport.connect()
        assert not stop(transport)
        transport.send_message("Count!")
        await transport.wait_for("audio")
        assert stop(transport)
        assert not stop(transport)


async def test_the_example_of_interrupting_holds_over_webrtc():
    async with (
        LocalRealtimeServer(responder="tone") as server,
        OpenAIRealtimeWebRTC(
            source=None, sink=None, base_url=f"{server.url}/realtime/calls"
        ) as transport,
    ):
        await transport.connect(api_key="any")
        transport.send_message("Hum!")
        await transport.wait_for("output_audio_buffer.started")
        assert example("stop")(transport)


async def test_the_example_of_asking_waits_for_both_events():
    async with OpenAIRealtimeMemory(responder=["Fine."]) as transport:
        await transport.connect()
        transcript, usage = await example("ask")(transport, "How are you?")
    assert transcript == "Fine."
    assert usage.total_tokens > 0


async def test_the_first_example_runs(capsys: pytest.CaptureFixture[str], monkeypatch: Any):
    monkeypatch.setattr(asyncio, "run", lambda coroutine: coroutine.close())
    main = example("main")
    await main()
    assert capsys.readouterr().out.strip()
