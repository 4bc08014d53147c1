"""What the local server tells of a session, event by event."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.serving import RefusedRequest, ServedSession, ServedTurn, ToolCall
from realtime_transports.local_server import watch as watch_module
from realtime_transports.local_server.watch import SessionWatch, without_audio


class Log:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def session_started(self, session: ServedSession, /) -> None:
        self.told.append(f"started {session.id}")

    def event_passed(self, _session: ServedSession, /) -> None:
        pass

    def turn_done(self, _session: ServedSession, turn: ServedTurn, /) -> None:
        self.told.append(f"turn {turn.number} {turn.status}")

    def session_ended(self, session: ServedSession, /) -> None:
        self.told.append(f"ended {session.ended}")

    def request_refused(self, request: RefusedRequest, /) -> None:
        raise AssertionError(request)


class Stage:
    """A session whose clock is driven by hand."""

    def __init__(self, *, keeps_events: bool = True) -> None:
        self.now_s = 100.0
        self.log = Log()
        self.session = ServedSession("sess_1", "websocket", "127.0.0.1", "m")
        self.watch = SessionWatch(
            self.session, now=lambda: self.now_s, observer=self.log, keeps_events=keeps_events
        )

    def client(self, event_type: str, **fields: Any) -> None:
        self.watch.client_event({"type": event_type, **fields})

    def server(self, event_type: str, **fields: Any) -> None:
        self.watch.server_event({"type": event_type, **fields})

    def write(self, text: str, item_id: str | None = None) -> None:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content, "id": item_id}
        self.client("conversation.item.create", item=item)

    def heard(self, item_id: str, text: str) -> None:
        name = "conversation.item.input_audio_transcription.completed"
        self.server(name, item_id=item_id, transcript=text)

    def begin(self, response_id: str = "resp_1") -> None:
        self.server("response.created", response={"id": response_id})

    def say(self, text: str, response_id: str = "resp_1") -> None:
        self.server("response.output_text.delta", response_id=response_id, delta=text)

    def done(self, response_id: str = "resp_1", **fields: Any) -> None:
        response = {"id": response_id, "status": "completed", "status_details": None} | fields
        self.server("response.done", response=response)

    @property
    def turn(self) -> ServedTurn:
        return self.session.turns[-1]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_written_turn_is_measured_from_the_request_to_the_first_word(stage: Stage) -> None:
    stage.write("hello")
    stage.client("response.create")
    stage.now_s += 0.25
    stage.begin()
    stage.now_s += 0.5
    stage.say("good ")
    stage.now_s += 1
    stage.say("day")
    stage.done()
    assert stage.turn == ServedTurn(
        1, "resp_1", "hello", "good day", [], "completed", None, 0.75, 1.5
    )
    assert stage.session.transcript == "user: hello\nagent: good day"
    assert stage.log.told == ["started sess_1", "turn 1 completed"]


def test_a_spoken_turn_is_measured_from_its_end_and_may_be_understood_later(stage: Stage) -> None:
    stage.server("input_audio_buffer.speech_stopped", item_id="item_1")
    stage.now_s += 0.1
    stage.server("input_audio_buffer.committed", item_id="item_1")
    stage.now_s += 0.1
    stage.begin()
    stage.server("response.output_audio.delta", response_id="resp_1", delta="AAAA")
    assert stage.turn.latency_s == pytest.approx(0.2)
    assert stage.turn.user == ""
    stage.heard("item_1", "what time is it")
    assert stage.turn.user == "what time is it"


def test_an_answer_that_nobody_asked_for_is_measured_from_its_beginning(stage: Stage) -> None:
    stage.client("response.create")
    stage.begin()
    stage.done()
    stage.now_s += 5
    stage.begin("resp_2")
    stage.now_s += 0.5
    stage.say("by the way", "resp_2")
    assert stage.turn.latency_s == 0.5


def test_words_that_come_late_go_to_their_own_turn(stage: Stage) -> None:
    for number in (1, 2):
        stage.server("input_audio_buffer.committed", item_id=f"item_{number}")
        stage.begin(f"resp_{number}")
        stage.done(f"resp_{number}")
    stage.heard("item_1", "first")
    stage.heard("item_2", "second")
    assert [turn.user for turn in stage.session.turns] == ["first", "second"]


def test_the_answer_to_a_tools_output_answers_nothing_the_user_said(stage: Stage) -> None:
    stage.write("look it up")
    stage.begin()
    call = {"name": "look", "arguments": "{}", "call_id": "call_1"}
    stage.server("response.function_call_arguments.done", response_id="resp_1", **call)
    stage.done()
    assert stage.turn.calls == [ToolCall("look", "{}", "call_1")]
    assert stage.turn.latency_s is not None
    item = {"type": "function_call_output", "call_id": "call_1", "output": "1"}
    stage.client("conversation.item.create", item=item)
    stage.begin("resp_2")
    stage.say("found", "resp_2")
    stage.done("resp_2")
    assert [(turn.user, turn.agent) for turn in stage.session.turns] == [
        ("look it up", ""),
        ("", "found"),
    ]


@pytest.mark.parametrize(
    ("status", "details", "reason"),
    [
        ("completed", {"type": "completed"}, None),
        ("cancelled", {"type": "cancelled", "reason": "turn_detected"}, "turn_detected"),
        ("failed", {"type": "failed", "error": {"code": "server_error"}}, "server_error"),
        ("failed", {"type": "failed", "error": {"code": None, "message": "why"}}, "why"),
        ("incomplete", None, None),
    ],
)
def test_an_answer_says_how_it_ended(
    stage: Stage, status: str, details: object, reason: str | None
) -> None:
    stage.begin()
    stage.done(status=status, status_details=details)
    assert (stage.turn.status, stage.turn.reason) == (status, reason)


def test_the_first_reason_to_end_counts(stage: Stage) -> None:
    assert stage.session.is_open
    stage.now_s += 3
    stage.watch.end("hung up")
    stage.watch.end("the client left")
    assert (stage.session.ended, stage.session.duration_s) == ("hung up", 3)
    assert not stage.session.is_open
    assert stage.log.told == ["started sess_1", "ended hung up"]


def test_events_are_kept_without_audio_and_without_keys(stage: Stage) -> None:
    stage.client("input_audio_buffer.append", audio="A" * 400)
    stage.server("response.output_audio.delta", response_id="r", delta="A" * 40)
    tool = {"type": "mcp", "headers": {"Authorization": "Bearer abcdefghijkl"}}
    stage.client("session.update", session={"tools": [tool]})
    append, update = stage.session.client_events
    assert append["audio"] == "<300 bytes of audio>"
    assert stage.session.server_events[0]["delta"] == "<30 bytes of audio>"
    assert "abcdefghijkl" not in str(update)
    assert stage.session.of_type("session.update") == [update]


def test_only_audio_is_replaced_by_its_size() -> None:
    event = {"type": "x", "audio": {"input": {"format": "audio/pcm"}}, "list": [{"audio": "AAAA"}]}
    assert without_audio(event) == event | {"list": [{"audio": "<3 bytes of audio>"}]}
    odd = {"type": "response.output_audio.delta", "delta": 5}
    assert without_audio(odd) == odd


def test_the_oldest_events_are_forgotten(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "MAX_EVENTS", 2)
    for number in range(5):
        stage.client("x", number=number)
    assert [event["number"] for event in stage.session.client_events] == [3, 4]
    assert stage.session.forgotten_events == 3


def test_events_that_nobody_wants_are_counted_only() -> None:
    stage = Stage(keeps_events=False)
    stage.client("x")
    stage.server("y")
    assert (stage.session.client_events, stage.session.server_events) == ([], [])
    assert stage.session.forgotten_events == 2


@pytest.mark.parametrize(
    "item",
    [None, 5, {}, {"role": "user"}, {"role": "user", "content": [None, {"text": 5}]}, {"id": []}],
)
def test_an_item_of_no_known_form_is_no_trouble(stage: Stage, item: object) -> None:
    stage.client("conversation.item.create", item=item)
    stage.begin()
    assert stage.turn.user == ""


@pytest.mark.parametrize("event_type", [None, 5, [], {}])
def test_an_event_whose_type_is_none_is_no_trouble(stage: Stage, event_type: object) -> None:
    stage.watch.client_event({"type": event_type})
    assert stage.session.client_events == [{"type": event_type}]


def test_an_event_nested_too_deep_is_kept_by_its_type(stage: Stage) -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    stage.client("x", deep=deep)
    assert stage.session.client_events == [{"type": "x"}]


def test_a_new_model_is_told(stage: Stage) -> None:
    stage.server("session.updated", session={"model": "another"})
    assert stage.session.model == "another"
