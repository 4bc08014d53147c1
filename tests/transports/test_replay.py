"""A record of any conversation replays to the same; whatever was changed in it is told."""

from __future__ import annotations

import base64
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_audio_plugins.middlewares import RecordMiddleware, RedactMiddleware
from realtime_core.errors import RealtimeError, TransportError, UserError
from realtime_core.events import FunctionCall
from realtime_core.middleware import EventMiddleware
from realtime_core.plugins import PluginManager
from realtime_core.record import RecordError, read_record
from realtime_core.replay import Replay, ReplayResult
from realtime_transports.openai.protocol import ClientProtocol
from realtime_transports.openai.replay import make_engine
from realtime_transports.openai.websocket_protocol import SipProtocol, WebSocketProtocol
from tests.transports.bare import BareTransport

MAIL = "write to ann@example.org"
PCM = b"\x01\x02" * 240
PROTOCOLS = [ClientProtocol, WebSocketProtocol, SipProtocol]

counter = itertools.count()


def make_with(name: str) -> Any:
    engine, _, argument = name.partition(":")
    assert engine == "openai"
    return make_engine(argument)


def replay(path: Path) -> ReplayResult:
    return Replay(read_record(path), make_with).run()


def message(item_id: str, text: str = MAIL, role: str = "user") -> dict[str, Any]:
    kind = "input_text" if role == "user" else "output_text"
    content = [{"type": kind, "text": text}]
    return {"id": item_id, "type": "message", "role": role, "content": content}


def function_call(item_id: str) -> dict[str, Any]:
    return {
        "id": item_id,
        "type": "function_call",
        "status": "completed",
        "name": "look_up",
        "call_id": f"call_{item_id}",
        "arguments": '{"mail": "ann@example.org", "card": 4111111111111111}',
    }


ids = st.sampled_from(["a", "b", "c"])


def audio_delta(item_id: str, pcm: bytes) -> dict[str, Any]:
    return {
        "type": "response.output_audio.delta",
        "response_id": "r",
        "item_id": item_id,
        "output_index": 0,
        "content_index": 0,
        "delta": base64.b64encode(pcm).decode(),
    }


server_events = st.one_of(
    st.sampled_from(
        [
            {"type": "session.created", "session": {"id": "s", "tracing": None}},
            {"type": "session.updated", "session": {"id": "s", "model": "m"}},
            {"type": "response.created", "response": {"id": "r", "output_modalities": ["audio"]}},
            {"type": "response.done", "response": {"id": "r", "output": [], "usage": None}},
            {"type": "response.done", "response": "it has drifted"},
            {"type": "error", "error": {"message": "no", "code": "response_cancel_not_active"}},
            {
                "type": "error",
                "error": {"message": "no", "code": "conversation_already_has_active_response"},
            },
            {"type": "input_audio_buffer.speech_started", "item_id": "a", "audio_start_ms": 1},
            {"type": "output_audio_buffer.started", "response_id": "r"},
            {"type": "output_audio_buffer.cleared", "response_id": "r"},
            {"type": "brand.new", "$strange": 1},
            {"type": "rate_limits.updated", "event_id": "e", "rate_limits": []},
        ]
    ),
    st.builds(
        lambda item, previous, moment: {
            "type": f"conversation.item.{moment}",
            "item": item,
            "previous_item_id": previous,
        },
        st.one_of(ids.map(message), ids.map(lambda i: message(i, role="assistant"))),
        st.none() | ids,
        st.sampled_from(["added", "done", "retrieved"]),
    ),
    st.builds(
        lambda item: {
            "type": "response.output_item.done",
            "response_id": "r",
            "output_index": 0,
            "item": item,
        },
        ids.map(function_call),
    ),
    st.builds(lambda i: {"type": "conversation.item.deleted", "item_id": i}, ids),
    st.builds(audio_delta, ids, st.binary(max_size=6)),
    st.builds(
        lambda i: {
            "type": "response.output_audio_transcript.delta",
            "response_id": "r",
            "item_id": i,
            "output_index": 0,
            "content_index": 0,
            "delta": MAIL,
        },
        ids,
    ),
    st.builds(
        lambda i: {
            "type": "conversation.item.input_audio_transcription.completed",
            "item_id": i,
            "content_index": 0,
            "transcript": MAIL,
        },
        ids,
    ),
)

CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("send_message", (MAIL,)),
    ("send_message", ({"content": [{"type": "input_text", "text": MAIL}]}, {"event_id": "mine"})),
    ("send_message", ({"no": "content"},)),
    ("add_image", ("data:image/png;base64,AAAA",)),
    ("send_audio", (PCM,)),
    ("request_response", ()),
    ("request_response", ({"instructions": "sk-abcdefghijklmnopqrstuvwxyz"},)),
    ("update_session_config", ({"voice": "ash", "tools": [{"authorization": "hush"}]},)),
    ("update_session_config", (7,)),
    ("send_event", ({"type": "response.cancel"},)),
    ("send_event", ({"type": "conversation.item.delete", "item_id": "a"},)),
    ("interrupt", ()),
    ("interrupt", (False,)),
    (
        "send_function_call_output",
        (FunctionCall("look_up", "{}", "call_a", "a"), '{"card": 4111111111111111}'),
    ),
    ("send_mcp_response", ({"item_id": "a"}, True, MAIL)),
    ("reset", ()),
]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("get"), server_events),
        st.tuples(st.just("call"), st.sampled_from(CALLS)),
        st.tuples(st.just("link"), st.sampled_from(["open", "close"])),
        st.tuples(st.just("model"), st.sampled_from(["m1", "m2"])),
    ),
    max_size=25,
)


class DropDeletions(EventMiddleware):
    """Lets no item be deleted."""

    def outgoing(self, event: dict[str, Any]) -> dict[str, Any] | None:
        return None if event["type"] == "conversation.item.delete" else event


def hold(transport: BareTransport, script: list[tuple[str, Any]]) -> None:
    """Do what a script says; the program's own mistakes are its own."""
    transport.open({"instructions": "be kind", "tracing": {"workflow_name": "w"}})
    for kind, step in script:
        try:
            if kind == "get":
                transport.get({"event_id": "e", **step})
            elif kind == "model":
                transport.current_model = step
            elif kind == "link":
                transport.open() if step == "open" else transport.close()
            elif step[0] == "reset":
                transport.reset_history(transport.history, transport.history[1:])
            else:
                getattr(transport, step[0])(*step[1])
        except RealtimeError:
            continue
    transport.close()


def record_of(
    folder: Path,
    script: list[tuple[str, Any]],
    protocol: type[ClientProtocol],
    *,
    refused: str = "none",
    **options: Any,
) -> Path:
    path = folder / f"{next(counter)}.jsonl"
    transport = BareTransport(
        [RecordMiddleware(path, **options), DropDeletions(), RedactMiddleware(["email"])],
        protocol=protocol(),
        refuses=lambda event: event["type"] == refused,
    )
    transport.on("item_deleted", lambda _: transport.send_message("a listener's"))
    hold(transport, script)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("records")


refusals = st.sampled_from(["none", "response.create", "conversation.item.create"])
options = st.sampled_from([{}, {"audio": False}, {"redact": ["email", "card"]}])


@given(steps, st.sampled_from(PROTOCOLS), refusals, options)
def test_a_record_of_any_conversation_replays_to_the_same(
    folder, script, protocol, refused, options
):
    path = record_of(folder, script, protocol, refused=refused, **options)
    result = replay(path)
    assert result.difference is None, str(result.difference)
    recorded = [line["kind"] for _, line in read_record(path) if "kind" in line]
    assert result.compared == sum(kind in ("out", "told", "raised") for kind in recorded)
    assert result.steps == sum(kind in ("in", "call") for kind in recorded)


