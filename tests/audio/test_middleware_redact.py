"""Nothing that matches gets through, in whole texts and in pieces, in either direction."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_audio_plugins.middlewares import RedactMiddleware
from realtime_core.errors import UserError, ValidationError
from realtime_core.masking import make_masking
from realtime_core.plugins import PluginManager
from tests.transports.bare import BareTransport

MAIL = "ann@example.org"
TRANSCRIPT = "response.output_audio_transcript"
ARGUMENTS = "response.function_call_arguments"
PLACE = {"event_id": "e", "response_id": "r", "item_id": "a", "output_index": 0, "content_index": 0}


def delta(piece: str, kind: str = TRANSCRIPT, **place: Any) -> dict[str, Any]:
    return {"type": f"{kind}.delta", **PLACE, **place, "delta": piece}


def done(text: str, kind: str = TRANSCRIPT, key: str = "transcript") -> dict[str, Any]:
    return {"type": f"{kind}.done", **PLACE, key: text}


def through(redact: RedactMiddleware, *events: dict[str, Any]) -> list[dict[str, Any]]:
    """What comes out of the incoming side."""
    out: list[dict[str, Any]] = []
    for event in events:
        passed = redact.incoming(event)
        out += passed if isinstance(passed, list) else [passed] if passed else []
    return out


def pieces_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["delta"] for event in events if event["type"].endswith(".delta"))


def test_whole_texts_are_redacted_wherever_they_stand():
    item = {"id": "a", "type": "message", "content": [{"type": "audio", "transcript": MAIL}]}
    response = {"id": "r", "output": [item], "usage": {"input_tokens": 4111111111111111}}
    [event] = through(RedactMiddleware(["email", "card"]), {"type": "x", "response": response})
    assert event["response"]["output"][0]["content"][0]["transcript"] == "[email]"
    assert event["response"]["usage"] == {"input_tokens": 4111111111111111}


def test_the_directions_are_told_apart():
    event = {"type": "x", "text": MAIL}
    masked = {"type": "x", "text": "[email]"}
    for direction, incoming, outgoing in (
        ("in", masked, event),
        ("out", event, masked),
        ("both", masked, masked),
    ):
        redact = RedactMiddleware(["email"], direction=direction)
        assert through(redact, event) == [incoming]
        assert redact.outgoing(event) == outgoing


def test_a_find_across_pieces_is_found_and_the_rest_comes_before_the_whole_text():
    text = "please write to ann@example.org or call"
    events = [delta(text[i : i + 3]) for i in range(0, len(text), 3)]
    out = through(RedactMiddleware(["email"]), *events, done(text))
    assert pieces_of(out) == "please write to [email] or call"
    assert [event["type"] for event in out[-2:]] == [f"{TRANSCRIPT}.delta", f"{TRANSCRIPT}.done"]
    assert out[-1]["transcript"] == "please write to [email] or call"


def test_long_texts_are_not_held_back_longer_than_needed():
    redact = RedactMiddleware(["email"], hold_chars=10)
    [first] = through(redact, delta("x" * 100))
    assert first["delta"] == "x" * 90


@given(
    st.text(st.sampled_from("ab@.c 04+1"), max_size=120),
    st.lists(st.integers(0, 120), max_size=12),
)
def test_any_pieces_of_a_text_come_out_as_the_whole_text_does(text, cuts):
    # The longest find of these patterns in such a text is shorter than what is held back.
    pattern = "ab?@c{1,5}|0[14+]{2,9}1"
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    redact = RedactMiddleware(pattern=pattern, hold_chars=12)
    out = through(redact, *map(delta, pieces), done(text))
    assert pieces_of(out) == make_masking([], pattern).mask(text)


def test_texts_of_different_parts_are_not_mixed():
    redact = RedactMiddleware(["email"])
    through(redact, delta("ann@"), delta("example.org", item_id="b"))
    out = through(redact, done("ann@"), {**done("example.org"), "item_id": "b"})
    assert [event["delta"] for event in out if "delta" in event] == ["ann@", "example.org"]


def test_arguments_are_held_back_whole_so_that_they_stay_json():
    text = json.dumps({"card": 4111111111111111})
    redact = RedactMiddleware(["card"])
    assert through(redact, delta(text[:9], ARGUMENTS), delta(text[9:], ARGUMENTS)) == []
    piece, whole = through(redact, done(text, ARGUMENTS, "arguments"))
    assert json.loads(piece["delta"]) == json.loads(whole["arguments"]) == {"card": "[card]"}


def test_a_response_that_ends_early_brings_the_rest_of_its_texts():
    redact = RedactMiddleware(["email"])
    through(redact, delta("half a sent"))
    out = through(redact, {"type": "response.done", "response": {"id": "r"}})
    assert [event["type"] for event in out] == [f"{TRANSCRIPT}.delta", "response.done"]
    assert out[0]["delta"] == "half a sent"


def test_what_the_user_says_is_held_back_too():
    kind = "conversation.item.input_audio_transcription"
    redact = RedactMiddleware(["email"])
    assert through(redact, delta("ann@", kind), delta("example.org", kind)) == []
    event = {**done("", kind), "type": f"{kind}.completed", "transcript": MAIL}
    assert pieces_of(through(redact, event)) == "[email]"


def test_pieces_can_be_dropped_or_let_pass():
    assert through(RedactMiddleware(["email"], deltas="drop"), delta(MAIL)) == []
    assert pieces_of(through(RedactMiddleware(["email"], deltas="pass"), delta(MAIL))) == MAIL


def test_a_lost_link_forgets_what_was_held():
    redact = RedactMiddleware(["email"])
    through(redact, delta("half"))
    redact.link_closed()
    assert through(redact, done("")) == [done("")]


def test_audio_passes_untouched():
    event = {"type": "response.output_audio.delta", **PLACE, "delta": "AAAA"}
    assert through(RedactMiddleware(["email"]), event) == [event]


def test_events_of_any_form_pass():
    for event in ({"type": "x.delta", "delta": 7}, {"type": "response.done"}, {"type": "a.done"}):
        assert through(RedactMiddleware(["email"]), event) == [event]


def test_listeners_and_the_wire_see_only_what_is_redacted():
    transport = BareTransport([RedactMiddleware(["email"])])
    heard: list[str] = []
    transport.on("audio_transcript_delta", lambda event: heard.append(event.delta))
    transport.open()
    transport.send_message(MAIL)
    for event in (delta("ann@exa"), delta("mple.org, bye"), done(f"{MAIL}, bye")):
        transport.get(event)
    transport.close()
    assert "".join(heard) == "[email], bye"
    assert MAIL not in json.dumps(transport.written)


def test_what_to_redact_must_be_said():
    with pytest.raises(UserError, match="redact what"):
        RedactMiddleware()
    with pytest.raises(ValidationError, match="there is no pattern 'mail'"):
        RedactMiddleware(["mail"])


def test_it_can_be_made_by_its_spec():
    plugins = PluginManager(allow=[])
    redact = plugins.middleware("redact:email, card?direction=out&deltas=drop&hold=10")
    assert isinstance(redact, RedactMiddleware)
    with pytest.raises(ValidationError, match="redact: direction"):
        plugins.middleware("redact:email?direction=sideways")
