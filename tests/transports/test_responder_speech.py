"""Responders that talk: what is improvised without rules, and how an answer is spoken."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from realtime_core.errors import PluginError, UserError, ValidationError
from realtime_core.plugins import default_plugins
from realtime_core.speech import SPEECH_RATE_HZ, SpeechDetector, SpeechEngine
from realtime_transports.local_server.responders import (
    AudioPiece,
    CallPiece,
    HummingEngine,
    Responder,
    ResponseFailedError,
    SpeechResponder,
    TextPiece,
    ToneResponder,
    Turn,
    hum,
    parse_rules,
    spoken,
)

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
SHIP = {
    "type": "function",
    "name": "shipOrder",
    "parameters": {
        "type": "object",
        "properties": {
            "order_id": {"type": "integer", "minimum": 1},
            "express": {"type": "boolean"},
        },
        "required": ["order_id", "express"],
    },
}


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def turn_of(
    *items: dict[str, Any],
    text: str = "",
    audio: Any = None,
    modality: str = "text",
    speed: float = 1.0,
    **session: Any,
) -> Turn:
    return Turn(
        response_id="resp_1",
        text=text,
        audio=audio,
        output_modality=modality,
        instructions="",
        session={
            "tools": [],
            "tool_choice": "auto",
            "audio": {"output": {"speed": speed}},
            **session,
        },
        items=items,
    )


def asked(text: str, **options: Any) -> Turn:
    return turn_of(user(text), text=text, **options)


async def answer(turn: Turn, responder: Responder | None = None) -> list[Any]:
    return [piece async for piece in (responder or SpeechResponder(HummingEngine())).respond(turn)]


def text_of(pieces: list[Any]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, TextPiece))


def seconds_of(pieces: list[Any]) -> float:
    audio = [piece.samples for piece in pieces if isinstance(piece, AudioPiece)]
    return sum(map(len, audio)) / SPEECH_RATE_HZ


class Spy(SpeechEngine):
    """Says a few samples for each text, and understands what it is told."""

    def __init__(self, understood: list[str] | None = None) -> None:
        self.understood = understood or []
        self.spoken: list[tuple[str, float]] = []
        self.calls: list[str] = []

    async def open(self) -> None:
        self.calls.append("open")

    def detector(self) -> SpeechDetector:
        raise UserError("a spy detects nothing")

    async def transcribe(self, samples: Any) -> AsyncGenerator[str]:
        for words in self.understood:
            yield words

    async def speak(self, text: str, *, speed: float = 1.0) -> AsyncGenerator[Any]:
        self.spoken.append((text, speed))
        try:
            for value in range(1, 4):
                yield np.full(10, value, np.int16)
        finally:
            self.calls.append("spoken")

    async def close(self) -> None:
        self.calls.append("close")


# What is improvised


async def test_what_was_said_is_said_again() -> None:
    assert text_of(await answer(asked("Good morning!"))) == "You said: Good morning!"


async def test_what_was_said_at_great_length_is_not() -> None:
    said = text_of(await answer(asked("blah " * 5_000)))
    assert len(said) < 1_100
    assert said.endswith("blah…")


async def test_nothing_said_is_greeted() -> None:
    assert text_of(await answer(turn_of())) == "Hello! What can I do for you?"
    system = {"type": "message", "role": "system", "content": []}
    assert text_of(await answer(turn_of(system, text="Be kind"))).startswith("Hello!")


async def test_sound_without_words_is_told() -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_audio"}]}
    turn = turn_of(item, audio=np.zeros(36_000, np.int16))
    assert text_of(await answer(turn)) == "I heard 1.5 seconds of sound, but no words."


async def test_an_image_without_words_is_told() -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_image"}]}
    assert text_of(await answer(turn_of(item))) == "You sent an image."


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("What's the weather in Paris?", "get_weather", {"city": "Paris"}),
        ("call get_weather for Rome", "get_weather", {"city": "Rome"}),
        ("Please ship order 17", "shipOrder", {"order_id": 17, "express": True}),
    ],
)
async def test_a_function_that_is_named_is_called(
    text: str, name: str, arguments: dict[str, Any]
) -> None:
    (piece,) = await answer(asked(text, tools=[WEATHER, SHIP]))
    assert piece == CallPiece(name, json.dumps(arguments))


async def test_a_function_that_is_not_named_or_not_allowed_is_not_called() -> None:
    assert text_of(await answer(asked("Hello", tools=[WEATHER]))) == "You said: Hello"
    asking = asked("The weather in Paris?", tools=[WEATHER], tool_choice="none")
    assert text_of(await answer(asking)) == "You said: The weather in Paris?"
    remote = asked("weather", tools=[{"type": "mcp", "server_label": "weather"}])
    assert text_of(await answer(remote)) == "You said: weather"


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ("required", "get_weather"),
        ({"type": "function", "name": "shipOrder"}, "shipOrder"),
    ],
)
async def test_a_function_that_is_demanded_is_called_with_what_its_schema_allows(
    choice: Any, name: str
) -> None:
    (piece,) = await answer(asked("Hm", tools=[WEATHER, SHIP], tool_choice=choice))
    assert piece.name == name
    schema = {"get_weather": WEATHER, "shipOrder": SHIP}[name]["parameters"]
    jsonschema.validate(json.loads(piece.arguments), schema)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("It is sunny, 21 degrees.", "Get weather says: It is sunny, 21 degrees."),
        ('{"sky": "sunny", "tempC": 21.5, "rain": false}', None),
        ("", "Get weather is done."),
        ("[1, null]", "Get weather says: 1, nothing."),
    ],
)
async def test_the_output_of_a_function_is_read_out(output: str, said: str | None) -> None:
    items = [
        user("The weather?"),
        {"type": "function_call", "name": "get_weather", "call_id": "c1", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": output},
    ]
    # Even where calls are demanded, or there would be no end of them.
    turn = turn_of(*items, text=output, tools=[WEATHER], tool_choice="required")
    expected = said or "Get weather says: sky is sunny, temp c is 21.5, rain is no."
    assert text_of(await answer(turn)) == expected


async def test_the_outputs_of_functions_called_side_by_side_are_read_out_in_order() -> None:
    items = [
        {"type": "function_call", "name": "a", "call_id": "c1", "arguments": "{}"},
        {"type": "function_call", "name": "b", "call_id": "c2", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c2", "output": "two"},
        {"type": "function_call_output", "call_id": "c1", "output": "one."},
    ]
    assert text_of(await answer(turn_of(*items, text="one."))) == "B says: two. A says: one."


@pytest.mark.parametrize(
    "text",
    [
        "Tell me a long story",
        "I'd like to hear a story about the sea",
        "Explain that in great detail, please.",
        "Keep talking!",
        "Could you please list ten animals?",
        "Give me a list of fruit",
        "Count to 20",
    ],
)
async def test_who_asks_for_something_long_gets_it(text: str) -> None:
    pieces = await answer(asked(text, modality="audio"))
    assert seconds_of(pieces) >= 5
    assert len(text_of(pieces)) > 150


@pytest.mark.parametrize(
    "text",
    [
        "How long is it?",
        "I am listening",
        "Put milk on my list",
        "Playback of the list of people is complete.",
        "The story is over.",
    ],
)
async def test_who_does_not_ask_for_something_long_does_not(text: str) -> None:
    assert text_of(await answer(asked(text))) == f"You said: {text}"


# How it is said


async def test_an_answer_is_spoken_sentence_by_sentence_at_the_pace_that_is_wanted() -> None:
    engine = Spy()
    rules = parse_rules("rules: [{say: 'One. Two!'}]")
    responder = SpeechResponder(engine, rules)
    kinds = [
        piece.text if isinstance(piece, TextPiece) else int(piece.samples[0])
        for piece in await answer(asked("?", modality="audio", speed=1.25), responder)
    ]
    assert kinds == ["One. ", 1, 2, 3, "Two!", 1, 2, 3]
    assert engine.spoken == [("One. ", 1.25), ("Two!", 1.25)]


async def test_a_written_answer_comes_word_by_word_and_is_not_spoken() -> None:
    engine = Spy()
    pieces = await answer(asked("a  b"), SpeechResponder(engine))
    assert [piece.text for piece in pieces] == ["You ", "said: ", "a  ", "b"]
    assert not engine.spoken


async def test_an_answer_that_is_cut_off_stops_the_voice() -> None:
    engine = Spy()
    pieces = SpeechResponder(engine).respond(asked("Hello", modality="audio"))
    assert isinstance(await anext(pieces), TextPiece)
    assert isinstance(await anext(pieces), AudioPiece)
    await pieces.aclose()
    assert engine.calls == ["spoken"]


async def test_a_rule_can_make_an_answer_fail_after_it_has_begun() -> None:
    rules = parse_rules("rules: [{say: So, fail: {message: Enough, code: too_much}}]")
    pieces = SpeechResponder(Spy(), rules).respond(asked("?"))
    assert await anext(pieces) == TextPiece("So")
    with pytest.raises(ResponseFailedError, match="Enough") as caught:
        await anext(pieces)
    assert caught.value.code == "too_much"


async def test_a_silent_rule_gives_no_piece() -> None:
    rules = parse_rules("rules: [{silent: true, delay_s: 0.001}]")
    assert await answer(asked("?"), SpeechResponder(Spy(), rules)) == []


async def test_the_engine_is_opened_asked_and_closed_with_the_responder() -> None:
    engine = Spy(["Hello", " there"])
    responder = SpeechResponder(engine)
    await responder.open()
    assert responder.can_transcribe
    heard = [words async for words in responder.transcribe(np.zeros(10, np.int16))]
    assert heard == ["Hello", " there"]
    await responder.close()
    assert engine.calls == ["open", "close"]


# Without models


async def test_a_hum_is_as_long_as_the_text_and_like_a_voice() -> None:
    short, long = hum("Hello."), hum("Hello, this is a longer sentence.")
    assert len(long) > 2 * len(short)
    assert np.array_equal(hum("Hello."), short)
    spectrum = np.abs(np.fft.rfft(long * np.hanning(len(long))))
    frequencies_hz = np.fft.rfftfreq(len(long), 1 / SPEECH_RATE_HZ)
    in_band = (frequencies_hz > 80) & (frequencies_hz < 3_500)
    assert (spectrum[in_band] ** 2).sum() > 0.99 * (spectrum**2).sum()
    assert 3_000 < np.abs(long).max() <= 6_000
    assert len(hum("Hello.", 2.0)) == pytest.approx(len(short) / 2, abs=4)


async def test_without_ears_nothing_is_transcribed_and_the_server_detects_turns() -> None:
    responder = SpeechResponder(HummingEngine())
    assert not responder.can_transcribe
    assert responder.make_detector() is None
    with pytest.raises(UserError, match="humming is all"):
        responder.transcribe(np.zeros(1, np.int16))
    with pytest.raises(UserError, match="humming is all"):
        HummingEngine().detector()
    await responder.close()


async def test_without_the_extra_a_notice_names_it_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from realtime_audio_plugins.speech import engine

    monkeypatch.setattr(engine, "missing_packages", lambda: ["hibari-tts", "onnxruntime"])
    spoken._notice.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            responder = default_plugins().responder("speech")
            assert text_of(await answer(asked("Hi", modality="audio"), responder))
            await responder.close()
    (record,) = caplog.records
    assert 'pip install "realtime-transports[local]"' in record.getMessage()
    with pytest.raises(PluginError, match=r"needs hibari-tts, onnxruntime"):
        default_plugins().responder("speech:?engine=local")


# By name


async def test_a_script_is_named_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("rules: [{words: ping, say: pong}]")
    for spec in (f"script:{path}?engine=hum", f"speech:?rules={path}&engine=hum"):
        responder = default_plugins().responder(spec)
        assert text_of(await answer(asked("Ping!"), responder)) == "pong"
        await responder.close()


def test_a_script_without_a_good_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="script: rules: it must be given"):
        default_plugins().responder("script")
    with pytest.raises(ValidationError, match=r"the rules none\.yaml cannot be read"):
        default_plugins().responder("script:none.yaml")
    path = tmp_path / "rules.yaml"
    path.write_text("rules:\n- say: 1\n")
    with pytest.raises(ValidationError, match=r"rules\.yaml:2: rule 1, say"):
        default_plugins().responder(f"speech:?rules={path}")


def test_an_engine_that_is_not_there_is_refused() -> None:
    with pytest.raises(PluginError, match="there is no speech engine 'locl'; did you mean 'local'"):
        default_plugins().responder("speech:?engine=locl")


async def test_a_tone_is_what_it_says() -> None:
    responder = default_plugins().responder("tone:1000?seconds=0.5")
    pieces = await answer(asked("?", modality="audio"), responder)
    assert text_of(pieces) == "(a tone of 1000 Hz for 0.5 s)"
    samples = np.concatenate([piece.samples for piece in pieces if isinstance(piece, AudioPiece)])
    wanted = 0.3 * 32767 * np.sin(2 * np.pi * 1000 * np.arange(12_000) / SPEECH_RATE_HZ)
    assert np.abs(samples - wanted)[240:-240].max() <= 0.5
    assert samples[0] == samples[-1] == 0
    assert seconds_of(await answer(asked("?"), ToneResponder())) == 0
