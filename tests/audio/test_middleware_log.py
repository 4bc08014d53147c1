"""A line an event: what, which way, about what, how large; never what was said."""

from __future__ import annotations

import json
import logging

import pytest

from realtime_audio_plugins.middlewares import LogMiddleware
from realtime_core.errors import UserError, ValidationError
from realtime_core.plugins import PluginManager
from tests.transports.bare import BareTransport

KEY = "sk-abcdefghijklmnopqrstuvwx"
DELTA = {
    "type": "response.output_audio_transcript.delta",
    "event_id": "e1",
    "response_id": "r1",
    "item_id": "i1",
    "output_index": 0,
    "content_index": 0,
    "delta": "the secret is out",
}


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.DEBUG, "realtime.events")
    return lambda: [r.getMessage() for r in caplog.records if r.name == "realtime.events"]


def test_events_of_both_directions_are_a_line_each_with_their_ids_and_sizes(lines):
    log = LogMiddleware()
    assert log.incoming(DELTA) is DELTA
    append = {"type": "input_audio_buffer.append", "audio": "AQIDBA=="}
    assert log.outgoing(append) is append
    assert lines() == [
        (
            "direction=in type=response.output_audio_transcript.delta event_id=e1 response_id=r1 "
            "item_id=i1 delta_chars=17"
        ),
        "direction=out type=input_audio_buffer.append audio_bytes=4",
    ]


def test_status_and_ids_inside_are_told(lines):
    LogMiddleware().incoming({"type": "response.done", "response": {"id": "r", "status": "failed"}})
    assert lines() == ["direction=in type=response.done response_id=r response_status=failed"]


def test_neither_what_is_said_nor_keys_nor_audio_are_logged(lines):
    log = LogMiddleware(as_json=True)
    log.incoming(DELTA)
    log.incoming({"type": "response.output_audio.delta", "delta": "UklGRg=="})
    log.outgoing({"type": "conversation.item.create", "item": {"id": KEY, "content": ["hush"]}})
    log.error_reported(UserError(f"refused {KEY}"))
    text = "\n".join(lines())
    for hidden in ("secret", "UklG", "hush", KEY):
        assert hidden not in text
    assert json.loads(lines()[1])["audio_bytes"] == 4


def test_a_line_can_be_json_and_its_fields_are_on_the_log_record(caplog):
    caplog.set_level(logging.INFO)
    LogMiddleware("my.log", as_json=True).incoming(DELTA)
    [record] = caplog.records
    assert record.name == "my.log"
    assert json.loads(record.getMessage()) == record.realtime
    assert record.realtime["item_id"] == "i1"


def test_errors_are_warnings_at_least(caplog):
    caplog.set_level(logging.DEBUG)
    log = LogMiddleware(level=logging.DEBUG)
    log.incoming({"type": "error", "error": {"code": "no_such_item", "message": "hush"}})
    log.error_reported(UserError("wrong"))
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "code=no_such_item" in caplog.records[0].getMessage()


def test_a_type_with_blanks_and_line_breaks_stays_one_line(lines):
    LogMiddleware().incoming({"type": "odd\ntype =x", "event_id": 7})
    assert lines() == ['direction=in type="odd\\ntype =x"']


def test_the_links_life_is_logged(lines):
    transport = BareTransport([LogMiddleware()])
    transport.open()
    transport.close()
    assert [line.split(" model=")[0] for line in lines()] == [
        "direction=link type=opened",
        "direction=out type=session.update session_type=realtime",
        "direction=link type=closed",
    ]


def test_it_can_be_made_by_its_spec(caplog):
    caplog.set_level(logging.DEBUG)
    plugins = PluginManager(allow=[])
    plugins.middleware("log:my.log?level=debug&format=json").incoming({"type": "x"})
    [record] = [r for r in caplog.records if r.name == "my.log"]
    assert record.levelname == "DEBUG"
    plugins.middleware("log?level=error")
    with pytest.raises(ValidationError, match="log: level"):
        plugins.middleware("log:?level=loud")