@given(steps, st.sampled_from(PROTOCOLS), st.data())
@settings(max_examples=60)
def test_a_changed_output_is_told_at_its_line(folder, script, protocol, data):
    path = record_of(folder, script, protocol)
    lines = path.read_text().splitlines()
    outputs = [n for n, line in enumerate(lines) if json.loads(line).get("kind") in ("out", "told")]
    index = data.draw(st.sampled_from(outputs))
    line = json.loads(lines[index])
    if line["kind"] == "out":
        line["event"]["changed"] = True
    else:
        line["args"] = [*line["args"], "changed"]
    path.write_text("\n".join([*lines[:index], json.dumps(line), *lines[index + 1 :], ""]))
    difference = replay(path).difference
    assert difference is not None
    assert difference.line == index + 1
    assert "changed" in json.dumps(difference.expected)
    assert "changed" not in json.dumps(difference.actual)


@given(steps, st.sampled_from(PROTOCOLS), st.data())
@settings(max_examples=60)
def test_an_output_that_is_missing_from_a_record_is_told_at_the_next_line_that_shows_it(
    folder, script, protocol, data
):
    path = record_of(folder, script, protocol)
    lines = path.read_text().splitlines()
    parsed = [json.loads(line) for line in lines]
    outputs = [n for n, line in enumerate(parsed) if line.get("kind") == "out"]
    index = data.draw(st.sampled_from(outputs))
    if parsed[index] in parsed[index + 1 :]:
        return  # the next one looks the same
    path.write_text("\n".join([*lines[:index], *lines[index + 1 :], ""]))
    difference = replay(path).difference
    assert difference is not None
    assert difference.line > index


class Polite(ClientProtocol):
    """An engine that has changed: it asks for every item that is added."""

    def _note(self, event: dict[str, Any]) -> None:
        super()._note(event)
        if event["type"] == "conversation.item.added":
            self._send({"type": "conversation.item.retrieve", "item_id": event["item"]["id"]})


ADDED = {"type": "conversation.item.added", "previous_item_id": None, "item": message("a")}


def test_a_changed_engine_is_told_at_the_first_line_that_shows_it(tmp_path):
    path = record_of(tmp_path, [("get", ADDED), ("call", ("interrupt", ()))], ClientProtocol)
    result = Replay(read_record(path), lambda name: Polite()).run()
    assert result.difference is not None
    lines = path.read_text().splitlines()
    # The lines of what was told come first; then the next step shows what is new.
    assert json.loads(lines[result.difference.line - 1])["name"] == "interrupt"
    assert result.difference.expected == "nothing"
    assert result.difference.actual["event"]["type"] == "conversation.item.retrieve"


def test_an_engine_that_now_raises_is_told(tmp_path):
    class Broken(ClientProtocol):
        def interrupt(self, cancel_ongoing_response: bool = True) -> None:
            raise ZeroDivisionError

    path = record_of(tmp_path, [("call", ("interrupt", ()))], ClientProtocol)
    difference = Replay(read_record(path), lambda name: Broken()).run().difference
    assert difference is not None
    assert difference.actual == {"error": "ZeroDivisionError"}


def test_an_engine_that_raises_no_more_is_told(tmp_path):
    class Patient(ClientProtocol):
        def update_session_config(self, config: Any) -> None:
            """Takes anything."""

    path = record_of(tmp_path, [("call", ("update_session_config", (7,)))], ClientProtocol)
    difference = Replay(read_record(path), lambda name: Patient()).run().difference
    assert difference is not None
    assert difference.expected == {"error": "ValidationError"}


def test_a_record_that_ends_in_the_middle_of_a_line_replays_up_to_there(tmp_path):
    path = record_of(tmp_path, [("get", ADDED)], ClientProtocol)
    whole = path.read_bytes()
    for end in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:end])
        assert replay(path).difference is None


@pytest.mark.parametrize(
    ("lines", "line", "reason"),
    [
        ([], 1, "empty"),
        (["RIFF"], 1, "no JSON"),
        (["[]"], 1, "not an object"),
        (["{}"], 1, "not the header"),
        (['{"format": "realtime-record", "version": 2}'], 1, "version 2"),
        (['{"format": "realtime-record", "version": 1}'], 1, "no engine"),
        (["HEADER", "{"], 2, "no JSON"),
        (["HEADER", "{}"], 2, "no kind"),
        (["HEADER", '{"kind": "call", "name": "__init__"}'], 2, "no method"),
        (["HEADER", '{"kind": "call", "name": "session"}'], 2, "no method"),
        (["HEADER", '{"kind": "call", "name": "nothing"}'], 2, "no method"),
        (["HEADER", '{"kind": "call", "name": "_emits=", "args": [1]}'], 2, "no attribute"),
        (["HEADER", '{"kind": "call", "name": 7}'], 2, "no call"),
        (["HEADER", '{"kind": "call", "name": "interrupt", "args": [1, 2]}'], 2, "cannot be"),
        (["HEADER", '{"kind": "in", "event": 7}'], 2, "no event"),
        (["HEADER", '{"kind": "in", "event": {}, "untaken": 7}'], 2, "untaken"),
        (["HEADER", '{"kind": "in", "event": {"$audio": "?"}}'], 2, "base64"),
        (["HEADER", '{"kind": "in", "event": {"$type": "Agent"}}'], 2, "no form"),
        (["HEADER", '{"kind": "in", "event": {"$audio_bytes": 1e99}}'], 2, "no $audio_bytes"),
        (["OPTIONS"], 1, "options"),
    ],
)
def test_what_is_no_record_is_told_with_its_line(tmp_path, lines, line, reason):
    header = {"format": "realtime-record", "version": 1, "engine": "openai:ClientProtocol"}
    known = {"HEADER": header, "OPTIONS": {**header, "options": {"redact": ["no such"]}}}
    texts = [json.dumps(known[each]) if each in known else each for each in lines]
    path = tmp_path / "record.jsonl"
    path.write_text("".join(f"{text}\n" for text in texts))
    with pytest.raises(RecordError, match=f"^line {line}: .*{reason.replace('$', '.')}") as caught:
        replay(path)
    assert caught.value.line == line


def test_lines_of_other_kinds_are_for_people(tmp_path):
    path = record_of(tmp_path, [("get", ADDED)], ClientProtocol)
    path.write_text(path.read_text() + '{"t": 1, "kind": "note", "text": "here it went wrong"}\n')
    assert replay(path).difference is None


def test_the_engine_of_a_record_is_found_among_the_plugins():
    plugins = PluginManager(allow=[])
    assert type(plugins.engine("openai:WebSocketProtocol")) is WebSocketProtocol
    with pytest.raises(UserError, match="there is no protocol 'Fax'; there are: ClientProtocol"):
        plugins.engine("openai:Fax")


def test_a_transport_without_middlewares_has_its_protocol_unwatched():
    protocol = ClientProtocol()
    assert BareTransport(protocol=protocol)._protocol is protocol


def test_a_client_event_that_was_not_sent_is_not_sent_in_the_replay_either(tmp_path):
    script = [("call", ("send_message", ("one",))), ("call", ("send_message", ("two",)))]
    path = record_of(tmp_path, script, ClientProtocol, refused="conversation.item.create")
    kinds = [line.get("name") for _, line in read_record(path)]
    assert kinds.count("send_failed") == 2
    assert replay(path).difference is None


def test_what_the_link_refuses_is_raised_to_the_program_through_the_watch(tmp_path):
    transport = BareTransport(
        [RecordMiddleware(tmp_path / "r.jsonl")],
        refuses=lambda event: event["type"] == "conversation.item.create",
    )
    transport.open()
    with pytest.raises(TransportError, match="does not take"):
        transport.send_message("hi")
    transport.close()
